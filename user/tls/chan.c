/* SPDX-License-Identifier: MIT */
#include "tls/chan.h"
#include "tls/priv.h"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	/*
	 * Reads and writes after which a channel keeps its record buffers: some 30 exchanges. Before,
	 * libssl takes and frees them for each record, which costs an exchange 0.3 us, but lets
	 * thousands that say little share the same few. To keep and release them costs 8 us.
	 */
	KEEP_AFTER = 64,
	KEPT_MAX = 256, /* channels that do, of a process */
};

/*
 * SSL_get_error() reads this thread's queue of errors, which must not hold older ones. It is empty
 * nearly always, and to see that is much cheaper than to empty it.
 */
static void forget_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

static void note_use(struct osh_chan *c)
{
	if (c->uses >= KEEP_AFTER || ++c->uses < KEEP_AFTER || c->env->n_kept >= KEPT_MAX)
		return;
	c->kept = true;
	c->env->n_kept++;
	SSL_clear_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
}

/* As if it had never been used. true: it has buffers. */
static bool forget_use(struct osh_chan *c)
{
	osh_chan_unbulk(c);
	c->uses = 0;
	if (!c->kept)
		return false;
	c->kept = false;
	c->env->n_kept--;
	SSL_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
	return true;
}

void osh_chan_init(struct osh_chan *c, struct osh_tls_env *env, int take_fd)
{
	*c = (struct osh_chan){ .fd = take_fd, .env = env };
	osh_buf_init(&c->prefix, OSH_CHAN_SPILL_MAX, 0);
	osh_buf_init(&c->spill, OSH_CHAN_SPILL_MAX, 0);
}

void osh_chan_close(struct osh_chan *c, bool reset)
{
	if (c->env && c->env->owner == c) {
		if (reset) {
			c->env->owner = NULL;
			c->env->scratch_len = 0;
		} else {
			osh_chan_push(c);
		}
	}
	(void)forget_use(c); /* they go with the rest */
	if (c->ssl) {
		/* Without a shutdown OpenSSL takes the session for broken and never resumes it. */
		SSL_set_quiet_shutdown(c->ssl, 1);
		if (c->established && !reset)
			(void)SSL_shutdown(c->ssl);
		SSL_free(c->ssl); /* and its BIO */
		c->ssl = NULL;
		forget_errors();
	}
	if (c->fd >= 0) {
		const struct linger rst = { .l_onoff = 1 };

		if (reset)
			(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
		(void)close(c->fd); /* nothing useful can be done about a failing close */
		c->fd = -1;
	}
	osh_buf_fini(&c->prefix);
	osh_buf_fini(&c->spill);
}

int osh_chan_unread(struct osh_chan *c, const void *data, size_t n)
{
	return n ? osh_buf_add(&c->prefix, data, n) : 0;
}

static int start(struct osh_chan *c, SSL_CTX *ctx)
{
	BIO *bio;

	c->ssl = SSL_new(ctx);
	bio = c->ssl ? BIO_new(c->env->bio) : NULL;
	if (!bio) {
		SSL_free(c->ssl);
		c->ssl = NULL;
		return -ENOMEM;
	}
	BIO_set_data(bio, c);
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_app_data(c->ssl, c);
	return 0;
}

int osh_chan_server(struct osh_chan *c, struct osh_tls_scope *scope, struct osh_leaf *leaf)
{
	int r = start(c, c->env->server);

	if (r < 0)
		return r;
	c->scope = scope;
	/* The private key came with the context; this checks that it fits. */
	if (SSL_use_certificate(c->ssl, leaf->cert) != 1 ||
	    SSL_set_session_id_context(c->ssl, leaf->sid, sizeof(leaf->sid)) != 1) {
		forget_errors();
		return -EIO;
	}
	SSL_set_accept_state(c->ssl);
	return 0;
}

int osh_chan_client(struct osh_chan *c, struct osh_str host, struct osh_tls_client *client)
{
	SSL_SESSION *session;
	int r = start(c, c->env->client);

	if (!r)
		r = osh_verify_expect(c->ssl, host);
	if (r < 0)
		return r;
	c->client = client;
	/* no server name: an address, and those share nothing */
	session = client ? osh_tls_session_take(
				   client, SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name))
			 : NULL;
	if (session) {
		(void)SSL_set_session(c->ssl, session); /* fails: a full handshake it is */
		SSL_SESSION_free(session);
	}
	SSL_set_connect_state(c->ssl);
	return 0;
}

static bool is_truncation(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_SSL &&
	       ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

/* 0: end of stream */
static int failure(struct osh_chan *c, int ret)
{
	int e = SSL_get_error(c->ssl, ret);

	switch (e) {
	case SSL_ERROR_ZERO_RETURN:
		c->eof_clean = true;
		return 0;
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_SYSCALL:
		return osh_chan_unsendable(c);
	case SSL_ERROR_SSL:
		if (osh_chan_unsendable(c))
			return osh_chan_unsendable(c);
		if (is_truncation())
			return 0;
		if (!c->established && SSL_get_verify_result(c->ssl) != X509_V_OK &&
		    !SSL_is_server(c->ssl))
			return -EKEYREJECTED;
		return -EPROTO;
	default:
		return -EPROTO; /* WANT_WRITE cannot be: writes only collect */
	}
}

int osh_chan_handshake(struct osh_chan *c)
{
	int ret, r;

	if (c->established)
		return 0;
	forget_errors();
	ret = SSL_do_handshake(c->ssl);
	if (ret == 1) {
		r = SSL_is_server(c->ssl) ? 0 : osh_verify_done(c->ssl, c->client);
		c->established = !r;
		c->tls13 = SSL_version(c->ssl) == TLS1_3_VERSION;
	} else {
		r = failure(c, ret);
		osh_chan_push(c); /* flight or alert */
		r = r ? r : -ECONNRESET;
	}
	if (c->client && r != -EAGAIN)
		osh_tls_session_outcome(c->client, r, SSL_session_reused(c->ssl));
	return r;
}

const char *osh_chan_sni(const struct osh_chan *c)
{
	return c->ssl ? SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
}

bool osh_chan_resumed(const struct osh_chan *c)
{
	return c->ssl && SSL_session_reused(c->ssl);
}

const char *osh_chan_error(const struct osh_chan *c)
{
	unsigned long e = ERR_peek_last_error();
	const char *text;

	if (c->ssl && !SSL_is_server(c->ssl) && !c->established &&
	    SSL_get_verify_result(c->ssl) != X509_V_OK)
		return X509_verify_cert_error_string(SSL_get_verify_result(c->ssl));
	text = e ? ERR_reason_error_string(e) : NULL;
	return text ? text : "connection closed during the handshake";
}

void osh_chan_event(struct osh_chan *c, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->sock_drained = false;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->hup = true;
}

static ssize_t read_plain(struct osh_chan *c, char *buf, size_t n)
{
	size_t got = 0;

	if (c->prefix.len) {
		got = OSH_MIN(n, c->prefix.len);
		memcpy(buf, c->prefix.data, got);
		osh_buf_consume(&c->prefix, got);
		if (!c->prefix.len)
			osh_buf_fini(&c->prefix);
	}
	while (got < n && !c->sock_drained) {
		ssize_t r = recv(c->fd, buf + got, n - got, 0);

		if (r > 0) {
			if ((size_t)r < n - got && !c->hup)
				c->sock_drained = true;
			got += (size_t)r;
		} else if (r == 0) {
			/* after a reset that a send has met, the end looks like any other */
			if (c->send_err) {
				c->err = c->send_err;
				return got ? (ssize_t)got : c->err;
			}
			c->eof_clean = true;
			return (ssize_t)got; /* an end found after data is found again */
		} else if (errno == EAGAIN) {
			c->sock_drained = true;
		} else if (errno != EINTR) {
			c->err = -errno;
			return got ? (ssize_t)got : c->err;
		}
	}
	return got ? (ssize_t)got : -EAGAIN;
}

ssize_t osh_chan_read(struct osh_chan *c, void *buf, size_t n)
{
	size_t got = 0;
	int r = 0;

	if (c->err)
		return c->err;
	if (!c->ssl)
		return read_plain(c, buf, n);
	forget_errors();
	for (int records = 0; got < n && records < OSH_CHAN_READ_RECORDS; records++) {
		size_t one;
		int ret = SSL_read_ex(c->ssl, (char *)buf + got, n - got, &one);

		if (ret != 1) {
			r = failure(c, ret);
			c->ended = r != -EAGAIN;
			break;
		}
		got += one;
		/* spares the call that would only say "nothing more" */
		if (c->sock_drained && !c->prefix.len && !SSL_has_pending(c->ssl))
			break;
	}
	if (got)
		note_use(c);
	c->since_chatter += (uint32_t)got;
	if (c->since_chatter >= OSH_CHAN_CHATTER_BYTES) {
		c->since_chatter = 0;
		c->chatter -= c->chatter > 0;
	}
	/* a failure after data is met again at the next call */
	return got ? (ssize_t)got : r;
}

static int write_plain(struct osh_chan *c, const char *data, size_t n)
{
	struct osh_tls_env *env = c->env;
	size_t room;

	if (c->spill.len)
		return osh_buf_add(&c->spill, data, n) < 0 ? (c->err = -ENOBUFS) : 0;
	if (env->owner != c) {
		if (env->owner)
			osh_chan_push(env->owner);
		env->owner = c;
	}
	for (;;) {
		room = OSH_MIN(sizeof(env->scratch) - env->scratch_len, n);
		memcpy(env->scratch + env->scratch_len, data, room);
		env->scratch_len += room;
		data += room;
		n -= room;
		if (!n)
			return 0;
		osh_chan_push(c);
		if (osh_chan_unsendable(c))
			return osh_chan_unsendable(c);
		if (c->spill.len)
			return osh_buf_add(&c->spill, data, n) < 0 ? (c->err = -ENOBUFS) : 0;
		env->owner = c;
	}
}

int osh_chan_write(struct osh_chan *c, const void *data, size_t n)
{
	size_t done;
	int ret;

	c->held = false;
	if (osh_chan_unsendable(c))
		return osh_chan_unsendable(c);
	if (!n)
		return 0;
	if (!c->ssl)
		return write_plain(c, data, n);
	forget_errors();
	note_use(c);
	ret = SSL_write_ex(c->ssl, data, n, &done);
	if (ret == 1)
		return 0;
	if (osh_chan_unsendable(c))
		return osh_chan_unsendable(c);
	return c->err = -EPROTO;
}

void osh_chan_hold(struct osh_chan *c)
{
	struct osh_tls_env *env = c->env;

	/* before TLS 1.3 the last flight of the handshake is in there */
	if (!c->ssl || !c->tls13 || env->owner != c || c->spill.len)
		return;
	if (osh_buf_add(&c->spill, env->scratch, env->scratch_len) < 0)
		return; /* then it leaves now */
	env->owner = NULL;
	env->scratch_len = 0;
	c->held = true;
}

int osh_chan_flush(struct osh_chan *c)
{
	if (c->held)
		return osh_chan_unsendable(c);
	osh_chan_push(c);
	while (c->spill.len && !osh_chan_unsendable(c)) {
		ssize_t r = send(c->fd, c->spill.data, c->spill.len, MSG_NOSIGNAL);

		if (r >= 0) {
			osh_buf_consume(&c->spill, (size_t)r);
		} else if (errno == EAGAIN) {
			return -EAGAIN;
		} else if (errno != EINTR) {
			osh_chan_send_failed(c, -errno);
		}
	}
	if (osh_chan_unsendable(c))
		return osh_chan_unsendable(c);
	if (c->spill.cap)
		osh_buf_fini(&c->spill);
	if (c->fin_wanted && !c->fin_sent) {
		c->fin_sent = true;
		(void)shutdown(c->fd, SHUT_WR); /* the peer may be gone already */
	}
	return 0;
}

size_t osh_chan_backlog(const struct osh_chan *c)
{
	return c->spill.len + (c->env->owner == c ? c->env->scratch_len : 0);
}

void osh_chan_shutdown(struct osh_chan *c)
{
	if (c->fin_wanted || c->fd < 0)
		return;
	c->fin_wanted = true;
	c->held = false;
	if (c->ssl && c->established && !osh_chan_unsendable(c)) {
		forget_errors();
		(void)SSL_shutdown(c->ssl); /* close_notify; the answer is not waited for */
	}
	(void)osh_chan_flush(c); /* the rest and the FIN go with a later flush */
}

bool osh_chan_has_pending(const struct osh_chan *c)
{
	/* a peer may end the TLS stream and keep the TCP connection: no event would follow */
	return c->prefix.len || !c->sock_drained || c->ended || (c->ssl && SSL_has_pending(c->ssl));
}

bool osh_chan_trim(struct osh_chan *c)
{
	bool had;

	if (c->held) {
		c->held = false;
		(void)osh_chan_flush(c);
	}
	had = forget_use(c);
	if (c->ssl)
		(void)SSL_free_buffers(c->ssl); /* refuses while a record is incomplete */
	return had;
}
