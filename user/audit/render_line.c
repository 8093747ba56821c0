/* SPDX-License-Identifier: MIT */
#include "audit/put.h"
#include "audit/render.h"

#include "base/reason.h"

/* What the record says happened, as a word of the tutorial lines. */
static const char *action_word(const struct osh_rec *rec)
{
	if (rec->verdict != OSH_REC_NOTE)
		return osh_rec_verdict_name(rec->verdict);
	switch (rec->class) {
	case OSH_REC_CLOSE:
		return "close";
	case OSH_REC_TLS:
	case OSH_REC_UPSTREAM:
		return "fail";
	default:
		return "note";
	}
}

static struct osh_str reason_of(const struct osh_rec *rec)
{
	struct osh_str reason = osh_rec_get(rec, OSH_REC_REASON);

	if (!reason.n && rec->reason)
		return osh_str(osh_reason_text(rec->reason));
	return reason;
}

static void put_ancestors(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str rest = osh_rec_get(rec, OSH_REC_ANCESTORS), one;
	osh_auto_bufmem struct osh_buf joined;
	struct osh_put j = { .out = &joined };

	osh_buf_init(&joined, 4096, 0);
	if (!rest.n)
		return;
	/* a path may contain anything but NUL; escape each before joining */
	while (osh_str_split(&rest, '\0', &one)) {
		if (joined.len)
			osh_put_raw(&j, ",");
		osh_put_esc(&j, one, OSH_PUT_ESC_BLANK);
	}
	if (!p->err)
		p->err = j.err;
	osh_put_kv(p, "ancestors", osh_buf_str(&joined));
}

/* Fields after the ones whose order the tutorials fix. */
static void put_common(struct osh_put *p, const struct osh_rec *rec)
{
	char addr[64];

	osh_put_kv(p, "detail", osh_rec_get(rec, OSH_REC_DETAIL));
	osh_put_kv(p, "policy", osh_rec_get(rec, OSH_REC_POLICY_KEY));
	osh_put_kv(p, "engine", osh_rec_get(rec, OSH_REC_ENGINE));
	osh_put_kv(p, "dst_addr", osh_str(osh_rec_addr(rec, addr, sizeof(addr))));
	osh_put_kv_u64(p, "binary_pid", rec->pid);
	put_ancestors(p, rec);
	if (rec->reason)
		osh_put_kv(p, "reason_code", osh_str(osh_reason_token(rec->reason)));
	osh_put_kv_u64(p, "bytes_up", rec->bytes_up);
	osh_put_kv_u64(p, "bytes_down", rec->bytes_down);
	osh_put_kv_u64(p, "duration_ms", rec->duration_ns / 1000000);
	osh_put_kv_u64(p, "generation", rec->generation);
	if (rec->flags & OSH_REC_TRUNCATED)
		osh_put_kv(p, "truncated", OSH_STR("true"));
}

static void put_connect(struct osh_put *p, const struct osh_rec *rec)
{
	osh_put_kv(p, "action", osh_str(action_word(rec)));
	osh_put_kv(p, "dst_host", osh_rec_get(rec, OSH_REC_HOST));
	osh_put_kv_u64(p, "dst_port", rec->port);
	osh_put_kv(p, "binary", osh_rec_get(rec, OSH_REC_BINARY));
	osh_put_kv(p, rec->verdict == OSH_REC_DENY ? "deny_reason" : "reason", reason_of(rec));
	put_common(p, rec);
}

static void put_l7(struct osh_put *p, const struct osh_rec *rec)
{
	bool allowed = rec->verdict == OSH_REC_ALLOW || rec->verdict == OSH_REC_ALLOW_UPGRADE ||
		       rec->verdict == OSH_REC_NOTE;

	osh_put_kv(p, "l7_decision", osh_str(action_word(rec)));
	osh_put_kv(p, "dst_host", osh_rec_get(rec, OSH_REC_HOST));
	osh_put_kv(p, "l7_action", osh_rec_get(rec, OSH_REC_METHOD));
	osh_put_kv(p, "l7_target", osh_rec_get(rec, OSH_REC_PATH));
	osh_put_kv(p, allowed ? "reason" : "l7_deny_reason", reason_of(rec));
	osh_put_kv_u64(p, "dst_port", rec->port);
	osh_put_kv(p, "l7_protocol", osh_rec_get(rec, OSH_REC_PROTOCOL));
	osh_put_kv(p, "binary", osh_rec_get(rec, OSH_REC_BINARY));
	osh_put_kv_u64(p, "http_status", rec->http_status);
	put_common(p, rec);
}

static void put_other(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str text = osh_rec_get(rec, OSH_REC_MESSAGE);

	if (!text.n)
		text = osh_rec_get(rec, OSH_REC_TITLE);
	if (rec->class == OSH_REC_SUPPRESSED)
		osh_putf(p, "suppressed %llu", (unsigned long long)rec->count);
	else if (rec->class == OSH_REC_LOSS)
		osh_putf(p, "lost %llu", (unsigned long long)rec->count);
	else if (!text.n)
		osh_putf(p, "%s %s", osh_rec_class_name(rec->class),
			 osh_rec_activity_name(rec->activity));
	if (text.n && p->out->len > p->start && p->out->data[p->out->len - 1] != ' ')
		osh_put_raw(p, " ");
	/* free text must not look like fields */
	if (osh_str_find(text, '=') < text.n)
		osh_put_kv(p, "message", text);
	else
		osh_put_esc(p, text, 0);
	osh_put_kv(p, "uid", osh_rec_get(rec, OSH_REC_UID));
	osh_put_kv(p, "dst_host", osh_rec_get(rec, OSH_REC_HOST));
	osh_put_kv_u64(p, "dst_port", rec->port);
	osh_put_kv(p, "binary", osh_rec_get(rec, OSH_REC_BINARY));
	osh_put_kv_u64(p, "version", rec->revision);
	osh_put_kv(p, "hash", osh_rec_get(rec, OSH_REC_HASH));
	osh_put_kv(p, "reason", osh_rec_get(rec, OSH_REC_REASON));
	put_common(p, rec);
}

int osh_render_message(const struct osh_rec *rec, struct osh_buf *out)
{
	struct osh_put p = { .out = out, .start = out->len };

	switch (rec->class) {
	case OSH_REC_CONNECT:
	case OSH_REC_TLS:
	case OSH_REC_DNS:
	case OSH_REC_SSRF:
	case OSH_REC_BYPASS:
	case OSH_REC_UPSTREAM:
	case OSH_REC_CLOSE:
		put_connect(&p, rec);
		break;
	case OSH_REC_L7:
	case OSH_REC_PARSER_REJECT:
	case OSH_REC_AUTHORITY:
		put_l7(&p, rec);
		break;
	default:
		put_other(&p, rec);
		break;
	}
	return p.err;
}

static void put_head(struct osh_put *p, const struct osh_rec *rec, const char *level)
{
	osh_putf(p, "[%llu.%03u] [%-7s] [%-5s] [", (unsigned long long)(rec->time_ns / 1000000000),
		 (unsigned int)(rec->time_ns / 1000000 % 1000), osh_rec_source_name(rec->source),
		 level);
}

int osh_render_line(const struct osh_rec *rec, struct osh_buf *out)
{
	struct osh_put p = { .out = out };

	put_head(&p, rec, osh_rec_level_name(rec->level));
	osh_put_esc(&p, osh_rec_target(rec), OSH_PUT_ESC_BRACKETS | OSH_PUT_ESC_BLANK);
	osh_put_raw(&p, "] ");
	return p.err ? p.err : osh_render_message(rec, out);
}

int osh_render_ocsf_line(const struct osh_rec *rec, struct osh_buf *out)
{
	struct osh_put p = { .out = out };

	if (rec->class == OSH_REC_LOG)
		return osh_render_line(rec, out);
	put_head(&p, rec, "OCSF");
	osh_put_raw(&p, "ocsf] ");
	return p.err ? p.err : osh_render_shorthand(rec, out);
}
