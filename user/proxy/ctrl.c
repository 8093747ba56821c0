/* SPDX-License-Identifier: MIT */
#include "base/json.h"
#include "base/log.h"
#include "io/seqpkt.h"
#include "proxy/worker.h"
#include "sys/fs.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { TRUST_MAX_BYTES = 8 * 1024 * 1024 };

static bool is_text(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

/* ---- configuration ---- */

static int read_trust(int fd, struct osh_buf *ret_pem)
{
	off_t at = 0;
	int r;

	/* the memfd's offset is shared with other workers: read by position */
	for (;;) {
		ssize_t n;

		r = osh_buf_reserve(ret_pem, 65536);
		if (r < 0)
			return r;
		n = pread(fd, ret_pem->data + ret_pem->len, 65536, at);
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		ret_pem->len += (size_t)n;
		at += n;
	}
}

/* Only once, and before the configuration. */
static int on_upstream_auth(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	int r;

	if (px->tls || px->hop_auth.len || !m->hdr.len)
		return -EBADMSG;
	r = osh_buf_add(&px->hop_auth, m->body, m->hdr.len);
	explicit_bzero(px->msg, sizeof(px->msg));
	return r;
}

/* fds: ring memory, ring event, trust bundle, signer */
static int on_config(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	osh_auto_bufmem struct osh_buf pem;
	char why[200];
	int mem, event, r;

	osh_buf_init(&pem, TRUST_MAX_BYTES, 0);
	if (px->tls || m->fd_count != 4)
		return -EBADMSG;
	r = osh_px_cfg_parse(&px->cfg, (struct osh_str){ m->body, m->hdr.len }, why, sizeof(why));
	if (r < 0)
		return osh_log_err(r, "configuration refused: %s", OSH_Q(why));
	osh_px_fit_to_files(px);
	osh_loop_set_spin(px->loop, px->cfg.spin_us);
	px->h1_limits = (struct osh_h1_limits){
		.head_bytes = px->cfg.limits.head_bytes,
		.fields = (uint16_t)px->cfg.limits.fields,
	};
	mem = osh_take_fd(&m->fds[0]);
	event = osh_take_fd(&m->fds[1]);
	r = osh_ring_attach(mem, event, &px->ring);
	if (r < 0)
		return osh_log_err(r, "cannot attach the event ring");
	r = read_trust(m->fds[2], &pem);
	if (!r)
		r = osh_tls_env_new(osh_buf_str(&pem), &px->tls);
	if (r < 0)
		return osh_log_err(r, "cannot set up TLS with the given certificates");
	if (!osh_tls_env_trusted(px->tls))
		osh_log_warn("no trusted certificate: every upstream will fail verification");
	r = osh_resolver_new(px->loop, &px->cfg, &px->resolver);
	if (r < 0)
		return osh_log_err(r, "cannot set up the resolver");
	r = osh_px_link_open(px, &px->signer, osh_take_fd(&m->fds[3]), osh_px_on_signer, "signer");
	if (r < 0)
		return r;
	return osh_px_link_send(px, &px->monitor, OSH_MSG_READY, 0, NULL, 0);
}

/* ---- sandboxes and policies ---- */

static int on_sandbox_add(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	const struct osh_msg_sandbox *msg = m->body;
	int fds[OSH_SBFD_COUNT], r;

	if (!px->tls || m->hdr.len != sizeof(*msg) || m->fd_count != OSH_SBFD_COUNT ||
	    !is_text(msg->name, sizeof(msg->name)))
		return -EBADMSG;
	for (int i = 0; i < OSH_SBFD_COUNT; i++)
		fds[i] = osh_take_fd(&m->fds[i]);
	r = osh_px_box_add(px, msg, fds);
	if (r < 0)
		osh_log_warn_errno(r, "sandbox %s not taken, it has no egress here",
				   OSH_Q(msg->name));
	explicit_bzero(px->msg, sizeof(px->msg)); /* the secret of its tickets */
	return r == -EEXIST ? -EBADMSG : 0;
}

static int on_sandbox_del(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	const struct osh_msg_sandbox *msg = m->body;
	struct osh_px_box *box;

	if (m->hdr.len != sizeof(*msg))
		return -EBADMSG;
	box = osh_px_box_find(px, msg->id);
	if (box)
		osh_px_box_del(box);
	return 0;
}

static int on_policy(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	const struct osh_msg_policy *msg = m->body;
	bool load = m->hdr.type == OSH_MSG_POLICY_LOAD;
	struct osh_msg_policy reply;
	struct osh_px_box *box;

	if (m->hdr.len != sizeof(*msg) || m->fd_count != (load ? 1 : 0))
		return -EBADMSG;
	reply = *msg;
	box = osh_px_box_find(px, msg->sandbox);
	if (!box)
		reply.status = -ENOENT;
	else if (load)
		reply.status = osh_px_box_load(box, m->fds[0], msg->generation);
	else
		reply.status = osh_px_box_switch(box, msg->generation);
	return osh_px_link_send(px, &px->monitor,
				load ? OSH_MSG_POLICY_LOADED : OSH_MSG_POLICY_ACTIVE, m->hdr.cookie,
				&reply, sizeof(reply));
}

/* ---- answers ---- */

static int on_exe(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	const struct osh_msg_exe *msg = m->body;
	struct osh_px_box *box;

	if (m->hdr.len != sizeof(*msg) || !is_text(msg->path, sizeof(msg->path)) ||
	    !is_text(msg->script, sizeof(msg->script)))
		return -EBADMSG;
	box = osh_px_box_find(px, msg->sandbox);
	if (box) {
		osh_px_on_exe(box, msg);
		osh_px_box_wake(box);
	}
	return 0;
}

static int on_name(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	const struct osh_msg_name *msg = m->body;
	struct osh_px_box *box;

	if (m->hdr.len != sizeof(*msg) || !is_text(msg->host, sizeof(msg->host)))
		return -EBADMSG;
	box = osh_px_box_find(px, msg->sandbox);
	if (box) {
		osh_px_on_name(box, msg);
		osh_px_box_wake(box);
	}
	return 0;
}

/* ---- reports ---- */

static void put_flow(struct osh_json *j, struct osh_px_conn *c)
{
	struct osh_conn_verdict verdict = { 0 };

	if (c->who)
		osh_px_conn_decide(c, &verdict); /* by the policy of now */
	osh_json_obj(j);
	osh_json_ku64(j, "flow", c->flow);
	osh_json_ku64(j, "sandbox", c->box->id);
	osh_json_kz(j, "state", osh_px_state_name(c->state));
	osh_json_kstr(j, "host", osh_px_conn_host(c));
	osh_json_kstr(j, "rule", verdict.key);
	osh_json_ku64(j, "port", c->port);
	osh_json_ku64(j, "pid", c->pid);
	if (c->who) {
		osh_json_key(j, "binary");
		osh_json_str(j, c->who->id.self.path);
	}
	osh_json_ku64(j, "bytes_up", c->bytes_up);
	osh_json_ku64(j, "bytes_down", c->bytes_down);
	osh_json_ku64(j, "age_ms", osh_loop_now_ms(c->box->px->loop) - c->start_ms);
	osh_json_ku64(j, "generation", c->generation);
	osh_json_obj_end(j);
}

/* As many messages as needed, each a JSON array; an empty message ends the list. */
static int send_flows(struct osh_px *px, uint64_t cookie)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_list *bi, *ci;
	struct osh_json j;
	int r = 0;

	osh_buf_init(&text, OSH_SEQPKT_MAX_BYTES, 0);
	osh_json_init(&j, &text, 0);
	osh_json_arr(&j);
	osh_list_for_each (bi, &px->boxes) {
		struct osh_px_box *box = osh_list_entry(bi, struct osh_px_box, node);

		osh_list_for_each (ci, &box->conns) {
			put_flow(&j, osh_list_entry(ci, struct osh_px_conn, node));
			if (text.len < 32768)
				continue;
			osh_json_arr_end(&j);
			if (!j.err)
				r = osh_px_link_send(px, &px->monitor, OSH_MSG_FLOWS, cookie,
						     text.data, text.len);
			if (r < 0 || j.err)
				return r < 0 ? r : j.err;
			osh_buf_reset(&text);
			osh_json_init(&j, &text, 0);
			osh_json_arr(&j);
		}
	}
	osh_json_arr_end(&j);
	if (j.err)
		return j.err;
	r = osh_px_link_send(px, &px->monitor, OSH_MSG_FLOWS, cookie, text.data, text.len);
	return r < 0 ? r : osh_px_link_send(px, &px->monitor, OSH_MSG_FLOWS, cookie, NULL, 0);
}

#define COUNT(what)                                                                 \
	static uint64_t count_##what(const struct osh_px *px)                       \
	{                                                                           \
		const struct osh_list *it;                                          \
		uint64_t n = 0;                                                     \
                                                                                    \
		osh_list_for_each (it, &px->boxes)                                  \
			n += osh_list_entry(it, struct osh_px_box, node)->n_##what; \
		return n;                                                           \
	}
COUNT(sites)
COUNT(whos)
COUNT(dns_conns)
COUNT(dns_waits)
#undef COUNT

static int send_stats(struct osh_px *px, uint64_t cookie)
{
	osh_auto_bufmem struct osh_buf text;
	const struct osh_px_stats *s = &px->stats;
	struct osh_json j;

	osh_buf_init(&text, 8192, 0);
	osh_json_init(&j, &text, 0);
	osh_json_obj(&j);
#define STAT(name) osh_json_ku64(&j, #name, s->name)
	STAT(accepted);
	STAT(no_record);
	STAT(shed);
	STAT(denied_conns);
	STAT(allowed_conns);
	STAT(requests);
	STAT(denied_requests);
	STAT(bad_requests);
	STAT(dials);
	STAT(dial_failures);
	STAT(reused);
	STAT(mints);
	STAT(resumed_client);
	STAT(resumed_upstream);
	STAT(resumed_shared);
	STAT(sharing_refused);
	STAT(events_lost);
	STAT(chained);
	STAT(dns_queries);
	STAT(dns_refused);
	STAT(timeouts);
	STAT(spliced_bytes);
#undef STAT
	osh_json_ku64(&j, "connections", px->n_conns);
	osh_json_ku64(&j, "idle_upstream", px->n_idle_ups);
	osh_json_ku64(&j, "sites", count_sites(px));
	osh_json_ku64(&j, "identities", count_whos(px));
	osh_json_ku64(&j, "dns_connections", count_dns_conns(px));
	osh_json_ku64(&j, "dns_waiting", count_dns_waits(px));
	osh_json_obj_end(&j);
	if (j.err)
		return j.err;
	return osh_px_link_send(px, &px->monitor, OSH_MSG_STATS, cookie, text.data, text.len);
}

/* ---- starting and ending ---- */

static int on_start(struct osh_px *px)
{
	struct osh_list *it;

	if (!px->tls || px->started)
		return -EBADMSG;
	px->started = true;
	osh_list_for_each (it, &px->boxes)
		osh_px_box_start(osh_list_entry(it, struct osh_px_box, node));
	return 0;
}

static int on_drain(struct osh_px *px)
{
	struct osh_list *it;

	px->draining = true;
	osh_list_for_each (it, &px->boxes)
		osh_px_box_drain(osh_list_entry(it, struct osh_px_box, node));
	if (!px->n_conns)
		osh_loop_stop(px->loop, 0);
	return 0;
}

static int dispatch(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	switch (m->hdr.type) {
	case OSH_MSG_UPSTREAM_AUTH:
		return on_upstream_auth(px, m);
	case OSH_MSG_CONFIG:
		return on_config(px, m);
	case OSH_MSG_START:
		return m->hdr.len ? -EBADMSG : on_start(px);
	case OSH_MSG_SANDBOX_ADD:
		return on_sandbox_add(px, m);
	case OSH_MSG_SANDBOX_DEL:
		return on_sandbox_del(px, m);
	case OSH_MSG_POLICY_LOAD:
	case OSH_MSG_POLICY_SWITCH:
		return on_policy(px, m);
	case OSH_MSG_EXE_INFO:
		return on_exe(px, m);
	case OSH_MSG_NAME_INFO:
		return on_name(px, m);
	case OSH_MSG_FLOWS_ASK:
		return m->hdr.len ? -EBADMSG : send_flows(px, m->hdr.cookie);
	case OSH_MSG_STATS_ASK:
		return m->hdr.len ? -EBADMSG : send_stats(px, m->hdr.cookie);
	case OSH_MSG_PING:
		return m->hdr.len ? -EBADMSG
				  : osh_px_link_send(px, &px->monitor, OSH_MSG_PONG, m->hdr.cookie,
						     NULL, 0);
	case OSH_MSG_DRAIN:
		return m->hdr.len ? -EBADMSG : on_drain(px);
	default:
		return -EBADMSG;
	}
}

/* One socket to the monitor or the signer: 0, or why this process must end. */
static int drain_link(struct osh_px *px, struct osh_px_link *link,
		      int (*fn)(struct osh_px *px, struct osh_seqpkt_msg *m))
{
	struct osh_seqpkt_msg m;
	int r;

	r = osh_px_link_flush(link);
	for (int i = 0; !r && i < 64; i++) {
		r = osh_seqpkt_recv(link->fd, px->msg, sizeof(px->msg), &m);
		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		r = fn(px, &m);
		osh_seqpkt_msg_close(&m);
	}
	return r;
}

void osh_px_on_monitor(struct osh_src *src, uint32_t events)
{
	struct osh_px *px = osh_container_of(src, struct osh_px, monitor.src);
	int r = drain_link(px, &px->monitor, dispatch);

	(void)events;
	if (!r)
		return;
	if (r == -ECONNRESET || r == -EPIPE) {
		osh_loop_stop(px->loop, 0); /* without a monitor there is no policy to enforce */
		return;
	}
	osh_log_err(r, "message from the monitor not understood, ending");
	osh_loop_stop(px->loop, 1);
}

static int on_signer_msg(struct osh_px *px, struct osh_seqpkt_msg *m)
{
	const struct osh_msg_cert *msg = m->body;

	if (m->hdr.type != OSH_MSG_CERT || m->hdr.len != sizeof(*msg) || m->fd_count ||
	    !is_text(msg->host, sizeof(msg->host)) || msg->cert_len > sizeof(msg->cert))
		return -EBADMSG;
	osh_px_on_cert(px, msg);
	return 0;
}

void osh_px_on_signer(struct osh_src *src, uint32_t events)
{
	struct osh_px *px = osh_container_of(src, struct osh_px, signer.src);
	int r = drain_link(px, &px->signer, on_signer_msg);

	(void)events;
	if (!r)
		return;
	if (r == -ECONNRESET || r == -EPIPE) {
		/* leaves at hand still serve; the monitor starts us anew with a new signer */
		osh_log_warn("signer has gone: no new certificates");
		osh_px_link_close(&px->signer);
		return;
	}
	osh_log_err(r, "message from the signer not understood, ending");
	osh_loop_stop(px->loop, 1);
}
