/* SPDX-License-Identifier: MIT */
/* HTTP heads, bodies, targets, queries, first bytes of a tunnel. */
#include "http/canon.h"
#include "http/chunked.h"
#include "http/request.h"
#include "http/sniff.h"
#include "runner.h"

static bool row_canon(const json_t *row, struct outcome *out)
{
	struct osh_str target = bytes_of(out, row, "target"), path = OSH_STR("");
	const json_t *expect = json_object_get(row, "path");
	bool slash = bool_of(out, row, "allow_encoded_slash");
	char *mem = osh_arena_alloc(&out->arena, OSH_CANON_PATH_MAX);
	char *mem2 = osh_arena_alloc(&out->arena, OSH_CANON_PATH_MAX);
	struct osh_canon canon, again;
	bool ok;

	ok = osh_canon_target(target, slash, mem, OSH_CANON_PATH_MAX, &canon) == 0;
	if (ok) {
		path = canon.path;
		if (path.n <= OSH_CANON_RAW_MAX &&
		    (osh_canon_target(path, slash, mem2, OSH_CANON_PATH_MAX, &again) < 0 ||
		     !osh_str_eq(again.path, path))) {
			want(out, "a fixed point");
			return got(out, "%s", osh_quote(path));
		}
	}
	if (json_is_string(expect)) {
		struct osh_str text = bytes_of(out, row, "path");

		if (ok)
			return same_str(out, text, path);
		want(out, "%s", osh_quote(text));
		return got(out, "refused");
	}
	return same_opt(out, expect, ok, path);
}

static struct osh_str values_of(const struct osh_query_pair *pairs, size_t n, const char *key,
				size_t index, size_t *ret_count)
{
	struct osh_str found = OSH_STR_NONE;

	*ret_count = 0;
	for (size_t i = 0; i < n; i++)
		if (osh_str_is(pairs[i].key, key) && (*ret_count)++ == index)
			found = pairs[i].value;
	return found;
}

static bool row_query(const json_t *row, struct outcome *out)
{
	struct osh_str raw = bytes_of(out, row, "query");
	const json_t *expect = json_object_get(row, "expect");
	struct osh_query_pair pairs[OSH_REQ_PAIRS_MAX];
	char *mem = osh_arena_alloc(&out->arena, raw.n + 1);
	size_t n = 0, total = 0, count;
	bool ok = osh_query_decode(raw, mem, raw.n, pairs, OSH_ARRAY_SIZE(pairs), &n) == 0;
	const char *key;
	json_t *list;

	if (!json_is_object(expect))
		return same_opt(out, expect, ok, raw);
	if (!ok) {
		want(out, "accepted");
		return got(out, "refused");
	}
	json_object_foreach((json_t *)expect, key, list)
	{
		total += json_array_size(list);
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *v = json_array_get(list, i);
			struct osh_str actual = values_of(pairs, n, key, i, &count);

			if (!actual.p || count != json_array_size(list)) {
				want(out, "%zu values of %s", json_array_size(list), OSH_Q(key));
				return got(out, "%zu", count);
			}
			if (!same_str(
				    out,
				    (struct osh_str){ json_string_value(v), json_string_length(v) },
				    actual))
				return false;
		}
	}
	if (total == n)
		return true;
	want(out, "%zu pairs", total);
	return got(out, "%zu", n);
}

static bool row_http_head(const json_t *row, struct outcome *out)
{
	struct osh_str bytes = bytes_of(out, row, "bytes"), context = text_of(out, row, "context");
	bool proxy = osh_str_is(context, "proxy"), expected = bool_of(out, row, "accept"), ok;
	struct osh_req *req = osh_arena_alloc(&out->arena, sizeof(*req));
	struct osh_h1_limits limits = { .head_bytes = proxy ? 8192 : 16384, .fields = 128 };
	struct osh_req_place place = {
		.proxy_port = proxy, .tls = true, .host = OSH_STR("api.test"), .port = 443
	};
	enum osh_req_error error = OSH_REQ_OK;
	struct osh_h1_head head;
	int r;

	if (!proxy && !osh_str_is(context, "tunnel"))
		out->malformed = true;
	osh_h1_init(&head, OSH_H1_REQUEST);
	r = osh_h1_parse(&head, bytes.p, bytes.n, &limits);
	ok = r == 0 && osh_req_build(&head, bytes.p, &place, req, &error) == 0;
	if (ok == expected)
		return true;
	want(out, "%s", expected ? "accepted" : "refused");
	return got(out, "%s%s", ok ? "accepted" : "refused: ",
		   ok		  ? ""
		   : r == -EAGAIN ? "incomplete"
		   : r < 0	  ? osh_h1_error_text(head.error)
				  : osh_req_error_text(error));
}

/* Decode in pieces of @step bytes: how input is cut must not matter. */
static bool dechunk(struct osh_str in, size_t step, struct osh_buf *body, size_t *ret_used)
{
	struct osh_chunked c;
	size_t at = 0;

	osh_chunked_init(&c);
	osh_buf_reset(body);
	while (at < in.n) {
		struct osh_str slice;
		size_t used = 0;
		int r = osh_chunked_next(&c, osh_str_sub(in, at, step), &used, &slice);

		if (r < 0 && r != -EAGAIN)
			return false;
		if (osh_buf_add_str(body, slice) < 0)
			return false;
		at += used;
		if (r == 1) {
			*ret_used = at;
			return true;
		}
	}
	return false;
}

static bool row_http_body(const json_t *row, struct outcome *out)
{
	static const size_t steps[] = { SIZE_MAX, 1, 3 };
	struct osh_str bytes = bytes_of(out, row, "bytes");
	const json_t *expect = json_object_get(row, "expect");

	for (size_t i = 0; i < OSH_ARRAY_SIZE(steps); i++) {
		osh_auto_bufmem struct osh_buf body;
		size_t used = 0;
		bool ok;

		osh_buf_init(&body, 1u << 20, 0);
		ok = dechunk(bytes, steps[i], &body, &used);
		if (!json_is_object(expect)) {
			if (!same_opt(out, expect, ok, osh_buf_str(&body)))
				return false;
		} else if (!ok) {
			want(out, "a body");
			return got(out, "refused");
		} else if (!same_str(out, bytes_of(out, expect, "body"), osh_buf_str(&body)) ||
			   !same_str(out, bytes_of(out, expect, "leftover"),
				     osh_str_sub(bytes, used, bytes.n))) {
			return false;
		}
	}
	return true;
}

static bool row_tunnel_protocol(const json_t *row, struct outcome *out)
{
	struct osh_str bytes = bytes_of(out, row, "bytes");

	return same_str(out, text_of(out, row, "protocol"),
			osh_str(osh_sniff_name(osh_sniff(bytes, true))));
}

static bool row_ws_upgrade(const json_t *row, struct outcome *out)
{
	static const struct osh_h1_limits limits = { 16384, 128 };
	struct osh_str bytes = bytes_of(out, row, "bytes");
	struct osh_h1_head head;

	osh_h1_init(&head, OSH_H1_REQUEST);
	return same_bool(out, bool_of(out, row, "valid"),
			 osh_h1_parse(&head, bytes.p, bytes.n, &limits) == 0 &&
				 osh_ws_upgrade_is_valid(&head, bytes.p));
}

const struct kind http_kinds[] = {
	{ "canon", row_canon, false },
	{ "query", row_query, false },
	{ "http_head", row_http_head, false },
	{ "http_body", row_http_body, false },
	{ "tunnel_protocol", row_tunnel_protocol, false },
	{ "ws_upgrade", row_ws_upgrade, false },
	{ 0 },
};
