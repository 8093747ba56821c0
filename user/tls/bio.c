/* SPDX-License-Identifier: MIT */
#include "tls/chan.h"
#include "tls/priv.h"

#include <limits.h>
#include <openssl/bio.h>
#include <sys/socket.h>

/*
 * Reads come straight from the socket (after what was read ahead of TLS); a short read means that
 * the socket is empty, which saves the recv() that would say EAGAIN. Writes only collect: records of
 * one turn leave in one send().
 */

enum {
	/*
	 * A read touches no more of a record buffer than this, so that many connections with a little
	 * each cost little, until one has filled it so many times in a row. Few may.
	 */
	SMALL_READ_RECORDS = 2,
	BULK_AFTER = 2,
	BULK_MAX = 256,
};

/*
 * What to ask the kernel for when libssl would take @n. Of bulk, full records: libssl fetches the
 * rest of one that was begun, and nothing behind it, by a read of its own.
 */
static int read_size(const struct osh_chan *c, int n)
{
	int record = c->tls13 ? OSH_TLS_RECORD_13 : OSH_TLS_RECORD_12;

	return OSH_MIN(n, record * (c->bulk ? OSH_TLS_BULK_RECORDS : SMALL_READ_RECORDS));
}

static void note_full(struct osh_chan *c)
{
	if (c->full_reads < BULK_AFTER && ++c->full_reads == BULK_AFTER &&
	    c->env->n_bulk < BULK_MAX) {
		c->bulk = true;
		c->env->n_bulk++;
	}
}

void osh_chan_unbulk(struct osh_chan *c)
{
	c->full_reads = 0;
	if (c->bulk)
		c->env->n_bulk--;
	c->bulk = false;
}

static int read_prefix(struct osh_chan *c, char *buf, int n)
{
	size_t take = OSH_MIN((size_t)n, c->prefix.len);

	memcpy(buf, c->prefix.data, take);
	osh_buf_consume(&c->prefix, take);
	if (!c->prefix.len)
		osh_buf_fini(&c->prefix);
	return (int)take;
}

static int on_read(BIO *bio, char *buf, int n)
{
	struct osh_chan *c = BIO_get_data(bio);
	ssize_t r;

	BIO_clear_retry_flags(bio);
	if (n <= 0 || c->err)
		return -1;
	if (c->prefix.len)
		return read_prefix(c, buf, n);
	if (c->sock_drained) {
		BIO_set_retry_read(bio);
		return -1;
	}
	n = read_size(c, n);
	do
		r = recv(c->fd, buf, (size_t)n, 0);
	while (r < 0 && errno == EINTR);
	if (r > 0) {
		if (r == n && n == read_size(c, INT_MAX)) {
			note_full(c);
		} else if (r < n) {
			c->full_reads = 0;
			c->sock_drained = !c->hup;
		}
		return (int)r;
	}
	if (r == 0)
		return 0;
	if (errno == EAGAIN) {
		c->sock_drained = true;
		BIO_set_retry_read(bio);
		return -1;
	}
	c->err = -errno;
	return -1;
}

static int on_write(BIO *bio, const char *data, int n)
{
	struct osh_chan *c = BIO_get_data(bio);
	struct osh_tls_env *env = c->env;

	BIO_clear_retry_flags(bio);
	if (n <= 0 || osh_chan_unsendable(c))
		return -1;
	if (c->spill.len) {
		if (osh_buf_add(&c->spill, data, (size_t)n) < 0) {
			c->err = -ENOBUFS;
			return -1;
		}
		return n;
	}
	if (env->owner != c) {
		if (env->owner)
			osh_chan_push(env->owner);
		env->owner = c;
	}
	if ((size_t)n > sizeof(env->scratch) - env->scratch_len) {
		osh_chan_push(c);
		if (osh_chan_unsendable(c))
			return -1;
		if (c->spill.len || (size_t)n > sizeof(env->scratch))
			return osh_buf_add(&c->spill, data, (size_t)n) < 0 ? (c->err = -ENOBUFS, -1)
									   : n;
		env->owner = c;
	}
	memcpy(env->scratch + env->scratch_len, data, (size_t)n);
	env->scratch_len += (size_t)n;
	return n;
}

static long on_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0; /* the channel flushes at the end of the turn */
}

static int on_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

BIO_METHOD *osh_chan_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "osh_chan");

	if (!m)
		return NULL;
	if (!BIO_meth_set_read(m, on_read) || !BIO_meth_set_write(m, on_write) ||
	    !BIO_meth_set_ctrl(m, on_ctrl) || !BIO_meth_set_create(m, on_create)) {
		BIO_meth_free(m);
		return NULL;
	}
	return m;
}

void osh_chan_push(struct osh_chan *c)
{
	struct osh_tls_env *env = c->env;
	size_t at = 0;

	if (env->owner != c)
		return;
	env->owner = NULL;
	while (at < env->scratch_len && !osh_chan_unsendable(c)) {
		ssize_t r = send(c->fd, env->scratch + at, env->scratch_len - at, MSG_NOSIGNAL);

		if (r >= 0) {
			at += (size_t)r;
		} else if (errno == EAGAIN) {
			if (osh_buf_add(&c->spill, env->scratch + at, env->scratch_len - at) < 0)
				c->err = -ENOBUFS;
			break;
		} else if (errno != EINTR) {
			osh_chan_send_failed(c, -errno);
		}
	}
	env->scratch_len = 0;
}
