/* SPDX-License-Identifier: MIT */
/*
 * Runs wire cases: text files with the bytes a client and an origin send and the exact bytes each
 * must receive; see README. Prints "N passed, N failed, 0 skipped".
 */
#include "harness.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "openshell/reason.h"
#include "sys/fs.h"

enum { WORDS = 16, TEXT_MAX = 4 << 20 };

struct step {
	unsigned int line;
	char *word[WORDS];
	int words;
	struct osh_buf text; /* strings, joined */
	bool has_text;
};

struct end {
	int fd;
	SSL *ssl;
};

struct run {
	const char *file;
	unsigned int line;
	struct end client, origin;
	bool threaded; /* the client's handshake runs beside */
	pthread_t thread;
	char why[8192];
};

static struct harness *h;
static int origin_listener;
static SSL_CTX *client_ctx;

/* ---- parsing ---- */

static int unescape(const char **p, struct osh_buf *out)
{
	const char *s = *p;
	long times = 1;
	size_t from = out->len, n;

	if (*s == '*') {
		times = strtol(s + 1, (char **)(uintptr_t)&s, 10);
		if (*s != '"')
			return -1;
	}
	for (s++; *s && *s != '"'; s++) {
		char c = *s;

		if (c == '\\') {
			c = *++s;
			if (c == 'r')
				c = '\r';
			else if (c == 'n')
				c = '\n';
			else if (c == 't')
				c = '\t';
			else if (c == '0')
				c = '\0';
			else if (c == 'x') {
				c = (char)(osh_hex_value(s[1]) << 4 | osh_hex_value(s[2]));
				s += 2;
			}
		}
		if (osh_buf_add_c(out, c) < 0)
			return -1;
	}
	if (*s != '"')
		return -1;
	*p = s + 1;
	n = out->len - from;
	while (--times > 0) {
		if (osh_buf_reserve(out, n) < 0)
			return -1;
		memcpy(out->data + out->len, out->data + from, n);
		out->len += n;
	}
	return 0;
}

/* Words and strings of one line into @st; a bad line ends the program. */
static void parse_line(struct step *st, char *line, const char *file, unsigned int no)
{
	const char *p = line;

	while (*p) {
		if (*p == ' ' || *p == '\t') {
			p++;
		} else if (*p == '#') {
			return;
		} else if (*p == '"' || (*p == '*' && (p[1] >= '0' && p[1] <= '9'))) {
			st->has_text = true;
			if (unescape(&p, &st->text) < 0)
				die("%s:%u: bad string", file, no);
		} else {
			const char *from = p;

			while (*p && *p != ' ' && *p != '\t')
				p++;
			if (st->words == WORDS)
				die("%s:%u: too many words", file, no);
			st->word[st->words++] = strndup(from, (size_t)(p - from));
		}
	}
}

static size_t parse(const char *file, char *text, struct step **ret)
{
	struct step *steps = NULL;
	size_t n = 0;
	unsigned int no = 0;
	char *save = text, *line;

	while ((line = strsep(&save, "\n")) != NULL) {
		bool more = *line == ' ' || *line == '\t';

		no++;
		if (!line[strspn(line, " \t")] || line[strspn(line, " \t")] == '#')
			continue;
		if (!more) {
			steps = realloc(steps, (n + 1) * sizeof(*steps));
			steps[n] = (struct step){ .line = no };
			osh_buf_init(&steps[n].text, TEXT_MAX, 0);
			n++;
		}
		if (!n)
			die("%s:%u: nothing to continue", file, no);
		parse_line(&steps[n - 1], line, file, no);
	}
	*ret = steps;
	return n;
}

/* ---- input and output ---- */

static ssize_t end_read(struct end *e, void *buf, size_t n)
{
	int r;

	if (!e->ssl)
		return recv(e->fd, buf, n, 0);
	ERR_clear_error();
	r = SSL_read(e->ssl, buf, (int)n);
	if (r > 0)
		return r;
	if (SSL_get_error(e->ssl, r) == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = SSL_get_error(e->ssl, r) == SSL_ERROR_SYSCALL ? errno : EPROTO;
	return -1;
}

static bool end_write(struct end *e, const char *buf, size_t n)
{
	while (n) {
		ssize_t w = e->ssl ? SSL_write(e->ssl, buf, (int)OSH_MIN(n, 1u << 20))
				   : send(e->fd, buf, n, MSG_NOSIGNAL);

		if (w <= 0)
			return false;
		buf += w;
		n -= (size_t)w;
	}
	return true;
}

static void end_close(struct end *e)
{
	if (e->ssl) {
		(void)SSL_shutdown(e->ssl);
		SSL_free(e->ssl);
	}
	if (e->fd >= 0)
		close(e->fd);
	*e = (struct end){ .fd = -1 };
}

static void escape(char *dst, size_t size, const char *s, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + 8 < size; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\r')
			at += (size_t)snprintf(dst + at, size - at, "\\r");
		else if (c == '\n')
			at += (size_t)snprintf(dst + at, size - at, "\\n");
		else if (c < 0x20 || c >= 0x7f)
			at += (size_t)snprintf(dst + at, size - at, "\\x%02x", c);
		else
			dst[at++] = (char)c;
	}
	dst[at] = '\0';
}

static bool fail(struct run *r, const char *what, const char *got, size_t n)
{
	char text[6000];

	escape(text, sizeof(text), got, n);
	snprintf(r->why, sizeof(r->why), "%s; got %zu bytes: \"%s\"", what, n, text);
	return false;
}

static bool expect(struct run *r, struct end *e, const struct osh_buf *want)
{
	osh_auto_bufmem struct osh_buf got;

	osh_buf_init(&got, TEXT_MAX, 0);
	while (got.len < want->len) {
		ssize_t n;

		if (osh_buf_reserve(&got, 65536) < 0)
			return fail(r, "memory", "", 0);
		n = end_read(e, got.data + got.len, OSH_MIN(want->len - got.len, (size_t)65536));
		if (n <= 0)
			return fail(r, n ? strerror(errno) : "end of stream", got.data, got.len);
		got.len += (size_t)n;
		if (memcmp(got.data, want->data, got.len) != 0)
			break;
	}
	if (got.len == want->len && !memcmp(got.data, want->data, got.len))
		return true;
	return fail(r, "other bytes than expected", got.data, got.len);
}

/* A whole response: head, then the body by its Content-Length. */
static bool expect_status(struct run *r, struct end *e, const char *status,
			  const struct osh_buf *has)
{
	osh_auto_bufmem struct osh_buf got;
	char *end = NULL, *cl;
	size_t want = 0;

	osh_buf_init(&got, TEXT_MAX, 0);
	while (!end || got.len < want) {
		ssize_t n;

		if (osh_buf_reserve(&got, 65536) < 0)
			return fail(r, "memory", "", 0);
		n = end_read(e, got.data + got.len, end ? want - got.len : 1);
		if (n <= 0)
			return fail(r, n ? strerror(errno) : "end of stream",
				    got.data ? got.data : "", got.len);
		got.len += (size_t)n;
		got.data[got.len] = '\0';
		end = strstr(got.data, "\r\n\r\n");
		if (!end)
			continue;
		cl = strstr(got.data, "Content-Length: ");
		want = (size_t)(end + 4 - got.data) + (cl ? (size_t)strtoul(cl + 16, NULL, 10) : 0);
	}
	if (strncmp(got.data + 9, status, 3) != 0)
		return fail(r, "other status than expected", got.data, got.len);
	if (has->len && !memmem(got.data, got.len, has->data, has->len))
		return fail(r, "text not found", got.data, got.len);
	return true;
}

/* @orderly: the stream must end with FIN (and close_notify), else any end will do. */
static bool expect_end(struct run *r, struct end *e, bool orderly)
{
	char buf[4096];
	ssize_t n = end_read(e, buf, sizeof(buf));

	if (n > 0)
		return fail(r, "bytes instead of the end", buf, (size_t)n);
	if (n < 0 && errno == EAGAIN)
		return fail(r, "still open", "", 0);
	if (n < 0 && orderly)
		return fail(r, strerror(errno), "", 0);
	if (n == 0 && !orderly && !e->ssl)
		return fail(r, "orderly end instead of a reset", "", 0);
	return true;
}

static bool expect_silence(struct run *r, struct end *e, int ms)
{
	struct pollfd p = { .fd = e->fd, .events = POLLIN };

	if (poll(&p, 1, ms) != 0)
		return fail(r, "not silent", "", 0);
	return true;
}

/* ---- steps ---- */

static bool client_tls(struct run *r, const char *sni)
{
	r->client.ssl = SSL_new(client_ctx);
	SSL_set_fd(r->client.ssl, r->client.fd);
	if (strcmp(sni, "-") != 0)
		SSL_set_tlsext_host_name(r->client.ssl, sni);
	SSL_set1_host(r->client.ssl, strcmp(sni, "-") != 0 ? sni : "api.test");
	if (SSL_connect(r->client.ssl) == 1)
		return true;
	return fail(r, "TLS handshake of the client failed", "", 0);
}

/* Send a ClientHello and finish the handshake in a thread of its own: the origin is this process. */
static void *finish_handshake(void *arg)
{
	SSL *ssl = arg;

	(void)SSL_connect(ssl);
	return NULL;
}

/* A HelloRetryRequest came: the second hello shall carry another name. */
static void on_message(int write_p, int version, int type, const void *buf, size_t n, SSL *ssl,
		       void *second)
{
	(void)version;
	if (!write_p && type == SSL3_RT_HANDSHAKE && n &&
	    *(const char *)buf == SSL3_MT_SERVER_HELLO)
		SSL_set_tlsext_host_name(ssl, (const char *)second);
}

/* @second: the name of the second hello, if one is asked for; NULL: the same */
static bool client_hello(struct run *r, const char *sni, char *second)
{
	r->client.ssl = SSL_new(client_ctx);
	SSL_set_verify(r->client.ssl, SSL_VERIFY_NONE, NULL);
	SSL_set_fd(r->client.ssl, r->client.fd);
	if (strcmp(sni, "-") != 0)
		SSL_set_tlsext_host_name(r->client.ssl, sni);
	if (second) {
		(void)SSL_set1_groups_list(r->client.ssl, "X25519:P-384");
		SSL_set_msg_callback(r->client.ssl, on_message);
		SSL_set_msg_callback_arg(r->client.ssl, second);
	}
	r->threaded = pthread_create(&r->thread, NULL, finish_handshake, r->client.ssl) == 0;
	return r->threaded;
}

static bool origin_accept(struct run *r, const char *tls_host, const char *groups)
{
	SSL_CTX *ctx;

	end_close(&r->origin);
	r->origin.fd = tcp_accept(origin_listener, 3000);
	if (r->origin.fd < 0)
		return fail(r, "nobody connected to the origin", "", 0);
	if (!tls_host)
		return true;
	ctx = harness_origin_ctx(h, tls_host);
	r->origin.ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	if (groups)
		(void)SSL_set1_groups_list(r->origin.ssl, groups);
	SSL_set_fd(r->origin.ssl, r->origin.fd);
	if (SSL_accept(r->origin.ssl) == 1)
		return true;
	return fail(r, "TLS handshake of the origin failed", "", 0);
}

static int reason_of(const char *token)
{
#define X_TOKEN(name, tok, text) \
	if (!strcmp(tok, token)) \
		return OSH_REASON_##name;
	OSH_REASONS(X_TOKEN)
#undef X_TOKEN
	die("no such reason: %s", token);
}

static bool is(const struct step *s, int i, const char *word)
{
	return i < s->words && !strcmp(s->word[i], word);
}

static bool step_client(struct run *r, struct step *s)
{
	if (is(s, 1, "explicit"))
		harness_explicit(h, s->words > 2 ? (uint32_t)strtoul(s->word[2], NULL, 10) : 1);
	else if (is(s, 1, "transparent") && s->words >= 4)
		harness_transparent(h, 1, s->word[2], (uint16_t)strtoul(s->word[3], NULL, 10));
	else
		die("%s:%u: client what?", r->file, s->line);
	end_close(&r->client);
	r->client.fd = harness_connect(h);
	return true;
}

static bool step_connect(struct run *r, struct step *s)
{
	char text[600];

	harness_explicit(h, 1);
	end_close(&r->client);
	r->client.fd = harness_connect(h);
	snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", s->word[1],
		 s->word[1]);
	if (!end_write(&r->client, text, strlen(text)))
		return fail(r, "cannot send CONNECT", "", 0);
	osh_buf_reset(&s->text);
	(void)!osh_buf_add_str(&s->text, OSH_STR("HTTP/1.1 200 Connection Established\r\n\r\n"));
	return expect(r, &r->client, &s->text);
}

static bool step_event(struct run *r, struct step *s)
{
	int class = -1, verdict = -1, reason = -1;

	for (int i = 1; i < s->words; i++) {
		if (!strcmp(s->word[i], "deny"))
			verdict = OSH_REC_DENY;
		else if (!strcmp(s->word[i], "allow"))
			verdict = OSH_REC_ALLOW;
		else if (!strcmp(s->word[i], "audit"))
			verdict = OSH_REC_AUDIT;
		else if (!strncmp(s->word[i], "reason=", 7))
			reason = reason_of(s->word[i] + 7);
		else
			for (class = 0; class < OSH_REC_CLASS_COUNT; class ++)
				if (osh_rec_class_name((unsigned int)class) &&
				    !strcmp(osh_rec_class_name((unsigned int)class), s->word[i]))
					break;
	}
	if (harness_event(h, class, verdict, reason, 2000, NULL))
		return true;
	return fail(r, "no such event", "", 0);
}

static bool on_end(struct run *r, struct step *s, struct end *e, int i)
{
	if (r->threaded && e == &r->client) {
		pthread_join(r->thread, NULL);
		r->threaded = false;
	}
	if (e->fd < 0)
		return fail(r, "not connected", "", 0);
	if (is(s, i, "send"))
		return end_write(e, s->text.data, s->text.len) ? true
							       : fail(r, "cannot send", "", 0);
	if (is(s, i, "recv"))
		return expect(r, e, &s->text);
	if (is(s, i, "status"))
		return expect_status(r, e, s->word[i + 1], &s->text);
	if (is(s, i, "eof"))
		return expect_end(r, e, true);
	if (is(s, i, "reset"))
		return expect_end(r, e, false);
	if (is(s, i, "silent"))
		return expect_silence(r, e, 100);
	if (is(s, i, "close")) {
		end_close(e);
		return true;
	}
	if (is(s, i, "half")) {
		if (e->ssl)
			(void)SSL_shutdown(e->ssl);
		return shutdown(e->fd, SHUT_WR) == 0;
	}
	die("%s:%u: unknown step", r->file, s->line);
}

static bool step(struct run *r, struct step *s)
{
	char path[256];

	r->line = s->line;
	if (is(s, 0, "policy")) {
		snprintf(path, sizeof(path), "tests/wire/policies/%s.yaml", s->word[1]);
		harness_policy(h, path);
		return true;
	}
	if (is(s, 0, "client"))
		return step_client(r, s);
	if (is(s, 0, "connect"))
		return step_connect(r, s);
	if (is(s, 0, "tls"))
		return client_tls(r, s->word[1]);
	if (is(s, 0, "rawtls"))
		return client_hello(r, s->word[1], s->words > 2 ? s->word[2] : NULL);
	if (is(s, 0, "event"))
		return step_event(r, s);
	if (is(s, 0, "origin") && is(s, 1, "accept"))
		return origin_accept(r, s->words > 3 ? s->word[3] : NULL,
				     s->words > 4 ? s->word[4] : NULL);
	if (is(s, 0, "origin") && is(s, 1, "retry")) {
		/* asks for a second hello; no handshake must come of it */
		SSL_CTX *ctx = harness_origin_ctx(h, s->word[2]);

		r->origin.ssl = SSL_new(ctx);
		SSL_CTX_free(ctx);
		(void)SSL_set1_groups_list(r->origin.ssl, s->word[3]);
		SSL_set_fd(r->origin.ssl, r->origin.fd);
		return SSL_accept(r->origin.ssl) != 1
			       ? true
			       : fail(r, "the second hello came through", "", 0);
	}
	if (is(s, 0, "origin") && is(s, 1, "badtls")) {
		/* shows a certificate for another name; the proxy must break off */
		SSL_CTX *ctx = harness_origin_ctx(h, s->word[2]);

		r->origin.ssl = SSL_new(ctx);
		SSL_CTX_free(ctx);
		SSL_set_fd(r->origin.ssl, r->origin.fd);
		return SSL_accept(r->origin.ssl) != 1 ||
				       SSL_read(r->origin.ssl, path, sizeof(path)) <= 0
			       ? true
			       : fail(r, "the proxy took a wrong certificate", "", 0);
	}
	if (is(s, 0, "origin") && is(s, 1, "none"))
		return tcp_accept(origin_listener, 50) < 0 ? true
							   : fail(r, "somebody connected", "", 0);
	if (is(s, 0, "origin"))
		return on_end(r, s, &r->origin, 1);
	return on_end(r, s, &r->client, 0);
}

/* Steps from @at up to the next "case"; *ret_next is where that is. */
static bool run_case(const char *file, struct step *steps, size_t n, size_t at, size_t *ret_next)
{
	struct run r = { .file = file, .client.fd = -1, .origin.fd = -1 };
	const char *name = is(&steps[at], 0, "case") ? steps[at++].word[1] : "";
	bool ok = true;

	harness_events_clear(h);
	for (; at < n && !is(&steps[at], 0, "case"); at++)
		if (ok)
			ok = step(&r, &steps[at]);
	*ret_next = at;
	if (!ok) {
		printf("FAIL %s:%u %s: %s\n", file, r.line, name, r.why);
		harness_events_print(h);
	}
	if (r.threaded)
		pthread_join(r.thread, NULL);
	end_close(&r.client);
	end_close(&r.origin);
	for (int fd; (fd = tcp_accept(origin_listener, 0)) >= 0;)
		close(fd);
	if (!harness_quiet(h, 3000)) {
		printf("FAIL %s %s: connections are left over\n", file, name);
		ok = false;
	}
	return ok;
}

static void run_file(const char *file, unsigned int *passed, unsigned int *failed)
{
	osh_auto_bufmem struct osh_buf text;
	struct step *steps;
	size_t n, at = 0;

	osh_buf_init(&text, TEXT_MAX, 0);
	if (osh_fs_read(file, TEXT_MAX, &text) < 0)
		die("cannot read %s", file);
	n = parse(file, text.data, &steps);
	while (at < n) {
		if (run_case(file, steps, n, at, &at))
			++*passed;
		else
			++*failed;
	}
	for (size_t i = 0; i < n; i++) {
		osh_buf_fini(&steps[i].text);
		for (int w = 0; w < steps[i].words; w++)
			free(steps[i].word[w]);
	}
	free(steps);
}

static void trust_sandbox_ca(void)
{
	client_ctx = SSL_CTX_new(TLS_client_method());
	if (!client_ctx || SSL_CTX_load_verify_locations(client_ctx, harness_ca_file(h), NULL) != 1)
		die("cannot load the sandbox's CA");
	SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0;
	uint16_t port;
	char config[1024];

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	origin_listener = tcp_listen(&port);
	snprintf(config, sizeof(config),
		 "{\"hosts\":{\"api.test\":\"127.0.0.1:%u\",\"plain.test\":\"127.0.0.1:%u\","
		 "\"raw.test\":\"127.0.0.1:%u\",\"dead.test\":\"127.0.0.1:1\","
		 "\"2001:db8::9\":\"127.0.0.1:%u\",\"::ffff:9.9.9.9\":\"127.0.0.1:%u\","
		 "\"9.9.9.9\":\"127.0.0.1:%u\"},"
		 "\"timeouts_ms\":{\"head\":1000,\"linger\":300,\"dial\":2000,\"deny_sniff\":200,"
		 "\"idle\":2000}}",
		 port, port, port, port, port, port);
	h = harness_start(config);
	trust_sandbox_ca();
	harness_policy(h, "tests/wire/policies/basic.yaml");
	for (int i = 1; i < argc; i++)
		run_file(argv[i], &passed, &failed);
	SSL_CTX_free(client_ctx);
	harness_stop(h);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
