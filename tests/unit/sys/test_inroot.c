/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/str.h"
#include "sys/inroot.h"

static char root[64] = "/tmp/osh-inroot.XXXXXX";
static int root_fd = -1;

static void put(const char *path)
{
	int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(root));
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root_fd >= 0);
	assert_int_equal(mkdirat(root_fd, "usr", 0755), 0);
	assert_int_equal(mkdirat(root_fd, "usr/bin", 0755), 0);
	assert_int_equal(mkdirat(root_fd, "opt", 0755), 0);
	put("usr/bin/bash");
	put("usr/bin/python3.11");
	assert_int_equal(symlinkat("usr/bin", root_fd, "bin"), 0);
	assert_int_equal(symlinkat("python3.11", root_fd, "usr/bin/python3"), 0);
	assert_int_equal(symlinkat("/usr/bin/python3", root_fd, "opt/py"), 0);
	assert_int_equal(symlinkat("../../../../usr/bin/bash", root_fd, "opt/up"), 0);
	assert_int_equal(symlinkat("loop", root_fd, "opt/loop"), 0);
	assert_int_equal(symlinkat("/nowhere", root_fd, "opt/dangling"), 0);
	return 0;
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	close(root_fd);
	return nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static void leads_to(const char *path, const char *want)
{
	char got[PATH_MAX];

	assert_int_equal(osh_inroot_resolve(root_fd, path, (uid_t)-1, got, sizeof(got)), 0);
	assert_string_equal(got, want);
}

static void links_are_followed_inside_the_root(void **state)
{
	(void)state;
	leads_to("/usr/bin/bash", "/usr/bin/bash");
	leads_to("/bin/bash", "/usr/bin/bash");
	leads_to("/bin/python3", "/usr/bin/python3.11");
	leads_to("/opt/py", "/usr/bin/python3.11");
	leads_to("/opt/up", "/usr/bin/bash");
	leads_to("//usr/./bin/../bin/bash", "/usr/bin/bash");
	leads_to("/../../bin", "/usr/bin");
	leads_to("/", "/");
}

static void dead_ends_are_errors(void **state)
{
	char got[PATH_MAX], small[8];

	(void)state;
	assert_int_equal(osh_inroot_resolve(root_fd, "/opt/loop", (uid_t)-1, got, sizeof(got)),
			 -ELOOP);
	assert_int_equal(osh_inroot_resolve(root_fd, "/opt/dangling", (uid_t)-1, got, sizeof(got)),
			 -ENOENT);
	assert_int_equal(osh_inroot_resolve(root_fd, "/etc/passwd", (uid_t)-1, got, sizeof(got)),
			 -ENOENT);
	assert_int_equal(osh_inroot_resolve(root_fd, "usr", (uid_t)-1, got, sizeof(got)), -EINVAL);
	assert_int_equal(
		osh_inroot_resolve(root_fd, "/usr/bin/bash", (uid_t)-1, small, sizeof(small)),
		-ENAMETOOLONG);
	assert_int_equal(
		osh_inroot_resolve(root_fd, "/usr/bin/bash/x", (uid_t)-1, got, sizeof(got)),
		-ENOTDIR);
}

/* Links of somebody who must not choose are dead ends, as the last component or before it. */
static void links_of_the_distrusted_are_not_followed(void **state)
{
	char got[PATH_MAX];

	(void)state;
	assert_int_equal(osh_inroot_resolve(root_fd, "/opt/py", getuid(), got, sizeof(got)),
			 -EPERM);
	assert_int_equal(osh_inroot_resolve(root_fd, "/bin/bash", getuid(), got, sizeof(got)),
			 -EPERM);
	assert_int_equal(osh_inroot_resolve(root_fd, "/usr/bin/bash", getuid(), got, sizeof(got)),
			 0);
	assert_int_equal(osh_inroot_resolve(root_fd, "/opt/py", getuid() + 1, got, sizeof(got)), 0);
}

/* Nor are those that somebody could have put there, by moving them or a folder they are in. */
static void links_in_loose_places_are_not_followed(void **state)
{
	uid_t other = getuid() + 1;
	char got[PATH_MAX];

	(void)state;
	assert_int_equal(mkdirat(root_fd, "loose", 0755), 0);
	assert_int_equal(mkdirat(root_fd, "loose/in", 0755), 0);
	assert_int_equal(symlinkat("/usr/bin/bash", root_fd, "loose/link"), 0);
	assert_int_equal(symlinkat("/usr/bin/bash", root_fd, "loose/in/link"), 0);
	leads_to("/loose/link", "/usr/bin/bash");
	assert_int_equal(osh_inroot_resolve(root_fd, "/loose/in/link", other, got, sizeof(got)), 0);
	assert_int_equal(fchmodat(root_fd, "loose", 0777, 0), 0);
	assert_int_equal(osh_inroot_resolve(root_fd, "/loose/link", other, got, sizeof(got)),
			 -EPERM);
	assert_int_equal(osh_inroot_resolve(root_fd, "/loose/in/link", other, got, sizeof(got)),
			 -EPERM);
	assert_int_equal(osh_inroot_resolve(root_fd, "/loose/in", other, got, sizeof(got)), 0);
	assert_int_equal(osh_inroot_resolve(root_fd, "/opt/py", other, got, sizeof(got)), 0);
	leads_to("/loose/in/link", "/usr/bin/bash");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_are_followed_inside_the_root),
		cmocka_unit_test(dead_ends_are_errors),
		cmocka_unit_test(links_of_the_distrusted_are_not_followed),
		cmocka_unit_test(links_in_loose_places_are_not_followed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
