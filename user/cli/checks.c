/* SPDX-License-Identifier: MIT */
/* What this system offers, asked of the kernel itself: the daemon need not run. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>

#include "cli/doctor.h"
#include "cli/out.h"
#include "sys/cgroup.h"

static void check(struct osh_json *j, const char *name, const char *status, const char *hint,
		  const char *fmt, ...) OSH_PRINTF(5, 6);
static void check(struct osh_json *j, const char *name, const char *status, const char *hint,
		  const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	osh_json_obj(j);
	osh_json_kz(j, "name", name);
	osh_json_kz(j, "status", status);
	osh_json_kz(j, "detail", text);
	osh_json_kz(j, "hint", hint);
	osh_json_obj_end(j);
}

/* ---- BPF ---- */

/* Load "return 1" as a program of this type. 0 or -errno. */
static int try_program(uint32_t type, uint32_t attach)
{
	/* r0 = 1; exit */
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.insns = (uint64_t)(uintptr_t)code;
	attr.insn_cnt = OSH_ARRAY_SIZE(code);
	attr.license = (uint64_t)(uintptr_t) "Dual MIT/GPL";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static void check_bpf(struct osh_json *j)
{
	static const struct {
		const char *name;
		uint32_t type, attach;
		bool required;
	} rows[] = {
		{ "BPF connect (IPv4)", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT,
		  true },
		{ "BPF connect (IPv6)", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_CONNECT,
		  true },
		{ "BPF sendmsg", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_SENDMSG, true },
		{ "BPF socket creation", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE,
		  true },
		{ "BPF packets", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, true },
		{ "BPF getsockopt", BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT, true },
		{ "BPF sock_ops", BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, true },
		{ "BPF tracepoints", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, true },
	};

	if (geteuid() != 0) {
		check(j, "BPF programs", "warn", "run it as root to have them tried", "not tried");
		return;
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		int r = try_program(rows[i].type, rows[i].attach);

		check(j, rows[i].name,
		      r == 0		 ? "ok"
		      : rows[i].required ? "fail"
					 : "warn",
		      r == 0		 ? NULL
		      : r == -EPERM	 ? "this host does not let root load BPF programs: check "
					   "lockdown, containers and kernel.unprivileged_bpf_disabled"
		      : rows[i].required ? "use a kernel with CONFIG_CGROUP_BPF, 6.1 or newer"
					 : NULL,
		      "%s", r == 0 ? "the kernel takes it" : strerror(-r));
	}
}

static void check_lsm(struct osh_json *j)
{
	osh_auto_close int fd = open("/sys/kernel/security/lsm", O_RDONLY | O_CLOEXEC);
	char text[256] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	bool on = n > 0 && strstr(text, "bpf");

	check(j, "BPF LSM", on ? "ok" : "warn",
	      on ? NULL : "boot with lsm=...,bpf for an extra layer; the others hold without it",
	      "%s", n > 0 ? text : "not readable");
}

/* ---- the rest ---- */

static void check_kernel(struct osh_json *j)
{
	bool btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	bool seccomp = access("/proc/sys/kernel/seccomp/actions_avail", R_OK) == 0;
	char mount[4096];
	/* LANDLOCK_CREATE_RULESET_VERSION */
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);

	check(j, "BTF", btf ? "ok" : "fail",
	      btf ? NULL : "use a kernel built with CONFIG_DEBUG_INFO_BTF", "%s",
	      btf ? "/sys/kernel/btf/vmlinux" : "/sys/kernel/btf/vmlinux is not there");
	if (osh_cgroup_mount(mount, sizeof(mount)) == 0)
		check(j, "cgroup v2", "ok", NULL, "%s", mount);
	else
		check(j, "cgroup v2", "fail",
		      "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified", "not mounted");
	check(j, "Landlock",
	      abi >= 3	? "ok"
	      : abi > 0 ? "warn"
			: "fail",
	      abi >= 3 ? NULL : "boot with landlock in lsm=, on kernel 6.2 or newer",
	      abi > 0 ? "ABI %ld" : "not available", abi);
	check(j, "seccomp", seccomp ? "ok" : "fail",
	      seccomp ? NULL : "use a kernel with CONFIG_SECCOMP_FILTER", "filters");
}

static void check_users(struct osh_json *j)
{
	static const char *const users[] = { "openshell", "openshell-ca", "sandbox" };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(users); i++) {
		const struct passwd *pw = getpwnam(users[i]);
		char name[48], hint[160];

		(void)snprintf(name, sizeof(name), "user %s", users[i]);
		(void)snprintf(hint, sizeof(hint),
			       "useradd --system --no-create-home --shell /usr/sbin/nologin %s",
			       users[i]);
		if (pw)
			check(j, name, "ok", NULL, "uid %u", pw->pw_uid);
		else
			check(j, name, "fail", hint, "does not exist");
	}
}

static void check_files(struct osh_json *j)
{
	static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";
	bool have = access(bundle, R_OK) == 0;
	time_t now = time(NULL);
	char when[20];
	/* nothing of this program existed before 2025 */
	bool sane = now > 1735689600;

	check(j, "CA bundle", have ? "ok" : "fail", have ? NULL : "apt-get install ca-certificates",
	      "%s", bundle);
	check(j, "clock", sane ? "ok" : "fail",
	      sane ? NULL : "set the clock: certificates depend on it", "%s UTC",
	      osh_out_time(when, now > 0 ? (uint64_t)now * 1000 : 0));
}

void osh_checks_write(struct osh_cli *cli, int r, struct osh_json *j)
{
	osh_json_arr(j);
	if (r == -EACCES || r == -EPERM)
		check(j, "openshelld", "warn",
		      "run it as root or as a member of the group openshell",
		      "access to %s is not permitted; only the system was checked", cli->socket);
	else
		check(j, "openshelld", "warn", "start it with 'openshell gateway start'",
		      "does not answer at %s; only the system was checked", cli->socket);
	check_kernel(j);
	check_bpf(j);
	check_lsm(j);
	check_users(j);
	check_files(j);
	osh_json_arr_end(j);
}
