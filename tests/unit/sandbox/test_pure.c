/* SPDX-License-Identifier: MIT */
/* What needs no privilege: environment, ids, paths, lists, wiping. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "sandbox/fslist.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"

static const char *env_get(char **env, const char *name)
{
	size_t n = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

static void env_user_cannot_override_proxy_and_tls(void **state)
{
	static const char *const user[] = { "HTTPS_PROXY=http://evil:1",
					    "SSL_CERT_FILE=/x",
					    "OPENSHELL_SANDBOX=0",
					    "FOO=bar",
					    "TERM=vt52",
					    NULL };
	static const char *const placeholders[] = { "API_KEY=openshell:resolve:env:API_KEY", NULL };
	struct osh_sandbox_env in = { .user = user, .placeholders = placeholders, .has_ca = true };
	char **env = NULL;

	(void)state;
	assert_int_equal(osh_sandbox_env_build(&in, &env), 0);
	assert_string_equal(env_get(env, "HTTPS_PROXY"), "http://127.0.0.1:3128");
	assert_string_equal(env_get(env, "grpc_proxy"), "http://127.0.0.1:3128");
	assert_string_equal(env_get(env, "NO_PROXY"), "127.0.0.1,localhost,::1");
	assert_string_equal(env_get(env, "NODE_USE_ENV_PROXY"), "1");
	assert_string_equal(env_get(env, "SSL_CERT_FILE"), "/etc/openshell-tls/ca-bundle.pem");
	assert_string_equal(env_get(env, "NODE_EXTRA_CA_CERTS"),
			    "/etc/openshell-tls/openshell-ca.pem");
	assert_string_equal(env_get(env, "OPENSHELL_SANDBOX"), "1");
	assert_string_equal(env_get(env, "FOO"), "bar");
	assert_string_equal(env_get(env, "TERM"), "vt52");
	assert_string_equal(env_get(env, "HOME"), "/sandbox");
	assert_string_equal(env_get(env, "API_KEY"), "openshell:resolve:env:API_KEY");
	free(env);
}

static void env_refuses_entries_without_name(void **state)
{
	static const char *const no_equals[] = { "FOO", NULL }, *const no_name[] = { "=x", NULL };
	struct osh_sandbox_env in = { .user = no_equals };
	char **env = NULL;

	(void)state;
	assert_int_equal(osh_sandbox_env_build(&in, &env), -EINVAL);
	in.user = no_name;
	assert_int_equal(osh_sandbox_env_build(&in, &env), -EINVAL);
	assert_null(env);
}

static void ids_numeric_range(void **state)
{
	static const char *const bad[] = { "0",	 "root",   "4294967295", "-1",
					   "1 ", "nobody", "0x1",	 "99999999999999999999" };
	struct osh_sandbox_ids ids = { 7, 7 };

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		osh_auto_diag struct osh_diag diag;

		osh_diag_init(&diag, NULL);
		assert_int_equal(osh_sandbox_run_as(bad[i], "1", &ids, &diag), -EINVAL);
		assert_int_equal(diag.errors, 1);
		assert_int_equal(ids.uid, 7);
	}
	osh_auto_diag struct osh_diag diag;

	osh_diag_init(&diag, NULL);
	assert_int_equal(osh_sandbox_run_as("4294967294", "1", &ids, &diag), 0);
	assert_true(ids.uid == 4294967294u);
	assert_int_equal(ids.gid, 1);
}

static void path_normalise(void **state)
{
	char out[PATH_MAX];

	(void)state;
	assert_int_equal(osh_path_normalise("//usr/./lib//", out), 0);
	assert_string_equal(out, "/usr/lib");
	assert_int_equal(osh_path_normalise("/", out), 0);
	assert_string_equal(out, "/");
	assert_int_equal(osh_path_normalise("usr", out), -EINVAL);
	assert_int_equal(osh_path_normalise("", out), -EINVAL);
	assert_int_equal(osh_path_normalise("/a/../b", out), -EINVAL);
	assert_int_equal(osh_path_normalise("/a/..", out), -EINVAL);
	assert_int_equal(osh_path_normalise("/a\nb", out), -EINVAL);
	assert_true(osh_path_is_below("/usr/lib", "/usr"));
	assert_true(osh_path_is_below("/usr", "/usr"));
	assert_false(osh_path_is_below("/usrlib", "/usr"));
}

struct list_arg {
	struct osh_fs_lists lists;
	unsigned int by_level[5];
};

static void on_remark(struct osh_fs_lists *lists, enum osh_fs_remark_level level, const char *path,
		      const char *text)
{
	(void)path;
	(void)text;
	osh_container_of(lists, struct list_arg, lists)->by_level[level]++;
}

static void lists_are_a_sorted_union(void **state)
{
	static const char *const ro[] = { "/usr", "/usr/bin",	    "/proc",
					  "/etc", "/nonexistent-x", "/usr//" };
	static const char *const rw[] = { "/sandbox", "/tmp", "/dev/null", "/usr/bin" };
	struct list_arg arg = {
		.lists = { .read_only = { ro, 6 }, .read_write = { rw, 4 }, .on_remark = on_remark }
	};
	struct osh_fs_set set;

	(void)state;
	assert_int_equal(osh_fs_resolve(&arg.lists, &set), 0);
	assert_int_equal(arg.by_level[OSH_FS_REMARK_MISSING], 1);
	assert_int_equal(arg.by_level[OSH_FS_REMARK_FATAL], 0);
	assert_int_equal(set.count, 7);
	for (size_t i = 1; i < set.count; i++)
		assert_true(strcmp(set.entries[i - 1].path.real, set.entries[i].path.real) < 0);
	assert_true(osh_fs_find_cover(&set, "/usr/bin/sh")->write);
	assert_false(osh_fs_find_cover(&set, "/usr/lib")->write);
	assert_null(osh_fs_find_cover(&set, "/home"));
	osh_fs_set_fini(&set);
}

static void lists_refuse_what_is_dangerous(void **state)
{
	static const char *const rw_fatal[] = { "/", "//", "relative", "/a/../b", "/bin" };
	static const char *const rw_weak[] = { "/proc", "/sys", "/etc", "/proc/sys" };

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rw_fatal); i++) {
		struct list_arg arg = { .lists = { .read_write = { &rw_fatal[i], 1 },
						   .on_remark = on_remark } };
		struct osh_fs_set set;

		assert_int_equal(osh_fs_resolve(&arg.lists, &set), 0);
		assert_int_equal(set.worst, OSH_FS_REMARK_FATAL);
		osh_fs_set_fini(&set);
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rw_weak); i++) {
		struct list_arg arg = { .lists = { .read_write = { &rw_weak[i], 1 },
						   .on_remark = on_remark } };
		struct osh_fs_set set;

		assert_int_equal(osh_fs_resolve(&arg.lists, &set), 0);
		assert_int_equal(arg.by_level[OSH_FS_REMARK_SKIPPED], 1);
		assert_int_equal(set.count, 1);
		assert_false(set.entries[0].write);
		osh_fs_set_fini(&set);
	}
}

static void check_names_every_bad_path(void **state)
{
	static const char *const ro[] = { "/usr", "/nonexistent-x", "etc" };
	static const char *const rw[] = { "/", "/nonexistent-y", "/proc" };
	struct osh_sandbox_cfg cfg = { .read_only = { ro, 3 },
				       .read_write = { rw, 3 },
				       .landlock = OSH_SANDBOX_LANDLOCK_BEST_EFFORT };
	osh_auto_diag struct osh_diag diag;
	osh_auto_bufmem struct osh_buf text;

	(void)state;
	osh_diag_init(&diag, NULL);
	osh_buf_init(&text, 65536, 0);
	assert_int_equal(osh_sandbox_check_paths(&cfg, &diag), -EINVAL);
	assert_int_equal(diag.errors, 2);
	assert_int_equal(diag.warnings, 2);
	assert_int_equal(osh_diag_render(&diag, &text), 0);
	assert_non_null(strstr(text.data, "filesystem path \"/\" is overly broad for read_write"));
	assert_non_null(strstr(text.data, "filesystem path \"etc\" must be absolute"));
	cfg.read_only.count = cfg.read_write.count = 0;
	assert_int_equal(osh_sandbox_check_paths(&cfg, &diag), 0);
	cfg.read_write.path = &rw[2];
	cfg.read_write.count = 1;
	assert_int_equal(osh_sandbox_check_paths(&cfg, &diag), 0);
	cfg.landlock = OSH_SANDBOX_LANDLOCK_HARD;
	assert_int_equal(osh_sandbox_check_paths(&cfg, &diag), -EINVAL);
}

static void walk_follows_only_roots_links(void **state)
{
	char dir[] = "/tmp/osh-path-XXXXXX", path[128];
	osh_auto_path struct osh_path walk;

	(void)state;
	osh_path_init(&walk);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(symlink("/etc", path), 0);
	assert_int_equal(osh_path_walk(path, true, &walk), -ELOOP);
	if (getuid() == 0) {
		assert_int_equal(osh_path_walk(path, false, &walk), 0);
		assert_string_equal(walk.real, "/etc");
		assert_int_equal(walk.links_count, 1);
		assert_string_equal(walk.links[0].at, path);
		assert_string_equal(walk.links[0].text, "/etc");
		assert_int_equal(lchown(path, 12345, 12345), 0);
		assert_int_equal(osh_path_walk(path, false, &walk), -EXDEV);
		assert_int_equal(lchown(path, 0, 0), 0);
		assert_int_equal(chown(dir, 12345, 12345), 0);
		assert_int_equal(osh_path_walk(path, false, &walk), -EXDEV);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("link", path), 0);
	assert_int_not_equal(osh_path_walk(path, false, &walk), 0); /* a loop */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void spec_round_trip_and_truncation(void **state)
{
	static const char *const ro[] = { "/usr", "/lib" };
	struct osh_sandbox_cfg cfg = { .name = "demo",
				       .read_only = { ro, 2 },
				       .ids = { 5, 6 },
				       .ca_pem = OSH_STR("PEM"),
				       .limits = { 1, 2, 3 } };
	osh_auto_bufmem struct osh_buf bytes;
	osh_auto_arena struct osh_arena arena;
	struct osh_spec spec;

	(void)state;
	osh_buf_init(&bytes, OSH_SPEC_MAX, 0);
	osh_arena_init(&arena, 1 << 20);
	assert_int_equal(osh_spec_encode(&cfg, "/state", OSH_STR("\1\2"), &bytes), 0);
	assert_int_equal(osh_spec_decode(osh_buf_str(&bytes), &arena, &spec), 0);
	assert_string_equal(spec.name, "demo");
	assert_string_equal(spec.workdir, "/sandbox");
	assert_int_equal(spec.read_only.count, 2);
	assert_string_equal(spec.read_only.path[1], "/lib");
	assert_int_equal(spec.ids.gid, 6);
	assert_int_equal(spec.limits.shm_bytes, 3);
	assert_true(osh_str_is(spec.ca_pem, "PEM"));
	assert_int_equal(spec.seccomp.n, 2);
	for (size_t n = 0; n < bytes.len; n++)
		assert_int_equal(
			osh_spec_decode(osh_str_sub(osh_buf_str(&bytes), 0, n), &arena, &spec),
			-EBADMSG);
}

static void wipe_removes_deep_trees_and_follows_no_link(void **state)
{
	char dir[] = "/tmp/osh-wipe-XXXXXX", keep[] = "/tmp/osh-keep-XXXXXX", path[128];
	osh_auto_close int top = -1, fd = -1;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_non_null(mkdtemp(keep));
	(void)snprintf(path, sizeof(path), "%s/file", keep);
	assert_true(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0);
	top = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(symlinkat(keep, top, "link"), 0);
	assert_int_equal(mkdirat(top, "home", 0), 0);
	fd = dup(top);
	for (unsigned int i = 0; i < 3000; i++) { /* far beyond PATH_MAX */
		int next;

		assert_int_equal(mkdirat(fd, "deep", 0700), 0);
		assert_int_equal(symlinkat(keep, fd, "l"), 0);
		next = openat(fd, "deep", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
	}
	assert_int_equal(osh_sandbox_wipe(top), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(keep), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(env_user_cannot_override_proxy_and_tls),
		cmocka_unit_test(env_refuses_entries_without_name),
		cmocka_unit_test(ids_numeric_range),
		cmocka_unit_test(path_normalise),
		cmocka_unit_test(lists_are_a_sorted_union),
		cmocka_unit_test(lists_refuse_what_is_dangerous),
		cmocka_unit_test(check_names_every_bad_path),
		cmocka_unit_test(walk_follows_only_roots_links),
		cmocka_unit_test(spec_round_trip_and_truncation),
		cmocka_unit_test(wipe_removes_deep_trees_and_follows_no_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
