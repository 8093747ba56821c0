/* SPDX-License-Identifier: MIT */
#include "audit/record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define HEADER_BYTES offsetof(struct osh_rec, text)
/* kept free so that the monitor's sandbox name always fits */
enum { NAME_RESERVE = 64 };

static const uint16_t field_max[OSH_REC_FIELD_COUNT] = {
	[OSH_REC_SANDBOX_NAME] = NAME_RESERVE,
	[OSH_REC_HOST] = 255,
	[OSH_REC_BINARY] = 512,
	[OSH_REC_ANCESTORS] = 512,
	[OSH_REC_METHOD] = 64,
	[OSH_REC_PATH] = 768,
	[OSH_REC_POLICY_KEY] = 128,
	[OSH_REC_POLICY_NAME] = 128,
	[OSH_REC_ENGINE] = 32,
	[OSH_REC_PROTOCOL] = 32,
	[OSH_REC_REASON] = 256,
	[OSH_REC_DETAIL] = 512,
	[OSH_REC_MESSAGE] = 768,
	[OSH_REC_TARGET] = 64,
	[OSH_REC_UID] = 96,
	[OSH_REC_TITLE] = 128,
	[OSH_REC_HASH] = 64,
};

static const struct {
	const char *name;
	const char *target;
	uint8_t source;
	uint8_t deny_severity; /* OCSF, when the verdict is deny */
	uint8_t note_severity; /* otherwise */
} class_facts[OSH_REC_CLASS_COUNT] = {
	[OSH_REC_CONNECT] = { "connect", "openshell_sandbox::proxy", 1, 3, 1 },
	[OSH_REC_L7] = { "l7", "openshell_sandbox::l7", 1, 3, 1 },
	[OSH_REC_PARSER_REJECT] = { "parser_reject", "openshell_sandbox::l7", 1, 3, 1 },
	[OSH_REC_AUTHORITY] = { "authority", "openshell_sandbox::l7", 1, 3, 1 },
	[OSH_REC_TLS] = { "tls", "openshell_sandbox::tls", 1, 3, 2 },
	[OSH_REC_DNS] = { "dns", "openshell_sandbox::dns", 1, 3, 1 },
	[OSH_REC_SSRF] = { "ssrf", "openshell_sandbox::proxy", 1, 3, 1 },
	[OSH_REC_BYPASS] = { "bypass", "openshell_sandbox::kernel", 1, 3, 1 },
	[OSH_REC_UPSTREAM] = { "upstream", "openshell_sandbox::proxy", 1, 2, 2 },
	[OSH_REC_CLOSE] = { "close", "openshell_sandbox::proxy", 1, 1, 1 },
	[OSH_REC_PROCESS] = { "process", "openshell_sandbox", 1, 1, 1 },
	[OSH_REC_POLICY] = { "policy", "openshell_server::policy", 0, 4, 1 },
	[OSH_REC_SANDBOX] = { "sandbox", "openshell_server", 0, 4, 1 },
	[OSH_REC_FINDING] = { "finding", "openshell_sandbox", 1, 3, 2 },
	[OSH_REC_SUPPRESSED] = { "suppressed", "openshell_sandbox", 1, 2, 2 },
	[OSH_REC_LOSS] = { "loss", "openshell_server", 0, 4, 4 },
	[OSH_REC_LOG] = { "log", "openshell_server", 0, 1, 1 },
};

static const char *const verdict_names[OSH_REC_VERDICT_COUNT] = {
	"deny", "allow", "audit", "note", "allow_upgrade",
};
static const char *const level_names[OSH_REC_LEVEL_COUNT] = {
	"ERROR", "WARN", "INFO", "DEBUG", "TRACE",
};
static const char *const source_names[OSH_REC_SOURCE_COUNT] = { "gateway", "sandbox" };
static const char *const activity_names[OSH_REC_ACT_COUNT] = {
	"none",	  "start",  "exit",	  "stop",   "create",	   "delete",  "submitted",
	"loaded", "failed", "superseded", "merged", "quarantined", "setting",
};

static uint8_t default_level(unsigned int class, unsigned int verdict)
{
	switch (class) {
	case OSH_REC_LOSS:
		return OSH_REC_ERROR;
	case OSH_REC_SUPPRESSED:
	case OSH_REC_FINDING:
		return OSH_REC_WARN;
	case OSH_REC_POLICY:
	case OSH_REC_SANDBOX:
		return verdict == OSH_REC_DENY ? OSH_REC_ERROR : OSH_REC_INFO;
	case OSH_REC_PROCESS:
	case OSH_REC_LOG:
	case OSH_REC_CLOSE:
		return OSH_REC_INFO;
	case OSH_REC_TLS:
	case OSH_REC_UPSTREAM:
		return OSH_REC_WARN;
	default:
		/* D7: `--level warn` shows what was, or would have been, refused */
		return verdict == OSH_REC_DENY || verdict == OSH_REC_AUDIT ? OSH_REC_WARN
									   : OSH_REC_INFO;
	}
}

static uint8_t default_severity(unsigned int class, unsigned int verdict)
{
	return verdict == OSH_REC_DENY ? class_facts[class].deny_severity
				       : class_facts[class].note_severity;
}

void osh_rec_init(struct osh_rec *rec, enum osh_rec_class class, enum osh_rec_verdict verdict,
		  uint64_t time_ns)
{
	memset(rec, 0, HEADER_BYTES);
	rec->size = HEADER_BYTES;
	rec->version = OSH_REC_VERSION;
	rec->class = (uint8_t) class;
	rec->verdict = (uint8_t)verdict;
	rec->level = default_level(class, verdict);
	rec->source = class_facts[class].source;
	rec->severity = default_severity(class, verdict);
	rec->time_ns = time_ns;
}

static size_t text_used(const struct osh_rec *rec)
{
	return rec->size - HEADER_BYTES;
}

static void store(struct osh_rec *rec, enum osh_rec_field field, struct osh_str value, size_t room)
{
	size_t used = text_used(rec), n = osh_utf8_cut(value, OSH_MIN(field_max[field], room));

	if (n < value.n)
		rec->flags |= OSH_REC_TRUNCATED;
	if (n)
		memcpy(rec->text + used, value.p, n);
	/* strict JSON readers refuse NUL, and one such record would hide its neighbours */
	for (size_t i = 0; i < n && field != OSH_REC_ANCESTORS; i++)
		if (!rec->text[used + i])
			rec->text[used + i] = '\x01';
	rec->text_span[field] = (struct osh_rec_span){ (uint16_t)used, (uint16_t)n };
	rec->size += (uint32_t)n;
}

/* Setting a field that is the last one stored gives its room back. */
static void forget(struct osh_rec *rec, enum osh_rec_field field)
{
	struct osh_rec_span *s = &rec->text_span[field];

	if (s->len && s->off + (size_t)s->len == text_used(rec))
		rec->size -= s->len;
	*s = (struct osh_rec_span){ 0 };
}

void osh_rec_set(struct osh_rec *rec, enum osh_rec_field field, struct osh_str value)
{
	if (field == OSH_REC_SANDBOX_NAME)
		return;
	forget(rec, field);
	if (value.n) {
		size_t used = text_used(rec), room = sizeof(rec->text) - NAME_RESERVE;

		store(rec, field, value, used < room ? room - used : 0);
	}
}

void osh_rec_set_z(struct osh_rec *rec, enum osh_rec_field field, const char *value)
{
	osh_rec_set(rec, field, osh_str(value));
}

void osh_rec_setf(struct osh_rec *rec, enum osh_rec_field field, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text)) {
		n = sizeof(text) - 1;
		rec->flags |= OSH_REC_TRUNCATED;
	}
	osh_rec_set(rec, field, (struct osh_str){ text, (size_t)n });
}

void osh_rec_add_ancestor(struct osh_rec *rec, struct osh_str path)
{
	char joined[600];
	struct osh_str have = osh_rec_get(rec, OSH_REC_ANCESTORS);
	size_t n = 0;

	/* paths are separated by NUL: the one byte that no path has */
	if (have.n) {
		memcpy(joined, have.p, have.n);
		n = have.n;
		joined[n++] = '\0';
	}
	if (n + path.n > field_max[OSH_REC_ANCESTORS]) {
		rec->flags |= OSH_REC_TRUNCATED;
		return;
	}
	memcpy(joined + n, path.p, path.n);
	osh_rec_set(rec, OSH_REC_ANCESTORS, (struct osh_str){ joined, n + path.n });
}

void osh_rec_set_sandbox(struct osh_rec *rec, struct osh_str name)
{
	forget(rec, OSH_REC_SANDBOX_NAME);
	if (name.n)
		store(rec, OSH_REC_SANDBOX_NAME, name, sizeof(rec->text) - text_used(rec));
}

struct osh_str osh_rec_get(const struct osh_rec *rec, enum osh_rec_field field)
{
	struct osh_rec_span s = rec->text_span[field];

	return (struct osh_str){ rec->text + s.off, s.len };
}

/* JSON integers are signed 64-bit here and in most readers: a bigger number is a lie anyway. */
static bool numbers_fit(const struct osh_rec *rec)
{
	return !((rec->time_ns | rec->duration_ns | rec->bytes_up | rec->bytes_down |
		  rec->sandbox_id | rec->generation | rec->revision | rec->count | rec->flow) >>
		 63);
}

/* What happens in a proxy. The life of policies and sandboxes is the monitor's to tell. */
static bool is_proxy_class(unsigned int class)
{
	return (class >= OSH_REC_CONNECT && class <= OSH_REC_CLOSE && class != OSH_REC_BYPASS) ||
	       class == OSH_REC_FINDING;
}

static bool header_is_sane(const struct osh_rec *rec, size_t n)
{
	return rec->size == n && rec->version == OSH_REC_VERSION && is_proxy_class(rec->class) &&
	       rec->verdict < OSH_REC_VERDICT_COUNT && rec->source == OSH_REC_SANDBOX_SRC &&
	       !rec->activity &&
	       (rec->addr_family == 0 || rec->addr_family == AF_INET ||
		rec->addr_family == AF_INET6) &&
	       !rec->addr_zero && !rec->zero[0] && !rec->zero[1] &&
	       !(rec->flags & ~(uint32_t)OSH_REC_FLAGS_ALL) && numbers_fit(rec);
}

int osh_rec_decode(const void *data, size_t n, struct osh_rec *ret_rec)
{
	struct osh_rec rec;

	/* a private copy first: the writer may still hold the memory */
	if (n < HEADER_BYTES || n > sizeof(rec))
		return -EBADMSG;
	memcpy(&rec, data, n);
	if (!header_is_sane(&rec, n))
		return -EBADMSG;
	for (size_t f = 0; f < OSH_REC_FIELD_COUNT; f++) {
		struct osh_rec_span s = rec.text_span[f];

		if ((size_t)s.off + s.len > n - HEADER_BYTES || s.len > field_max[f])
			return -EBADMSG;
		/* osh_rec_set() stores none; between ancestors it is the separator */
		if (f != OSH_REC_ANCESTORS && s.len && memchr(rec.text + s.off, '\0', s.len))
			return -EBADMSG;
	}
	/* what is not the writer's to say; a denial must not hide below its level */
	rec.text_span[OSH_REC_SANDBOX_NAME] = (struct osh_rec_span){ 0 };
	rec.text_span[OSH_REC_TARGET] = (struct osh_rec_span){ 0 };
	rec.seq = 0;
	rec.level = default_level(rec.class, rec.verdict);
	rec.severity = default_severity(rec.class, rec.verdict);
	/* the reserve belongs to the monitor */
	if (n - HEADER_BYTES > sizeof(rec.text) - NAME_RESERVE)
		return -EBADMSG;
	memcpy(ret_rec, &rec, n);
	return 0;
}

#define NAME_OF(table, i) ((i) < OSH_ARRAY_SIZE(table) ? (table)[i] : NULL)

const char *osh_rec_class_name(unsigned int class)
{
	return class < OSH_REC_CLASS_COUNT ? class_facts[class].name : NULL;
}

const char *osh_rec_verdict_name(unsigned int verdict)
{
	return NAME_OF(verdict_names, verdict);
}

const char *osh_rec_level_name(unsigned int level)
{
	return NAME_OF(level_names, level);
}

const char *osh_rec_source_name(unsigned int source)
{
	return NAME_OF(source_names, source);
}

const char *osh_rec_activity_name(unsigned int activity)
{
	return NAME_OF(activity_names, activity);
}

int osh_rec_level_parse(struct osh_str name)
{
	for (int i = 0; i < OSH_REC_LEVEL_COUNT; i++)
		if (osh_str_ieq(name, osh_str(level_names[i])))
			return i;
	return osh_str_ieq(name, OSH_STR("OCSF")) ? OSH_REC_INFO : -EINVAL;
}

struct osh_str osh_rec_target(const struct osh_rec *rec)
{
	struct osh_str target = osh_rec_get(rec, OSH_REC_TARGET);

	return target.n ? target : osh_str(class_facts[rec->class].target);
}

const char *osh_rec_addr(const struct osh_rec *rec, char *dst, size_t size)
{
	if (!rec->addr_family || !inet_ntop(rec->addr_family, rec->addr, dst, (socklen_t)size))
		*dst = '\0';
	return dst;
}
