/* SPDX-License-Identifier: MIT */
#include "sandbox/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/landlock.h"
#include "sandbox/seccomp.h"

static int set_limit(int what, uint64_t value)
{
	const struct rlimit lim = { value, value };

	return setrlimit((__rlimit_resource_t)what, &lim) < 0 ? -errno : 0;
}

/* 0 when the kernel has no such file. */
static int write_setting(const char *path, const char *value)
{
	osh_auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static int apply_settings(int status_fd)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		/* Of this pid namespace: no executable memory files. */
		{ "/proc/sys/vm/memfd_noexec", "2" },
		/* Of this network namespace: subflows would show the listener as the peer. */
		{ "/proc/sys/net/mptcp/enabled", "0" },
		/* The daemon may be protected from the OOM killer; its guests are not. */
		{ "/proc/self/oom_score_adj", "0" },
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(settings); i++) {
		int r = write_setting(settings[i].path, settings[i].value);

		if (r < 0)
			return osh_report_fail(status_fd, r, "setting", settings[i].path);
	}
	return 0;
}

int osh_confine_prepare(int status_fd, const struct osh_spec *spec)
{
	int r;

	if (setsid() < 0 && errno != EPERM) /* EPERM: is a leader already */
		return osh_report_fail(status_fd, -errno, "setsid", NULL);
	if (sethostname(spec->name, strlen(spec->name)) < 0)
		return osh_report_fail(status_fd, -errno, "hostname", spec->name);
	/* Keyrings are shared by uid and inherited: begin with an empty one. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return osh_report_fail(status_fd, -errno, "keyring", NULL);
	r = apply_settings(status_fd);
	if (r < 0)
		return r;
	(void)umask(022);
	r = set_limit(RLIMIT_CORE, 0);
	if (r == 0 && spec->limits.nofile)
		r = set_limit(RLIMIT_NOFILE, spec->limits.nofile);
	if (r == 0 && spec->limits.nproc)
		r = set_limit(RLIMIT_NPROC, spec->limits.nproc);
	return r < 0 ? osh_report_fail(status_fd, r, "rlimits", NULL) : 0;
}

/* Everything open is closed but @keep; 0, 1 and 2 become the sandbox's own /dev/null. */
static int close_others(const int *keep, unsigned int count)
{
	unsigned int from = 3;
	int null;

	for (;;) {
		unsigned int next = ~0u;

		for (unsigned int i = 0; i < count; i++)
			if ((unsigned int)keep[i] >= from && (unsigned int)keep[i] < next)
				next = (unsigned int)keep[i];
		if (next > from && syscall(SYS_close_range, from, next - 1, 0) < 0)
			return -errno;
		if (next == ~0u)
			break;
		from = next + 1;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	return close(null) < 0 ? -errno : 0;
}

static int drop_bounding_set(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
			return -EPERM;
	return 0;
}

static int clear_capabilities(void)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_capset, &hdr, data) < 0 || syscall(SYS_capget, &hdr, data) < 0)
		return -errno;
	for (unsigned int i = 0; i < 2; i++)
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			return -EPERM;
	return 0;
}

static int set_ids(const struct osh_sandbox_ids *ids)
{
	uid_t u[3];
	gid_t g[3];

	if (!ids->uid || !ids->gid)
		return -EINVAL;
	if (setgroups(0, NULL) < 0 || setresgid(ids->gid, ids->gid, ids->gid) < 0 ||
	    setresuid(ids->uid, ids->uid, ids->uid) < 0)
		return -errno;
	if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
		return -errno;
	for (unsigned int i = 0; i < 3; i++)
		if (u[i] != ids->uid || g[i] != ids->gid)
			return -EPERM;
	if (getgroups(0, NULL) != 0)
		return -EPERM;
	return 0;
}

int osh_confine_drop(int status_fd, const struct osh_spec *spec, const int *keep_fds,
		     unsigned int keep_count)
{
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
				   SECBIT_NO_CAP_AMBIENT_RAISE |
				   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
				   SECBIT_NO_SETUID_FIXUP_LOCKED;
	int r;

	r = close_others(keep_fds, keep_count);
	if (r < 0)
		return osh_report_fail(status_fd, r, "close-range", NULL);
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
		return osh_report_fail(status_fd, -errno, "securebits", NULL);
	r = drop_bounding_set();
	if (r < 0)
		return osh_report_fail(status_fd, r, "bounding-set", NULL);
	r = set_ids(&spec->ids);
	if (r < 0)
		return osh_report_fail(status_fd, r, "ids", NULL);
	r = clear_capabilities();
	if (r < 0)
		return osh_report_fail(status_fd, r, "capabilities", NULL);
	if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) == 0)
		return osh_report_fail(status_fd, -EPERM, "ids", "root can be taken back");
	/* Nobody of the same uid reads or traces init; its children decide for themselves. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return osh_report_fail(status_fd, -errno, "dumpable", NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return osh_report_fail(status_fd, -errno, "no-new-privs", NULL);
	return 0;
}

static int load_filter(struct osh_str blob)
{
	struct sock_fprog prog = { 0 };
	osh_auto_free struct sock_filter *filter = NULL;
	size_t count = blob.n / sizeof(*filter);

	if (!count || count > OSH_SECCOMP_MAX || blob.n % sizeof(*filter))
		return -EBADMSG;
	filter = malloc(blob.n); /* for alignment: a blob may start anywhere */
	if (!filter)
		return -ENOMEM;
	memcpy(filter, blob.p, blob.n);
	prog.len = (unsigned short)count;
	prog.filter = filter;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return -errno;
	return 0;
}

int osh_confine_lock(int status_fd, const struct osh_spec *spec, int ruleset)
{
	int r = 0;

	if (ruleset >= 0)
		r = osh_landlock_restrict(ruleset);
	if (r < 0)
		return osh_report_fail(status_fd, r, "landlock-restrict", NULL);
	r = load_filter(spec->seccomp);
	if (r < 0)
		return osh_report_fail(status_fd, r, "seccomp", NULL);
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
		return osh_report_fail(status_fd, -EPERM, "seccomp", "the filter is not in force");
	return 0;
}
