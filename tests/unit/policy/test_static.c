/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include "policy/validate.h"

static void diff(const char *base, const char *next, const char *message)
{
	struct osh_diag diag;
	struct osh_buf text;
	struct doc a, b;
	int r;

	doc_load(&a, base);
	doc_load(&b, next);
	assert_non_null(a.policy);
	assert_non_null(b.policy);
	osh_diag_init(&diag, NULL);
	osh_buf_init(&text, 1u << 16, 0);
	r = osh_policy_static_diff(a.policy, b.policy, &diag);
	assert_int_equal(osh_diag_render(&diag, &text), 0);
	assert_int_equal(r, message ? -EBADMSG : 0);
	if (message && !strstr(text.data, message))
		fail_msg("no \"%s\" in: %s", message, text.data);
	osh_buf_fini(&text);
	osh_diag_fini(&diag);
	doc_free(&a);
	doc_free(&b);
}

#define FS(x) "version: 1\nfilesystem_policy: {" x "}\n"

static void what_is_said_again_is_fine(void **state)
{
	(void)state;
	diff("version: 1\n", "version: 1\nnetwork_policies: {a: {}}\n", NULL);
	diff(FS("read_only: [/a, /b]"), FS("read_only: [/b, /a/], include_workdir: false"), NULL);
	diff("version: 1\nprocess: {run_as_user: sandbox}\n",
	     "version: 1\nprocess: {run_as_group: '', run_as_user: sandbox}\n", NULL);
}

static void any_change_is_refused(void **state)
{
	(void)state;
	diff(FS("read_only: [/a]"), FS("read_only: [/a, /b]"),
	     "2:37: filesystem read_only path '/b' cannot be added on a live sandbox");
	diff(FS("read_write: [/a]"), FS(""),
	     "2:1: filesystem read_write path '/a' cannot be removed on a live sandbox");
	diff(FS("read_only: [/a]"), FS("read_write: [/a]"),
	     "filesystem read_only path '/a' cannot be removed on a live sandbox");
	diff(FS(""), FS("include_workdir: true"),
	     "filesystem include_workdir cannot be changed on a live sandbox");
	diff(FS(""), "version: 1\n", "filesystem policy cannot be removed on a live sandbox");
	diff("version: 1\n", FS(""), "filesystem policy cannot be added on a live sandbox");
	diff("version: 1\n", "version: 1\nlandlock: {}\n",
	     "2:1: landlock policy cannot be changed on a live sandbox (applied at startup)");
	diff("version: 1\nprocess: {}\n", "version: 1\n",
	     "process policy cannot be changed on a live sandbox (applied at startup)");
	diff("version: 1\nprocess: {run_as_user: '1'}\n",
	     "version: 1\nprocess: {run_as_user: '2'}\n", "process policy cannot be changed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_again_is_fine),
		cmocka_unit_test(any_change_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
