/* SPDX-License-Identifier: MIT */
/*
 * Journald's native protocol: "KEY=value\n" per field, or "KEY\n", 64-bit little-endian length,
 * value, "\n" for values that may contain a newline. Values are escaped to one printable line, so
 * that the first form always serves; printable values appear unchanged and can be matched.
 */
#include "audit/put.h"
#include "audit/render.h"

#include "base/reason.h"

static void field(struct osh_put *p, const char *key, struct osh_str value)
{
	if (!value.n)
		return;
	osh_put_raw(p, key);
	osh_put_raw(p, "=");
	osh_put_esc(p, value, 0);
	osh_put_raw(p, "\n");
}

static void field_u64(struct osh_put *p, const char *key, uint64_t value)
{
	if (value)
		osh_putf(p, "%s=%llu\n", key, (unsigned long long)value);
}

static unsigned int priority(const struct osh_rec *rec)
{
	static const unsigned char by_severity[] = { 6, 6, 5, 4, 3, 2, 0 };
	unsigned int pri = by_severity[rec->severity < sizeof(by_severity) ? rec->severity : 0];

	/* a line that `logs --level warn` shows must be found by `journalctl -p warning` */
	if (rec->level == OSH_REC_WARN)
		pri = OSH_MIN(pri, 4u);
	else if (rec->level == OSH_REC_ERROR)
		pri = OSH_MIN(pri, 3u);
	else if (rec->level >= OSH_REC_DEBUG)
		pri = 7;
	return pri;
}

static void put_ancestors(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str rest = osh_rec_get(rec, OSH_REC_ANCESTORS), one;

	/* a field may occur several times */
	while (rest.n && osh_str_split(&rest, '\0', &one))
		field(p, "OPENSHELL_ANCESTOR", one);
}

int osh_render_journal(const struct osh_rec *rec, struct osh_buf *out)
{
	static const struct {
		const char *key;
		enum osh_rec_field field;
	} texts[] = {
		{ "OPENSHELL_SANDBOX", OSH_REC_SANDBOX_NAME },
		{ "OPENSHELL_DST_HOST", OSH_REC_HOST },
		{ "OPENSHELL_BINARY", OSH_REC_BINARY },
		{ "OPENSHELL_METHOD", OSH_REC_METHOD },
		{ "OPENSHELL_PATH", OSH_REC_PATH },
		{ "OPENSHELL_POLICY", OSH_REC_POLICY_KEY },
		{ "OPENSHELL_POLICY_NAME", OSH_REC_POLICY_NAME },
		{ "OPENSHELL_ENGINE", OSH_REC_ENGINE },
		{ "OPENSHELL_PROTOCOL", OSH_REC_PROTOCOL },
		{ "OPENSHELL_REASON", OSH_REC_REASON },
		{ "OPENSHELL_DETAIL", OSH_REC_DETAIL },
		{ "OPENSHELL_FINDING", OSH_REC_UID },
		{ "OPENSHELL_POLICY_HASH", OSH_REC_HASH },
	};
	struct osh_put p = { .out = out };
	char addr[64];

	osh_put_raw(&p, "MESSAGE=");
	if (!p.err)
		p.err = osh_render_message(rec, out);
	osh_putf(&p, "\nPRIORITY=%u\nSYSLOG_IDENTIFIER=openshell\n", priority(rec));
	osh_putf(&p, "OPENSHELL_CLASS=%s\nOPENSHELL_SOURCE=%s\n", osh_rec_class_name(rec->class),
		 osh_rec_source_name(rec->source));
	if (rec->verdict != OSH_REC_NOTE)
		osh_putf(&p, "OPENSHELL_ACTION=%s\n", osh_rec_verdict_name(rec->verdict));
	if (rec->activity)
		osh_putf(&p, "OPENSHELL_ACTIVITY=%s\n", osh_rec_activity_name(rec->activity));
	for (size_t i = 0; i < OSH_ARRAY_SIZE(texts); i++)
		field(&p, texts[i].key, osh_rec_get(rec, texts[i].field));
	put_ancestors(&p, rec);
	field(&p, "OPENSHELL_DST_ADDR", osh_str(osh_rec_addr(rec, addr, sizeof(addr))));
	field_u64(&p, "OPENSHELL_DST_PORT", rec->port);
	if (rec->reason)
		field(&p, "OPENSHELL_REASON_CODE", osh_str(osh_reason_token(rec->reason)));
	field_u64(&p, "OPENSHELL_PID", rec->pid);
	field_u64(&p, "OPENSHELL_GENERATION", rec->generation);
	field_u64(&p, "OPENSHELL_POLICY_VERSION", rec->revision);
	field_u64(&p, "OPENSHELL_FLOW", rec->flow);
	field_u64(&p, "OPENSHELL_COUNT", rec->count);
	field_u64(&p, "OPENSHELL_BYTES_UP", rec->bytes_up);
	field_u64(&p, "OPENSHELL_BYTES_DOWN", rec->bytes_down);
	field_u64(&p, "OPENSHELL_DURATION_MS", rec->duration_ns / 1000000);
	field_u64(&p, "OPENSHELL_TIME_NS", rec->time_ns);
	field_u64(&p, "OPENSHELL_SEQ", rec->seq);
	return p.err;
}
