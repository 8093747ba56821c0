/* SPDX-License-Identifier: MIT */
#include "daemon/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "openshell/role.h"
#include "proxy/proxy.h"
#include "sandbox/seccomp_role.h"
#include "tls/signer.h"

enum { LAST_CAP = 63, PROXY_FILES_MAX = 262144 };

static int drop_user(uid_t uid, gid_t gid)
{
	for (int cap = 0; cap <= LAST_CAP; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return -errno;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (setuid(0) == 0 || getuid() != uid || getgid() != gid)
		return -EPERM;
	return 0;
}

/*
 * Landlock without a single rule. Which rights exist depends on the kernel's ABI: the set is sized
 * by it, and a kernel without Landlock is refused (the floor, 6.1, has it).
 */
static int no_files(bool may_use_dirfd)
{
	/* highest file system right of ABI 1, 2, 3, 4, 5 and later */
	static const unsigned int rights[] = { 13, 14, 15, 15, 16 };
	struct landlock_ruleset_attr attr = { 0 };
	osh_auto_close int fd = -1;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 1)
		return abi < 0 ? -errno : -EOPNOTSUPP;
	/* the signer's folder is given by descriptor: access through it needs a rule */
	attr.handled_access_fs =
		(UINT64_C(1) << rights[OSH_MIN((size_t)abi, OSH_ARRAY_SIZE(rights)) - 1]) - 1;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (fd < 0)
		return -errno;
	if (may_use_dirfd) {
		struct landlock_path_beneath_attr beneath = {
			.allowed_access =
				LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				LANDLOCK_ACCESS_FS_REMOVE_FILE,
			.parent_fd = OSH_ROLE_MONITOR_FD + 1,
		};

		if (abi >= 3)
			beneath.allowed_access |= UINT64_C(1) << 14; /* truncate */
		if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
			return -errno;
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	return 0;
}

/*
 * As many descriptors as we may have, up to what a worker can use. Raising the hard limit needs
 * CAP_SYS_RESOURCE, which a container's root may lack: then it stays, and the proxy's own ceilings
 * shed connections before it is reached.
 */
static int raise_files(void)
{
	struct rlimit files, more;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	more.rlim_cur = more.rlim_max = OSH_MAX(files.rlim_max, (rlim_t)PROXY_FILES_MAX);
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return 0;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
}

int osh_confine_role(enum osh_role_kind kind, uid_t uid, gid_t gid)
{
	struct rlimit none = { 0, 0 };
	int r = kind == OSH_ROLE_PROXY ? raise_files() : 0;

	if (r < 0)
		return r;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	r = drop_user(uid, gid);
	if (r < 0)
		return r;
	/* setresuid() cleared the parent-death signal */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = no_files(kind == OSH_ROLE_SIGNER);
	if (r < 0)
		return r;
	return osh_seccomp_role_enter(kind == OSH_ROLE_PROXY ? osh_proxy_syscalls
							     : osh_signer_syscalls);
}

/* ---- monitor ---- */

/* What making sandboxes, loading BPF and adopting both takes; everything else is given up. */
static const unsigned int monitor_caps[] = {
	CAP_CHOWN,	CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,	 CAP_FSETID,
	CAP_KILL,	CAP_SETGID,	  CAP_SETUID,	       CAP_SETPCAP,	 CAP_NET_ADMIN,
	CAP_SYS_CHROOT, CAP_SYS_PTRACE,	  CAP_SYS_ADMIN,       CAP_SYS_RESOURCE, CAP_MKNOD,
	CAP_PERFMON,	CAP_BPF,
};

static const char *const monitor_denied[] = {
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"swapon",
	"swapoff",
	"settimeofday",
	"clock_settime",
	"adjtimex",
	"clock_adjtime",
	"acct",
	"quotactl",
	"quotactl_fd",
	"iopl",
	"ioperm",

	"userfaultfd",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"ptrace",
	"process_vm_writev",
	"nfsservctl",
	"vhangup",
	"syslog",
	"lookup_dcookie",
	NULL,
};

int osh_confine_monitor(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 }, have[2] = { 0 };
	struct rlimit none = { 0, 0 };
	uint64_t keep = 0;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(monitor_caps); i++)
		keep |= UINT64_C(1) << monitor_caps[i];
	for (int cap = 0; cap <= LAST_CAP; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
		    errno != EINVAL)
			return -errno;
	if (syscall(SYS_capget, &head, have) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		data[i].permitted = data[i].effective = have[i].permitted &
							(uint32_t)(keep >> 32 * i);
	if (syscall(SYS_capset, &head, data) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return osh_seccomp_deny(monitor_denied);
}
