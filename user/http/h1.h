/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 heads, strictly (RFC 9112): CRLF only, single blanks, no folding, token names, one framing.
 * Requests must be UTF-8; in responses any byte from 0x80 may stand in values.
 * Incremental and without allocation: the head keeps offsets into the caller's buffer, which may move
 * and grow between calls as long as its content stays.
 *
 *	osh_h1_init(&head, OSH_H1_REQUEST);
 *	r = osh_h1_parse(&head, buf, len, &limits);   -EAGAIN: read more, call again
 *
 * After 0, head.head_len bytes belong to the head; body bytes follow them.
 */
#ifndef OSH_HTTP_H1_H
#define OSH_HTTP_H1_H

#include "base/str.h"

#define OSH_H1_FIELDS_MAX  128
#define OSH_H1_OPTIONS_MAX 64 /* elements of all Connection fields */
#define OSH_H1_HEAD_MAX	   65535 /* no limit given may exceed this */
#define OSH_H1_LEN_NONE	   UINT64_MAX

enum osh_h1_kind {
	OSH_H1_REQUEST = 0,
	OSH_H1_RESPONSE,
};

/* Why a head was refused; osh_h1_error_text() has the words. */
enum osh_h1_error {
	OSH_H1_OK = 0,
	OSH_H1_BAD_START_LINE,
	OSH_H1_BAD_METHOD,
	OSH_H1_BAD_TARGET,
	OSH_H1_BAD_VERSION,
	OSH_H1_BAD_STATUS,
	OSH_H1_BAD_LINE_END, /* bare CR or LF */
	OSH_H1_BAD_NAME,
	OSH_H1_FOLDED,
	OSH_H1_BAD_VALUE,
	OSH_H1_NOT_UTF8,
	OSH_H1_BAD_CONNECTION,
	OSH_H1_BAD_LENGTH,
	OSH_H1_LENGTH_AND_CODING,
	OSH_H1_BAD_CODING,
	OSH_H1_BAD_HOST, /* more than one Host field */
	OSH_H1_TOO_LONG, /* -EMSGSIZE */
	OSH_H1_TOO_MANY_FIELDS, /* -EMSGSIZE */
};

/* Fields the proxy cares about; every other name is OSH_HF_OTHER. */
enum osh_h1_field_id {
	OSH_HF_OTHER = 0,
	OSH_HF_HOST,
	OSH_HF_CONTENT_LENGTH,
	OSH_HF_TRANSFER_ENCODING,
	OSH_HF_CONNECTION,
	OSH_HF_KEEP_ALIVE,
	OSH_HF_PROXY_CONNECTION,
	OSH_HF_PROXY_AUTHORIZATION,
	OSH_HF_PROXY_AUTHENTICATE,
	OSH_HF_PROXY_OTHER, /* any further Proxy-* */
	OSH_HF_TE,
	OSH_HF_TRAILER,
	OSH_HF_UPGRADE,
	OSH_HF_EXPECT,
	OSH_HF_HTTP2_SETTINGS,
	OSH_HF_CONTENT_TYPE,
	OSH_HF_CONTENT_ENCODING,
	OSH_HF_ACCEPT,
	OSH_HF_ORIGIN,
	OSH_HF_AUTHORIZATION,
	OSH_HF_COOKIE,
	OSH_HF_USER_AGENT,
	OSH_HF_VIA,
	OSH_HF_DATE,
	OSH_HF_SEC_WEBSOCKET_KEY,
	OSH_HF_SEC_WEBSOCKET_VERSION,
	OSH_HF_SEC_WEBSOCKET_PROTOCOL,
	OSH_HF_SEC_WEBSOCKET_EXTENSIONS,
	OSH_HF_SEC_WEBSOCKET_ACCEPT,
	OSH_HF_METHOD_OVERRIDE, /* X-HTTP-Method-Override and its sisters */
	OSH_HF_PATH_OVERRIDE, /* X-Original-URL, X-Rewrite-URL */
	OSH_HF_COUNT,
};

struct osh_h1_field {
	uint16_t name_off, name_len;
	uint16_t value_off, value_len; /* outer blanks removed */
	uint8_t id; /* enum osh_h1_field_id */
	uint8_t hop; /* hop-by-hop: must not be forwarded (also when Connection names it) */
	uint16_t pad;
};

enum osh_h1_body {
	OSH_H1_BODY_NONE = 0,
	OSH_H1_BODY_LENGTH, /* head.length bytes */
	OSH_H1_BODY_CHUNKED,
	OSH_H1_BODY_CLOSE, /* responses only: until the connection closes */
};

struct osh_h1_head {
	enum osh_h1_kind kind;
	enum osh_h1_error error; /* set when parsing failed */

	uint16_t method_off, method_len; /* request */
	uint16_t target_off, target_len; /* request */
	uint16_t status; /* response: 100..599 */
	uint16_t reason_off, reason_len; /* response */
	uint8_t minor; /* HTTP/1.minor: 0 or 1 */

	uint16_t n_fields;
	uint16_t first[OSH_HF_COUNT]; /* 1 + index of the first field with that id, 0: none */
	uint32_t head_len; /* bytes of the head with its empty line */

	enum osh_h1_body body; /* requests: final. responses: see osh_h1_response_body() */
	uint64_t length; /* Content-Length; OSH_H1_LEN_NONE: none given */
	bool chunked;
	bool close; /* Connection: close was sent */
	bool keep_alive; /* Connection: keep-alive was sent */
	bool upgrade; /* Connection: upgrade with an Upgrade field */
	bool h2c; /* Upgrade names h2c */
	bool websocket; /* Upgrade names websocket */
	bool expect_continue; /* Expect: 100-continue */
	bool expect_other; /* any other expectation: answer 417 */

	uint32_t pos; /* parser: start of the first line not yet taken */
	uint8_t state; /* parser */
	bool has_connection; /* parser */
	uint8_t n_options; /* parser */
	bool high_bytes; /* parser: a byte >= 0x80 was seen */
	struct osh_h1_field fields[OSH_H1_FIELDS_MAX];
};

struct osh_h1_limits {
	uint32_t head_bytes; /* at most OSH_H1_HEAD_MAX */
	uint16_t fields; /* at most OSH_H1_FIELDS_MAX */
};

void osh_h1_init(struct osh_h1_head *head, enum osh_h1_kind kind);

/*
 * 0 complete; -EAGAIN more input; -EBADMSG malformed; -EMSGSIZE over a limit (head->error has the
 * reason for both). @buf starts at the first byte of the message in every call.
 */
int osh_h1_parse(struct osh_h1_head *head, const char *buf, size_t len,
		 const struct osh_h1_limits *limits) OSH_MUST_CHECK;

const char *osh_h1_error_text(enum osh_h1_error error);

/* Slices of the head; @buf is the buffer given to osh_h1_parse(). */
static inline struct osh_str osh_h1_method(const struct osh_h1_head *head, const char *buf)
{
	return (struct osh_str){ buf + head->method_off, head->method_len };
}

static inline struct osh_str osh_h1_target(const struct osh_h1_head *head, const char *buf)
{
	return (struct osh_str){ buf + head->target_off, head->target_len };
}

static inline struct osh_str osh_h1_name(const struct osh_h1_field *field, const char *buf)
{
	return (struct osh_str){ buf + field->name_off, field->name_len };
}

static inline struct osh_str osh_h1_value(const struct osh_h1_field *field, const char *buf)
{
	return (struct osh_str){ buf + field->value_off, field->value_len };
}

/* First field with @id, or NULL. */
static inline const struct osh_h1_field *osh_h1_find(const struct osh_h1_head *head,
						     enum osh_h1_field_id id)
{
	return head->first[id] ? &head->fields[head->first[id] - 1] : NULL;
}

/* Value of the first field with @id; .p is NULL when there is none. */
struct osh_str osh_h1_get(const struct osh_h1_head *head, const char *buf, enum osh_h1_field_id id);
/* Number of fields with @id. */
unsigned int osh_h1_count(const struct osh_h1_head *head, enum osh_h1_field_id id);

/* Id of a field name (any case). */
enum osh_h1_field_id osh_h1_field_id(struct osh_str name);
bool osh_h1_is_token(struct osh_str s);
/* Does a comma-separated list contain this token (ASCII case ignored, parameters not accepted)? */
bool osh_h1_list_has(struct osh_str list, struct osh_str token);

/*
 * How the body of a response to a request with @method is framed (RFC 9112 6.3). 1xx, 204, 304 and
 * the answer to HEAD have none; a 2xx to CONNECT and a 101 turn into a tunnel: BODY_NONE.
 */
enum osh_h1_body osh_h1_response_body(const struct osh_h1_head *head, struct osh_str method);

/*
 * May the connection carry another message after this one? Not after a body until close. @body:
 * head->body of a request, osh_h1_response_body() of a response.
 */
bool osh_h1_persistent(const struct osh_h1_head *head, enum osh_h1_body body);

#endif
