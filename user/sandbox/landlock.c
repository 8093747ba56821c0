/* SPDX-License-Identifier: MIT */
#include "sandbox/landlock.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/sandbox.h"

/* The same on every architecture. */
enum {
	NR_landlock_create_ruleset = 444,
	NR_landlock_add_rule = 445,
	NR_landlock_restrict_self = 446,
};

enum {
	CREATE_RULESET_VERSION = 1,
	RULE_PATH_BENEATH = 1,
};

#define FS_EXECUTE    (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE  (1ull << 2)
#define FS_READ_DIR   (1ull << 3)
#define FS_REFER      (1ull << 13) /* ABI 2 */
#define FS_TRUNCATE   (1ull << 14) /* ABI 3 */
#define FS_IOCTL_DEV  (1ull << 15) /* ABI 5 */
#define FS_ABI1	      ((1ull << 13) - 1)

#define SCOPE_ABSTRACT_UNIX (1ull << 0) /* ABI 6 */
#define SCOPE_SIGNAL	    (1ull << 1)

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4; unused: the network is the kernel fence's job */
	uint64_t scoped; /* ABI 6 */
};

struct path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed)); /* the kernel's layout is packed */

static uint64_t handled(unsigned int abi)
{
	uint64_t access = FS_ABI1;

	if (abi >= 2)
		access |= FS_REFER;
	if (abi >= 3)
		access |= FS_TRUNCATE;
	if (abi >= 5)
		access |= FS_IOCTL_DEV;
	return access;
}

unsigned int osh_landlock_abi(void)
{
	long abi = syscall(NR_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi < 1 ? 0 : (unsigned int)abi;
}

unsigned int osh_sandbox_landlock_abi(void)
{
	return osh_landlock_abi();
}

int osh_landlock_new(unsigned int abi, int *ret_ruleset)
{
	struct ruleset_attr attr = { .handled_access_fs = handled(abi) };
	size_t size = sizeof(attr.handled_access_fs);
	long fd;

	/* An older kernel refuses (E2BIG) a longer structure that is not all zero. */
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	fd = syscall(NR_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return -errno;
	*ret_ruleset = (int)fd;
	return 0;
}

int osh_landlock_allow(int ruleset, unsigned int abi, int fd, enum osh_landlock_access access)
{
	struct path_beneath_attr attr = { .parent_fd = fd };
	struct stat st;

	switch (access) {
	case OSH_LANDLOCK_LIST:
		attr.allowed_access = FS_READ_DIR;
		break;
	case OSH_LANDLOCK_READ:
		attr.allowed_access = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
		break;
	case OSH_LANDLOCK_WRITE:
		attr.allowed_access = handled(abi);
		break;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		attr.allowed_access &= FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE |
				       FS_IOCTL_DEV;
	attr.allowed_access &= handled(abi);
	if (syscall(NR_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) < 0)
		return -errno;
	return 0;
}

int osh_landlock_restrict(int ruleset)
{
	if (syscall(NR_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return 0;
}
