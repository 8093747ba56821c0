/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include "policy/merge.h"
#include "policy/names.h"

static void sandbox_names_are_short_labels(void **state)
{
	const char *why = NULL;

	(void)state;
	assert_true(osh_sandbox_name_ok(OSH_STR("a-b-0"), NULL));
	assert_true(osh_sandbox_name_ok(OSH_STR("aaaaaaaaaaaaaaaaaaa"), NULL));
	assert_false(osh_sandbox_name_ok(OSH_STR("aaaaaaaaaaaaaaaaaaaa"), &why));
	assert_string_equal(why, "is longer than 19 characters");
	assert_false(osh_sandbox_name_ok(OSH_STR(""), NULL));
	assert_false(osh_sandbox_name_ok(OSH_STR("Demo"), NULL));
	assert_false(osh_sandbox_name_ok(OSH_STR("a-"), NULL));
	assert_false(osh_sandbox_name_ok(OSH_STR("a--b"), NULL));
	assert_false(osh_sandbox_name_ok(OSH_STR("a\0b"), NULL));
	assert_false(osh_sandbox_name_ok(OSH_STR("../a"), NULL));
}

static void credential_keys_are_recognised_by_segment(void **state)
{
	(void)state;
	assert_true(osh_env_key_is_secret(OSH_STR("GH_token")));
	assert_true(osh_env_key_is_secret(OSH_STR("API_KEY")));
	assert_true(osh_env_key_is_secret(OSH_STR("X_SECRET_KEY_2")));
	assert_false(osh_env_key_is_secret(OSH_STR("TOKENIZERS_PARALLELISM")));
	assert_false(osh_env_key_is_secret(OSH_STR("API_X_KEY")));
	assert_false(osh_env_key_is_secret(OSH_STR("KEY")));
	assert_false(osh_env_key_ok(OSH_STR("1A"), NULL));
	assert_false(osh_env_key_ok(OSH_STR(""), NULL));
	assert_false(osh_env_key_ok(OSH_STR("OPENSHELL_X"), NULL));
	assert_true(osh_env_key_ok(OSH_STR("_a1"), NULL));
}

static void durations_take_one_unit(void **state)
{
	uint64_t seconds = 0;
	char message[120];

	(void)state;
	assert_int_equal(osh_duration_parse(OSH_STR("90m"), &seconds, NULL, 0), 0);
	assert_int_equal(seconds, 5400);
	assert_int_equal(osh_duration_parse(OSH_STR(""), &seconds, message, sizeof(message)),
			 -EBADMSG);
	assert_string_equal(message, "empty duration string");
	assert_int_equal(osh_duration_parse(OSH_STR("5d"), &seconds, message, sizeof(message)),
			 -EBADMSG);
	assert_string_equal(message, "unknown duration unit: d (use s, m, or h)");
	assert_int_equal(osh_duration_parse(OSH_STR("x5m"), &seconds, message, sizeof(message)),
			 -EBADMSG);
	assert_string_equal(message, "invalid duration: x5m (expected e.g. 5m, 1h, 30s)");
	assert_int_equal(osh_duration_parse(OSH_STR("99999999999999999999h"), &seconds, NULL, 0),
			 -EBADMSG);
	assert_int_equal(osh_duration_parse(OSH_STR("5124095576030431h"), &seconds, NULL, 0), 0);
	assert_int_equal(seconds, 5124095576030431ull * 3600);
	assert_int_equal(osh_duration_parse(OSH_STR("5124095576030432h"), &seconds, NULL, 0),
			 -EBADMSG);
}

static void levels_are_ranked(void **state)
{
	(void)state;
	assert_true(osh_log_level_shown(OSH_STR("WARN"), OSH_STR("warn")));
	assert_true(osh_log_level_shown(OSH_STR("OCSF"), OSH_STR("info")));
	assert_false(osh_log_level_shown(OSH_STR("OCSF"), OSH_STR("warn")));
	assert_true(osh_log_level_shown(OSH_STR("odd"), OSH_STR("odder")));
	assert_true(osh_log_level_shown(OSH_STR("TRACE"), OSH_STR("")));
}

static void normal(const char *path, const char *want)
{
	struct osh_buf out;

	osh_buf_init(&out, 4096, 0);
	assert_int_equal(osh_fs_path_normalise(osh_str(path), &out), 0);
	if (!osh_str_is(osh_buf_str(&out), want))
		fail_msg("%s gives %s", path, out.data);
	osh_buf_fini(&out);
}

static void paths_lose_what_says_nothing(void **state)
{
	(void)state;
	normal("/", "/");
	normal("//a//b/", "/a/b");
	normal("/a/./b/.", "/a/b");
	normal("/a/../b", "/a/../b");
	normal("a/./b", "a/b");
	normal("", "");
	normal("/.hidden/..x", "/.hidden/..x");
	assert_true(osh_fs_path_has_dotdot(OSH_STR("/a/..")));
	assert_false(osh_fs_path_has_dotdot(OSH_STR("/a/..b/c..")));
}

static void rule_names_are_made_of_host_and_port(void **state)
{
	struct osh_arena arena;

	(void)state;
	osh_arena_init(&arena, 4096);
	assert_true(osh_str_is(osh_merge_rule_name(&arena, OSH_STR("**.a-b.example.org"), 443),
			       "allow__a_b_example_org_443"));
	assert_true(osh_str_is(osh_merge_rule_name(&arena, OSH_STR("Api.GitHub.com"), 1),
			       "allow_Api_GitHub_com_1"));
	osh_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sandbox_names_are_short_labels),
		cmocka_unit_test(credential_keys_are_recognised_by_segment),
		cmocka_unit_test(durations_take_one_unit),
		cmocka_unit_test(levels_are_ranked),
		cmocka_unit_test(paths_lose_what_says_nothing),
		cmocka_unit_test(rule_names_are_made_of_host_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
