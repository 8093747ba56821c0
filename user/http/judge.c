/* SPDX-License-Identifier: MIT */
#include "http/judge.h"

#include "http/classify.h"
#include "http/request.h"
#include "http/sniff.h"

#define HEAD_MAX   16384 /* bytes of a request head in a tunnel (reference 4.5) */
#define REASON_MAX 8192

static bool has_header(const struct osh_judge_input *in, const char *name)
{
	for (size_t i = 0; i < in->nheaders; i++)
		if (osh_str_ieq(in->headers[i].name, osh_str(name)))
			return true;
	return false;
}

static bool is_ws_text(const struct osh_judge_input *in)
{
	return osh_str_is(in->method, "WEBSOCKET_TEXT");
}

/* The request as a client would send it. -EMSGSIZE when it is longer than any head may be. */
static int write_head(const struct osh_judge_input *in, struct osh_buf *out)
{
	bool v6 = osh_str_find(in->host, ':') < in->host.n;
	int r;

	r = osh_buf_add_str(out, is_ws_text(in) ? OSH_STR("GET") : in->method);
	if (!r)
		r = osh_buf_add_c(out, ' ');
	if (!r)
		r = osh_buf_add_str(out, in->target);
	if (!r)
		r = osh_buf_printf(out, " HTTP/1.1\r\n");
	if (!r && !has_header(in, "Host"))
		r = osh_buf_printf(out, "Host: %s%.*s%s:%u\r\n", v6 ? "[" : "",
				   OSH_STR_FMT(in->host), v6 ? "]" : "", in->port);
	if (!r && in->body.p && !is_ws_text(in) && !has_header(in, "Content-Length") &&
	    !has_header(in, "Transfer-Encoding"))
		r = osh_buf_printf(out, "Content-Length: %zu\r\n", in->body.n);
	for (size_t i = 0; !r && i < in->nheaders; i++) {
		r = osh_buf_add_str(out, in->headers[i].name);
		if (!r)
			r = osh_buf_printf(out, ": ");
		if (!r)
			r = osh_buf_add_str(out, in->headers[i].value);
		if (!r)
			r = osh_buf_printf(out, "\r\n");
	}
	if (!r)
		r = osh_buf_printf(out, "\r\n");
	return r;
}

/* Does the list contain text/event-stream? Parameters after ';' do not matter. */
static bool accepts_event_stream(struct osh_str accept)
{
	struct osh_str item;

	while (accept.p && osh_str_split(&accept, ',', &item)) {
		struct osh_str type = osh_str_sub(item, 0, osh_str_find(item, ';'));

		if (osh_str_ieq(osh_str_trim(type), OSH_STR("text/event-stream")))
			return true;
	}
	return false;
}

static void refuse(struct osh_judge_result *res, enum osh_reason reason, const char *text,
		   const char *arg)
{
	res->req.verdict = OSH_DECISION_DENY;
	res->req.reason = reason;
	res->req.generation = res->conn.generation;
	res->req.key = res->conn.key;
	res->req.name = res->conn.name;
	res->req.inspect = res->conn.inspect;
	res->req.text = text;
	res->req.text_arg = arg;
}

static enum osh_reason build_reason(enum osh_req_error error)
{
	switch (error) {
	case OSH_REQ_BAD_TARGET:
	case OSH_REQ_BAD_QUERY:
		return OSH_REASON_HTTP_TARGET;
	case OSH_REQ_AUTHORITY:
		return OSH_REASON_HTTP_AUTHORITY;
	case OSH_REQ_H2C:
		return OSH_REASON_HTTP_UPGRADE;
	default:
		return OSH_REASON_HTTP_PARSE;
	}
}

/* Scratch of one request. */
struct scratch {
	struct osh_h1_head head;
	struct osh_req req;
};

/* 1: @sc holds the request; 0: refused, *res says why; -ENOMEM. */
static int parse(const struct osh_judge_input *in, struct osh_buf *text, struct scratch *sc,
		 struct osh_judge_result *res)
{
	const struct osh_h1_limits limits = { HEAD_MAX, OSH_H1_FIELDS_MAX };
	const struct osh_req_place place = {
		.tls = !in->plain,
		.host = in->host,
		.port = (uint16_t)in->port,
		.allow_encoded_slash = res->conn.allow_encoded_slash,
	};
	enum osh_req_error error = OSH_REQ_OK;
	int r;

	r = write_head(in, text);
	if (r == -ENOMEM)
		return r;
	osh_h1_init(&sc->head, OSH_H1_REQUEST);
	if (!r)
		r = osh_h1_parse(&sc->head, text->data, text->len, &limits);
	if (r < 0) {
		refuse(res, r == -EMSGSIZE ? OSH_REASON_HTTP_TOO_LARGE : OSH_REASON_HTTP_PARSE,
		       "HTTP request rejected before policy evaluation",
		       osh_h1_error_text(sc->head.error));
		return 0;
	}
	r = osh_req_build(&sc->head, text->data, &place, &sc->req, &error);
	if (r < 0) {
		refuse(res, build_reason(error), "HTTP request rejected before policy evaluation",
		       osh_req_error_text(error));
		return 0;
	}
	return 1;
}

static int judge_request(const struct osh_image *img, const struct osh_idclass *cls,
			 const struct osh_judge_input *in, struct osh_arena *arena,
			 struct osh_judge_result *res)
{
	osh_auto_bufmem struct osh_buf text = { 0 }, reason = { 0 };
	struct scratch *sc = osh_arena_alloc(arena, sizeof(*sc));
	struct osh_request_facts facts = { .method = in->method, .path = in->target };
	struct osh_body_input body = { .body = in->body };
	int r;

	if (!sc)
		return -ENOMEM;
	osh_buf_init(&text, OSH_H1_HEAD_MAX, 0);
	osh_buf_init(&reason, REASON_MAX, 0);
	r = parse(in, &text, sc, res);
	if (r < 0)
		return r;
	if (r) {
		res->path = osh_arena_str(arena, sc->req.path);
		if (!res->path.p)
			return -ENOMEM;
		facts.path = res->path;
		facts.query = &sc->req.params;
		facts.has_body = sc->head.body != OSH_H1_BODY_NONE;
		facts.is_ws_upgrade = osh_ws_upgrade_is_valid(&sc->head, text.data);
		facts.is_event_stream =
			accepts_event_stream(osh_h1_get(&sc->head, text.data, OSH_HF_ACCEPT));
		body.content_type = osh_h1_get(&sc->head, text.data, OSH_HF_CONTENT_TYPE);
		body.content_encoding = osh_h1_get(&sc->head, text.data, OSH_HF_CONTENT_ENCODING);
		osh_decide_route(img, cls, in->host, in->port, facts.path, &res->route);
		body.too_large = body.body.n > res->route.max_body_bytes;
		r = is_ws_text(in) ? osh_facts_from_ws_text(&res->route, in->body, arena, &facts)
				   : osh_facts_from_body(&res->route, &body, arena, &facts);
		if (r < 0)
			return r;
		osh_decide_request(img, cls, in->host, in->port, &facts, &res->req);
	}
	r = osh_req_reason(&res->req, &facts, &reason);
	if (r < 0)
		return r == -EMSGSIZE ? 0 : r;
	res->reason = osh_arena_str(arena, osh_buf_str(&reason));
	return res->reason.p ? 0 : -ENOMEM;
}

static int explain_conn(const struct osh_image *img, const struct osh_judge_input *in,
			struct osh_arena *arena, struct osh_judge_result *res)
{
	osh_auto_bufmem struct osh_buf detail = { 0 };
	int r;

	osh_buf_init(&detail, REASON_MAX, 0);
	r = osh_conn_detail(img, in->id, in->host, in->port, &res->conn, &detail);
	if (r < 0)
		return r;
	res->reason = osh_str(osh_conn_reason(&res->conn));
	res->conn_detail = osh_arena_str(arena, osh_buf_str(&detail));
	return res->conn_detail.p ? 0 : -ENOMEM;
}

/* The proxy works with folded names from the moment it reads them. */
static int fold_host(struct osh_str host, struct osh_arena *arena, struct osh_str *ret)
{
	char *p = osh_arena_alloc(arena, host.n + 1);

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < host.n; i++)
		p[i] = osh_lower(host.p[i]);
	*ret = (struct osh_str){ p, host.n };
	return 0;
}

int osh_judge(const struct osh_image *img, const struct osh_judge_input *input,
	      struct osh_arena *arena, struct osh_judge_result *ret)
{
	osh_auto_idclass struct osh_idclass *cls = NULL;
	struct osh_judge_result res = { .conn_detail = OSH_STR(""), .reason = OSH_STR("") };
	struct osh_judge_input folded = *input;
	const struct osh_judge_input *in = &folded;
	int r;

	r = fold_host(input->host, arena, &folded.host);
	if (r < 0)
		return r;

	r = osh_idclass_new(img, in->id, &cls);
	if (r < 0)
		return r;
	osh_decide_conn(img, cls, in->host, in->port, &res.conn);
	if (res.conn.verdict != OSH_DECISION_ALLOW) {
		r = explain_conn(img, in, arena, &res);
	} else if (in->method.n) {
		res.has_request = true;
		if (res.conn.inspect != OSH_INSPECT_NONE) {
			r = judge_request(img, cls, in, arena, &res);
		} else {
			/* relayed as bytes: nobody looks at the request */
			refuse(&res, OSH_REASON_NONE, NULL, NULL);
			res.req.verdict = OSH_DECISION_ALLOW;
			res.route.found = true;
		}
	}
	if (!r)
		*ret = res;
	return r;
}
