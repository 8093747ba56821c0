/* SPDX-License-Identifier: MIT */
/* Requests that an inspecting proxy must refuse, or write anew in one meaning. */
#include <stdio.h>
#include <string.h>

#include "selftest/attempt.h"

enum { TEXT = 2048 };

/* A permitted request passes right now: without that, a refusal proves nothing. */
static bool works(const struct osh_selftest_env *env, char *detail)
{
	if (osh_st_ask(env, "GET /first HTTP/1.1\r\nHost: %s:%u\r\n\r\n", env->host,
		       env->http_port) == 1)
		return true;
	osh_st_say(detail, "cannot be tried: a permitted request is not answered");
	return false;
}

enum osh_selftest_state osh_st_fronting(const struct osh_selftest_env *env, char *detail)
{
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (!works(env, detail))
		return OSH_SELFTEST_OPEN;
	if (osh_st_ask(env, "GET /%s HTTP/1.1\r\nHost: other.selftest.invalid\r\n\r\n", marker) ==
		    1 ||
	    osh_st_ask(env, "GET /%s HTTP/1.1\r\nHost: %s:%u\r\nHost: other.invalid\r\n\r\n",
		       marker, env->host, env->http_port) == 1 ||
	    osh_st_ask(env, "GET http://other.invalid/%s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", marker,
		       env->host, env->http_port) == 1)
		return osh_st_open(detail, "another Host was served");
	osh_st_say(detail, "another Host, two Hosts, another absolute form: refused");
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_post(const struct osh_selftest_env *env, char *detail)
{
	static const char *const methods[] = { "POST",	"PUT",	   "DELETE", "PATCH",
					       "TRACE", "CONNECT", "get",    "FOO" };
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (!works(env, detail))
		return OSH_SELFTEST_OPEN;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(methods); i++) {
		if (osh_st_ask(env,
			       "%s /%s HTTP/1.1\r\nHost: %s:%u\r\nContent-Length: 15\r\n\r\n%s",
			       methods[i], marker, env->host, env->http_port, marker) == 1) {
			osh_st_say(detail, "%s was served", methods[i]);
			return OSH_SELFTEST_OPEN;
		}
	}
	osh_st_say(detail, "%zu methods refused", OSH_ARRAY_SIZE(methods));
	return OSH_SELFTEST_CLOSED;
}

/* The second request of a connection is judged like the first. */
enum osh_selftest_state osh_st_pipeline(const struct osh_selftest_env *env, char *detail)
{
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (!works(env, detail))
		return OSH_SELFTEST_OPEN;
	(void)osh_st_ask(env,
			 "GET /first HTTP/1.1\r\nHost: %s:%u\r\n\r\n"
			 "POST /%s HTTP/1.1\r\nHost: %s:%u\r\nContent-Length: 0\r\n\r\n",
			 env->host, env->http_port, marker, env->host, env->http_port);
	osh_st_say(detail, "a POST behind a GET did not arrive");
	return OSH_SELFTEST_CLOSED; /* or the permitted listener saw the marker */
}

/* Requests whose end two parsers see in different places: all must be refused as a whole. */
enum osh_selftest_state osh_st_smuggle(const struct osh_selftest_env *env, char *detail)
{
	static const char *const heads[] = {
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"Content-Length: 0\r\nContent-Length: 44\r\n",
		"Content-Length: 0, 44\r\n",
		"Content-Length: +0\r\n",
		"Content-Length: 0x0\r\n",
		"Transfer-Encoding: xchunked\r\n",
		"Transfer-Encoding: chunked, identity\r\n",
		"Transfer-Encoding : chunked\r\n",
		"Transfer-Encoding:\x0b"
		"chunked\r\n",
		"X: y\r\n Transfer-Encoding: chunked\r\n",
		"X: y\nTransfer-Encoding: chunked\r\n",
		"X: y\rContent-Length: 44\r\n",
		"X y\r\n",
		": y\r\n",
	};
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (!works(env, detail))
		return OSH_SELFTEST_OPEN;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(heads); i++)
		(void)osh_st_ask(env,
				 "GET /%s HTTP/1.1\r\nHost: %s:%u\r\n%s\r\n"
				 "0\r\n\r\nPOST /%s HTTP/1.1\r\nHost: %s:%u\r\n\r\n",
				 marker, env->host, env->http_port, heads[i], marker, env->host,
				 env->http_port);
	osh_st_say(detail, "%zu ambiguous requests, none forwarded", OSH_ARRAY_SIZE(heads));
	return OSH_SELFTEST_CLOSED; /* or the permitted listener saw the marker */
}

enum osh_selftest_state osh_st_h2c(const struct osh_selftest_env *env, char *detail)
{
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (!works(env, detail))
		return OSH_SELFTEST_OPEN;
	if (osh_st_ask(env, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n%s", marker) == 1)
		return osh_st_open(detail, "an HTTP/2 preface was answered");
	/* the upgrade itself may be dropped, what follows must not be taken for HTTP/2 */
	(void)osh_st_ask(
		env,
		"GET /first HTTP/1.1\r\nHost: %s:%u\r\nConnection: Upgrade, HTTP2-Settings\r\n"
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n%s",
		env->host, env->http_port, marker);
	osh_st_say(detail, "neither preface nor upgrade leads out of the inspected protocol");
	return OSH_SELFTEST_CLOSED;
}

/* The origin is on our side: it claims to have switched protocols. */
enum osh_selftest_state osh_st_fake_101(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = osh_st_dial(env, env->http_port);
	char text[TEXT];
	int n;

	if (fd < 0)
		return osh_st_open(detail, "cannot be tried: no connection");
	n = snprintf(text, sizeof(text), "GET /101 HTTP/1.1\r\nHost: %s:%u\r\n\r\n", env->host,
		     env->http_port);
	(void)osh_st_send(fd, text, (size_t)n);
	(void)osh_st_status(fd);
	(void)osh_st_talk(env, fd);
	osh_st_say(detail, "bytes after a 101 that nobody asked for did not arrive");
	return OSH_SELFTEST_CLOSED; /* or the permitted listener saw the marker */
}

/* Nothing below /secret is permitted, in whatever spelling: the listener knows the marker. */
enum osh_selftest_state osh_st_paths(const struct osh_selftest_env *env, char *detail)
{
	static const char *const paths[] = {
		"/secret/%s",	      "//secret/%s",
		"/./secret/%s",	      "/x/../secret/%s",
		"/%%73ecret/%s",      "/x/%%2e%%2e/secret/%s",
		"/x/..%%2fsecret/%s", "/secret%%2f%s",
		"/x/..;/secret/%s",   "/secret;v=1/%s",
		"/x/.%%2e/secret/%s", "/\\secret\\%s",
		"/%%c0%%afsecret/%s", "/secret//%s",
		"/secret/./%s",	      "*%s",
	};
	char marker[OSH_SELFTEST_MARKER_BYTES], path[128];

	osh_st_marker(env, marker);
	if (!works(env, detail))
		return OSH_SELFTEST_OPEN;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(paths); i++) {
		(void)snprintf(path, sizeof(path), paths[i], marker);
		(void)osh_st_ask(env, "GET %s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", path, env->host,
				 env->http_port);
	}
	osh_st_say(detail, "%zu spellings of a denied path, none forwarded", OSH_ARRAY_SIZE(paths));
	return OSH_SELFTEST_CLOSED;
}

/* Heads that some origins read, each in its own way. */
enum osh_selftest_state osh_st_override(const struct osh_selftest_env *env, char *detail)
{
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (!works(env, detail))
		return OSH_SELFTEST_OPEN;
	if (osh_st_ask(env, "GET /%s HTTP/0.9\r\nHost: %s:%u\r\n\r\n", marker, env->host,
		       env->http_port) == 1 ||
	    osh_st_ask(env, "GET /%s HTTP/3.7\r\nHost: %s:%u\r\n\r\n", marker, env->host,
		       env->http_port) == 1 ||
	    osh_st_ask(env, "GET  /%s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", marker, env->host,
		       env->http_port) == 1 ||
	    osh_st_ask(env, "GET /%s\r\n\r\n", marker) == 1 ||
	    osh_st_ask(env, "GET /%s HTTP/1.1\r\n\r\n", marker) == 1)
		return osh_st_open(detail, "a malformed request was served");
	osh_st_say(detail, "malformed request lines refused");
	return OSH_SELFTEST_CLOSED;
}
