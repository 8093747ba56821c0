/* SPDX-License-Identifier: MIT */
/*
 * What a request costs in allocations once connections and names are known: our own code makes none,
 * libssl those it makes for each record whatever it is told (see RECORD_*). malloc() and its kin are
 * replaced in this program and so in the proxy, which is its child; calls are counted by caller.
 * With -v: every caller and its calls per request.
 */
#include "harness.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED /* brings its own malloc() */
#endif

enum {
	SITES = 512,
	WARM = 50, /* requests before counting: tables, buffers and pools fill */
	BLOCK = 200, /* requests counted together */
	/* A machine that stops for a second makes connections idle, whose buffers come back: the best
	 * of so many blocks counts. What a request allocates it allocates in all of them. */
	BLOCKS = 20,
	/*
	 * libssl 3.0 allocates for each TLS 1.3 record, whatever it is told: writing, two frames of the
	 * packet writer for the record and one for its additional data; reading, one for the latter. An
	 * exchange of small messages is a record each: client to us, us to origin, and back.
	 */
	RECORD_WRITTEN = 3,
	RECORD_READ = 1,
	RECORD_OTHER =
		8, /* with another libssl, which we have not looked into: no buffers at least */
};

/* ---- counting ---- */

struct site {
	_Atomic(void *) caller;
	atomic_ulong calls;
};

struct counts {
	atomic_int worker; /* process to count in; 0: none */
	atomic_ulong lost; /* calls for whose caller there was no room */
	struct site sites[SITES];
};

static struct counts *counts; /* shared with the proxy */

void *memalign(size_t align, size_t n);
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

#ifndef SANITIZED
static void count(void *caller)
{
	size_t at = ((uintptr_t)caller >> 2) * 2654435761u % SITES;

	if (!counts || atomic_load_explicit(&counts->worker, memory_order_relaxed) != getpid())
		return;
	for (size_t i = 0; i < SITES; i++, at = (at + 1) % SITES) {
		void *have = NULL;

		if (atomic_compare_exchange_strong(&counts->sites[at].caller, &have, caller) ||
		    have == caller) {
			atomic_fetch_add(&counts->sites[at].calls, 1);
			return;
		}
	}
	atomic_fetch_add(&counts->lost, 1);
}

#define EXPORT __attribute__((visibility("default"), noinline))
#define CALLER __builtin_return_address(0)

EXPORT void *malloc(size_t n)
{
	count(CALLER);
	return __libc_malloc(n);
}

EXPORT void *calloc(size_t n, size_t size)
{
	count(CALLER);
	return __libc_calloc(n, size);
}

EXPORT void *realloc(void *p, size_t n)
{
	count(CALLER);
	return __libc_realloc(p, n);
}

EXPORT void *memalign(size_t align, size_t n)
{
	count(CALLER);
	return __libc_memalign(align, n);
}

EXPORT void *aligned_alloc(size_t align, size_t n)
{
	count(CALLER);
	return __libc_memalign(align, n);
}

EXPORT int posix_memalign(void **ret, size_t align, size_t n)
{
	count(CALLER);
	*ret = __libc_memalign(align, n);
	return *ret ? 0 : ENOMEM;
}
#endif

struct total {
	unsigned long own, ssl;
};

/* What libssl and libcrypto call for is theirs; everything else is our doing. */
static bool is_ssl(void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) && info.dli_fname &&
	       (strstr(info.dli_fname, "/libssl.") || strstr(info.dli_fname, "/libcrypto."));
}

static struct total snapshot(void)
{
	struct total t = { .own = atomic_load(&counts->lost) };

	for (size_t i = 0; i < SITES; i++) {
		void *caller = atomic_load(&counts->sites[i].caller);

		if (caller)
			*(is_ssl(caller) ? &t.ssl : &t.own) += atomic_load(&counts->sites[i].calls);
	}
	return t;
}

static void forget(void)
{
	for (size_t i = 0; i < SITES; i++)
		atomic_store(&counts->sites[i].calls, 0);
	atomic_store(&counts->lost, 0);
}

static void print_sites(unsigned int requests)
{
	for (size_t i = 0; i < SITES; i++) {
		void *caller = atomic_load(&counts->sites[i].caller);
		unsigned long calls = atomic_load(&counts->sites[i].calls);
		Dl_info info;

		if (!caller || !calls || !dladdr(caller, &info))
			continue;
		printf("  %7.3f  %s+%#tx %s\n", (double)calls / requests, info.dli_fname,
		       (char *)caller - (char *)info.dli_fbase,
		       info.dli_sname ? info.dli_sname : "");
	}
}

/* ---- origin: answers by what the path begins with ---- */

static SSL_CTX *client_ctx;

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
	int r = io->ssl ? SSL_write(io->ssl, buf, (int)n) : (int)send(io->fd, buf, n, MSG_NOSIGNAL);

	if (r != (int)n)
		die("write");
}

static size_t make_response(const char *request, char *buf, size_t size)
{
	bool chunked = strncmp(request, "GET /chunked", 12) == 0;
	size_t body = strstr(request, " /large") ? 60000 : 1024, n;

	n = (size_t)snprintf(buf, size, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
	if (chunked)
		n += (size_t)snprintf(buf + n, size - n,
				      "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", body);
	else
		n += (size_t)snprintf(buf + n, size - n, "Content-Length: %zu\r\n\r\n", body);
	memset(buf + n, 'x', body);
	n += body;
	if (chunked)
		n += (size_t)snprintf(buf + n, size - n, "\r\n0\r\n\r\n");
	return n;
}

/* Bytes of the first message in @buf, complete or not; 0: not even its head is. */
static size_t message_bytes(const char *buf)
{
	const char *end = strstr(buf, "\r\n\r\n"), *length = strstr(buf, "Content-Length: ");

	if (!end)
		return 0;
	if (length && length < end)
		return (size_t)(end + 4 - buf) + strtoul(length + 16, NULL, 10);
	if (strstr(buf, "Transfer-Encoding: chunked")) {
		end = strstr(end + 2, "\r\n0\r\n\r\n");
		return end ? (size_t)(end + 7 - buf) : SIZE_MAX;
	}
	return (size_t)(end + 4 - buf);
}

static bool read_message(struct io *io, char *buf, size_t size)
{
	size_t have = 0, need = 0;

	while (!need || have < need) {
		int n = io_read(io, buf + have, (int)(size - 1 - have));

		if (n <= 0)
			return false;
		have += (size_t)n;
		buf[have] = '\0';
		need = message_bytes(buf);
	}
	return have == need;
}

/* Messages of several records would wait for acknowledgements otherwise. */
static int no_delay(int fd)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return fd;
}

static void *serve(void *arg)
{
	struct io *io = arg;
	char *in = calloc(1, 1 << 17), *out = calloc(1, 1 << 17);

	if (in && out && (!io->ssl || SSL_accept(io->ssl) == 1))
		while (read_message(io, in, 1 << 17))
			io_write(io, out, make_response(in, out, 1 << 17));
	SSL_free(io->ssl);
	close(io->fd);
	free(io);
	free(in);
	free(out);
	return NULL;
}

struct origin {
	int fd;
	SSL_CTX *ctx; /* NULL: plain */
};

static void *origin(void *arg)
{
	const struct origin *o = arg;
	struct io *io;
	pthread_t t;

	for (;;) {
		io = calloc(1, sizeof(*io));
		if (!io)
			die("memory");
		io->fd = no_delay(tcp_accept(o->fd, -1));
		if (io->fd < 0)
			die("accept");
		if (o->ctx) {
			io->ssl = SSL_new(o->ctx);
			SSL_set_fd(io->ssl, io->fd);
		}
		if (pthread_create(&t, NULL, serve, io) != 0)
			die("thread");
		pthread_detach(t);
	}
}

/* ---- cases ---- */

struct exchange {
	const char *what;
	const char *request; /* up to the fields that all have */
	size_t body;
	unsigned int status;
	bool tls;
	unsigned int read, written; /* records of the proxy; 0 without TLS */
};

static const struct exchange exchanges[] = {
	{ "GET", "GET /zen HTTP/1.1\r\n", 0, 200, true, 2, 2 },
	{ "GET with a query and more fields",
	  "GET /a%20b/c?x=1&y=2 HTTP/1.1\r\nAccept: */*\r\nUser-Agent: steady/1.0 (test)\r\n"
	  "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\nCookie: a=b; c=d\r\n",
	  0, 200, true, 2, 2 },
	{ "GET, answer chunked", "GET /chunked HTTP/1.1\r\n", 0, 200, true, 2, 2 },
	/* 60,000 bytes are four records each way, and one of us may hold what two of theirs did */
	{ "GET, large answer", "GET /large HTTP/1.1\r\n", 0, 200, true, 1 + 4, 1 + 5 },
	{ "POST", "POST /post/a HTTP/1.1\r\n", 4000, 200, true, 2, 2 },
	{ "POST, large", "POST /post/a HTTP/1.1\r\n", 50000, 200, true, 4 + 1, 1 + 5 + 1 },
	{ "denied", "DELETE /zen HTTP/1.1\r\n", 0, 403, true, 1, 1 },
	{ "denied with a body", "POST /zen HTTP/1.1\r\n", 4000, 403, true, 1, 1 },
	{ "GET, plain", "GET /zen HTTP/1.1\r\n", 0, 200, false, 0, 0 },
	{ "POST, plain", "POST /post/a HTTP/1.1\r\n", 4000, 200, false, 0, 0 },
	{ "denied, plain", "DELETE /zen HTTP/1.1\r\n", 0, 403, false, 0, 0 },
};

static struct harness *h;
static unsigned int passed, failed;
static bool verbose;

static void ask(struct io *io, const struct exchange *x, const char *request, size_t n)
{
	static char buf[1 << 17];
	char status[32];

	snprintf(status, sizeof(status), "HTTP/1.1 %u ", x->status);
	io_write(io, request, n);
	if (!read_message(io, buf, sizeof(buf)) || strncmp(buf, status, strlen(status)) != 0)
		die("%s: the answer (%zu bytes) is %.200s", x->what, strlen(buf), buf);
}

static size_t make_request(const struct exchange *x, char *buf, size_t size)
{
	size_t n = (size_t)snprintf(buf, size, "%sHost: %s\r\n", x->request,
				    x->tls ? "api.test" : "plain.test");

	if (x->body)
		n += (size_t)snprintf(buf + n, size - n, "Content-Length: %zu\r\n", x->body);
	n += (size_t)snprintf(buf + n, size - n, "\r\n");
	memset(buf + n, 'b', x->body);
	return n + x->body;
}

static void run(const struct exchange *x)
{
	static char request[1 << 17];
	size_t n = make_request(x, request, sizeof(request));
	bool known = OpenSSL_version_num() >> 20 == 0x300;
	unsigned long most = BLOCK * (x->read * (known ? RECORD_READ : RECORD_OTHER) +
				      x->written * (known ? RECORD_WRITTEN : RECORD_OTHER));
	struct total t = { 0 };
	struct io io = { 0 };
	bool ok = false;

	harness_transparent(h, 1, x->tls ? "api.test" : "plain.test", x->tls ? 443 : 80);
	io.fd = no_delay(harness_connect(h));
	if (x->tls) {
		io.ssl = SSL_new(client_ctx);
		SSL_set_fd(io.ssl, io.fd);
		SSL_set_tlsext_host_name(io.ssl, "api.test");
		if (SSL_connect(io.ssl) != 1)
			die("%s: no TLS with the proxy", x->what);
	}
	for (int i = 0; i < WARM; i++)
		ask(&io, x, request, n);
	for (int block = 0; block < BLOCKS && !ok; block++) {
		forget();
		for (int i = 0; i < BLOCK; i++)
			ask(&io, x, request, n);
		t = snapshot();
		/* the end of the request before the first may be counted, too */
		ok = !t.own && t.ssl <= most + most / BLOCK;
	}
	SSL_free(io.ssl);
	close(io.fd);
	*(ok ? &passed : &failed) += 1;
	printf("%s%s: own %.3f, libssl %.3f (at most %.3f) allocations a request\n",
	       ok ? "" : "FAIL ", x->what, (double)t.own / BLOCK, (double)t.ssl / BLOCK,
	       (double)most / BLOCK);
	if (!ok || verbose)
		print_sites(BLOCK);
}

int main(int argc, char **argv)
{
	struct origin tls, plain = { 0 };
	uint16_t tls_port, plain_port;
	char config[256];
	pthread_t t;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef SANITIZED
	puts("skip: the sanitizer brings its own malloc()\n0 passed, 0 failed, 1 skipped");
	return 0;
#endif
	verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (counts == MAP_FAILED)
		die("mmap");
	tls.fd = tcp_listen(&tls_port);
	plain.fd = tcp_listen(&plain_port);
	snprintf(config, sizeof(config),
		 "{\"hosts\":{\"api.test\":\"127.0.0.1:%u\",\"plain.test\":\"127.0.0.1:%u\"}}",
		 tls_port, plain_port);
	h = harness_start(config);
	harness_events_discard(h);
	client_ctx = SSL_CTX_new(TLS_client_method());
	tls.ctx = harness_origin_ctx(h, "api.test");
	if (!client_ctx || pthread_create(&t, NULL, origin, &tls) != 0 ||
	    pthread_create(&t, NULL, origin, &plain) != 0)
		die("cannot set up");
	harness_policy(h, "tests/wire/policies/basic.yaml");
	atomic_store(&counts->worker, harness_proxy_pid(h));
	for (size_t i = 0; i < OSH_ARRAY_SIZE(exchanges); i++)
		run(&exchanges[i]);
	harness_stop(h);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
