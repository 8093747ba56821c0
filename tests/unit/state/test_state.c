/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "state/state.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HASH_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static char dir[64], path[128];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/osh-state-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/state.db", dir);
	return 0;
}

static int teardown(void **state)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-journal" };
	char file[160];

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(tails); i++) {
		(void)snprintf(file, sizeof(file), "%s%s", path, tails[i]);
		unlink(file);
	}
	rmdir(dir);
	return 0;
}

static struct osh_state *open_state(void)
{
	struct osh_state *s;
	char why[200] = "";
	int r = osh_state_open(path, &s, why, sizeof(why));

	if (r < 0)
		print_message("open: %d %s\n", r, why);
	assert_int_equal(r, 0);
	return s;
}

static void add_sandbox(struct osh_state *s, const char *name)
{
	struct osh_state_sandbox sb = { .phase = OSH_PHASE_PROVISIONING, .keep = true };

	(void)osh_strlcpy(sb.name, name, sizeof(sb.name));
	assert_int_equal(osh_state_sandbox_add(s, &sb, 1000), 0);
}

static uint64_t add_rev(struct osh_state *s, const char *scope, const char *hash)
{
	uint64_t version = 0;
	bool unchanged = false;

	assert_int_equal(osh_state_rev_add(s, scope, osh_str("version: 1\n"), hash, NULL, 2000,
					   &version, &unchanged),
			 0);
	return version;
}

static enum osh_rev_status status(struct osh_state *s, const char *scope, uint64_t version)
{
	osh_auto_state_rev struct osh_state_rev rev = { 0 };

	assert_int_equal(osh_state_rev_get(s, scope, version, &rev), 0);
	return rev.status;
}

struct names {
	struct osh_state_iter it;
	char text[256];
};

static int on_name(struct osh_state_iter *it, const struct osh_state_sandbox *sb)
{
	struct names *n = osh_container_of(it, struct names, it);
	size_t len = strlen(n->text);

	(void)snprintf(n->text + len, sizeof(n->text) - len, "%s ", sb->name);
	return 0;
}

static int on_rev(struct osh_state_iter *it, const struct osh_state_rev *rev)
{
	struct names *n = osh_container_of(it, struct names, it);
	size_t len = strlen(n->text);

	assert_null(rev->text);
	(void)snprintf(n->text + len, sizeof(n->text) - len, "%llu:%s ",
		       (unsigned long long)rev->version, osh_rev_status_json(rev->status));
	return 0;
}

static int on_setting(struct osh_state_iter *it, const char *key, const char *value)
{
	struct names *n = osh_container_of(it, struct names, it);
	size_t len = strlen(n->text);

	(void)snprintf(n->text + len, sizeof(n->text) - len, "%s=%s ", key, value);
	return 0;
}

static void sandboxes_are_kept(void **state)
{
	osh_auto_state struct osh_state *s = open_state();
	osh_auto_state_sandbox struct osh_state_sandbox sb = { 0 };
	struct osh_state_sandbox twin = { .name = "demo" };
	struct names names = { .it = { .on_sandbox = on_name } };
	uint64_t first_id;

	(void)state;
	add_sandbox(s, "demo");
	add_sandbox(s, "other");
	assert_int_equal(osh_state_sandbox_add(s, &twin, 1), -EEXIST);
	assert_int_equal(osh_state_sandbox_phase(s, "demo", OSH_PHASE_READY, NULL, 1500), 0);
	assert_int_equal(osh_state_sandbox_phase(s, "nobody", OSH_PHASE_READY, NULL, 1), -ENOENT);
	s = osh_state_free(s);
	s = open_state();
	assert_int_equal(osh_state_sandbox_get(s, "demo", &sb), 0);
	assert_int_equal(sb.phase, OSH_PHASE_READY);
	assert_int_equal(sb.resource_version, 2);
	assert_int_equal(strlen(sb.id), 36);
	assert_string_equal(sb.spec, "{}");
	first_id = sb.sandbox_id;
	assert_int_equal(osh_state_sandbox_list(s, 0, 0, &names.it), 0);
	assert_string_equal(names.text, "demo other ");
	assert_int_equal(osh_state_sandbox_del(s, "demo"), 0);
	assert_int_equal(osh_state_sandbox_del(s, "demo"), -ENOENT);
	/* numbers are never reused: records in the kernel may outlive the sandbox */
	add_sandbox(s, "demo");
	osh_state_sandbox_fini(&sb);
	assert_int_equal(osh_state_sandbox_get(s, "demo", &sb), 0);
	assert_true(sb.sandbox_id > first_id + 1);
}

static void revisions_supersede_when_the_next_one_loads(void **state)
{
	osh_auto_state struct osh_state *s = open_state();
	osh_auto_state_rev struct osh_state_rev active = { 0 };
	osh_auto_state_sandbox struct osh_state_sandbox sb = { 0 };
	struct names names = { .it = { .on_rev = on_rev } };

	(void)state;
	add_sandbox(s, "demo");
	assert_int_equal(add_rev(s, "demo", HASH_A), 1);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 1, 3000), 0);
	assert_int_equal(add_rev(s, "demo", HASH_B), 2);
	/* D22: v1 stays loaded while v2 is pending */
	assert_int_equal(status(s, "demo", 1), OSH_REV_LOADED);
	assert_int_equal(osh_state_rev_failed(s, "demo", 2, "too many frobs", 4000), 0);
	assert_int_equal(status(s, "demo", 1), OSH_REV_LOADED);
	assert_int_equal(add_rev(s, "demo", HASH_C), 3);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 3, 5000), 0);
	assert_int_equal(status(s, "demo", 1), OSH_REV_SUPERSEDED);
	assert_int_equal(status(s, "demo", 2), OSH_REV_FAILED);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 3, 6000), -ESTALE);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 9, 6000), -ENOENT);
	assert_int_equal(osh_state_rev_active(s, "demo", &active), 0);
	assert_int_equal(active.version, 3);
	assert_string_equal(active.text, "version: 1\n");
	assert_int_equal(osh_state_sandbox_get(s, "demo", &sb), 0);
	assert_int_equal(sb.active_version, 3);
	assert_int_equal(osh_state_rev_list(s, "demo", 0, &names.it), 0);
	assert_string_equal(names.text, "3:loaded 2:failed 1:superseded ");
}

static void later_load_wins_over_an_earlier_pending_one(void **state)
{
	osh_auto_state struct osh_state *s = open_state();

	(void)state;
	add_sandbox(s, "demo");
	(void)add_rev(s, "demo", HASH_A);
	(void)add_rev(s, "demo", HASH_B);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 2, 1), 0);
	assert_int_equal(status(s, "demo", 1), OSH_REV_SUPERSEDED);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 1, 2), -ESTALE);
	assert_int_equal(status(s, "demo", 2), OSH_REV_LOADED);
}

static void unchanged_only_when_loaded(void **state)
{
	osh_auto_state struct osh_state *s = open_state();
	uint64_t version;
	bool unchanged;

	(void)state;
	add_sandbox(s, "demo");
	(void)add_rev(s, "demo", HASH_A);
	/* pending: the same content is a new revision */
	assert_int_equal(add_rev(s, "demo", HASH_A), 2);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 2, 1), 0);
	assert_int_equal(
		osh_state_rev_add(s, "demo", OSH_STR("x"), HASH_A, NULL, 1, &version, &unchanged),
		0);
	assert_true(unchanged);
	assert_int_equal(version, 2);
	(void)add_rev(s, "demo", HASH_B);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 3, 1), 0);
	/* identical to an older one: that is how rollback works */
	assert_int_equal(add_rev(s, "demo", HASH_A), 4);
	assert_int_equal(
		osh_state_rev_add(s, "nobody", OSH_STR("x"), HASH_A, NULL, 1, &version, &unchanged),
		-ENOENT);
}

static void global_policy_has_its_own_sequence(void **state)
{
	osh_auto_state struct osh_state *s = open_state();
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	uint64_t revision;

	(void)state;
	add_sandbox(s, "demo");
	(void)add_rev(s, "demo", HASH_A);
	assert_int_equal(osh_state_rev_loaded(s, "demo", 1, 1), 0);
	assert_int_equal(osh_state_global_clear(s, 1), -ENOENT);
	assert_int_equal(add_rev(s, OSH_STATE_GLOBAL_SCOPE, HASH_B), 1);
	assert_int_equal(osh_state_rev_loaded(s, OSH_STATE_GLOBAL_SCOPE, 1, 1), 0);
	assert_int_equal(osh_state_settings_revision(s, "", &revision), 0);
	assert_int_equal(revision, 1);
	assert_int_equal(osh_state_global_clear(s, 1), 0);
	assert_int_equal(osh_state_rev_active(s, "", &rev), -ENOENT);
	assert_int_equal(status(s, "demo", 1), OSH_REV_LOADED);
	assert_int_equal(osh_state_settings_revision(s, "", &revision), 0);
	assert_int_equal(revision, 2);
}

static void settings_count_their_changes(void **state)
{
	osh_auto_state struct osh_state *s = open_state();
	struct names names = { .it = { .on_setting = on_setting } };
	osh_auto_free char *value = NULL;
	uint64_t revision = 0;

	(void)state;
	add_sandbox(s, "demo");
	assert_int_equal(osh_state_setting_set(s, "demo", "b", "1", &revision), 0);
	assert_int_equal(osh_state_setting_set(s, "demo", "a", "2", &revision), 0);
	assert_int_equal(revision, 2);
	assert_int_equal(osh_state_setting_set(s, "", "a", "g", &revision), 0);
	assert_int_equal(revision, 1);
	assert_int_equal(osh_state_setting_set(s, "nobody", "a", "g", &revision), -ENOENT);
	assert_int_equal(osh_state_setting_get(s, "demo", "a", &value), 0);
	assert_string_equal(value, "2");
	assert_int_equal(osh_state_setting_list(s, "demo", &names.it), 0);
	assert_string_equal(names.text, "a=2 b=1 ");
	assert_int_equal(osh_state_setting_del(s, "demo", "a", &revision), 0);
	assert_int_equal(revision, 3);
	assert_int_equal(osh_state_setting_del(s, "demo", "a", &revision), -ENOENT);
	assert_int_equal(osh_state_sandbox_del(s, "demo"), 0);
	add_sandbox(s, "demo");
	assert_int_equal(osh_state_setting_get(s, "demo", "b", &value), -ENOENT);
}

static void second_opener_and_foreign_files_are_refused(void **state)
{
	osh_auto_state struct osh_state *s = open_state();
	struct osh_state *second;
	char why[100];
	pid_t pid;
	int rc, fd;

	(void)state;
	pid = fork();
	if (!pid)
		_exit(osh_state_open(path, &second, why, sizeof(why)) == -EBUSY ? 0 : 1);
	waitpid(pid, &rc, 0);
	assert_int_equal(rc, 0);
	s = osh_state_free(s);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "this is no database, only text, but long enough.........", 50),
			 50);
	close(fd);
	assert_int_equal(osh_state_open(path, &second, why, sizeof(why)), -EBADMSG);
}

static void meta_is_kept(void **state)
{
	osh_auto_state struct osh_state *s = open_state();
	osh_auto_free char *value = NULL;

	(void)state;
	assert_int_equal(osh_state_meta_get(s, "boot", &value), -ENOENT);
	assert_int_equal(osh_state_meta_set(s, "boot", "x"), 0);
	assert_int_equal(osh_state_meta_set(s, "boot", "y"), 0);
	assert_int_equal(osh_state_meta_get(s, "boot", &value), 0);
	assert_string_equal(value, "y");
	/* cannot touch ours */
	assert_int_equal(osh_state_meta_get(s, "next_sandbox_id", &value), -ENOENT);
}

/* What the dying writer has been told is durable. */
struct shared {
	volatile uint64_t added, loaded;
};

static void writer(struct shared *sh)
{
	struct osh_state *s;

	if (osh_state_open(path, &s, NULL, 0) < 0)
		_exit(1);
	for (unsigned int i = 0;; i++) {
		char hash[65];
		uint64_t version;
		bool unchanged;

		(void)snprintf(hash, sizeof(hash), "%064x",
			       i * 7 + 1 + (unsigned int)getpid() * 1000);
		if (osh_state_rev_add(s, "demo", osh_str(hash), hash, NULL, 1, &version,
				      &unchanged) < 0)
			_exit(1);
		sh->added = version;
		if (i % 3 == 2) {
			if (osh_state_rev_failed(s, "demo", version, "no", 1) < 0)
				_exit(1);
			continue;
		}
		if (osh_state_rev_loaded(s, "demo", version, 1) < 0)
			_exit(1);
		sh->loaded = version;
	}
}

struct history {
	struct osh_state_iter it;
	uint64_t newest, loaded, loaded_count, pending;
};

static int on_history(struct osh_state_iter *it, const struct osh_state_rev *rev)
{
	struct history *h = osh_container_of(it, struct history, it);

	h->newest = OSH_MAX(h->newest, rev->version);
	h->loaded_count += rev->status == OSH_REV_LOADED;
	if (rev->status == OSH_REV_LOADED)
		h->loaded = rev->version;
	h->pending += rev->status == OSH_REV_PENDING;
	return 0;
}

static void kill_9_at_any_point_leaves_a_consistent_history(void **state)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(sh != MAP_FAILED);
	{
		osh_auto_state struct osh_state *s = open_state();

		add_sandbox(s, "demo");
	}
	for (unsigned int round = 0; round < 30; round++) {
		struct history h = { .it = { .on_rev = on_history } };
		struct osh_state_sandbox sb = { 0 };
		struct osh_state *s;
		pid_t pid;

		pid = fork();
		if (!pid)
			writer(sh);
		usleep(8000 + 1100 * round);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		s = open_state();
		assert_int_equal(osh_state_rev_list(s, "demo", 0, &h.it), 0);
		assert_int_equal(osh_state_sandbox_get(s, "demo", &sb), 0);
		/* nothing that was acknowledged is lost; at most one newer thing is there */
		assert_true(h.newest == sh->added || h.newest == sh->added + 1);
		sh->added = h.newest; /* or two rounds in a row could leave two */
		assert_true(h.loaded_count <= 1);
		assert_true(h.loaded >= sh->loaded);
		assert_int_equal(sb.active_version, h.loaded);
		osh_state_sandbox_fini(&sb);
		(void)osh_state_free(s);
	}
	munmap(sh, sizeof(*sh));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(sandboxes_are_kept),
		T(revisions_supersede_when_the_next_one_loads),
		T(later_load_wins_over_an_earlier_pending_one),
		T(unchanged_only_when_loaded),
		T(global_policy_has_its_own_sequence),
		T(settings_count_their_changes),
		T(second_opener_and_foreign_files_are_refused),
		T(meta_is_kept),
		T(kill_9_at_any_point_leaves_a_consistent_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
