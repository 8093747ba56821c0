/* SPDX-License-Identifier: MIT */
/*
 * Inside of the proxy: the structures its files share. Single-threaded; everything belongs to one
 * struct osh_px.
 *
 *	box     a sandbox: listeners, policy image, callers, names, sites, connections
 *	who     a caller's identity (executable and lineage), with its classes in the current image
 *	site    a host name of a sandbox: leaf certificate, origins
 *	origin  (site, port, TLS, who): pooled upstream connections and their TLS sessions
 *	shelf   (address, port, who): which of these sessions other sites may use
 *	conn    an accepted connection
 *	up      a connection to an upstream
 */
#ifndef OSH_PROXY_WORKER_H
#define OSH_PROXY_WORKER_H

#include "audit/record.h"
#include "base/reason.h"
#include "http/chunked.h"
#include "http/guard.h"
#include "http/request.h"
#include "io/loop.h"
#include "io/ring.h"
#include "openshell/abi.h"
#include "openshell/role.h"
#include "policy/decide.h"
#include "policy/host.h"
#include "proxy/config.h"
#include "proxy/proxy.h"
#include "proxy/resolve.h"
#include "tls/chan.h"

enum {
	OSH_PX_RBUF_BYTES = 128 * 1024,
	OSH_PX_WBUF_BYTES = 192 * 1024,
	OSH_PX_BACKLOG_HIGH = 64 * 1024, /* stop reading the source */
	OSH_PX_TURN_BYTES = 4 *
			    OSH_PX_RBUF_BYTES, /* per wake-up; then the others have their turn */
	OSH_PX_READ_COST = 64 * 1024, /* a read is no less of a turn: small TLS records cost, too */
	OSH_PX_HASH = 1024, /* buckets of the small tables */
	OSH_PX_DENIED = 64, /* denials kept ready-made */
};

/* ---- messages out ---- */

/* A SEQPACKET peer with a bounded queue for when it does not keep up. */
struct osh_px_link {
	struct osh_src src;
	struct osh_list queue;
	uint32_t queued;
	int fd; /* owned */
};

/* ---- sandbox ---- */

struct osh_px_exe {
	struct osh_px_exe *next;
	uint32_t id, status, flags;
	bool known; /* an answer is here */
	bool marked; /* inside exes_trim() only */
	uint64_t asked_ms;
	char *path; /* identities borrow it: freed only when none does */
	uint8_t sha256[OSH_MSG_SHA256_LEN], first_sha256[OSH_MSG_SHA256_LEN];
};

struct osh_px_name {
	struct osh_px_name *next_id, *next_host;
	uint32_t id;
	uint16_t len;
	char host[]; /* NUL-terminated */
};

struct osh_px_ask {
	struct osh_px_ask *next;
	uint64_t at_ms;
	uint32_t id;
	int status; /* -EAGAIN: no answer yet */
	uint16_t len;
	char host[];
};

struct osh_px_who {
	struct osh_list node; /* box->whos, most recently used first */
	struct osh_px_who *next;
	unsigned int refs;
	uint64_t serial; /* never used again in this process */
	uint32_t hash;
	uint32_t exe, run_flags, lineage_count;
	struct osh_lineage lineage[OSH_LINEAGE_MAX];
	uint32_t epoch; /* of box->exe_epoch when id was filled; 0: never */
	bool mismatch; /* some executable changed since its first use */
	struct osh_identity id;
	struct osh_identity_exe anc[OSH_LINEAGE_MAX];
	struct osh_idclass *cls; /* for generation cls_gen */
	uint64_t cls_gen;
};

struct osh_px_image {
	const void *map;
	size_t bytes;
	const struct osh_image *img;
	uint64_t generation;
};

enum osh_px_leaf_state {
	OSH_PX_LEAF_NONE = 0,
	OSH_PX_LEAF_ASKED,
	OSH_PX_LEAF_READY,
	OSH_PX_LEAF_FAILED,
};

struct osh_px_site {
	struct osh_list node; /* box->sites, most recently used first */
	struct osh_px_site *next;
	struct osh_px_box *box;
	unsigned int refs; /* connections */
	uint32_t hash;
	uint8_t leaf_state;
	int leaf_error; /* FAILED */
	bool is_addr;
	struct osh_addr addr;
	uint64_t asked_ms;
	struct osh_leaf *leaf;
	struct osh_list waiters; /* conn.wait */
	struct osh_list origins;
	uint16_t len;
	char host[]; /* lower case, NUL-terminated */
};

struct osh_px_origin {
	struct osh_list node; /* site->origins */
	struct osh_px_site *site;
	uint64_t who; /* serial: pooled connections and TLS sessions never cross identities */
	unsigned int refs; /* ups */
	uint16_t port;
	bool tls;
	bool plain; /* dialled by the rules for plain HTTP; see osh_px_hop_is_plain() */
	uint32_t n_idle;
	struct osh_list idle; /* up.node, most recently used first */
	struct osh_tls_sessions sessions;
};

struct osh_px_shelf {
	struct osh_list node; /* box->shelves, most recently used first */
	uint64_t who; /* serial */
	struct osh_addr addr;
	uint16_t port;
	bool trusted;
	bool gone; /* not in the box any more; freed with the last reference */
	unsigned int refs; /* ups */
	struct osh_tls_shelf tls;
};

struct osh_px_listener {
	struct osh_src src;
	struct osh_px_box *box;
	enum osh_sandbox_fd which;
	int fd; /* owned; -1: none */
	bool yielded; /* over a ceiling, other workers had their chance */
	struct osh_timer pause;
};

/* Trouble counted until it is logged. */
struct osh_px_trouble {
	uint32_t n;
	uint64_t at_ms; /* of the last line about it; 0: never */
};

struct osh_px_box {
	struct osh_list node;
	struct osh_px *px;
	uint32_t id;
	char name[OSH_MSG_NAME_MAX];
	bool gone; /* being torn down */
	struct osh_px_listener listener[OSH_SBFD_COUNT];
	struct osh_tls_scope *scope;
	struct osh_resolver_share *names; /* of upstreams, and their addresses */
	struct osh_px_image now, next; /* next: loaded, not switched to */
	struct osh_px_exe *exes[OSH_PX_HASH];
	uint32_t n_exes, exe_epoch;
	struct osh_px_name *names_by_id[OSH_PX_HASH], *names_by_host[OSH_PX_HASH];
	struct osh_px_ask *asks[OSH_PX_HASH];
	uint32_t n_names, n_asks;
	struct osh_px_who *who_hash[OSH_PX_HASH];
	struct osh_list whos;
	uint32_t n_whos;
	struct osh_px_site *site_hash[OSH_PX_HASH];
	struct osh_list sites;
	uint32_t n_sites;
	struct osh_list shelves;
	uint32_t n_shelves;
	struct osh_timer ahead; /* ahead.c */
	size_t ahead_next; /* target of the image to look at next */
	unsigned int ahead_left;
	struct osh_list conns, waiting; /* conn.node; conn.wait */
	struct osh_list dns_conns, dns_waits; /* dns.c */
	uint32_t n_conns, n_dns_conns, n_dns_waits;
	struct osh_px_trouble shed;
	struct {
		uint32_t hash;
		uint64_t at_ms;
	} dns_said[16]; /* refusals logged lately */
};

/* ---- connections ---- */

enum osh_px_state {
	OSH_PX_CLOSED = 0,
	OSH_PX_IDENT, /* for executables, or for the name behind a synthetic address */
	OSH_PX_HEAD, /* explicit proxy: for the first head */
	OSH_PX_DIAL, /* for addresses and a TCP connection, before the tunnel is confirmed */
	OSH_PX_SNIFF, /* for the client's first bytes */
	OSH_PX_LEAF, /* for a certificate */
	OSH_PX_TLS, /* for the client's handshake */
	OSH_PX_REQUEST, /* inspected: for a request head */
	OSH_PX_DRAIN, /* dropping the body of an answered request */
	OSH_PX_ROUTE, /* request judged; for addresses and a ready upstream */
	OSH_PX_EXCHANGE, /* request sent; bodies move */
	OSH_PX_TUNNEL, /* bytes both ways */
	OSH_PX_LINGER, /* final answer written; for the client to take it */
	OSH_PX_STATE_COUNT,
};

struct osh_px_body {
	uint8_t kind; /* enum osh_h1_body */
	bool done;
	uint64_t left;
	struct osh_chunked chunked;
};

struct osh_px_conn {
	struct osh_src src;
	struct osh_timer timer; /* lazy: may fire before deadline_ms and re-arm */
	uint64_t deadline_ms;
	uint64_t doomed_ms; /* the exchange is refused by a newer policy and ends by then; 0 */
	struct osh_list node; /* box->conns */
	struct osh_list wait; /* box->waiting or site->waiters */
	struct osh_list active; /* px->active */
	uint64_t used_ms; /* when it last ran */
	struct osh_px_box *box;
	struct osh_px_who *who;
	struct osh_px_site *site; /* authorised host; NULL: not known yet */
	struct osh_px_site *leaf_site; /* whose certificate to show: the same but for denials */
	struct osh_px_up *up;
	struct osh_px_dial *dial;
	struct osh_px_lookup lookup;
	struct osh_flow_rec *rec; /* while the caller is being identified; owned */
	struct osh_chan chan; /* client */
	struct osh_h1_head *head; /* incomplete request or response head, kept between reads */
	struct osh_buf in; /* client bytes read ahead of their turn, after TLS */
	struct osh_buf up_in; /* upstream bytes of an incomplete response head */
	struct osh_buf req; /* serialised request head until the response has begun */
	uint64_t flow, start_ms, bytes_up, bytes_down;
	uint64_t generation; /* verdict below was reached with it */
	uint32_t pid, uid, host_id;
	struct osh_addr dst; /* transparent: what the program asked for */
	int dial_error; /* of the last dial */
	uint16_t hop_status; /* what the upstream proxy answered to it; 0: nothing */
	uint8_t hop_error; /* enum osh_chain_error of it */
	uint16_t port;
	uint8_t state; /* enum osh_px_state */
	uint8_t kind; /* enum osh_flow_kind */
	uint8_t inspect; /* enum osh_inspect */
	uint8_t deny; /* enum osh_reason: answer every request with a denial, then close */
	uint8_t retries;
	bool alone; /* the next upstream handshake offers no session of another name */
	bool tls, tls_skip, slashes;
	bool forward; /* absolute-form: one request */
	bool connect; /* came with CONNECT */
	bool allowed; /* was allowed at some time: its end is an event */
	bool upgraded; /* tunnel after 101 */
	bool checked; /* tunnel: no ClientHello is to be expected any more */
	/* the request under way */
	bool is_head, http10, expect, upgrade, close_after, resp_begun, resp_chunked, stream;
	bool last; /* no other request may follow on this upstream connection */
	bool once; /* cannot be sent a second time: not idempotent, or with a body */
	bool up_eof, client_eof;
	struct osh_px_body req_body, resp_body;
	uint16_t status;
	struct osh_guard guard; /* tunnel, until checked */
	struct osh_px_pipe *pipe_up, *pipe_down; /* tunnel, once bulky */
};

enum osh_px_up_state {
	OSH_PX_UP_CONNECTING = 0,
	OSH_PX_UP_CHAIN, /* upstream proxy was asked for a tunnel */
	OSH_PX_UP_CONNECTED, /* TCP; TLS not begun */
	OSH_PX_UP_TLS,
	OSH_PX_UP_READY,
	OSH_PX_UP_DEAD,
};

struct osh_px_up {
	struct osh_src src;
	struct osh_chan chan;
	struct osh_list node; /* origin->idle, or dial->tries */
	struct osh_list lru; /* px->idle_ups */
	struct osh_px *px;
	struct osh_px_origin *origin; /* NULL until TLS or plain is decided */
	struct osh_px_shelf *shelf; /* NULL: none */
	struct osh_tls_client tls;
	struct osh_px_conn *conn; /* NULL: idle */
	struct osh_px_dial *dial; /* CONNECTING and CHAIN; NULL afterwards */
	struct osh_addr addr; /* of the upstream, also behind the upstream proxy */
	uint16_t port; /* dialled; differs from the origin's with the operator's host table */
	bool by_hop; /* through an upstream proxy */
	bool by_name; /* the upstream proxy resolved the name: @addr is only what we got for it */
	uint8_t state;
	bool trusted; /* address from the operator's table */
	bool used; /* carried a request before: may be stale */
	bool trimmed;
	uint64_t generation; /* whose address check it passed */
	uint64_t idle_since_ms, dialled_ms;
};

/* Attempts to reach an upstream: all addresses, or those of the upstream proxy. */
struct osh_px_dial {
	struct osh_px_conn *conn;
	struct osh_px_addrs addrs; /* in the order to try */
	uint64_t generation; /* of the policy they were checked by */
	uint8_t next;
	struct osh_list tries; /* up.node */
	struct osh_timer stagger;
	/* through the upstream proxy: @addrs are its own */
	const struct osh_px_hop *hop; /* NULL: direct */
	struct osh_px_addrs
		targets; /* checked addresses of the upstream, in the order to ask for */
	uint8_t target; /* index of the one that the hop is asked to reach */
	bool by_name;
	bool asked; /* one try is in state CHAIN, and no other may begin */
	struct osh_buf answer; /* of the proxy, so far */
	struct osh_timer deadline;
};

/* ---- worker ---- */

/* Why the address check refused. */
struct osh_px_refusal {
	enum osh_reason reason;
	const char *kind; /* of the answer: "internal address", ... */
	char text[512];
};

struct osh_px_stats {
	uint64_t accepted, no_record, shed, denied_conns, allowed_conns, requests, denied_requests,
		bad_requests, dials, dial_failures, reused, mints, resumed_client, resumed_upstream,
		resumed_shared, sharing_refused, events_lost, chained, dns_queries, dns_refused,
		timeouts, spliced_bytes;
};

struct osh_px {
	struct osh_loop *loop;
	struct osh_px_cfg cfg;
	struct osh_tls_env *tls;
	struct osh_resolver *resolver;
	struct osh_buf hop_auth; /* secret: Proxy-Authorization; empty: none */
	struct osh_ring *ring; /* NULL: events are counted only */
	struct osh_px_hooks hooks;
	struct osh_px_link monitor, signer;
	struct osh_list boxes;
	struct osh_list active; /* conns that ran and were not quiet for a while since */
	struct osh_list idle_ups; /* all pooled, most recently used first */
	struct osh_timer sweep, kick;
	uint64_t kicked_ms; /* when the monitor was last woken for events */
	uint32_t n_conns, n_idle_ups;
	bool started, draining;
	struct osh_px_trouble starved; /* of descriptors or memory for new connections */
	int starved_errno; /* 0: not since the last line about it */
	int reserve_fd; /* given up for one accept() when descriptors run out */
	uint64_t next_cookie, next_flow, next_who;
	struct osh_list spare_pipes; /* splice.c */
	uint32_t n_spare_pipes, n_pipes; /* n_pipes: all */
	struct osh_px_denied *denied[OSH_PX_DENIED]; /* deny.c */
	struct osh_px_stats stats;
	struct osh_h1_limits h1_limits;
	/* scratch: valid within one handler only */
	struct osh_h1_head head;
	struct osh_req req;
	char rbuf[OSH_PX_RBUF_BYTES];
	char wbuf[OSH_PX_WBUF_BYTES];
	struct osh_buf out; /* local answers */
	struct osh_px_refusal refusal; /* of the last osh_px_up_*() that gave -EPERM */
	char msg[65536 + 64] __attribute__((aligned(8)));
};

/* link.c */
int osh_px_link_open(struct osh_px *px, struct osh_px_link *link, int take_fd, osh_src_fn *fn,
		     const char *name) OSH_MUST_CHECK;
void osh_px_link_close(struct osh_px_link *link);
int osh_px_link_send(struct osh_px *px, struct osh_px_link *link, uint32_t type, uint64_t cookie,
		     const void *body, size_t n) OSH_MUST_CHECK;
int osh_px_link_flush(struct osh_px_link *link) OSH_MUST_CHECK;

/* box.c */
struct osh_px_box *osh_px_box_find(struct osh_px *px, uint32_t id);
int osh_px_box_add(struct osh_px *px, const struct osh_msg_sandbox *msg,
		   int take_fds[OSH_SBFD_COUNT]) OSH_MUST_CHECK;
void osh_px_box_del(struct osh_px_box *box);
int osh_px_box_load(struct osh_px_box *box, int fd, uint64_t generation) OSH_MUST_CHECK;
int osh_px_box_switch(struct osh_px_box *box, uint64_t generation) OSH_MUST_CHECK;
void osh_px_box_start(struct osh_px_box *box);
void osh_px_box_stop(struct osh_px_box *box); /* close the listeners */
void osh_px_box_drain(struct osh_px_box *box); /* and the connections between two requests */
/* Run what waits for the monitor. */
void osh_px_box_wake(struct osh_px_box *box);

/* who.c */
/* 0; -EAGAIN: asked the monitor, box->waiting is woken; -ENOMEM */
int osh_px_who_get(struct osh_px_box *box, const struct osh_flow_rec *rec,
		   struct osh_px_who **ret_who) OSH_MUST_CHECK;
void osh_px_who_put(struct osh_px_box *box, struct osh_px_who *who);
/* Classes in the current image; NULL: out of memory, deny. */
const struct osh_idclass *osh_px_who_class(struct osh_px_box *box, struct osh_px_who *who);
void osh_px_on_exe(struct osh_px_box *box, const struct osh_msg_exe *msg);
void osh_px_whos_free(struct osh_px_box *box);
/* Path of an executable if it is known already, for logs; "" otherwise. */
const char *osh_px_exe_path(struct osh_px_box *box, uint32_t exe);

/* name.c: host ids */
/* 0; -EAGAIN: asked; -ENOENT, -ENOSPC: the monitor's answer */
int osh_px_name_by_id(struct osh_px_box *box, uint32_t id, struct osh_str *ret_host) OSH_MUST_CHECK;
int osh_px_name_by_host(struct osh_px_box *box, struct osh_str host,
			uint32_t *ret_id) OSH_MUST_CHECK;
void osh_px_on_name(struct osh_px_box *box, const struct osh_msg_name *msg);
void osh_px_names_free(struct osh_px_box *box);
/* Host id of an address of the synthetic pools, 0 if it is none. */
uint32_t osh_px_synthetic(const struct osh_addr *addr);
void osh_px_synthetic_v4(uint32_t id, uint8_t ret[4]);
void osh_px_synthetic_v6(uint32_t id, uint8_t ret[16]);

/* site.c */
int osh_px_site_get(struct osh_px_box *box, struct osh_str host,
		    struct osh_px_site **ret_site) OSH_MUST_CHECK; /* referenced */
struct osh_px_site *osh_px_site_put(struct osh_px_site *site);
/* 0: ready; -EAGAIN: @conn is woken; other: cannot be had. */
int osh_px_site_leaf(struct osh_px_site *site, struct osh_px_conn *conn) OSH_MUST_CHECK;
void osh_px_on_cert(struct osh_px *px, const struct osh_msg_cert *msg);
void osh_px_sites_free(struct osh_px_box *box);
struct osh_px_origin *osh_px_origin_get(struct osh_px_site *site, struct osh_px_who *who,
					uint16_t port, bool tls,
					bool plain); /* referenced; NULL: no memory */
void osh_px_origin_put(struct osh_px_origin *origin);

/* Is there a site for @host already? It does not count as a use. */
bool osh_px_site_known(const struct osh_px_box *box, struct osh_str host);
/* Ask for the certificate of a site that nobody has used yet, which is the next to go. */
int osh_px_site_prepare(struct osh_px_site *site) OSH_MUST_CHECK;

/* ahead.c */
/* The box has a new policy: get its hosts' certificates. */
void osh_px_ahead_begin(struct osh_px_box *box);

/* shelf.c */
/* Of @up's address, referenced; NULL: no memory. */
struct osh_px_shelf *osh_px_shelf_get(struct osh_px_box *box, const struct osh_px_who *who,
				      const struct osh_px_up *up);
void osh_px_shelf_put(struct osh_px_shelf *shelf); /* takes NULL */
void osh_px_shelves_free(struct osh_px_box *box);

/* accept.c */
void osh_px_on_listener(struct osh_src *src, uint32_t events);
void osh_px_on_listener_pause(struct osh_timer *timer);
void osh_px_reserve(struct osh_px *px); /* take back the descriptor that is kept for bad times */
/* Lower ceilings to what @files descriptors can keep. */
void osh_px_fit_limits(struct osh_px_limits *limits, uint64_t files);
void osh_px_fit_to_files(struct osh_px *px);
/* Log what was refused for want of room, every now and then. */
void osh_px_accept_report(struct osh_px *px);

/* conn.c */
/* NULL: errno says what was lacking. */
struct osh_px_conn *osh_px_conn_new(struct osh_px_box *box, int take_fd,
				    const struct osh_flow_rec *rec);
/* Make all progress there is, on either side; may close. */
void osh_px_conn_run(struct osh_px_conn *c);
void osh_px_conn_close(struct osh_px_conn *c, bool reset);
void osh_px_conn_set(struct osh_px_conn *c, enum osh_px_state state);
/* From now on; replaces the one before. */
void osh_px_conn_deadline(struct osh_px_conn *c, uint32_t in_ms);
/* Judge the connection by the current image; @ret_verdict may be kept until the next switch. */
void osh_px_conn_decide(struct osh_px_conn *c, struct osh_conn_verdict *ret_verdict);
/* The policy of c->box was switched: go on, or close what is refused now. */
void osh_px_conn_reevaluate(struct osh_px_conn *c);
struct osh_str osh_px_conn_host(const struct osh_px_conn *c);
const char *osh_px_state_name(unsigned int state);

/* intent.c: from the first bytes to an authorised destination. 1: progress; 0: wait; <0: close */
int osh_px_step_ident(struct osh_px_conn *c);
int osh_px_step_head(struct osh_px_conn *c);
int osh_px_step_dial(struct osh_px_conn *c);
/* State DIAL: there is no upstream, osh_px_up_connected() or a deadline gave @r. */
int osh_px_dial_failed(struct osh_px_conn *c, int r);
int osh_px_step_sniff(struct osh_px_conn *c);
int osh_px_step_leaf(struct osh_px_conn *c);
int osh_px_step_tls(struct osh_px_conn *c);

/* request.c, exchange.c, tunnel.c */
int osh_px_step_request(struct osh_px_conn *c);
int osh_px_request(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf);
int osh_px_step_drain(struct osh_px_conn *c);
int osh_px_step_route(struct osh_px_conn *c);
int osh_px_step_exchange(struct osh_px_conn *c);
/* c->req, and what is here of a short body. A failure is c->up's state and met by the next step. */
void osh_px_send_request(struct osh_px_conn *c);
int osh_px_step_tunnel(struct osh_px_conn *c);
int osh_px_step_linger(struct osh_px_conn *c);
void osh_px_tunnel_begin(struct osh_px_conn *c, bool upgraded);
void osh_px_tunnel_end(struct osh_px_conn *c);
/* Would the request under way still be allowed? */
bool osh_px_request_allowed_now(struct osh_px_conn *c);

/* splice.c */
/*
 * Move bytes from one plain socket to another inside the kernel. @to must have no backlog. Returns what
 * a step returns; -EMFILE without a pipe: copy instead.
 */
int osh_px_splice(struct osh_px *px, struct osh_px_pipe **pipe, struct osh_chan *from,
		  struct osh_chan *to, bool *eof, uint64_t *bytes) OSH_MUST_CHECK;
void osh_px_pipe_put(struct osh_px *px, struct osh_px_pipe *pipe);
void osh_px_pipes_free(struct osh_px *px);

/* A step returns 1 (progress: go on), 0 (wait), one of these, or -errno: close with a reset. */
#define OSH_PX_END   (-ECANCELED) /* close in order */
#define OSH_PX_YIELD 2 /* more to do, after the others had their turn */

/* deny.c: 403 for a request that the policy refuses; returns what a step returns */
int osh_px_deny(struct osh_px_conn *c, const struct osh_req_verdict *v,
		const struct osh_request_facts *facts);
void osh_px_deny_free(struct osh_px *px);
/* The event about a judged request. @reason may be empty. */
void osh_px_request_event(struct osh_px_conn *c, const struct osh_req_verdict *v,
			  const struct osh_request_facts *facts, struct osh_str reason,
			  struct osh_rec *ret_rec);

/* answer.c: local answers. All return what a step returns. */
int osh_px_answer(struct osh_px_conn *c, unsigned int status, const char *error,
		  struct osh_str detail, struct osh_str message, struct osh_str reason);
int osh_px_answer_raw(struct osh_px_conn *c, struct osh_str bytes);
/* 400, 403 or 431 by what is wrong with the head or target. */
int osh_px_answer_bad_head(struct osh_px_conn *c, const struct osh_h1_head *head, int r);
int osh_px_answer_bad_request(struct osh_px_conn *c, unsigned int error); /* enum osh_req_error */
/* A limit was reached: 503, logged. */
int osh_px_answer_limit(struct osh_px_conn *c, struct osh_str what);
/* One phrase about what osh_px_up_*() gave, or a deadline: -ETIME (name), -ETIMEDOUT, -ENOMSG (TLS). */
const char *osh_px_upstream_error(int r);
/* Is it this host that ran out of something? */
bool osh_px_is_shortage(int r);
/* The upstream could not be had: 403, 502 or 503 after osh_px_up_*() gave @r. */
int osh_px_answer_upstream(struct osh_px_conn *c, int r);
/* The answer is complete: keep the connection if the rest of the request is cheap, else linger. */
int osh_px_answered(struct osh_px_conn *c, bool may_keep);
/* Would osh_px_answered() keep it? */
bool osh_px_may_keep(const struct osh_px_conn *c);

/* dial.c */
/* 0: c->up is a TCP connection; -EAGAIN: c->dial is under way; errors as of osh_px_up_ready(). */
int osh_px_dial(struct osh_px_conn *c) OSH_MUST_CHECK;
void osh_px_dial_cancel(struct osh_px_conn *c);
/* @up belongs to a dial. */
void osh_px_dial_event(struct osh_px_up *up, uint32_t events);
/* Does today's policy still allow the address @up was connected to? */
bool osh_px_up_still_permitted(struct osh_px_conn *c, struct osh_px_up *up);

/* up.c */
struct osh_px_up *osh_px_up_new(struct osh_px *px, int take_fd); /* NULL: no memory */
void osh_px_up_free(struct osh_px_up *up, bool reset);
/* Give back a connection whose exchange is over. */
void osh_px_up_release(struct osh_px_up *up);
/*
 * 0: c->up can take a request; -EAGAIN; -EPERM: the address check refused (px->refusal); other: no
 * upstream. The failure was logged.
 */
int osh_px_up_ready(struct osh_px_conn *c) OSH_MUST_CHECK;
/*
 * 0: c->up is a TCP connection, or (@pooled) a pooled one could be had; errors as above.
 */
int osh_px_up_connected(struct osh_px_conn *c, bool pooled) OSH_MUST_CHECK;
void osh_px_pool_sweep(struct osh_px *px);

/* chain.c: the operator's upstream proxy */
/* Which of its two proxies would c use: that for plain HTTP? */
bool osh_px_hop_is_plain(const struct osh_px_conn *c);
/*
 * The proxy to reach @addrs through, NULL: directly. In the latter case @addrs is cut down to those that
 * may be dialled directly.
 */
const struct osh_px_hop *osh_px_hop_for(const struct osh_px_conn *c, struct osh_px_addrs *addrs);
/* @up is connected to the proxy: ask for d->targets[d->target]. 0 or -errno. */
int osh_px_chain_ask(struct osh_px_dial *d, struct osh_px_up *up) OSH_MUST_CHECK;
/* 0: @up is the tunnel; -EAGAIN; -ECONNREFUSED: conn->hop_error says why */
int osh_px_chain_read(struct osh_px_dial *d, struct osh_px_up *up) OSH_MUST_CHECK;
/* "the upstream proxy ... (403)" about c->hop_error; px->out is used for it */
struct osh_str osh_px_hop_text(struct osh_px_conn *c);

/* event.c */
void osh_px_event_begin(struct osh_px_conn *c, struct osh_rec *rec, enum osh_rec_class class,
			enum osh_rec_verdict verdict, enum osh_reason reason);
void osh_px_event_put(struct osh_px *px, const struct osh_rec *rec);
/* One call for events without more to say. @detail may be empty. */
void osh_px_event(struct osh_px_conn *c, enum osh_rec_class class, enum osh_rec_verdict verdict,
		  enum osh_reason reason, const char *engine, struct osh_str detail);

/* dns.c */
void osh_px_on_dns_udp(struct osh_src *src, uint32_t events);
void osh_px_dns_accept(struct osh_px_box *box, int take_fd, const struct osh_flow_rec *rec);
void osh_px_dns_wake(struct osh_px_box *box);
void osh_px_dns_free(struct osh_px_box *box);

/* ctrl.c */
void osh_px_on_monitor(struct osh_src *src, uint32_t events);
void osh_px_on_signer(struct osh_src *src, uint32_t events);

#endif
