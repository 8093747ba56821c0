/* SPDX-License-Identifier: MIT */
/*
 * Real clients against the proxy roles: curl by CONNECT, by absolute form and transparently, with a
 * TLS origin in this process. Prints one line per check and the count at the end.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

static unsigned int passed, failed;
static struct harness *h;
static char out[1 << 20];
static int out_status;

static void check(bool ok, const char *what)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s\n--- exit %d, output:\n%s\n", what, out_status, out);
	harness_events_print(h);
}

/* ---- origin ---- */

struct io {
	SSL *ssl;
	int fd;
};

static int io_read(struct io *io, char *buf, int n)
{
	return io->ssl ? SSL_read(io->ssl, buf, n) : (int)recv(io->fd, buf, (size_t)n, 0);
}

static void io_write(struct io *io, const char *buf, size_t n)
{
	if (io->ssl)
		(void)SSL_write(io->ssl, buf, (int)n);
	else
		(void)send(io->fd, buf, n, MSG_NOSIGNAL);
}

/* Answer every GET with its own head, every PUT with the number of body bytes. */
static void serve(struct io *io)
{
	char buf[65536], head[512], first[256];
	size_t have = 0;

	for (;;) {
		char *end;
		long body = 0, got;
		int n = io_read(io, buf + have, (int)(sizeof(buf) - 1 - have));

		if (n <= 0)
			return;
		have += (size_t)n;
		buf[have] = '\0';
		end = strstr(buf, "\r\n\r\n");
		if (!end)
			continue;
		snprintf(first, sizeof(first), "%.*s", (int)(strchr(buf, '\r') - buf), buf);
		if (strstr(buf, "Content-Length: "))
			body = atol(strstr(buf, "Content-Length: ") + 16);
		if (strstr(buf, "100-continue"))
			io_write(io, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		got = (long)have - (end + 4 - buf);
		while (got < body) {
			n = io_read(io, buf, sizeof(buf) - 1);
			if (n <= 0)
				return;
			got += n;
		}
		n = snprintf(head, sizeof(head), "%s body=%ld\n", first, body);
		snprintf(buf, sizeof(buf), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n,
			 head);
		io_write(io, buf, strlen(buf));
		have = 0;
	}
}

static void *serve_tls(void *arg)
{
	struct io io = { .ssl = arg, .fd = SSL_get_fd(arg) };

	if (SSL_accept(io.ssl) == 1)
		serve(&io);
	SSL_free(io.ssl);
	close(io.fd);
	return NULL;
}

static void *serve_plain(void *arg)
{
	struct io io = { .fd = (int)(intptr_t)arg };

	serve(&io);
	close(io.fd);
	return NULL;
}

struct origin {
	int fd;
	SSL_CTX *ctx;
};

static void *accept_all(void *arg)
{
	struct origin *o = arg;

	for (;;) {
		int fd = tcp_accept(o->fd, -1);
		pthread_t t;

		if (fd < 0)
			return NULL;
		if (o->ctx) {
			SSL *ssl = SSL_new(o->ctx);

			SSL_set_fd(ssl, fd);
			pthread_create(&t, NULL, serve_tls, ssl);
		} else {
			pthread_create(&t, NULL, serve_plain, (void *)(intptr_t)fd);
		}
		pthread_detach(t);
	}
}

/* ---- running a program ---- */

/* exit status in out_status, both outputs in out */
static void run(const char *const argv[])
{
	char *const env[] = { (char *)"PATH=/usr/bin:/bin", (char *)"HOME=/nonexistent", NULL };
	posix_spawn_file_actions_t fa;
	size_t have = 0;
	pid_t pid;
	int p[2], status;
	ssize_t n;

	if (pipe2(p, O_CLOEXEC) < 0)
		die("pipe");
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, p[1], 1);
	posix_spawn_file_actions_adddup2(&fa, p[1], 2);
	if (posix_spawnp(&pid, argv[0], &fa, NULL, (char *const *)(uintptr_t)argv, env) != 0)
		die("cannot run %s", argv[0]);
	posix_spawn_file_actions_destroy(&fa);
	close(p[1]);
	while ((n = read(p[0], out + have, sizeof(out) - 1 - have)) > 0)
		have += (size_t)n;
	out[have] = '\0';
	close(p[0]);
	waitpid(pid, &status, 0);
	out_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char proxy_url[64], connect_to[64];

#define CURL "curl", "-sS", "--max-time", "10", "--cacert", harness_ca_file(h)

static void explicit_connect(void)
{
	struct osh_rec rec;

	harness_explicit(h, 1);
	run((const char *const[]){ CURL, "-x", proxy_url, "https://api.test/zen", NULL });
	check(out_status == 0 && strstr(out, "GET /zen HTTP/1.1 body=0"), "GET through CONNECT");
	check(harness_event(h, OSH_REC_L7, OSH_REC_ALLOW, -1, 1000, &rec), "L7 allow event");
	run((const char *const[]){ CURL, "-x", proxy_url, "-X", "DELETE", "https://api.test/zen",
				   NULL });
	check(out_status == 0 &&
		      strstr(out, "{\"error\":\"policy_denied\",\"policy\":\"api-readonly\","
				  "\"detail\":\"DELETE /zen not permitted by policy\""),
	      "DELETE denied in the tunnel");
	check(harness_event(h, OSH_REC_L7, OSH_REC_DENY, -1, 1000, &rec), "L7 deny event");
	run((const char *const[]){ CURL, "-x", proxy_url, "https://other.test/", NULL });
	check(out_status == 56 && strstr(out, "CONNECT tunnel failed, response 403"),
	      "CONNECT denied as curl says it");
	check(harness_event(h, OSH_REC_CONNECT, OSH_REC_DENY, -1, 1000, &rec), "L4 deny event");
	harness_explicit(h, 2);
	run((const char *const[]){ CURL, "-x", proxy_url, "https://api.test/zen", NULL });
	check(out_status == 56, "another binary is denied");
	harness_explicit(h, 1);
	run((const char *const[]){ CURL, "-x", proxy_url, "-T", "/etc/services", "-H",
				   "Expect: 100-continue", "https://api.test/up", NULL });
	check(out_status == 0 && strstr(out, "PUT /up HTTP/1.1 body=1"),
	      "upload with 100-continue");
	run((const char *const[]){ CURL, "-x", proxy_url, "https://api.test/a",
				   "https://api.test/b", "https://api.test/c", NULL });
	check(out_status == 0 && strstr(out, "GET /a ") && strstr(out, "GET /b ") &&
		      strstr(out, "GET /c "),
	      "three requests on one tunnel");
}

static void absolute_form(void)
{
	harness_explicit(h, 1);
	run((const char *const[]){ CURL, "-x", proxy_url, "http://plain.test/x?y=1", NULL });
	check(out_status == 0 && strstr(out, "GET /x?y=1 HTTP/1.1"), "absolute form");
	run((const char *const[]){ CURL, "-x", proxy_url, "-X", "DELETE", "http://plain.test/x",
				   NULL });
	check(out_status == 0 && strstr(out, "not permitted by policy"), "absolute form denied");
}

static void transparent(void)
{
	char to[96];

	harness_transparent(h, 1, "api.test", 443);
	run((const char *const[]){ CURL, "--connect-to", connect_to, "https://api.test/t", NULL });
	check(out_status == 0 && strstr(out, "GET /t HTTP/1.1"), "transparent HTTPS");
	harness_transparent(h, 1, "plain.test", 80);
	run((const char *const[]){ CURL, "--connect-to", connect_to, "http://plain.test/t", NULL });
	check(out_status == 0 && strstr(out, "GET /t HTTP/1.1"), "transparent HTTP");
	harness_transparent(h, 1, "denied.test", 443);
	run((const char *const[]){ CURL, "--connect-to", connect_to, "https://denied.test/t",
				   NULL });
	check(out_status == 0 && strstr(out, "policy_denied"), "denied transparent HTTPS is told");
	harness_transparent(h, 1, "denied.test", 80);
	run((const char *const[]){ CURL, "--connect-to", connect_to, "http://denied.test/t",
				   NULL });
	check(out_status == 0 && strstr(out, "policy_denied"), "denied transparent HTTP is told");
	harness_transparent(h, 1, "10.1.2.3", 443);
	run((const char *const[]){ CURL, "--connect-to", connect_to, "https://10.1.2.3/t", NULL });
	check(out_status == 0 && strstr(out, "policy_denied"), "denied literal HTTPS is told");
	/* SNI of another host than the one the address stands for */
	harness_transparent(h, 1, "api.test", 443);
	run((const char *const[]){ CURL, "--connect-to", connect_to, "https://plain.test/t",
				   NULL });
	check(out_status == 35, "other SNI is refused");
	check(harness_event(h, OSH_REC_AUTHORITY, OSH_REC_DENY, OSH_REASON_SNI_MISMATCH, 1000,
			    NULL),
	      "other SNI is logged");
	snprintf(to, sizeof(to), "Host: plain.test");
	run((const char *const[]){ CURL, "--connect-to", connect_to, "-H", to, "https://api.test/t",
				   NULL });
	check(strstr(out, "request_authority_mismatch"), "other Host is refused");
	harness_no_record(h);
	run((const char *const[]){ CURL, "--connect-to", connect_to, "https://api.test/t", NULL });
	check(out_status == 7 || out_status == 35 || out_status == 56, "no record: reset");
}

/*
 * Clients that use each ticket once (RFC 8446 C.4) get another each time: of six connections in a row five
 * are resumed.
 */
static void tickets_for_single_use(void)
{
	static const char openssl[] =
		"rm -f \"$2\"; for i in 1 2 3 4 5 6; do in=; [ -s \"$2\" ] && in=\"-sess_in $2\";"
		"printf 'GET /s HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n' |"
		"openssl s_client -ign_eof -tls1_3 -servername api.test -connect $1 $in -sess_out \"$2.new\""
		" 2>&1 | grep -a -e '^New, ' -e '^Reused, '; mv \"$2.new\" \"$2\" || exit 1; done; rm \"$2\"";
	static const char python[] =
		"import socket, ssl, sys\n"
		"ctx = ssl.create_default_context(cafile=sys.argv[2])\n"
		"ctx.minimum_version = ssl.TLSVersion.TLSv1_3\n"
		"last = None\n"
		"for i in range(6):\n"
		"    s = ctx.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))),\n"
		"                        server_hostname='api.test', session=last)\n"
		"    s.sendall(b'GET /s HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n')\n"
		"    while s.recv(65536): pass\n"
		"    print('reused' if s.session_reused else 'new')\n"
		"    last = s.session\n"
		"    s.close()\n";
	char at[64], port[16], file[128];
	uint64_t before;

	snprintf(port, sizeof(port), "%u", harness_port(h));
	snprintf(at, sizeof(at), "127.0.0.1:%s", port);
	snprintf(file, sizeof(file), "%s.session", harness_ca_file(h));
	harness_transparent(h, 1, "api.test", 443);

	before = harness_stat(h, "resumed_client");
	run((const char *const[]){ "sh", "-c", openssl, "sh", at, file, NULL });
	check(out_status == 0 && harness_stat(h, "resumed_client") - before == 5,
	      "openssl s_client: five of six resumed");
	before = harness_stat(h, "resumed_client");
	run((const char *const[]){ "python3", "-c", python, port, harness_ca_file(h), NULL });
	check(out_status == 0 && harness_stat(h, "resumed_client") - before == 5,
	      "python: five of six resumed");
	before = harness_stat(h, "resumed_client");
	run((const char *const[]){ CURL, "--connect-to", connect_to, "-H", "Connection: close",
				   "https://api.test/1", "https://api.test/2", "https://api.test/3",
				   "https://api.test/4", "https://api.test/5", "https://api.test/6",
				   NULL });
	check(out_status == 0 && harness_stat(h, "resumed_client") - before == 5,
	      "curl: five of six resumed");
}

int main(void)
{
	struct origin tls, plain;
	uint16_t tls_port, plain_port;
	char config[512];
	pthread_t t;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	tls.fd = tcp_listen(&tls_port);
	plain.fd = tcp_listen(&plain_port);
	snprintf(config, sizeof(config),
		 "{\"hosts\":{\"api.test\":\"127.0.0.1:%u\",\"plain.test\":\"127.0.0.1:%u\"}}",
		 tls_port, plain_port);
	h = harness_start(config);
	tls.ctx = harness_origin_ctx(h, "api.test");
	plain.ctx = NULL;
	pthread_create(&t, NULL, accept_all, &tls);
	pthread_detach(t);
	pthread_create(&t, NULL, accept_all, &plain);
	pthread_detach(t);
	snprintf(proxy_url, sizeof(proxy_url), "http://127.0.0.1:%u", harness_port(h));
	snprintf(connect_to, sizeof(connect_to), "::127.0.0.1:%u", harness_port(h));
	harness_policy(h, "tests/wire/policies/basic.yaml");

	explicit_connect();
	absolute_form();
	transparent();
	tickets_for_single_use();

	harness_stop(h);
	SSL_CTX_free(tls.ctx);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
