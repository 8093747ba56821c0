/* SPDX-License-Identifier: MIT */
/* OCSF shorthand, reference 7.2. */
#include "audit/ocsf.h"
#include "audit/put.h"
#include "audit/render.h"

#include "base/reason.h"

enum { REASON_MAX = 256, TITLE_MAX = 120 };

static const char *severity_tag(unsigned int severity)
{
	static const char *const tags[] = { "[INFO]", "[INFO]", "[LOW]",  "[MED]",
					    "[HIGH]", "[CRIT]", "[FATAL]" };

	return severity < OSH_ARRAY_SIZE(tags) ? tags[severity] : "[INFO]";
}

static void put_upper(struct osh_put *p, const char *word)
{
	for (; *word; word++)
		osh_putf(p, "%c", *word >= 'a' && *word <= 'z' ? *word - ('a' - 'A') : *word);
}

static bool put_proc(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str binary = osh_rec_get(rec, OSH_REC_BINARY);

	if (!binary.n)
		return false;
	osh_put_raw(p, " ");
	osh_put_esc(p, binary, OSH_PUT_ESC_BLANK | OSH_PUT_ESC_BRACKETS);
	osh_putf(p, "(%u)", rec->pid);
	return true;
}

static struct osh_str host_of(const struct osh_rec *rec, char addr[64])
{
	struct osh_str host = osh_rec_get(rec, OSH_REC_HOST);

	return host.n ? host : osh_str(osh_rec_addr(rec, addr, 64));
}

static void put_rule(struct osh_put *p, const struct osh_rec *rec, const struct osh_ocsf_event *e)
{
	struct osh_str policy = osh_rec_get(rec, OSH_REC_POLICY_KEY);
	struct osh_str engine = osh_rec_get(rec, OSH_REC_ENGINE);
	const unsigned int esc = OSH_PUT_ESC_BLANK | OSH_PUT_ESC_BRACKETS;

	if (!engine.n && !e->engine)
		return;
	osh_put_raw(p, " [policy:");
	osh_put_esc(p, policy.n ? policy : OSH_STR("-"), esc);
	osh_put_raw(p, " engine:");
	osh_put_esc(p, engine.n ? engine : osh_str(e->engine), esc);
	osh_put_raw(p, "]");
}

/* [reason:..]: the detail, else the reason, else the whole message. */
static void put_reason(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str why = osh_rec_get(rec, OSH_REC_DETAIL);
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, OSH_RENDER_MAX, 0);
	if (rec->verdict != OSH_REC_DENY && rec->verdict != OSH_REC_AUDIT)
		return;
	if (rec->class == OSH_REC_L7) {
		/* as the reference prints it: the message, which carries the reason */
		p->err = p->err ? p->err : osh_ocsf_message(rec, &text);
		osh_put_raw(p, " [reason:");
		/* escaped once already: only brackets are left to hide */
		osh_put_esc_cut(p, osh_buf_str(&text), REASON_MAX,
				OSH_PUT_ESC_BRACKETS | OSH_PUT_BLANK_NL);
		osh_put_raw(p, "]");
		return;
	}
	if (!why.n)
		why = osh_rec_get(rec, OSH_REC_REASON);
	if (!why.n && rec->reason)
		why = osh_str(osh_reason_text(rec->reason));
	if (!why.n) {
		p->err = p->err ? p->err : osh_ocsf_message(rec, &text);
		why = osh_buf_str(&text);
	}
	osh_put_raw(p, " [reason:");
	osh_put_esc_cut(p, why, REASON_MAX, OSH_PUT_ESC_BRACKETS | OSH_PUT_BLANK_NL);
	osh_put_raw(p, "]");
}

static void put_net(struct osh_put *p, const struct osh_rec *rec, const struct osh_ocsf_event *e)
{
	char addr[64];
	struct osh_str host = host_of(rec, addr);
	bool left;

	put_upper(p, e->activity);
	osh_putf(p, " %s", severity_tag(rec->severity));
	if (e->action) {
		osh_put_raw(p, " ");
		put_upper(p, e->action);
	}
	left = put_proc(p, rec);
	if (host.n) {
		osh_put_raw(p, left ? " -> " : " ");
		osh_put_esc(p, host, OSH_PUT_ESC_BLANK | OSH_PUT_ESC_BRACKETS);
		osh_putf(p, ":%u", rec->port);
		if (rec->ip_proto == 17)
			osh_put_raw(p, "/udp");
	}
	put_rule(p, rec, e);
	put_reason(p, rec);
}

static void put_http(struct osh_put *p, const struct osh_rec *rec, const struct osh_ocsf_event *e)
{
	const unsigned int esc = OSH_PUT_ESC_BLANK | OSH_PUT_ESC_BRACKETS;
	struct osh_str method = osh_rec_get(rec, OSH_REC_METHOD);
	bool tls = rec->flags & OSH_REC_TLS_INSPECTED;
	char addr[64];

	if (!method.n)
		method = OSH_STR("-");
	osh_put_esc(p, method, esc);
	osh_putf(p, " %s", severity_tag(rec->severity));
	if (e->action) {
		osh_put_raw(p, " ");
		put_upper(p, e->action);
	}
	if (put_proc(p, rec))
		osh_put_raw(p, " ->");
	osh_put_raw(p, " ");
	osh_put_esc(p, method, esc);
	osh_put_raw(p, tls ? " https://" : " http://");
	osh_put_esc(p, host_of(rec, addr), esc);
	if (rec->port && rec->port != (tls ? 443 : 80))
		osh_putf(p, ":%u", rec->port);
	osh_put_esc(p, osh_rec_get(rec, OSH_REC_PATH), esc);
	put_rule(p, rec, e);
	put_reason(p, rec);
}

static void put_proc_event(struct osh_put *p, const struct osh_rec *rec,
			   const struct osh_ocsf_event *e)
{
	put_upper(p, e->activity);
	osh_putf(p, " %s", severity_tag(rec->severity));
	if (!put_proc(p, rec))
		osh_putf(p, " -(%u)", rec->pid);
	if (rec->activity == OSH_REC_ACT_EXIT)
		osh_putf(p, " [exit:%d]", rec->exit_code);
}

static void put_finding(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str title = osh_rec_get(rec, OSH_REC_TITLE);

	osh_putf(p, "%s %s \"", rec->verdict == OSH_REC_DENY ? "BLOCKED" : "CREATE",
		 severity_tag(rec->severity));
	if (!title.n)
		title = osh_rec_get(rec, OSH_REC_MESSAGE);
	osh_put_esc_cut(p, title, TITLE_MAX, OSH_PUT_ESC_QUOTE | OSH_PUT_BLANK_NL);
	osh_put_raw(p, "\" [type:");
	osh_put_esc(p, osh_rec_get(rec, OSH_REC_UID), OSH_PUT_ESC_BLANK | OSH_PUT_ESC_BRACKETS);
	osh_put_raw(p, " confidence:high]");
}

static void put_message(struct osh_put *p, const struct osh_rec *rec)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, OSH_RENDER_MAX, 0);
	p->err = p->err ? p->err : osh_ocsf_message(rec, &text);
	osh_putf(p, " %s ", severity_tag(rec->severity));
	if (!p->err)
		p->err = osh_buf_add(p->out, text.data, osh_utf8_cut(osh_buf_str(&text), 512));
}

static void put_config(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str hash = osh_rec_get(rec, OSH_REC_HASH);

	put_upper(p, osh_rec_activity_name(rec->activity));
	put_message(p, rec);
	if (!rec->revision && !hash.n)
		return;
	osh_putf(p, " [version:v%llu hash:", (unsigned long long)rec->revision);
	osh_put_esc(p, osh_str_sub(hash, 0, 12), OSH_PUT_ESC_BLANK | OSH_PUT_ESC_BRACKETS);
	osh_put_raw(p, "]");
}

int osh_render_shorthand(const struct osh_rec *rec, struct osh_buf *out)
{
	struct osh_put p = { .out = out };
	struct osh_ocsf_event e;

	osh_ocsf_map(rec, &e);
	osh_put_raw(&p, e.class->prefix);
	if (e.class->uid)
		osh_put_raw(&p, ":");
	switch (e.class->uid) {
	case 4001:
		put_net(&p, rec, &e);
		break;
	case 4002:
		put_http(&p, rec, &e);
		break;
	case 1007:
		put_proc_event(&p, rec, &e);
		break;
	case 2004:
		put_finding(&p, rec);
		break;
	case 5019:
		put_config(&p, rec);
		break;
	case 6002:
		put_upper(&p, e.activity);
		put_message(&p, rec);
		break;
	default:
		put_message(&p, rec);
		break;
	}
	return p.err;
}
