/* SPDX-License-Identifier: MIT */
/*
 * Lines are taken one by one and never looked at again, so input that arrives in single bytes costs
 * no more than its own length times the length of one line. Everything that has a meaning for
 * framing or for the hop is checked when its line is taken; what depends on several fields at the
 * end of the head.
 */
#include "http/h1.h"

enum {
	ST_START = 0,
	ST_FIELDS,
	ST_DONE,
	ST_FAILED,
};

/* Character classes, one table look-up per byte. */
enum {
	C_TOKEN = 1, /* tchar */
	C_TARGET = 2, /* 0x21..0x7e and 0x80.. */
	C_VALUE = 4, /* TAB, 0x20..0x7e, 0x80.. */
};

#define T  (C_TOKEN | C_TARGET | C_VALUE)
#define V  (C_TARGET | C_VALUE)
#define W  C_VALUE
#define T8 T, T, T, T, T, T, T, T
#define V8 V, V, V, V, V, V, V, V
static const uint8_t chars[256] = {
	0,  0,	0,  0,	0,  0,	0,  0,	0,
	W,  0,	0,  0,	0,  0,	0, /* 0x00, TAB */
	0,  0,	0,  0,	0,  0,	0,  0,	0,
	0,  0,	0,  0,	0,  0,	0, /* 0x10 */
	W,  T,	V,  T,	T,  T,	T,  T,	V,
	V,  T,	T,  V,	T,  T,	V, /* blank ! " # $ % & ' ( ) * + , - . / */
	T8, T,	T,  V,	V,  V,	V,  V,	V, /* 0-9 : ; < = > ? */
	V,  T,	T,  T,	T,  T,	T,  T,	T8, /* @ A-O */
	T8, T,	T,  T,	V,  V,	V,  T,	T, /* P-Z [ \ ] ^ _ */
	T8, T8, /* ` a-o */
	T8, T,	T,  T,	V,  T,	V,  T,	0, /* p-z { | } ~ DEL */
	V8, V8, V8, V8, V8, V8, V8, V8, V8,
	V8, V8, V8, V8, V8, V8, V8,
};
#undef T
#undef V
#undef W
#undef T8
#undef V8

void osh_h1_init(struct osh_h1_head *head, enum osh_h1_kind kind)
{
	/* The field table is only read below n_fields: clearing it would cost more than parsing. */
	memset(head, 0, offsetof(struct osh_h1_head, fields));
	head->kind = kind;
	head->length = OSH_H1_LEN_NONE;
}

static int bad(struct osh_h1_head *head, enum osh_h1_error error)
{
	head->error = error;
	head->state = ST_FAILED;
	return error >= OSH_H1_TOO_LONG ? -EMSGSIZE : -EBADMSG;
}

static size_t span(const char *p, size_t n, uint8_t class)
{
	size_t i = 0;

	while (i < n && chars[(unsigned char)p[i]] & class)
		i++;
	return i;
}

#define ONES	     ((uint64_t)0x0101010101010101)
#define HIGHS	     (ONES << 7)
#define HAS_LT(x, c) (((x)-ONES * (c)) & ~(x)&HIGHS)
#define HAS_EQ(x, c) HAS_LT((x) ^ (ONES * (c)), 1)

/*
 * Bytes of a field value at the start of @p. Eight at a time while nothing in them needs a look: no
 * control character, no DEL. (HAS_LT may only err for bytes after a true hit.) Bytes >= 0x80 are
 * noted for the UTF-8 check at the end.
 */
static size_t span_value(const char *p, size_t n, bool *high)
{
	size_t i = 0;

	while (n - i >= 8) {
		uint64_t x;

		memcpy(&x, p + i, 8);
		if (HAS_LT(x, 0x20) | HAS_EQ(x, 0x7f) | (x & HIGHS))
			break;
		i += 8;
	}
	for (; i < n && chars[(unsigned char)p[i]] & C_VALUE; i++)
		*high |= (unsigned char)p[i] >= 0x80;
	return i;
}

bool osh_h1_is_token(struct osh_str s)
{
	return s.n && span(s.p, s.n, C_TOKEN) == s.n;
}

/* ---- field names ---- */

struct known {
	const char *name; /* lower-case */
	uint8_t len;
	uint8_t id;
};

#define K(name, id)                        \
	{                                  \
		name, sizeof(name) - 1, id \
	}
/* Sorted by length. */
static const struct known known[] = {
	K("te", OSH_HF_TE),
	K("via", OSH_HF_VIA),
	K("date", OSH_HF_DATE),
	K("host", OSH_HF_HOST),
	K("accept", OSH_HF_ACCEPT),
	K("cookie", OSH_HF_COOKIE),
	K("expect", OSH_HF_EXPECT),
	K("origin", OSH_HF_ORIGIN),
	K("trailer", OSH_HF_TRAILER),
	K("upgrade", OSH_HF_UPGRADE),
	K("connection", OSH_HF_CONNECTION),
	K("keep-alive", OSH_HF_KEEP_ALIVE),
	K("user-agent", OSH_HF_USER_AGENT),
	K("content-type", OSH_HF_CONTENT_TYPE),
	K("authorization", OSH_HF_AUTHORIZATION),
	K("x-http-method", OSH_HF_METHOD_OVERRIDE),
	K("x-rewrite-url", OSH_HF_PATH_OVERRIDE),
	K("content-length", OSH_HF_CONTENT_LENGTH),
	K("http2-settings", OSH_HF_HTTP2_SETTINGS),
	K("x-original-url", OSH_HF_PATH_OVERRIDE),
	K("content-encoding", OSH_HF_CONTENT_ENCODING),
	K("proxy-connection", OSH_HF_PROXY_CONNECTION),
	K("sec-websocket-key", OSH_HF_SEC_WEBSOCKET_KEY),
	K("transfer-encoding", OSH_HF_TRANSFER_ENCODING),
	K("x-method-override", OSH_HF_METHOD_OVERRIDE),
	K("proxy-authenticate", OSH_HF_PROXY_AUTHENTICATE),
	K("proxy-authorization", OSH_HF_PROXY_AUTHORIZATION),
	K("sec-websocket-accept", OSH_HF_SEC_WEBSOCKET_ACCEPT),
	K("sec-websocket-version", OSH_HF_SEC_WEBSOCKET_VERSION),
	K("sec-websocket-protocol", OSH_HF_SEC_WEBSOCKET_PROTOCOL),
	K("x-http-method-override", OSH_HF_METHOD_OVERRIDE),
	K("sec-websocket-extensions", OSH_HF_SEC_WEBSOCKET_EXTENSIONS),
};
#undef K

/* Index of the first known name of at least that length. */
static const uint8_t known_from[] = { 0,  0,  0,  1,  2,  4,  4,  8,  10, 10, 10, 13, 13,
				      14, 17, 20, 20, 22, 25, 26, 27, 28, 29, 31, 31, 32 };
#define KNOWN_LEN_MAX (sizeof(known_from) - 2)

static bool name_is(const char *p, const struct known *k)
{
	for (size_t i = 0; i < k->len; i++)
		if (osh_lower(p[i]) != k->name[i])
			return false;
	return true;
}

enum osh_h1_field_id osh_h1_field_id(struct osh_str name)
{
	size_t n = name.n;

	if (n < 2)
		return OSH_HF_OTHER;
	if (n <= KNOWN_LEN_MAX)
		for (size_t i = known_from[n]; i < known_from[n + 1]; i++)
			if (name_is(name.p, &known[i]))
				return (enum osh_h1_field_id)known[i].id;
	if (n > 6 && osh_lower(name.p[0]) == 'p' &&
	    osh_str_ieq(osh_str_sub(name, 0, 6), OSH_STR("proxy-")))
		return OSH_HF_PROXY_OTHER;
	return OSH_HF_OTHER;
}

/*
 * Gateways of the CGI kind read '_' as '-': Content_Length is somebody's Content-Length. Names of
 * fields that frame or route a message must not come in that spelling.
 */
static bool is_framing_twin(struct osh_str name)
{
	char dashed[20];
	enum osh_h1_field_id id;

	if (name.n > sizeof(dashed) || osh_str_find(name, '_') == name.n)
		return false;
	for (size_t i = 0; i < name.n; i++)
		dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
	id = osh_h1_field_id((struct osh_str){ dashed, name.n });
	return id == OSH_HF_CONTENT_LENGTH || id == OSH_HF_TRANSFER_ENCODING;
}

static bool id_is_hop(enum osh_h1_field_id id)
{
	switch (id) {
	case OSH_HF_CONNECTION:
	case OSH_HF_KEEP_ALIVE:
	case OSH_HF_PROXY_CONNECTION:
	case OSH_HF_PROXY_AUTHORIZATION:
	case OSH_HF_PROXY_AUTHENTICATE:
	case OSH_HF_PROXY_OTHER:
	case OSH_HF_TE:
	case OSH_HF_TRAILER:
	case OSH_HF_TRANSFER_ENCODING:
	case OSH_HF_UPGRADE:
	case OSH_HF_HTTP2_SETTINGS:
		return true;
	default:
		return false;
	}
}

/* ---- lists ---- */

/*
 * Next element of a comma-separated list, without outer blanks; false at the end. An element may be
 * empty: callers that are strict refuse it.
 */
static bool next_element(struct osh_str *rest, bool *done, struct osh_str *ret)
{
	size_t comma;

	if (*done)
		return false;
	comma = osh_str_find(*rest, ',');
	*ret = osh_str_trim(osh_str_sub(*rest, 0, comma));
	*done = comma == rest->n;
	*rest = osh_str_sub(*rest, OSH_MIN(comma + 1, rest->n), rest->n);
	return true;
}

bool osh_h1_list_has(struct osh_str list, struct osh_str token)
{
	struct osh_str item;
	bool done = false;

	while (next_element(&list, &done, &item))
		if (osh_str_ieq(item, token))
			return true;
	return false;
}

/* ---- fields with a meaning ---- */

static int take_length(struct osh_h1_head *head, struct osh_str value)
{
	uint64_t length;

	if (osh_parse_u64(value, INT64_MAX, &length) < 0)
		return bad(head, OSH_H1_BAD_LENGTH);
	if (head->length != OSH_H1_LEN_NONE && head->length != length)
		return bad(head, OSH_H1_BAD_LENGTH);
	head->length = length;
	return 0;
}

static int take_coding(struct osh_h1_head *head, struct osh_str value)
{
	if (head->chunked || !osh_str_ieq(value, OSH_STR("chunked")))
		return bad(head, OSH_H1_BAD_CODING);
	head->chunked = true;
	return 0;
}

static int take_connection(struct osh_h1_head *head, struct osh_str value)
{
	struct osh_str item;
	bool done = false;

	while (next_element(&value, &done, &item)) {
		enum osh_h1_field_id id;

		/* each is compared with every field; nobody needs more than a few */
		if (++head->n_options > OSH_H1_OPTIONS_MAX)
			return bad(head, OSH_H1_BAD_CONNECTION);
		/* Origins may send empty elements (RFC 9110 5.6.1.2); from clients we refuse them. */
		if (!item.n && head->kind == OSH_H1_RESPONSE)
			continue;
		if (!osh_h1_is_token(item))
			return bad(head, OSH_H1_BAD_CONNECTION);
		id = osh_h1_field_id(item);
		if (id == OSH_HF_HOST || id == OSH_HF_CONTENT_LENGTH ||
		    id == OSH_HF_TRANSFER_ENCODING)
			return bad(head, OSH_H1_BAD_CONNECTION);
		if (osh_str_ieq(item, OSH_STR("close")))
			head->close = true;
		else if (osh_str_ieq(item, OSH_STR("keep-alive")))
			head->keep_alive = true;
		else if (osh_str_ieq(item, OSH_STR("upgrade")))
			head->upgrade = true;
	}
	head->has_connection = true;
	return 0;
}

static void take_upgrade(struct osh_h1_head *head, struct osh_str value)
{
	struct osh_str item;
	bool done = false;

	while (next_element(&value, &done, &item)) {
		if (osh_str_ieq(item, OSH_STR("websocket")))
			head->websocket = true;
		/* "h2" must not be sent here (RFC 9113 3.1), but somebody may understand it */
		if (osh_str_ieq(item, OSH_STR("h2c")) || osh_str_ieq(item, OSH_STR("h2")))
			head->h2c = true;
	}
}

static int take_meaning(struct osh_h1_head *head, enum osh_h1_field_id id, struct osh_str value)
{
	switch (id) {
	case OSH_HF_CONTENT_LENGTH:
		return take_length(head, value);
	case OSH_HF_TRANSFER_ENCODING:
		return take_coding(head, value);
	case OSH_HF_CONNECTION:
		return take_connection(head, value);
	case OSH_HF_HOST:
		if (head->kind == OSH_H1_REQUEST && head->first[OSH_HF_HOST])
			return bad(head, OSH_H1_BAD_HOST);
		break;
	case OSH_HF_UPGRADE:
		take_upgrade(head, value);
		break;
	case OSH_HF_EXPECT:
		if (osh_str_ieq(value, OSH_STR("100-continue")))
			head->expect_continue = true;
		else
			head->expect_other = true;
		break;
	default:
		break;
	}
	return 0;
}

/* ---- lines ---- */

/*
 * Every take_* gets the line at @p, of which @n bytes are there, perhaps not all. It returns the
 * bytes it took with the line's end, 0 when the line is not complete, or an error.
 */

/* CRLF at p[i]? 1 yes, 0 not there yet, -1 something else. */
static int line_end(const char *p, size_t n, size_t i)
{
	if (i >= n)
		return 0;
	if (p[i] != '\r')
		return -1;
	if (i + 1 >= n)
		return 0;
	return p[i + 1] == '\n' ? 1 : -1;
}

/* "HTTP/1.x" at p[*i]: 1 taken, 0 not complete, -1 something else. */
static int take_version(struct osh_h1_head *head, const char *p, size_t n, size_t *i)
{
	static const char want[] = "HTTP/1.";
	size_t len = sizeof(want) - 1, have = OSH_MIN(n - *i, len);

	if (memcmp(p + *i, want, have) != 0)
		return -1;
	if (n - *i < len + 1)
		return 0;
	if (p[*i + len] != '0' && p[*i + len] != '1')
		return -1;
	head->minor = (uint8_t)(p[*i + len] - '0');
	*i += len + 1;
	return 1;
}

static ssize_t take_request_line(struct osh_h1_head *head, const char *p, size_t n)
{
	size_t i = span(p, n, C_TOKEN), target;
	int r;

	if (i == n)
		return 0;
	if (i == 0 || p[i] != ' ')
		return bad(head, i == 0 && (p[0] == '\r' || p[0] == '\n') ? OSH_H1_BAD_START_LINE
									  : OSH_H1_BAD_METHOD);
	head->method_off = 0;
	head->method_len = (uint16_t)i;
	target = ++i;
	i += span(p + i, n - i, C_TARGET);
	if (i == n)
		return 0;
	if (i == target || p[i] != ' ')
		return bad(head, OSH_H1_BAD_TARGET);
	head->target_off = (uint16_t)target;
	head->target_len = (uint16_t)(i - target);
	i++;
	r = take_version(head, p, n, &i);
	if (r > 0)
		r = line_end(p, n, i);
	if (r < 0)
		return bad(head, OSH_H1_BAD_VERSION);
	return r ? (ssize_t)i + 2 : 0;
}

static ssize_t take_status_line(struct osh_h1_head *head, const char *p, size_t n)
{
	size_t i = 0, reason;
	int r;

	r = take_version(head, p, n, &i);
	if (r < 0)
		return bad(head, OSH_H1_BAD_VERSION);
	if (r == 0 || n - i < 4)
		return 0;
	if (p[i] != ' ' || p[i + 1] < '1' || p[i + 1] > '5' || !osh_is_digit(p[i + 2]) ||
	    !osh_is_digit(p[i + 3]))
		return bad(head, OSH_H1_BAD_STATUS);
	head->status = (uint16_t)((p[i + 1] - '0') * 100 + (p[i + 2] - '0') * 10 + p[i + 3] - '0');
	i += 4;
	/* The blank before the reason is required by the grammar and missing in practice. */
	reason = i;
	if (i < n && p[i] == ' ') {
		reason = ++i;
		i += span_value(p + i, n - i, &head->high_bytes);
	}
	head->reason_off = (uint16_t)reason;
	head->reason_len = (uint16_t)(i - reason);
	r = line_end(p, n, i);
	if (r < 0)
		return bad(head, i == reason ? OSH_H1_BAD_STATUS : OSH_H1_BAD_LINE_END);
	return r ? (ssize_t)i + 2 : 0;
}

static ssize_t take_field(struct osh_h1_head *head, const char *buf, size_t at, size_t n,
			  const struct osh_h1_limits *limits)
{
	const char *p = buf + at;
	size_t i = span(p, n, C_TOKEN), from, end;
	struct osh_h1_field *field;
	enum osh_h1_field_id id;
	bool high = false;
	int r;

	if (i == n)
		return 0;
	if (i == 0)
		return bad(head, p[0] == ' ' || p[0] == '\t' ? OSH_H1_FOLDED : OSH_H1_BAD_NAME);
	if (p[i] != ':')
		return bad(head, OSH_H1_BAD_NAME);
	from = i + 1;
	while (from < n && (p[from] == ' ' || p[from] == '\t'))
		from++;
	end = from + span_value(p + from, n - from, &high);
	r = line_end(p, n, end);
	if (r < 0)
		return bad(head, p[end] == '\n' || p[end] == '\r' ? OSH_H1_BAD_LINE_END
								  : OSH_H1_BAD_VALUE);
	if (r == 0)
		return 0;
	if (head->n_fields >= OSH_MIN(limits->fields, OSH_H1_FIELDS_MAX))
		return bad(head, OSH_H1_TOO_MANY_FIELDS);
	n = end + 2;
	while (end > from && (p[end - 1] == ' ' || p[end - 1] == '\t'))
		end--;
	/* Origins do send ISO 8859-1 in values, and nothing of ours depends on those bytes. */
	if (high && head->kind == OSH_H1_REQUEST &&
	    !osh_utf8_is_valid((struct osh_str){ p + from, end - from }))
		return bad(head, OSH_H1_NOT_UTF8);
	id = osh_h1_field_id((struct osh_str){ p, i });
	if (id == OSH_HF_OTHER && head->kind == OSH_H1_REQUEST &&
	    is_framing_twin((struct osh_str){ p, i }))
		return bad(head, OSH_H1_BAD_NAME);
	if (id != OSH_HF_OTHER) {
		r = take_meaning(head, id, (struct osh_str){ p + from, end - from });
		if (r < 0)
			return r;
	}
	field = &head->fields[head->n_fields++];
	*field = (struct osh_h1_field){
		.name_off = (uint16_t)at,
		.name_len = (uint16_t)i,
		.value_off = (uint16_t)(at + from),
		.value_len = (uint16_t)(end - from),
		.id = (uint8_t)id,
		.hop = id_is_hop(id),
	};
	if (id != OSH_HF_OTHER && !head->first[id])
		head->first[id] = head->n_fields;
	return (ssize_t)n;
}

/* ---- the whole ---- */

/* Fields that Connection names belong to this hop only. */
static void mark_nominated(struct osh_h1_head *head, const char *buf)
{
	for (size_t c = head->first[OSH_HF_CONNECTION] - 1u; c < head->n_fields; c++) {
		struct osh_str list = osh_h1_value(&head->fields[c], buf), item;
		bool done = false;

		if (head->fields[c].id != OSH_HF_CONNECTION)
			continue;
		while (next_element(&list, &done, &item)) {
			if (osh_str_ieq(item, OSH_STR("close")) ||
			    osh_str_ieq(item, OSH_STR("keep-alive")))
				continue;
			for (size_t i = 0; i < head->n_fields; i++)
				if (osh_str_ieq(osh_h1_name(&head->fields[i], buf), item))
					head->fields[i].hop = 1;
		}
	}
}

static int finish(struct osh_h1_head *head, const char *buf)
{
	bool is_request = head->kind == OSH_H1_REQUEST;

	if (head->chunked && head->length != OSH_H1_LEN_NONE)
		return bad(head, OSH_H1_LENGTH_AND_CODING);
	/* HTTP/1.0 knows no codings: whoever reads this as 1.0 finds another end (RFC 9112 6.1). */
	if (head->chunked && head->minor == 0)
		return bad(head, OSH_H1_BAD_CODING);
	if (head->chunked)
		head->body = OSH_H1_BODY_CHUNKED;
	else if (head->length != OSH_H1_LEN_NONE)
		head->body = head->length ? OSH_H1_BODY_LENGTH : OSH_H1_BODY_NONE;
	else
		head->body = is_request ? OSH_H1_BODY_NONE : OSH_H1_BODY_CLOSE;
	if (head->has_connection)
		mark_nominated(head, buf);
	head->upgrade = head->upgrade && head->first[OSH_HF_UPGRADE];
	head->head_len = head->pos;
	head->state = ST_DONE;
	return 0;
}

int osh_h1_parse(struct osh_h1_head *head, const char *buf, size_t len,
		 const struct osh_h1_limits *limits)
{
	size_t max = OSH_MIN(limits->head_bytes, (uint32_t)OSH_H1_HEAD_MAX);
	size_t n = OSH_MIN(len, max);

	if (head->state == ST_DONE)
		return 0;
	if (head->state == ST_FAILED)
		return bad(head, head->error);
	while (head->pos < n) {
		const char *p = buf + head->pos;
		size_t left = n - head->pos;
		ssize_t took;

		if (head->state == ST_START) {
			took = head->kind == OSH_H1_REQUEST ? take_request_line(head, p, left)
							    : take_status_line(head, p, left);
			if (took > 0)
				head->state = ST_FIELDS;
		} else if (*p == '\r') {
			if (left >= 2 && p[1] == '\n') {
				head->pos += 2;
				return finish(head, buf);
			}
			took = left >= 2 ? bad(head, OSH_H1_BAD_LINE_END) : 0;
		} else {
			took = take_field(head, buf, head->pos, left, limits);
		}
		if (took < 0)
			return (int)took;
		if (took == 0)
			break;
		head->pos += (uint32_t)took;
	}
	return len >= max ? bad(head, OSH_H1_TOO_LONG) : -EAGAIN;
}

struct osh_str osh_h1_get(const struct osh_h1_head *head, const char *buf, enum osh_h1_field_id id)
{
	const struct osh_h1_field *field = osh_h1_find(head, id);

	return field ? osh_h1_value(field, buf) : OSH_STR_NONE;
}

unsigned int osh_h1_count(const struct osh_h1_head *head, enum osh_h1_field_id id)
{
	unsigned int n = 0;

	if (!head->first[id])
		return 0;
	for (size_t i = head->first[id] - 1u; i < head->n_fields; i++)
		n += head->fields[i].id == id;
	return n;
}

enum osh_h1_body osh_h1_response_body(const struct osh_h1_head *head, struct osh_str method)
{
	if (head->status < 200 || head->status == 204 || head->status == 304 ||
	    osh_str_is(method, "HEAD"))
		return OSH_H1_BODY_NONE;
	if (osh_str_is(method, "CONNECT") && head->status < 300)
		return OSH_H1_BODY_NONE;
	return head->body;
}

bool osh_h1_persistent(const struct osh_h1_head *head, enum osh_h1_body body)
{
	if (head->close || body == OSH_H1_BODY_CLOSE)
		return false;
	return head->minor == 1 || head->keep_alive;
}

const char *osh_h1_error_text(enum osh_h1_error error)
{
	switch (error) {
	case OSH_H1_OK:
		return "no error";
	case OSH_H1_BAD_START_LINE:
		return "malformed start line";
	case OSH_H1_BAD_METHOD:
		return "malformed method";
	case OSH_H1_BAD_TARGET:
		return "malformed request target";
	case OSH_H1_BAD_VERSION:
		return "unsupported or malformed HTTP version";
	case OSH_H1_BAD_STATUS:
		return "malformed status line";
	case OSH_H1_BAD_LINE_END:
		return "bare CR or LF";
	case OSH_H1_BAD_NAME:
		return "malformed field name";
	case OSH_H1_FOLDED:
		return "folded field line";
	case OSH_H1_BAD_VALUE:
		return "control character in field value";
	case OSH_H1_NOT_UTF8:
		return "field value is not UTF-8";
	case OSH_H1_BAD_CONNECTION:
		return "invalid Connection option";
	case OSH_H1_BAD_LENGTH:
		return "invalid or conflicting Content-Length";
	case OSH_H1_LENGTH_AND_CODING:
		return "both Content-Length and Transfer-Encoding";
	case OSH_H1_BAD_CODING:
		return "unsupported Transfer-Encoding";
	case OSH_H1_BAD_HOST:
		return "more than one Host field";
	case OSH_H1_TOO_LONG:
		return "head too large";
	case OSH_H1_TOO_MANY_FIELDS:
		return "too many header fields";
	}
	return "malformed head";
}
