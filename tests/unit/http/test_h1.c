/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "http/request.h"

static const struct osh_h1_limits limits = { 16384, 128 };

static int parse(struct osh_h1_head *head, enum osh_h1_kind kind, const char *text)
{
	osh_h1_init(head, kind);
	return osh_h1_parse(head, text, strlen(text), &limits);
}

static void request_is_sliced(void **state)
{
	static const char text[] = "POST /a?b HTTP/1.1\r\n"
				   "Host: api.test\r\n"
				   "Content-Length:  5 \r\n"
				   "X-Empty:\r\n"
				   "\r\nhello";
	struct osh_h1_head h;

	(void)state;
	assert_int_equal(parse(&h, OSH_H1_REQUEST, text), 0);
	assert_true(osh_str_is(osh_h1_method(&h, text), "POST"));
	assert_true(osh_str_is(osh_h1_target(&h, text), "/a?b"));
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.head_len, sizeof(text) - 1 - 5);
	assert_int_equal(h.n_fields, 3);
	assert_int_equal(h.body, OSH_H1_BODY_LENGTH);
	assert_int_equal(h.length, 5);
	assert_true(osh_str_is(osh_h1_get(&h, text, OSH_HF_HOST), "api.test"));
	assert_true(osh_str_is(osh_h1_name(&h.fields[2], text), "X-Empty"));
	assert_int_equal(h.fields[2].value_len, 0);
	assert_null(osh_h1_get(&h, text, OSH_HF_EXPECT).p);
	assert_true(osh_h1_persistent(&h, h.body));
}

static void byte_by_byte_is_the_same(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\n"
				   "X-Hop: 1\r\nExpect: 100-continue\r\n\r\n";
	struct osh_h1_head whole, h;

	(void)state;
	assert_int_equal(parse(&whole, OSH_H1_REQUEST, text), 0);
	osh_h1_init(&h, OSH_H1_REQUEST);
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(osh_h1_parse(&h, text, n, &limits), -EAGAIN);
	assert_int_equal(osh_h1_parse(&h, text, sizeof(text) - 1, &limits), 0);
	assert_int_equal(h.head_len, whole.head_len);
	assert_memory_equal(h.fields, whole.fields, h.n_fields * sizeof(h.fields[0]));
	assert_true(h.close && h.expect_continue && !h.expect_other);
	assert_false(osh_h1_persistent(&h, h.body));
	/* hop-by-hop: Connection itself and what it names */
	assert_int_equal(h.fields[0].hop, 0);
	assert_int_equal(h.fields[1].hop, 1);
	assert_int_equal(h.fields[2].hop, 1);
	assert_int_equal(h.fields[3].hop, 0);
}

static void errors_come_early(void **state)
{
	static const struct {
		const char *text;
		enum osh_h1_error error;
	} rows[] = {
		/* none of these waits for the end of the head */
		{ "GET / HTTP/1.1\n", OSH_H1_BAD_VERSION },
		{ "GET  /", OSH_H1_BAD_TARGET },
		{ "\r\n", OSH_H1_BAD_START_LINE },
		{ "\x16\x03", OSH_H1_BAD_METHOD },
		{ "GET / HTTP/2", OSH_H1_BAD_VERSION },
		{ "GET / HTTP/1.1\r\nA: b\n", OSH_H1_BAD_LINE_END },
		{ "GET / HTTP/1.1\r\nA: b\rc", OSH_H1_BAD_LINE_END },
		{ "GET / HTTP/1.1\r\n A: b", OSH_H1_FOLDED },
		{ "GET / HTTP/1.1\r\nA : b", OSH_H1_BAD_NAME },
		{ "GET / HTTP/1.1\r\nA: \x01", OSH_H1_BAD_VALUE },
		{ "GET / HTTP/1.1\r\nA: \xff\r\n", OSH_H1_NOT_UTF8 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", OSH_H1_BAD_HOST },
		{ "GET / HTTP/1.1\r\nContent-Length: +1\r\n", OSH_H1_BAD_LENGTH },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n", OSH_H1_BAD_CODING },
		{ "GET / HTTP/1.1\r\nConnection: a b\r\n", OSH_H1_BAD_CONNECTION },
		{ "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		  OSH_H1_LENGTH_AND_CODING },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", OSH_H1_BAD_CODING },
	};
	struct osh_h1_head h;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		int r = parse(&h, OSH_H1_REQUEST, rows[i].text);

		if (r != -EBADMSG || h.error != rows[i].error)
			fail_msg("row %zu: %d, %s", i, r, osh_h1_error_text(h.error));
		/* and stays refused */
		assert_int_equal(osh_h1_parse(&h, rows[i].text, strlen(rows[i].text), &limits),
				 -EBADMSG);
	}
}

static void limits_hold(void **state)
{
	static const struct osh_h1_limits tight = { 64, 2 };
	static const char fields[] = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
	char text[128] = "GET / HTTP/1.1\r\nA: ";
	struct osh_h1_head h;

	(void)state;
	memset(text + 19, 'x', sizeof(text) - 19);
	osh_h1_init(&h, OSH_H1_REQUEST);
	assert_int_equal(osh_h1_parse(&h, text, 63, &tight), -EAGAIN);
	assert_int_equal(osh_h1_parse(&h, text, 64, &tight), -EMSGSIZE);
	assert_int_equal(h.error, OSH_H1_TOO_LONG);
	memcpy(text + 60, "\r\n\r\n", 4);
	osh_h1_init(&h, OSH_H1_REQUEST);
	assert_int_equal(osh_h1_parse(&h, text, sizeof(text), &tight), 0);
	osh_h1_init(&h, OSH_H1_REQUEST);
	assert_int_equal(osh_h1_parse(&h, fields, sizeof(fields) - 1, &tight), -EMSGSIZE);
	assert_int_equal(h.error, OSH_H1_TOO_MANY_FIELDS);
}

static enum osh_h1_body response_body(const char *text, const char *method, bool *ret_persistent)
{
	struct osh_h1_head h;
	enum osh_h1_body body;

	assert_int_equal(parse(&h, OSH_H1_RESPONSE, text), 0);
	body = osh_h1_response_body(&h, osh_str(method));
	*ret_persistent = osh_h1_persistent(&h, body);
	return body;
}

static void responses_are_framed(void **state)
{
	static const struct {
		const char *text, *method;
		enum osh_h1_body body;
		bool persistent;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", OSH_H1_BODY_LENGTH, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", OSH_H1_BODY_NONE, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET",
		  OSH_H1_BODY_CHUNKED, true },
		{ "HTTP/1.1 200 OK\r\n\r\n", "GET", OSH_H1_BODY_CLOSE, false },
		{ "HTTP/1.1 200 OK\r\n\r\n", "HEAD", OSH_H1_BODY_NONE, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", OSH_H1_BODY_NONE, true },
		{ "HTTP/1.1 204 No Content\r\n\r\n", "GET", OSH_H1_BODY_NONE, true },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", OSH_H1_BODY_NONE,
		  true },
		{ "HTTP/1.1 103 Early Hints\r\n\r\n", "GET", OSH_H1_BODY_NONE, true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", OSH_H1_BODY_LENGTH,
		  false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n", "GET",
		  OSH_H1_BODY_LENGTH, true },
		{ "HTTP/1.1 200\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", "GET",
		  OSH_H1_BODY_LENGTH, false },
	};
	struct osh_h1_head h;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		bool persistent;

		if (response_body(rows[i].text, rows[i].method, &persistent) != rows[i].body ||
		    persistent != rows[i].persistent)
			fail_msg("row %zu", i);
	}
	assert_int_equal(parse(&h, OSH_H1_RESPONSE,
			       "HTTP/1.1 200 Tr\xe8s\r\nX: \xe9\r\nConnection: , close,\r\n\r\n"),
			 0);
	assert_true(h.close);
	assert_int_equal(parse(&h, OSH_H1_RESPONSE, "HTTP/1.1 099 X\r\n\r\n"), -EBADMSG);
	assert_int_equal(parse(&h, OSH_H1_RESPONSE, "HTTP/1.1 20 X\r\n\r\n"), -EBADMSG);
	assert_int_equal(parse(&h, OSH_H1_RESPONSE, "HTTP/1.1 2000 X\r\n\r\n"), -EBADMSG);
	assert_int_equal(parse(&h, OSH_H1_RESPONSE, "ICY 200 OK\r\n\r\n"), -EBADMSG);
	assert_int_equal(parse(&h, OSH_H1_RESPONSE,
			       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"),
			 -EBADMSG);
}

static void known_names_are_found(void **state)
{
	static const struct {
		const char *name;
		enum osh_h1_field_id id;
	} rows[] = {
		{ "Host", OSH_HF_HOST },
		{ "tE", OSH_HF_TE },
		{ "Via", OSH_HF_VIA },
		{ "CONTENT-LENGTH", OSH_HF_CONTENT_LENGTH },
		{ "Transfer-Encoding", OSH_HF_TRANSFER_ENCODING },
		{ "Sec-WebSocket-Extensions", OSH_HF_SEC_WEBSOCKET_EXTENSIONS },
		{ "X-HTTP-Method-Override", OSH_HF_METHOD_OVERRIDE },
		{ "X-HTTP-Method", OSH_HF_METHOD_OVERRIDE },
		{ "Proxy-Foo", OSH_HF_PROXY_OTHER },
		{ "Proxy-", OSH_HF_OTHER },
		{ "proxy-a-name-that-is-longer-than-every-known-one", OSH_HF_PROXY_OTHER },
		{ "Hos", OSH_HF_OTHER },
		{ "Hosts", OSH_HF_OTHER },
		{ "X", OSH_HF_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++)
		if (osh_h1_field_id(osh_str(rows[i].name)) != rows[i].id)
			fail_msg("%s", rows[i].name);
	assert_true(osh_h1_list_has(OSH_STR("a, Close ,b"), OSH_STR("close")));
	assert_false(osh_h1_list_has(OSH_STR("closed"), OSH_STR("close")));
}

static enum osh_req_error build(const char *text, const struct osh_req_place *place,
				struct osh_req *req)
{
	enum osh_req_error error = OSH_REQ_OK;
	struct osh_h1_head h;

	assert_int_equal(parse(&h, OSH_H1_REQUEST, text), 0);
	if (osh_req_build(&h, text, place, req, &error) == 0)
		assert_int_equal(error, OSH_REQ_OK);
	return error;
}

#define HOST "Host: api.test\r\n\r\n"

static void requests_fit_their_place(void **state)
{
	const struct osh_req_place tunnel = { .tls = true,
					      .host = OSH_STR("api.test"),
					      .port = 443 };
	const struct osh_req_place proxy = { .proxy_port = true };
	static struct osh_req req;

	(void)state;
	assert_int_equal(build("GET /a/../b?x=%41&x HTTP/1.1\r\n" HOST, &tunnel, &req), OSH_REQ_OK);
	assert_true(osh_str_is(req.path, "/b"));
	assert_true(osh_str_is(req.query, "x=%41&x"));
	assert_int_equal(req.params.n, 2);
	assert_true(osh_str_is(req.params.pairs[0].value, "A"));
	assert_string_equal(req.host, "api.test");
	assert_int_equal(req.port, 443);
	assert_int_equal(build("GET / HTTP/1.1\r\n\r\n", &tunnel, &req), OSH_REQ_NO_HOST);
	assert_int_equal(build("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &tunnel, &req),
			 OSH_REQ_BAD_HOST);
	assert_int_equal(build("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", &tunnel, &req),
			 OSH_REQ_AUTHORITY);
	assert_int_equal(build("GET / HTTP/1.1\r\nHost: api.test:80\r\n\r\n", &tunnel, &req),
			 OSH_REQ_AUTHORITY);
	assert_int_equal(build("GET https://API.test./x HTTP/1.1\r\n" HOST, &tunnel, &req),
			 OSH_REQ_OK);
	assert_int_equal(build("GET http://api.test/x HTTP/1.1\r\n" HOST, &tunnel, &req),
			 OSH_REQ_AUTHORITY);
	assert_int_equal(build("GET /%zz HTTP/1.1\r\n" HOST, &tunnel, &req), OSH_REQ_BAD_TARGET);
	assert_int_equal(build("GET /?%zz HTTP/1.1\r\n" HOST, &tunnel, &req), OSH_REQ_BAD_QUERY);
	assert_int_equal(build("GET / HTTP/1.1\r\nUpgrade: h2c\r\n" HOST, &tunnel, &req),
			 OSH_REQ_H2C);
	assert_int_equal(build("CONNECT API.test:8443 HTTP/1.1\r\n\r\n", &proxy, &req), OSH_REQ_OK);
	assert_true(req.is_connect);
	assert_string_equal(req.host, "api.test");
	assert_int_equal(req.port, 8443);
	assert_int_equal(build("GET http://API.test/x HTTP/1.1\r\n\r\n", &proxy, &req), OSH_REQ_OK);
	assert_int_equal(req.port, 80);
	assert_true(osh_str_is(req.path, "/x"));
	assert_int_equal(build("GET /x HTTP/1.1\r\n" HOST, &proxy, &req), OSH_REQ_NOT_PROXY_FORM);
	assert_int_equal(build("GET https://a/ HTTP/1.1\r\n" HOST, &proxy, &req),
			 OSH_REQ_HTTPS_URL);
	assert_int_equal(build("GET ftp://a/ HTTP/1.1\r\n" HOST, &proxy, &req), OSH_REQ_BAD_SCHEME);
}

/* The byte table against the words of RFC 9110 and 9112, one byte at a time. */
static void every_byte_has_its_class(void **state)
{
	struct osh_h1_head h;

	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		char byte = (char)c, text[64];
		bool tchar = osh_is_alnum(byte) || (c && strchr("!#$%&'*+-.^_`|~", (int)c));
		bool target = c > 0x20 && c != 0x7f, value = c == '\t' || (c >= 0x20 && c != 0x7f);
		size_t n;

		assert_int_equal(osh_h1_is_token((struct osh_str){ &byte, 1 }), tchar);
		n = (size_t)snprintf(text, sizeof(text), "GET /_ HTTP/1.1\r\n\r\n");
		text[5] = byte;
		osh_h1_init(&h, OSH_H1_REQUEST);
		assert_int_equal(osh_h1_parse(&h, text, n, &limits) == 0, target);
		n = (size_t)snprintf(text, sizeof(text),
				     "GET / HTTP/1.1\r\nA: 123456_8901234567\r\n\r\n");
		text[25] = byte;
		osh_h1_init(&h, OSH_H1_REQUEST);
		assert_int_equal(osh_h1_parse(&h, text, n, &limits) == 0, value && c < 0x80);
		n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nA_A: 1\r\n\r\n");
		text[17] = byte;
		osh_h1_init(&h, OSH_H1_REQUEST);
		/* a colon ends the name; then "A: 1" is the value */
		assert_int_equal(osh_h1_parse(&h, text, n, &limits) == 0, tchar || c == ':');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_is_sliced),
		cmocka_unit_test(byte_by_byte_is_the_same),
		cmocka_unit_test(errors_come_early),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(responses_are_framed),
		cmocka_unit_test(known_names_are_found),
		cmocka_unit_test(every_byte_has_its_class),
		cmocka_unit_test(requests_fit_their_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
