/* SPDX-License-Identifier: MIT */
#include "http/chain.h"
#include "proxy/worker.h"

/*
 * The operator's upstream proxy: who goes through it, asking it for a tunnel, taking its answer. It
 * is asked for an address that was resolved and checked here, so that the tunnel cannot lead anywhere
 * else; and always by CONNECT, for an absolute-form request cannot be bound to an address. dial.c dials
 * it and decides what to do about a refusal.
 */

bool osh_px_hop_is_plain(const struct osh_px_conn *c)
{
	return c->forward || (!c->connect && !c->tls && c->inspect != OSH_INSPECT_NONE);
}

static void keep_only(struct osh_px_addrs *addrs, uint32_t mask)
{
	uint8_t n = 0;

	for (uint8_t i = 0; i < addrs->n; i++) {
		if (!(mask >> i & 1))
			continue;
		addrs->addr[n] = addrs->addr[i];
		addrs->port[n++] = addrs->port[i];
	}
	addrs->n = n;
}

const struct osh_px_hop *osh_px_hop_for(const struct osh_px_conn *c, struct osh_px_addrs *addrs)
{
	const struct osh_px_cfg *cfg = &c->box->px->cfg;
	const struct osh_px_hop *hop = osh_px_hop_is_plain(c) ? &cfg->hop_http : &cfg->hop_https;
	uint32_t direct;

	if (!hop->port)
		return NULL;
	direct = osh_noproxy_match(cfg->no_proxy, cfg->n_no_proxy, osh_px_conn_host(c), c->port,
				   addrs->addr, addrs->n);
	if (!direct)
		return hop;
	keep_only(addrs, direct);
	return NULL;
}

int osh_px_chain_ask(struct osh_px_dial *d, struct osh_px_up *up)
{
	struct osh_px *px = up->px;
	osh_auto_bufmem struct osh_buf out;
	char text[OSH_ADDR_TEXT_MAX];
	struct osh_str host;
	int r;

	d->conn->hop_status = 0;
	host = d->by_name ? osh_px_conn_host(d->conn) : osh_str(osh_addr_text(&up->addr, text));
	osh_buf_init(&out, OSH_CHAIN_AUTH_MAX + 2 * OSH_HOST_MAX + 256, OSH_BUF_SECRET);
	r = osh_chain_request(host, up->port, osh_buf_str(&px->hop_auth), &out);
	return r < 0 ? r : osh_chan_write(&up->chan, out.data, out.len);
}

/* May the other end speak before we did? Not where its first bytes are taken for an answer. */
static bool may_speak_first(const struct osh_px_conn *c)
{
	return !osh_px_hop_is_plain(c) && c->inspect == OSH_INSPECT_NONE;
}

static int judge(struct osh_px_dial *d, struct osh_px_up *up, enum osh_chain_error *ret_error)
{
	struct osh_px_conn *c = d->conn;
	struct osh_str data = osh_buf_str(&d->answer);
	struct osh_chain_answer answer;
	int r;

	r = osh_chain_answer(&up->px->head, data, &answer);
	if (r == -EAGAIN && d->answer.len < OSH_CHAIN_ANSWER_MAX)
		return r;
	c->hop_status = answer.status;
	*ret_error = r == -EAGAIN ? OSH_CHAIN_TOO_LONG : answer.error;
	if (r < 0)
		return -ECONNREFUSED;
	data = osh_str_sub(data, answer.head_len, data.n);
	if (!data.n)
		return 0;
	if (may_speak_first(c))
		return osh_chan_unread(&up->chan, data.p, data.n);
	*ret_error = OSH_CHAIN_EARLY_BYTES;
	return -ECONNREFUSED;
}

int osh_px_chain_read(struct osh_px_dial *d, struct osh_px_up *up)
{
	enum osh_chain_error error = OSH_CHAIN_CLOSED;
	struct osh_px *px = up->px;
	int r = -EAGAIN;

	while (r == -EAGAIN) {
		ssize_t n = osh_chan_read(&up->chan, px->rbuf,
					  OSH_CHAIN_ANSWER_MAX - d->answer.len);

		if (n == -EAGAIN)
			return -EAGAIN;
		if (n <= 0)
			break;
		r = osh_buf_add(&d->answer, px->rbuf, (size_t)n);
		if (!r)
			r = judge(d, up, &error);
	}
	if (r == 0) {
		px->stats.chained++;
		d->conn->hop_error = OSH_CHAIN_OK;
		return 0;
	}
	d->conn->hop_error = (uint8_t)error;
	return -ECONNREFUSED;
}

struct osh_str osh_px_hop_text(struct osh_px_conn *c)
{
	struct osh_buf *out = &c->box->px->out;
	const char *text = osh_chain_error_text(c->hop_error);
	int r;

	osh_buf_reset(out);
	r = c->hop_status ? osh_buf_printf(out, "%s (%u)", text, c->hop_status)
			  : osh_buf_add_str(out, osh_str(text));
	return r < 0 ? osh_str(text) : osh_buf_str(out);
}
