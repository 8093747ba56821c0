/* SPDX-License-Identifier: MIT */
/*
 * The event model. One struct osh_rec is one thing that happened: who did it, where to, what, with
 * which verdict and why. It is flat (no pointers), bounded and memcpy-able, so that a proxy writes
 * the first `size` bytes into its ring and the monitor takes them out again with osh_rec_decode(),
 * which trusts nothing. Renderers (audit/render.h) and segments (audit/segment.h) take it from
 * there.
 *
 * Writing one:
 *	struct osh_rec rec;
 *
 *	osh_rec_init(&rec, OSH_REC_CONNECT, OSH_REC_DENY, now_ns);
 *	rec.port = 443;
 *	rec.pid = 58;
 *	osh_rec_set(&rec, OSH_REC_HOST, host);
 *	osh_rec_set_z(&rec, OSH_REC_REASON, "no matching network policy");
 *	ring_put(&rec, rec.size);
 *
 * Query strings, bodies, header values and secrets must never be put into a record.
 */
#ifndef OSH_AUDIT_RECORD_H
#define OSH_AUDIT_RECORD_H

#include "base/str.h"

#define OSH_REC_VERSION	  1
#define OSH_REC_MAX_BYTES 2048

/* What kind of event (reference 7.3). */
enum osh_rec_class {
	OSH_REC_INVALID = 0,
	OSH_REC_CONNECT, /* L4 decision on a connection; engine "opa" */
	OSH_REC_L7, /* decision on one request, message or stream */
	OSH_REC_PARSER_REJECT, /* bytes that are no acceptable request */
	OSH_REC_AUTHORITY, /* Host / :authority / SNI differs from what was authorised */
	OSH_REC_TLS, /* TLS handshake failed on either side */
	OSH_REC_DNS, /* name refused */
	OSH_REC_SSRF, /* destination address not permitted */
	OSH_REC_BYPASS, /* refused in the kernel: socket type, protocol, backstop */
	OSH_REC_UPSTREAM, /* permitted, but the upstream could not be reached */
	OSH_REC_CLOSE, /* end of a permitted connection: sizes and duration */
	OSH_REC_PROCESS, /* sandbox process start / exit (see `activity`) */
	OSH_REC_POLICY, /* policy life cycle; `activity` says what */
	OSH_REC_SANDBOX, /* sandbox life cycle */
	OSH_REC_FINDING, /* something a person should look at: UID, TITLE, MESSAGE */
	OSH_REC_SUPPRESSED, /* `count` records like this one were not written */
	OSH_REC_LOSS, /* `count` records were lost */
	OSH_REC_LOG, /* plain operator line: TARGET, MESSAGE */
	OSH_REC_CLASS_COUNT,
};

enum osh_rec_verdict {
	OSH_REC_DENY = 0,
	OSH_REC_ALLOW = 1,
	OSH_REC_AUDIT = 2, /* would be denied, let through: enforcement is audit */
	OSH_REC_NOTE = 3, /* no decision in it */
	OSH_REC_ALLOW_UPGRADE = 4, /* L7 only */
	OSH_REC_VERDICT_COUNT,
};

/* Rank as `logs --level` compares it. */
enum osh_rec_level {
	OSH_REC_ERROR = 0,
	OSH_REC_WARN = 1,
	OSH_REC_INFO = 2,
	OSH_REC_DEBUG = 3,
	OSH_REC_TRACE = 4,
	OSH_REC_LEVEL_COUNT,
};

/* Where the event was seen: "gateway" is the daemon's own life, "sandbox" everything else. */
enum osh_rec_source {
	OSH_REC_GATEWAY = 0,
	OSH_REC_SANDBOX_SRC = 1,
	OSH_REC_SOURCE_COUNT,
};

enum osh_rec_activity {
	OSH_REC_ACT_NONE = 0,
	OSH_REC_ACT_START, /* PROCESS, SANDBOX */
	OSH_REC_ACT_EXIT, /* PROCESS: exit_code */
	OSH_REC_ACT_STOP, /* SANDBOX */
	OSH_REC_ACT_CREATE, /* SANDBOX */
	OSH_REC_ACT_DELETE, /* SANDBOX */
	OSH_REC_ACT_SUBMITTED, /* POLICY from here */
	OSH_REC_ACT_LOADED,
	OSH_REC_ACT_FAILED,
	OSH_REC_ACT_SUPERSEDED,
	OSH_REC_ACT_MERGED,
	OSH_REC_ACT_QUARANTINED,
	OSH_REC_ACT_SETTING,
	OSH_REC_ACT_COUNT,
};

/* Text fields. The number in the comment is the most bytes kept; longer values are cut. */
enum osh_rec_field {
	OSH_REC_SANDBOX_NAME = 0, /* 64; only the monitor's osh_rec_set_sandbox() fills it */
	OSH_REC_HOST, /* 255; as authorised: lower case, A-label, or address literal */
	OSH_REC_BINARY, /* 512; absolute path as the sandbox sees it */
	OSH_REC_ANCESTORS, /* 512; paths, nearest first, joined by osh_rec_add_ancestor() */
	OSH_REC_METHOD, /* 64 */
	OSH_REC_PATH, /* 768; canonical, without query */
	OSH_REC_POLICY_KEY, /* 128; smallest matching key, "-" or empty if none */
	OSH_REC_POLICY_NAME, /* 128; display name of that entry */
	OSH_REC_ENGINE, /* 32; opa, ssrf, l7, l7-graphql, http-parser, request-authority, tls, bpf, dns */
	OSH_REC_PROTOCOL, /* 32; rest, graphql, websocket, ... */
	OSH_REC_REASON, /* 256; the D5 text */
	OSH_REC_DETAIL, /* 512; the precise reason */
	OSH_REC_MESSAGE, /* 768; free text of LOG, POLICY, SANDBOX, FINDING */
	OSH_REC_TARGET, /* 64; log target, default by class */
	OSH_REC_UID, /* 96; finding uid */
	OSH_REC_TITLE, /* 128; finding title */
	OSH_REC_HASH, /* 64; policy hash */
	OSH_REC_FIELD_COUNT,
};

enum osh_rec_flags {
	OSH_REC_TRUNCATED = 1u << 0, /* some text was cut */
	OSH_REC_EXPLICIT = 1u << 1, /* came through the explicit proxy port */
	OSH_REC_TLS_INSPECTED = 1u << 2,
	OSH_REC_L7_FOLLOWS = 1u << 3, /* CONNECT allowed and requests inside are inspected */
	OSH_REC_FLAGS_ALL = (1u << 4) - 1,
};

struct osh_rec_span {
	uint16_t off, len; /* into text[]; len 0: absent */
};

/*
 * Integers are host order. Set plain members directly after osh_rec_init(); 0 means "not known"
 * for all of them. Text only through osh_rec_set*().
 */
struct osh_rec {
	uint32_t size; /* bytes in use, this header included; kept by osh_rec_set*() */
	uint16_t version;
	uint8_t class; /* enum osh_rec_class */
	uint8_t verdict; /* enum osh_rec_verdict */
	uint8_t level; /* enum osh_rec_level; osh_rec_init() chooses by class and verdict */
	uint8_t source; /* enum osh_rec_source; likewise */
	uint8_t activity; /* enum osh_rec_activity */
	uint8_t severity; /* OCSF 1..6; likewise */
	uint16_t port; /* destination */
	uint16_t src_port;
	uint16_t reason; /* enum osh_reason (openshell/reason.h) */
	uint16_t http_status;
	uint8_t addr_family; /* AF_INET, AF_INET6 or 0 */
	uint8_t ip_proto; /* IPPROTO_*; 0 means TCP */
	uint16_t addr_zero;
	uint32_t flags; /* enum osh_rec_flags */
	uint32_t pid; /* as the host sees it */
	uint32_t uid;
	int32_t exit_code;
	uint32_t zero[2];
	uint8_t addr[16]; /* destination address dialled or asked for; v4 in the first 4 bytes */
	uint64_t time_ns; /* CLOCK_REALTIME */
	uint64_t duration_ns;
	uint64_t bytes_up; /* from the sandbox */
	uint64_t bytes_down;
	uint64_t sandbox_id; /* as in the flow record; the monitor maps it to the name */
	uint64_t generation; /* policy generation that judged */
	uint64_t revision; /* policy version, POLICY class */
	uint64_t count; /* SUPPRESSED, LOSS */
	uint64_t flow; /* flow id, ties CONNECT, L7 and CLOSE together */
	uint64_t seq; /* assigned by the segment writer */
	struct osh_rec_span text_span[OSH_REC_FIELD_COUNT];
	char text[OSH_REC_MAX_BYTES - 212];
};

_Static_assert(sizeof(struct osh_rec) == OSH_REC_MAX_BYTES, "osh_rec grew");

/* Header only (text[] stays uninitialised): cheap. Level, severity and source get their defaults. */
void osh_rec_init(struct osh_rec *rec, enum osh_rec_class class, enum osh_rec_verdict verdict,
		  uint64_t time_ns);

/*
 * Store a copy of @value, cut on a character boundary to the field's ceiling and to what is left
 * (which sets OSH_REC_TRUNCATED). Any bytes are welcome: escaping is the renderers' business; only
 * NUL is stored as 0x01.
 * OSH_REC_SANDBOX_NAME is ignored here.
 */
void osh_rec_set(struct osh_rec *rec, enum osh_rec_field field, struct osh_str value);
void osh_rec_set_z(struct osh_rec *rec, enum osh_rec_field field,
		   const char *value); /* NULL: absent */
void osh_rec_setf(struct osh_rec *rec, enum osh_rec_field field, const char *fmt, ...)
	OSH_PRINTF(3, 4);
/* Append one path to OSH_REC_ANCESTORS; call in order, nearest first, with no other set between. */
void osh_rec_add_ancestor(struct osh_rec *rec, struct osh_str path);
/* The monitor's: overrides whatever was there. Always fits. */
void osh_rec_set_sandbox(struct osh_rec *rec, struct osh_str name);

/* .n is 0 when absent. Borrows from @rec. */
struct osh_str osh_rec_get(const struct osh_rec *rec, enum osh_rec_field field);

/*
 * Take @n bytes from an untrusted writer, a proxy. Checks every size, span, enumeration and reserved
 * byte; accepts only the classes a proxy has reason to write; drops sandbox name, target and seq and
 * sets level and severity itself. -EBADMSG leaves @ret_rec untouched.
 */
int osh_rec_decode(const void *data, size_t n, struct osh_rec *ret_rec) OSH_MUST_CHECK;

/* Stable lower-case names used in JSON; NULL when out of range. */
const char *osh_rec_class_name(unsigned int class);
const char *osh_rec_verdict_name(unsigned int verdict); /* deny allow audit note allow_upgrade */
const char *osh_rec_level_name(unsigned int level); /* ERROR WARN INFO DEBUG TRACE */
const char *osh_rec_source_name(unsigned int source); /* gateway sandbox */
const char *osh_rec_activity_name(unsigned int activity);
/* Rank of a level name, case-insensitive; -EINVAL if unknown. "OCSF" ranks as INFO. */
int osh_rec_level_parse(struct osh_str name);
/* Log target: OSH_REC_TARGET, or the default of the class ("openshell_sandbox", ...). */
struct osh_str osh_rec_target(const struct osh_rec *rec);
/* Destination address as text ("" if none); @dst has at least 46 bytes. */
const char *osh_rec_addr(const struct osh_rec *rec, char *dst, size_t size);

#endif
