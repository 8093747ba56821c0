/* SPDX-License-Identifier: MIT */
#include "kt.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cases.h"

static void on_event(const struct osh_kev *ev, void *arg)
{
	struct event_log *log = arg;

	if (ev->type == OSH_KEV_DENY && log->denies < 64)
		memcpy(&log->deny[log->denies++], ev, sizeof(struct osh_kev_deny));
	if (ev->type == OSH_KEV_EXE && log->exes < 64)
		memcpy(&log->exe[log->exes++], ev, sizeof(struct osh_kev_exe));
	if (ev->type == OSH_KEV_TAINT && log->taints < 8)
		memcpy(&log->taint[log->taints++], ev, sizeof(struct osh_kev_taint));
}

void drain(struct kt *kt, struct event_log *log)
{
	struct osh_kern_sink sink = { .on_event = on_event, .arg = log };

	memset(log, 0, sizeof(*log));
	CHECK(osh_kern_events_drain(kt->kern, &sink, 10000) >= 0);
}

/* Run a client whose connection arrives; its record. */
bool arrives(struct kt *kt, struct kt_sandbox *sb, const char *args, int listener,
	     const char *want_out, struct osh_flow_rec *rec)
{
	char out[256];
	int fd, r;

	r = kt_client(kt, sb, args, out, sizeof(out));
	if (r != 0 || (want_out && strcmp(out, want_out) != 0)) {
		printf("client %s: exit %d, said: %s", args, r, out);
		return false;
	}
	fd = kt_accept(listener);
	if (fd < 0) {
		printf("client %s: nothing arrived\n", args);
		return false;
	}
	memset(rec, 0, sizeof(*rec));
	r = osh_flow_fetch(fd, rec);
	(void)close(fd);
	if (r < 0)
		printf("client %s: record: %s\n", args, strerror(-r));
	return r == 0;
}

bool says(struct kt *kt, struct kt_sandbox *sb, const char *args, const char *want)
{
	char out[256];

	(void)kt_client(kt, sb, args, out, sizeof(out));
	out[strcspn(out, "\n")] = '\0';
	if (strcmp(out, want) == 0)
		return true;
	printf("client %s: said %s, expected %s\n", args, out, want);
	return false;
}

static bool addr_is(const struct osh_flow_rec *rec, const char *ip, uint16_t port)
{
	unsigned char want[16] = { 0 };

	if (strchr(ip, ':')) {
		(void)inet_pton(AF_INET6, ip, want);
	} else {
		want[10] = want[11] = 0xff;
		(void)inet_pton(AF_INET, ip, want + 12);
	}
	return memcmp(rec->dst, want, 16) == 0 && rec->dst_port_be == htons(port);
}

/* ---- cases ---- */

static void redirect(struct kt *kt)
{
	struct osh_flow_rec rec;
	struct kt_sandbox sb;
	struct osh_exe exe;
	int fd;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	CHECK(says(kt, &sb, "connect plain 93.184.216.34 443", "ECONNREFUSED")); /* no policy yet */
	CHECK(kt_publish_all(kt, &sb, 7) == 0);

	CHECK(arrives(kt, &sb, "connect plain 93.184.216.34 443", sb.tcp4, "ok 93.184.216.34 443\n",
		      &rec));
	CHECK(addr_is(&rec, "93.184.216.34", 443));
	CHECK(rec.kind == OSH_FLOW_TRANSPARENT && rec.sandbox == sb.id && rec.generation == 7);
	CHECK(rec.family == AF_INET && rec.host_id == 0 && rec.exe != 0 && rec.exec_id != 0);
	CHECK(rec.uid == getuid() && rec.tgid != 0 && rec.start_ns != 0 && rec.cookie != 0);
	CHECK(rec.lineage_count == 0 && !(rec.flags & OSH_RUN_TAINTED));
	CHECK(osh_kern_exe_get(kt->kern, rec.exe, &exe) == 0 && strcmp(exe.path, kt_self()) == 0);

	CHECK(arrives(kt, &sb, "connect plain 198.18.0.7 443", sb.tcp4, "ok 198.18.0.7 443\n",
		      &rec));
	CHECK(rec.host_id == 7);
	CHECK(arrives(kt, &sb, "connect plain fd00:5b::9 8443", sb.tcp6, "ok fd00:5b::9 8443\n",
		      &rec));
	CHECK(rec.host_id == 9 && rec.family == AF_INET6);
	CHECK(arrives(kt, &sb, "connect plain 2001:db8::1 22", sb.tcp6, "ok 2001:db8::1 22\n",
		      &rec));
	CHECK(rec.host_id == 0 && addr_is(&rec, "2001:db8::1", 22));
	CHECK(arrives(kt, &sb, "connect plain ::ffff:198.18.0.9 443", sb.tcp4,
		      "ok ::ffff:198.18.0.9 443\n", &rec));
	CHECK(rec.host_id == 9 && rec.family == AF_INET && addr_is(&rec, "198.18.0.9", 443));
	CHECK(arrives(kt, &sb, "connect nonblock 10.1.2.3 80", sb.tcp4, "ok 10.1.2.3 80\n", &rec));
	CHECK(arrives(kt, &sb, "connect tfo 10.1.2.3 81", sb.tcp4, "ok 10.1.2.3 81\n", &rec));
	CHECK(arrives(kt, &sb, "connect tfoconnect 10.1.2.3 82", sb.tcp4, "ok 10.1.2.3 82\n",
		      &rec));
	CHECK(addr_is(&rec, "10.1.2.3", 82));
	CHECK(arrives(kt, &sb, "connect bound 10.1.2.3 83", sb.tcp4, "ok 10.1.2.3 83\n", &rec));
	CHECK(arrives(kt, &sb, "connect plain 127.0.0.1 3128", sb.tcp4, "ok 127.0.0.1 3128\n",
		      &rec));
	CHECK(rec.kind == OSH_FLOW_EXPLICIT);
	CHECK(arrives(kt, &sb, "connect plain ::1 3128", sb.tcp6, "ok ::1 3128\n", &rec));
	CHECK(rec.kind == OSH_FLOW_EXPLICIT);
	CHECK(arrives(kt, &sb, "connect plain 8.8.8.8 53", sb.tcp4, "ok 8.8.8.8 53\n", &rec));
	CHECK(rec.kind == OSH_FLOW_DNS_TCP);
	/* one socket, dissolved and connected anew: what was dissolved before anybody looked is nobody's */
	CHECK(says(kt, &sb, "again 127.0.0.1 3128 10.9.9.9 98", "ok 10.9.9.9 98"));
	fd = kt_accept(sb.tcp4);
	CHECK(fd >= 0 && osh_flow_fetch(fd, &rec) == -ENOENT);
	osh_close_ptr(&fd);
	fd = kt_accept(sb.tcp4);
	CHECK(fd >= 0 && osh_flow_fetch(fd, &rec) == 0);
	CHECK(rec.kind == OSH_FLOW_TRANSPARENT && addr_is(&rec, "10.9.9.9", 98));
	/* a record can be had once */
	CHECK(fd >= 0 && osh_flow_fetch(fd, &rec) == -ENOENT);
	osh_close_ptr(&fd);
	CHECK(arrives(kt, &sb, "thread 10.9.9.9 99", sb.tcp4, NULL, &rec));
	CHECK(addr_is(&rec, "10.9.9.9", 99) && rec.pid != rec.tgid);
	kt_sandbox_drop(kt, &sb);
}

static void denials(struct kt *kt)
{
	struct kt_sandbox sb;
	struct event_log log;
	char args[64];

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	drain(kt, &log);

	(void)snprintf(args, sizeof(args), "connect plain 198.18.0.1 %u", sb.k.tcp4_port);
	CHECK(says(kt, &sb, args, "ECONNREFUSED"));
	(void)snprintf(args, sizeof(args), "connect plain fd00:5b::1 %u", sb.k.tcp6_port);
	CHECK(says(kt, &sb, args, "ECONNREFUSED"));
	(void)snprintf(args, sizeof(args), "connect plain ::ffff:198.18.0.1 %u", sb.k.tcp4_port);
	CHECK(says(kt, &sb, args, "ECONNREFUSED"));
	(void)snprintf(args, sizeof(args), "connect plain 0.0.0.0 %u", sb.k.tcp4_port);
	CHECK(says(kt, &sb, args, "ECONNREFUSED"));
	drain(kt, &log);
	CHECK(log.denies == 4);
	CHECK(log.deny[0].rec.reason == OSH_KR_OWN_PORT && log.deny[0].op == OSH_KOP_CONNECT &&
	      log.deny[0].rec.sandbox == sb.id && log.deny[0].rec.exe != 0);

	CHECK(says(kt, &sb, "connect mptcp 10.0.0.1 80", "EPROTONOSUPPORT"));
	CHECK(says(kt, &sb, "socket 2 2 136", "EPROTONOSUPPORT")); /* UDP-Lite */
	CHECK(says(kt, &sb, "socket 2 3 1", "EPROTONOSUPPORT")); /* raw, even as root */
	CHECK(says(kt, &sb, "socket 10 3 255", "EPROTONOSUPPORT"));
	CHECK(says(kt, &sb, "socket 2 2 1", "EACCES")); /* ping: the kernel is first */
	CHECK(says(kt, &sb, "ask 9.9.9.9 443", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "askconn 9.9.9.9 443", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "ask 2001:db8::1 443", "ECONNREFUSED"));
	/* sorting by getaddrinfo() may connect, but nothing gets out */
	CHECK(says(kt, &sb, "connect udp 198.18.0.7 443", "ok 198.18.0.7 443"));
	CHECK(says(kt, &sb, "askconn 198.18.0.7 443", "EPERM"));

	CHECK(says(kt, &sb, "bind tcp 127.0.0.1 5555", "ok"));
	CHECK(says(kt, &sb, "bind tcp 0.0.0.0 5555", "ok"));
	CHECK(says(kt, &sb, "bind tcp ::1 5555", "ok"));
	CHECK(says(kt, &sb, "bind tcp 198.18.0.1 5555", "EADDRNOTAVAIL"));
	CHECK(says(kt, &sb, "bind udp 198.18.0.1 0", "EADDRNOTAVAIL"));
	CHECK(says(kt, &sb, "bind tcp fd00:5b::1 0", "EADDRNOTAVAIL"));
	CHECK(says(kt, &sb, "bind tcp ::ffff:198.18.0.1 0", "EADDRNOTAVAIL"));
	CHECK(says(kt, &sb, "bind tcp 127.0.0.1 3128", "EADDRNOTAVAIL"));
	(void)snprintf(args, sizeof(args), "bind tcp 0.0.0.0 %u", sb.k.tcp4_port);
	CHECK(says(kt, &sb, args, "EADDRNOTAVAIL"));
	(void)snprintf(args, sizeof(args), "bind udp 127.0.0.1 %u", sb.k.dns4_port);
	CHECK(says(kt, &sb, args, "EADDRNOTAVAIL"));
	CHECK(says(kt, &sb, "loopback 127.0.0.1", "ok"));
	CHECK(says(kt, &sb, "loopback ::1", "ok"));
	CHECK(says(kt, &sb, "connect plain 127.0.0.1 5556", "ECONNREFUSED"));

	CHECK(says(kt, &sb, "setsockopt 2 1 36", "EPERM")); /* SO_MARK */
	CHECK(says(kt, &sb, "setsockopt 2 1 25", "EPERM")); /* SO_BINDTODEVICE */
	CHECK(says(kt, &sb, "setsockopt 2 0 4", "EPERM")); /* IP_OPTIONS */
	CHECK(says(kt, &sb, "setsockopt 10 41 57", "EPERM")); /* IPV6_RTHDR */
	CHECK(says(kt, &sb, "setsockopt 10 41 1", "EPERM")); /* IPV6_ADDRFORM */
	CHECK(says(kt, &sb, "setsockopt 2 6 31", "EPERM")); /* TCP_ULP */
	CHECK(says(kt, &sb, "setsockopt 2 6 19", "EPERM")); /* TCP_REPAIR */
	CHECK(says(kt, &sb, "setsockopt 2 6 1", "ok")); /* TCP_NODELAY */
	CHECK(says(kt, &sb, "setsockopt 2 1 9", "ok")); /* SO_KEEPALIVE */

	/* quarantine, and a namespace that is no sandbox's any more */
	sb.k.flags = OSH_SB_QUARANTINE;
	CHECK(osh_kern_sandbox_add(kt->kern, &sb.k) == 0);
	CHECK(says(kt, &sb, "connect plain 10.0.0.1 80", "ECONNREFUSED"));
	CHECK(osh_kern_sandbox_remove(kt->kern, sb.id) == 0);
	CHECK(says(kt, &sb, "connect plain 10.0.0.1 80", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "connect plain 127.0.0.1 80", "ECONNREFUSED"));
	drain(kt, &log);
	CHECK(log.denies && log.deny[log.denies - 1].rec.reason == OSH_KR_NO_SANDBOX);
	kt_sandbox_drop(kt, &sb);
}

/* Answer one datagram and return its sender's record. */
static int answer(int fd, struct osh_flow_rec *rec)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	char buf[64];
	int i, r;

	for (i = 0; i < 5000; i++) {
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

		if (n >= 0)
			break;
		(void)usleep(1000);
	}
	if (i == 5000)
		return -ETIMEDOUT;
	/* sin_port and sin6_port share their place */
	r = osh_flow_fetch_dns(fd, ntohs(from.sin6_port), rec);
	if (sendto(fd, "a", 1, 0, (struct sockaddr *)&from, len) < 0)
		return -errno;
	return r;
}

static void dns_one(struct kt *kt, struct kt_sandbox *sb, const char *verb, const char *ip, int fd)
{
	char *argv[] = { (char *)kt_self(), (char[]){ "client" }, (char *)verb,
			 (char *)ip,	    (char[]){ "53" },	  NULL };
	char out[128] = "", want[128];
	struct osh_flow_rec rec = { 0 };
	int pipe_fd, status;
	pid_t pid;

	pid = kt_spawn(kt, sb, argv, NULL, &pipe_fd);
	NEED(pid > 0);
	CHECK(answer(fd, &rec) == 0);
	CHECK(rec.kind == OSH_FLOW_DNS_UDP && rec.tgid == (uint32_t)pid && addr_is(&rec, ip, 53));
	CHECK(read(pipe_fd, out, sizeof(out) - 1) > 0);
	(void)close(pipe_fd);
	CHECK(waitpid(pid, &status, 0) == pid);
	(void)snprintf(want, sizeof(want), "ok %s 53\n", ip);
	if (strcmp(out, want) != 0) {
		printf("%s %s said %s", verb, ip, out);
		kt_failures++;
	}
}

static void dns(struct kt *kt)
{
	struct kt_sandbox sb;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	dns_one(kt, &sb, "ask", "8.8.8.8", sb.dns4);
	dns_one(kt, &sb, "askconn", "1.1.1.1", sb.dns4);
	dns_one(kt, &sb, "ask", "2001:4860:4860::8888", sb.dns6);
	dns_one(kt, &sb, "askconn", "2001:4860:4860::8888", sb.dns6);
	dns_one(kt, &sb, "ask", "127.0.0.53", sb.dns4);
	dns_one(kt, &sb, "ask", "::ffff:9.9.9.9", sb.dns4);
	dns_one(kt, &sb, "askconn", "::ffff:9.9.9.9", sb.dns4);
	kt_sandbox_drop(kt, &sb);
}

int kt_copy(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n = -1;

	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (in >= 0 && out >= 0)
		while ((n = read(in, buf, sizeof(buf))) > 0)
			if (write(out, buf, (size_t)n) != n)
				break;
	osh_close_ptr(&in);
	osh_close_ptr(&out);
	return n == 0 ? 0 : -1;
}

static void identity(struct kt *kt)
{
	char copy[128], link_path[128], args[512];
	struct osh_flow_rec rec, first;
	struct osh_exe exe, other;
	struct osh_exe_key key;
	struct kt_sandbox sb;
	uint64_t size;
	int fd = -1;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	(void)snprintf(copy, sizeof(copy), "%s/copy", kt->tmp);
	(void)snprintf(link_path, sizeof(link_path), "%s/link", kt->tmp);
	NEED(kt_copy(kt_self(), copy) == 0);

	/* itself, twice: same exe id, other exec ids */
	NEED(arrives(kt, &sb, "connect plain 10.0.0.1 80", sb.tcp4, NULL, &first));
	NEED(arrives(kt, &sb, "connect plain 10.0.0.1 80", sb.tcp4, NULL, &rec));
	CHECK(rec.exe == first.exe && rec.exec_id != first.exec_id);
	NEED(osh_kern_exe_get(kt->kern, rec.exe, &exe) == 0);
	fd = open(kt_self(), O_RDONLY | O_CLOEXEC);
	CHECK(osh_kern_file_key(kt->kern, fd, &key, &size) == 0 &&
	      memcmp(&key, &exe.ident.key, sizeof(key)) == 0 && size == exe.size);
	osh_close_ptr(&fd);

	/* a child: fork + exec of another file */
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.exe != first.exe && rec.lineage_count == 1 && rec.lineage[0].exe == first.exe);
	NEED(osh_kern_exe_get(kt->kern, rec.exe, &other) == 0);
	CHECK(strcmp(other.path, copy) == 0 && (other.flags & OSH_EXE_WRITABLE));
	CHECK(memcmp(&other.ident.key, &exe.ident.key, sizeof(key)) != 0);

	/* exec in place, and a daemonised child: the chain stays */
	(void)snprintf(args, sizeof(args), "exec %s client connect plain 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.lineage_count == 1 && rec.lineage[0].exe == first.exe);
	(void)snprintf(args, sizeof(args), "orphan %s client connect plain 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.lineage_count == 1 && rec.lineage[0].exe == first.exe);

	/* a hard link is another path, and changes ctime: another id */
	CHECK(link(copy, link_path) == 0);
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", link_path);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	NEED(osh_kern_exe_get(kt->kern, rec.exe, &other) == 0);
	CHECK(strcmp(other.path, link_path) == 0);

	/* renamed while it does not run */
	(void)snprintf(args, sizeof(args), "%s/renamed", kt->tmp);
	CHECK(rename(link_path, args) == 0);
	(void)snprintf(args, sizeof(args), "spawn %s/renamed client connect plain 10.0.0.1 80",
		       kt->tmp);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	NEED(osh_kern_exe_get(kt->kern, rec.exe, &other) == 0);
	CHECK(strstr(other.path, "/renamed") != NULL);

	/* deleted while it runs: still the file that was started */
	(void)snprintf(args, sizeof(args), "spawn %s client unlink 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(osh_kern_exe_get(kt->kern, rec.exe, &other) == 0 && strcmp(other.path, copy) == 0);

	/* from memory: no path, unusable */
	(void)snprintf(args, sizeof(args), "memfd %s client connect plain 10.0.0.1 80", kt_self());
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	NEED(osh_kern_exe_get(kt->kern, rec.exe, &other) == 0);
	CHECK((other.flags & OSH_EXE_MEMFD) && (other.flags & OSH_EXE_UNUSABLE));
	CHECK(rec.lineage_count == 1 && rec.lineage[0].exe == first.exe);

	/* a thread is its process */
	NEED(arrives(kt, &sb, "thread 10.0.0.1 80", sb.tcp4, NULL, &rec));
	CHECK(rec.exe == first.exe && rec.pid != rec.tgid);

	(void)snprintf(args, sizeof(args), "%s/renamed", kt->tmp);
	CHECK(unlink(args) == 0);
	kt_sandbox_drop(kt, &sb);
}

static void scripts(struct kt *kt)
{
	char script[128], out[256], text[512];
	char *argv[] = { script, NULL };
	struct osh_flow_rec rec;
	struct kt_sandbox sb;
	struct osh_exe exe;
	FILE *f;
	int fd;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	(void)snprintf(script, sizeof(script), "%s/script", kt->tmp);
	f = fopen(script, "we");
	NEED(f != NULL);
	(void)snprintf(text, sizeof(text), "#!/bin/sh\n%s client connect plain 10.0.0.1 80\n",
		       kt_self());
	CHECK(fputs(text, f) >= 0 && fchmod(fileno(f), 0755) == 0 && fclose(f) == 0);
	CHECK(kt_run(kt, &sb, argv, out, sizeof(out)) == 0);
	fd = kt_accept(sb.tcp4);
	NEED(fd >= 0);
	CHECK(osh_flow_fetch(fd, &rec) == 0);
	(void)close(fd);
	CHECK(rec.lineage_count == 1);
	NEED(osh_kern_exe_get(kt->kern, rec.lineage[0].exe, &exe) == 0);
	CHECK((exe.flags & OSH_EXE_SCRIPT) && strcmp(exe.script, script) == 0);
	CHECK(exe.path[0] == '/' && strcmp(exe.path, script) != 0);
	(void)unlink(script);
	kt_sandbox_drop(kt, &sb);
}

static void taint(struct kt *kt)
{
	char *const preload[] = { (char[]){ "A=b" }, (char[]){ "LD_PRELOAD=/nowhere.so" }, NULL };
	char *const libpath[] = { (char[]){ "LD_LIBRARY_PATH=/nowhere" }, NULL };
	char *argv[] = { (char *)kt_self(),
			 (char[]){ "client" },
			 (char[]){ "connect" },
			 (char[]){ "plain" },
			 (char[]){ "10.0.0.1" },
			 (char[]){ "80" },
			 NULL };
	char args[256], lib[128];
	struct osh_flow_rec rec;
	struct kt_sandbox sb;
	struct event_log log;
	int fd, status;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	CHECK(kt_spawn(kt, &sb, argv, preload, NULL) > 0);
	fd = kt_accept(sb.tcp4);
	NEED(fd >= 0);
	CHECK(osh_flow_fetch(fd, &rec) == 0 && (rec.flags & OSH_RUN_PRELOAD));
	(void)close(fd);
	CHECK(kt_spawn(kt, &sb, argv, libpath, NULL) > 0);
	fd = kt_accept(sb.tcp4);
	NEED(fd >= 0);
	CHECK(osh_flow_fetch(fd, &rec) == 0 && (rec.flags & OSH_RUN_LIBPATH));
	CHECK(rec.flags & OSH_RUN_TAINTED);
	(void)close(fd);
	while (waitpid(-1, &status, 0) > 0)
		;

	(void)snprintf(lib, sizeof(lib), "%s/lib", kt->tmp);
	NEED(kt_copy("/bin/true", lib) == 0);
	(void)snprintf(args, sizeof(args), "map %s 10.0.0.1 80", lib);
	drain(kt, &log);
	CHECK(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.flags & OSH_RUN_MAPPED);
	drain(kt, &log);
	CHECK(log.taints == 1 && log.taint[0].exe == rec.exe && log.taint[0].tgid == rec.tgid);
	/* its child inherits the doubt with the lineage, and starts clean itself */
	(void)unlink(lib);
	kt_sandbox_drop(kt, &sb);
}

static int list_one(const struct osh_kern_sandbox *sb, void *arg)
{
	memcpy(arg, sb, sizeof(*sb));
	return 0;
}

static void adoption(struct kt *kt)
{
	struct osh_kern_sandbox seen = { 0 };
	osh_auto_diag struct osh_diag diag;
	struct osh_flow_rec rec, before;
	char host[OSH_HOST_LEN], out[128];
	struct kt_sandbox sb;
	uint64_t gen;
	int fd;

	osh_diag_init(&diag, NULL);
	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 42) == 0);
	CHECK(osh_kern_name_put(kt->kern, sb.id, 7, "api.example.org") == 0);
	CHECK(!osh_kern_is_adopted(kt->kern));
	CHECK(arrives(kt, &sb, "connect plain 10.0.0.1 80", sb.tcp4, NULL, &before));

	/* without a daemon: a connection waits with its record */
	kt->kern = osh_kern_free(kt->kern);
	CHECK(kt_client(kt, &sb, "connect plain 10.0.0.2 81", out, sizeof(out)) == 0);
	CHECK(kt_client(kt, &sb, "ask 9.9.9.9 9", out, sizeof(out)) == 1);
	CHECK(kt_client(kt, &sb, "socket 2 3 1", out, sizeof(out)) == 1);

	NEED(kt_restart(kt) == 0);
	CHECK(osh_kern_is_adopted(kt->kern));
	CHECK(osh_kern_verify(kt->kern, &diag) == 0);
	fd = kt_accept(sb.tcp4);
	NEED(fd >= 0);
	CHECK(osh_flow_fetch(fd, &rec) == 0 && addr_is(&rec, "10.0.0.2", 81));
	CHECK(rec.generation == 42 && rec.exe == before.exe);
	(void)close(fd);
	CHECK(osh_kern_generation(kt->kern, sb.id, &gen) == 0 && gen == 42);
	CHECK(osh_kern_name_get(kt->kern, sb.id, 7, host) == 0 && !strcmp(host, "api.example.org"));
	CHECK(osh_kern_sandbox_list(kt->kern, list_one, &seen) == 0);
	CHECK(memcmp(&seen, &sb.k, sizeof(seen)) == 0);
	CHECK(arrives(kt, &sb, "connect plain 10.0.0.3 82", sb.tcp4, "ok 10.0.0.3 82\n", &rec));
	CHECK(rec.exe == before.exe && rec.lineage_count == 0);

	/* again, and the fence is still one, not two: a chain is pushed once per exec */
	NEED(kt_restart(kt) == 0);
	(void)snprintf(out, sizeof(out), "spawn /bin/sh -c true");
	CHECK(kt_client(kt, &sb, out, host, sizeof(host)) == 0);
	(void)snprintf(out, sizeof(out), "spawn %s client connect plain 10.0.0.3 82", kt_self());
	CHECK(arrives(kt, &sb, out, sb.tcp4, NULL, &rec));
	CHECK(rec.lineage_count == 1);

	/* a link that somebody took away is noticed */
	(void)snprintf(out, sizeof(out), "%s/link_osh_connect4", kt->pin_dir);
	CHECK(unlink(out) == 0);
	CHECK(osh_kern_verify(kt->kern, &diag) == -ENOTCONN);
	kt_sandbox_drop(kt, &sb);
}

static int none(const struct osh_exe *exe, void *arg)
{
	(void)exe;
	++*(int *)arg;
	return 0;
}

static int no_task(pid_t tgid, const struct osh_task *task, void *arg)
{
	(void)tgid;
	(void)task;
	++*(int *)arg;
	return 0;
}

static void cleanup(struct kt *kt)
{
	struct osh_kern_probe const *probes;
	uint64_t counters[OSH_CTR_MAX];
	struct kt_sandbox sb;
	char out[128], host[OSH_HOST_LEN];
	int left = 0;
	size_t i, n;

	n = osh_kern_probes(kt->kern, &probes);
	for (i = 0; i < n; i++)
		CHECK(!probes[i].required || probes[i].err == 0);

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	CHECK(kt_client(kt, &sb, "loopback 127.0.0.1", out, sizeof(out)) == 0);
	CHECK(osh_kern_name_put(kt->kern, sb.id, 3, "a.example") == 0);
	CHECK(osh_kern_task_each(kt->kern, sb.id, no_task, &left) == 0 && left == 0);
	CHECK(osh_kern_exe_each(kt->kern, sb.id, none, &left) == 0 && left == 1);
	/* nobody runs it: gone after two sweeps */
	CHECK(osh_kern_exe_sweep(kt->kern, 0) == 0 && osh_kern_exe_sweep(kt->kern, 0) == 0);
	left = 0;
	CHECK(osh_kern_exe_each(kt->kern, sb.id, none, &left) == 0 && left == 0);
	CHECK(kt_client(kt, &sb, "loopback 127.0.0.1", out, sizeof(out)) == 0);
	CHECK(osh_kern_sandbox_remove(kt->kern, sb.id) == 0);
	left = 0;
	CHECK(osh_kern_exe_each(kt->kern, 0, none, &left) == 0 && left == 0);
	CHECK(osh_kern_name_get(kt->kern, sb.id, 3, host) == -ENOENT);
	CHECK(osh_kern_flow_sweep(kt->kern, 0) == 0);

	CHECK(osh_kern_counters(kt->kern, counters) == 0);
	for (i = 0; osh_kern_ctr_name((unsigned int)i); i++)
		if (osh_kern_ctr_is_anomaly((unsigned int)i) && counters[i]) {
			printf("%s: %llu\n", osh_kern_ctr_name((unsigned int)i),
			       (unsigned long long)counters[i]);
			kt_failures++;
		}
	kt_sandbox_drop(kt, &sb);
}

static const struct {
	const char *name;
	void (*fn)(struct kt *kt);
} cases[] = {
	{ "redirect", redirect },	 { "denials", denials },  { "dns", dns },
	{ "identity", identity },	 { "scripts", scripts },  { "taint", taint },
	{ "adoption", adoption },	 { "cleanup", cleanup },  { "policy", case_policy },
	{ "swap", case_swap },		 { "reuse", case_reuse }, { "mounts", case_mounts },
	{ "cheats", case_cheats },	 { "fresh", case_fresh }, { "content", case_content },
	{ "loader", case_loader },	 { "unix", case_unix },	  { "shares", case_shares },
	{ "strangers", case_strangers }, { "quota", case_quota }, { "cgroups", case_cgroups },
	{ "inspect", case_inspect },	 { "watch", case_watch }, { "flows", case_flows },
};

int main(int argc, char **argv)
{
	size_t i;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && strcmp(argv[1], "client") == 0)
		return kt_client_main(argc - 2, argv + 2);
	for (i = 0; argc == 2 && i < OSH_ARRAY_SIZE(cases); i++)
		if (strcmp(cases[i].name, argv[1]) == 0)
			return kt_main(cases[i].fn);
	for (i = 0; i < OSH_ARRAY_SIZE(cases); i++)
		puts(cases[i].name);
	return 2;
}
