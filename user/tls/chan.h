/* SPDX-License-Identifier: MIT */
/*
 * A byte stream over a non-blocking socket: plain, TLS towards a sandbox's client, or TLS towards an
 * upstream. The only code that sees SSL_ERROR_*. Made for edge-triggered polling: a reader goes on
 * until -EAGAIN, a writer never waits (what the socket does not take is kept in the channel; see
 * osh_chan_backlog() for back-pressure).
 */
#ifndef OSH_TLS_CHAN_H
#define OSH_TLS_CHAN_H

#include <sys/types.h>

#include "base/buf.h"
#include "tls/env.h"

enum {
	/* A peer that lets this much pile up is broken or hostile: -ENOBUFS. Callers stop reading
	 * their source far below. */
	OSH_CHAN_SPILL_MAX = 1024 * 1024,
	/* Handshake messages after the handshake, more by one for every OSH_CHAN_CHATTER_BYTES read;
	 * a peer that sends more fails with -EPROTO. */
	OSH_CHAN_CHATTER_MAX = 256,
	OSH_CHAN_CHATTER_BYTES = 1024 * 1024,
	/* TLS records that one read takes: whoever makes them small does not hold up the others. */
	OSH_CHAN_READ_RECORDS = 64,
};

struct osh_chan {
	int fd; /* owned; -1: closed */
	int err; /* sticky negative errno of the socket */
	int send_err; /* sticky, too: nothing leaves any more, what has arrived can still be read */
	struct ssl_st *ssl; /* NULL: plain */
	struct osh_tls_env *env;
	struct osh_tls_scope *scope; /* borrowed; server side */
	struct osh_tls_client *client; /* borrowed; client side; NULL: no resumption */
	struct osh_buf prefix; /* bytes read before the channel took over */
	struct osh_buf spill; /* bytes the socket has not taken yet */
	bool sock_drained; /* the last read took all there was; cleared by osh_chan_event() */
	bool hup; /* the peer has shut down: a short read does not mean "drained" */
	bool ended; /* the last read met the end or a failure: the next one will say so */
	bool eof_clean; /* end of stream was authentic (FIN on plain, close_notify on TLS) */
	bool established;
	bool held; /* see osh_chan_hold() */
	bool fin_wanted, fin_sent;
	bool tls13; /* once established */
	bool kept; /* keeps its record buffers; counted in env->n_kept */
	bool bulk; /* reads by the whole buffer; counted in env->n_bulk */
	uint8_t uses; /* since the last trim, up to a few */
	uint8_t full_reads; /* in a row */
	uint16_t chatter; /* handshake messages after the handshake */
	uint32_t since_chatter; /* bytes read since one of them was forgiven */
};

/* Takes @take_fd. Plain at first; osh_chan_server()/_client() put TLS on it. */
void osh_chan_init(struct osh_chan *c, struct osh_tls_env *env, int take_fd);
/* Closes the socket and frees everything; idempotent. @reset: send RST instead of FIN. */
void osh_chan_close(struct osh_chan *c, bool reset);

/* Give back bytes that were read but belong to what comes next. */
int osh_chan_unread(struct osh_chan *c, const void *data, size_t n) OSH_MUST_CHECK;

/*
 * Start TLS as the server. @leaf is referenced. A client that offers ALPN
 * must offer http/1.1.
 */
int osh_chan_server(struct osh_chan *c, struct osh_tls_scope *scope,
		    struct osh_leaf *leaf) OSH_MUST_CHECK;
/*
 * Start TLS as the client of @host (name or address literal), which the certificate must be for. @client
 * (may be NULL) says what may be resumed; when it has offered another name's session (@client->foreign)
 * and the handshake ends with anything but -EKEYREJECTED, one more without the shelf may succeed.
 */
int osh_chan_client(struct osh_chan *c, struct osh_str host,
		    struct osh_tls_client *client) OSH_MUST_CHECK;
/* 0: done; -EAGAIN; -EKEYREJECTED: certificate; -EPROTO; -ECONNRESET; other socket errors. */
int osh_chan_handshake(struct osh_chan *c) OSH_MUST_CHECK;
/* The server name the client sent in the handshake, or NULL. */
const char *osh_chan_sni(const struct osh_chan *c);
bool osh_chan_resumed(const struct osh_chan *c);
/* One line about the last TLS failure; never NULL. Static or belonging to OpenSSL. */
const char *osh_chan_error(const struct osh_chan *c);

/* Tell the channel what epoll said. */
void osh_chan_event(struct osh_chan *c, uint32_t events);

/*
 * Bytes read; 0: end of stream; -EAGAIN; -EPROTO; -errno. Fills as much of @buf as it can, but by no
 * more than OSH_CHAN_READ_RECORDS records: osh_chan_has_pending() says whether there may be more.
 */
ssize_t osh_chan_read(struct osh_chan *c, void *buf, size_t n);
/* Takes all of it or fails for good. */
int osh_chan_write(struct osh_chan *c, const void *data, size_t n) OSH_MUST_CHECK;
/* 0: everything is with the kernel; -EAGAIN: wait for EPOLLOUT; -errno (sticky, may be ignored). */
int osh_chan_flush(struct osh_chan *c);
/*
 * What was written so far is not urgent (a session ticket): it leaves with the next write. Ends with
 * osh_chan_trim().
 */
void osh_chan_hold(struct osh_chan *c);
/* Bytes accepted by osh_chan_write() that wait for the socket. */
size_t osh_chan_backlog(const struct osh_chan *c);
/* close_notify and FIN behind everything written so far; reading goes on. */
void osh_chan_shutdown(struct osh_chan *c);
/* More could be read without news from the kernel. */
bool osh_chan_has_pending(const struct osh_chan *c);
/*
 * For a channel that has been quiet for a while: release its record buffers. They come back by
 * themselves; one that is used again and again keeps them until the next call. true: this one had.
 */
bool osh_chan_trim(struct osh_chan *c);

#endif
