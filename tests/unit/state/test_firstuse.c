/* SPDX-License-Identifier: MIT */
#include "state/firstuse.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

static char dir[] = "/tmp/osh-firsts-XXXXXX";
static int dirfd;

static void sha(int n, uint8_t ret[OSH_SHA256_BYTES])
{
	memset(ret, n, OSH_SHA256_BYTES);
}

/* Is @path remembered with (or now taken for) @n? */
static bool is_first(struct osh_firsts *f, const char *path, bool keep, int n)
{
	uint8_t now[OSH_SHA256_BYTES], first[OSH_SHA256_BYTES];

	sha(n, now);
	assert_int_equal(osh_firsts_check(f, path, keep, now, first), 0);
	return memcmp(now, first, sizeof(now)) == 0;
}

static struct osh_firsts *reopen(struct osh_firsts *f, uint64_t cookie)
{
	struct osh_firsts *again = NULL;

	osh_firsts_free(f);
	assert_int_equal(osh_firsts_open(dirfd, cookie, &again), 0);
	return again;
}

static int setup(void **state)
{
	(void)state;
	(void)unlinkat(dirfd, "first-uses", 0);
	return 0;
}

static void first_counts(void **state)
{
	struct osh_firsts *f = reopen(NULL, 1);

	(void)state;
	assert_int_equal(osh_firsts_error(f), 0);
	assert_true(is_first(f, "/sandbox/a", true, 1));
	assert_true(is_first(f, "/sandbox/a", true, 1));
	assert_false(is_first(f, "/sandbox/a", true, 2));
	assert_false(is_first(f, "/sandbox/a", false, 2));
	assert_true(is_first(f, "/sandbox/b", true, 2));
	osh_firsts_free(f);
}

static void kept_across_restart(void **state)
{
	struct osh_firsts *f = reopen(NULL, 1);

	(void)state;
	assert_true(is_first(f, "/sandbox/a", true, 1));
	assert_true(is_first(f, "/usr/bin/b", false, 1));
	f = reopen(f, 1);
	assert_int_equal(osh_firsts_error(f), 0);
	assert_false(is_first(f, "/sandbox/a", true, 2));
	assert_true(is_first(f, "/usr/bin/b", false, 2)); /* the host's to change */
	assert_true(is_first(f, "/sandbox/c", true, 3));
	f = reopen(f, 1);
	assert_false(is_first(f, "/sandbox/a", true, 2));
	assert_false(is_first(f, "/sandbox/c", true, 2));
	osh_firsts_free(f);
}

static void ends_with_the_run(void **state)
{
	struct osh_firsts *f = reopen(NULL, 1);

	(void)state;
	assert_true(is_first(f, "/sandbox/a", true, 1));
	f = reopen(f, 2);
	assert_int_equal(osh_firsts_error(f), 0);
	assert_true(is_first(f, "/sandbox/a", true, 2));
	osh_firsts_free(f);
	osh_firsts_remove(dirfd);
	f = reopen(NULL, 2);
	assert_true(is_first(f, "/sandbox/a", true, 3));
	osh_firsts_free(f);
}

/* Whatever byte changes, in whatever record it is cut: nothing kept is trusted again. */
static void damage_is_noticed(void **state)
{
	struct osh_firsts *f = reopen(NULL, 1);
	uint8_t now[OSH_SHA256_BYTES], first[OSH_SHA256_BYTES];
	int fd;

	(void)state;
	assert_true(is_first(f, "/sandbox/a", true, 1));
	assert_true(is_first(f, "/sandbox/b", true, 2));
	osh_firsts_free(f);
	fd = openat(dirfd, "first-uses", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	sha(9, now);
	for (off_t at = 0; at < 3 * 64; at++) {
		uint8_t byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		f = reopen(NULL, 1);
		assert_int_equal(osh_firsts_error(f), -EBADMSG);
		assert_int_equal(osh_firsts_check(f, "/sandbox/new", true, now, first), -EBADMSG);
		assert_true(is_first(f, "/usr/bin/b", false, 1));
		osh_firsts_free(f);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	for (off_t size = 1; size < 3 * 64; size += 31) {
		assert_int_equal(ftruncate(fd, 3 * 64 - size), 0);
		f = reopen(NULL, 1);
		if (size % 64)
			assert_int_equal(osh_firsts_error(f), -EBADMSG);
		osh_firsts_free(f);
	}
	(void)close(fd);
}

/* A record moved to another place is not where it was written. */
static void swapped_records(void **state)
{
	struct osh_firsts *f = reopen(NULL, 1);
	char a[64], b[64];
	int fd;

	(void)state;
	assert_true(is_first(f, "/sandbox/a", true, 1));
	assert_true(is_first(f, "/sandbox/b", true, 2));
	osh_firsts_free(f);
	fd = openat(dirfd, "first-uses", O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, a, 64, 64), 64);
	assert_int_equal(pread(fd, b, 64, 128), 64);
	assert_int_equal(pwrite(fd, b, 64, 64), 64);
	assert_int_equal(pwrite(fd, a, 64, 128), 64);
	(void)close(fd);
	f = reopen(NULL, 1);
	assert_int_equal(osh_firsts_error(f), -EBADMSG);
	osh_firsts_free(f);
}

static void bounded(void **state)
{
	struct osh_firsts *f = reopen(NULL, 1);
	uint8_t now[OSH_SHA256_BYTES], first[OSH_SHA256_BYTES];
	char path[32];

	(void)state;
	for (int i = 0; i < OSH_FIRSTS_MAX; i++) {
		(void)snprintf(path, sizeof(path), "/usr/bin/%d", i);
		assert_true(is_first(f, path, false, 1));
	}
	sha(1, now);
	assert_int_equal(osh_firsts_check(f, "/sandbox/x", true, now, first), -ENOSPC);
	assert_int_equal(osh_firsts_check(f, "/usr/bin/x", false, now, first), -ENOSPC);
	assert_false(is_first(f, "/usr/bin/7", false, 2));
	osh_firsts_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_counts, setup),
		cmocka_unit_test_setup(kept_across_restart, setup),
		cmocka_unit_test_setup(ends_with_the_run, setup),
		cmocka_unit_test_setup(damage_is_noticed, setup),
		cmocka_unit_test_setup(swapped_records, setup),
		cmocka_unit_test_setup(bounded, setup),
	};
	int r;

	if (!mkdtemp(dir))
		return 99;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlinkat(dirfd, "first-uses", 0);
	(void)rmdir(dir);
	return r;
}
