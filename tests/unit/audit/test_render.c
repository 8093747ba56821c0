/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit/render.h"
#include "openshell/reason.h"

#define T0 1775014132690000000ull

static struct osh_buf out;

static int setup(void **state)
{
	(void)state;
	osh_buf_init(&out, OSH_RENDER_MAX * 4, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	osh_buf_fini(&out);
	return 0;
}

static struct osh_rec connect_deny(void)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_CONNECT, OSH_REC_DENY, T0);
	osh_rec_set_z(&rec, OSH_REC_HOST, "api.github.com");
	rec.port = 443;
	rec.pid = 64;
	osh_rec_set_z(&rec, OSH_REC_BINARY, "/usr/bin/curl");
	osh_rec_set_z(&rec, OSH_REC_REASON, "no matching network policy");
	osh_rec_set_sandbox(&rec, OSH_STR("demo"));
	return rec;
}

static struct osh_rec l7_deny(void)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_L7, OSH_REC_DENY, T0);
	osh_rec_set_z(&rec, OSH_REC_HOST, "api.github.com");
	rec.port = 443;
	osh_rec_set_z(&rec, OSH_REC_METHOD, "POST");
	osh_rec_set_z(&rec, OSH_REC_PATH, "/repos/octocat/hello-world/issues");
	osh_rec_set_z(&rec, OSH_REC_REASON,
		      "POST /repos/octocat/hello-world/issues not permitted by policy");
	osh_rec_set_z(&rec, OSH_REC_PROTOCOL, "rest");
	osh_rec_set_z(&rec, OSH_REC_POLICY_KEY, "github_api");
	osh_rec_set_z(&rec, OSH_REC_BINARY, "/usr/bin/curl");
	rec.flags |= OSH_REC_TLS_INSPECTED;
	return rec;
}

static const char *run(int (*render)(const struct osh_rec *, struct osh_buf *),
		       const struct osh_rec *rec)
{
	osh_buf_reset(&out);
	assert_int_equal(render(rec, &out), 0);
	assert_int_equal(osh_buf_add_c(&out, '\0'), 0);
	return out.data;
}

static void tutorial_lines_are_exact(void **state)
{
	struct osh_rec rec = connect_deny();
	const char *line = run(osh_render_line, &rec);

	(void)state;
	assert_string_equal(line, "[1775014132.690] [sandbox] [WARN ] [openshell_sandbox::proxy] "
				  "action=deny dst_host=api.github.com dst_port=443 "
				  "binary=/usr/bin/curl deny_reason=\"no matching network policy\" "
				  "binary_pid=64");
	rec = l7_deny();
	line = run(osh_render_message, &rec);
	assert_int_equal(
		strncmp(line,
			"l7_decision=deny dst_host=api.github.com l7_action=POST "
			"l7_target=/repos/octocat/hello-world/issues l7_deny_reason=\"POST "
			"/repos/octocat/hello-world/issues not permitted by policy\" dst_port=443 "
			"l7_protocol=rest",
			200),
		0);
	assert_non_null(strstr(line, " policy=github_api"));
}

static void levels_show_denials_as_warnings(void **state)
{
	struct osh_rec rec;

	(void)state;
	osh_rec_init(&rec, OSH_REC_CONNECT, OSH_REC_ALLOW, T0);
	assert_int_equal(rec.level, OSH_REC_INFO);
	osh_rec_init(&rec, OSH_REC_L7, OSH_REC_DENY, T0);
	assert_int_equal(rec.level, OSH_REC_WARN);
	osh_rec_init(&rec, OSH_REC_L7, OSH_REC_AUDIT, T0);
	assert_int_equal(rec.level, OSH_REC_WARN);
	assert_int_equal(osh_rec_level_parse(OSH_STR("warn")), OSH_REC_WARN);
	assert_int_equal(osh_rec_level_parse(OSH_STR("OCSF")), OSH_REC_INFO);
	assert_int_equal(osh_rec_level_parse(OSH_STR("WEIRD")), -EINVAL);
}

static void shorthand_is_as_in_the_reference(void **state)
{
	struct osh_rec rec = connect_deny();

	(void)state;
	assert_string_equal(run(osh_render_shorthand, &rec),
			    "NET:OPEN [MED] DENIED /usr/bin/curl(64) -> api.github.com:443 "
			    "[policy:- engine:opa] [reason:no matching network policy]");
	osh_rec_init(&rec, OSH_REC_CONNECT, OSH_REC_ALLOW, T0);
	osh_rec_set_z(&rec, OSH_REC_HOST, "api.github.com");
	osh_rec_set_z(&rec, OSH_REC_BINARY, "/usr/bin/curl");
	osh_rec_set_z(&rec, OSH_REC_POLICY_KEY, "github_api");
	rec.port = 443;
	rec.pid = 58;
	assert_string_equal(run(osh_render_shorthand, &rec),
			    "NET:OPEN [INFO] ALLOWED /usr/bin/curl(58) -> api.github.com:443 "
			    "[policy:github_api engine:opa]");
	rec = l7_deny();
	rec.port = 8443;
	assert_string_equal(run(osh_render_shorthand, &rec),
			    "HTTP:POST [MED] DENIED /usr/bin/curl(0) -> POST "
			    "https://api.github.com:8443/repos/octocat/hello-world/issues "
			    "[policy:github_api engine:l7] [reason:L7_REQUEST deny POST "
			    "api.github.com:8443/repos/octocat/hello-world/issues reason=POST "
			    "/repos/octocat/hello-world/issues not permitted by policy]");
	osh_rec_init(&rec, OSH_REC_POLICY, OSH_REC_NOTE, T0);
	rec.activity = OSH_REC_ACT_LOADED;
	rec.revision = 3;
	osh_rec_set_z(&rec, OSH_REC_MESSAGE, "Policy reloaded successfully");
	osh_rec_set_z(&rec, OSH_REC_HASH,
		      "0cc0c2b52557aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_string_equal(run(osh_render_shorthand, &rec),
			    "CONFIG:LOADED [INFO] Policy reloaded successfully [version:v3 "
			    "hash:0cc0c2b52557]");
	osh_rec_init(&rec, OSH_REC_PROCESS, OSH_REC_NOTE, T0);
	rec.activity = OSH_REC_ACT_EXIT;
	rec.pid = 7;
	rec.exit_code = 2;
	osh_rec_set_z(&rec, OSH_REC_BINARY, "/bin/bash");
	assert_string_equal(run(osh_render_shorthand, &rec),
			    "PROC:TERMINATE [INFO] /bin/bash(7) [exit:2]");
}

/* Keys of every object in ascending order. */
static void assert_sorted(const struct osh_jval *v)
{
	const char *key;
	char before[64] = "";
	void *iter = NULL;
	const struct osh_jval *one;

	if (osh_jval_type(v) != OSH_JSON_OBJ)
		return;
	while (osh_jval_next(v, &iter, &key, &one)) {
		assert_true(strcmp(before, key) < 0);
		(void)snprintf(before, sizeof(before), "%s", key);
		assert_sorted(one);
	}
}

static struct osh_jval *ocsf(const struct osh_rec *rec)
{
	struct osh_jval *v;

	osh_buf_reset(&out);
	assert_int_equal(osh_render_ocsf_json(rec, "host1", &out), 0);
	assert_int_equal(osh_json_parse(osh_buf_str(&out), &v, NULL, 0), 0);
	assert_sorted(v);
	return v;
}

static void ocsf_json_has_the_class_fields(void **state)
{
	/* class, uid, activity, members the class requires */
	static const struct {
		enum osh_rec_class class;
		enum osh_rec_verdict verdict;
		enum osh_rec_activity activity;
		int class_uid, activity_id;
		const char *needs[8];
	} rows[] = {
		{ OSH_REC_CONNECT,
		  OSH_REC_DENY,
		  0,
		  4001,
		  1,
		  { "dst_endpoint", "action_id", "disposition_id", "firewall_rule", "actor" } },
		{ OSH_REC_L7, OSH_REC_ALLOW, 0, 4002, 99, { "http_request", "dst_endpoint" } },
		{ OSH_REC_PARSER_REJECT, OSH_REC_DENY, 0, 4001, 1, { "firewall_rule" } },
		{ OSH_REC_AUTHORITY, OSH_REC_DENY, 0, 4002, 99, { "http_request" } },
		{ OSH_REC_TLS, OSH_REC_DENY, 0, 4001, 4, { "dst_endpoint" } },
		{ OSH_REC_DNS, OSH_REC_DENY, 0, 4001, 5, { "dst_endpoint" } },
		{ OSH_REC_SSRF, OSH_REC_DENY, 0, 4001, 1, { "dst_endpoint" } },
		{ OSH_REC_BYPASS, OSH_REC_DENY, 0, 4001, 5, { "dst_endpoint" } },
		{ OSH_REC_UPSTREAM, OSH_REC_NOTE, 0, 4001, 4, { "dst_endpoint" } },
		{ OSH_REC_CLOSE, OSH_REC_NOTE, 0, 4001, 2, { "traffic" } },
		{ OSH_REC_PROCESS,
		  OSH_REC_NOTE,
		  OSH_REC_ACT_START,
		  1007,
		  1,
		  { "process", "actor" } },
		{ OSH_REC_PROCESS, OSH_REC_NOTE, OSH_REC_ACT_EXIT, 1007, 2, { "exit_code" } },
		{ OSH_REC_POLICY,
		  OSH_REC_NOTE,
		  OSH_REC_ACT_LOADED,
		  5019,
		  1,
		  { "state_id", "state" } },
		{ OSH_REC_SANDBOX, OSH_REC_NOTE, OSH_REC_ACT_START, 6002, 3, { "app" } },
		{ OSH_REC_FINDING, OSH_REC_NOTE, 0, 2004, 1, { "finding_info" } },
		{ OSH_REC_LOSS, OSH_REC_NOTE, 0, 0, 99, { "count" } },
		{ OSH_REC_LOG, OSH_REC_NOTE, 0, 0, 99, { "message" } },
	};
	static const char *const always[] = { "activity_id", "category_uid", "class_uid",
					      "device",	     "metadata",     "severity_id",
					      "time",	     "type_uid",     "message",
					      "status_id",   "unmapped" };

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		osh_auto_jval struct osh_jval *v = NULL;
		struct osh_rec rec;
		int64_t uid;

		osh_rec_init(&rec, rows[i].class, rows[i].verdict, T0);
		rec.activity = (uint8_t)rows[i].activity;
		rec.exit_code = 3;
		rec.count = 4;
		rec.port = 443;
		osh_rec_set_z(&rec, OSH_REC_HOST, "h.example");
		osh_rec_set_z(&rec, OSH_REC_BINARY, "/bin/x");
		v = ocsf(&rec);
		for (size_t k = 0; k < OSH_ARRAY_SIZE(always); k++)
			assert_non_null(osh_jval_get(v, always[k]));
		for (size_t k = 0; rows[i].needs[k]; k++)
			assert_non_null(osh_jval_get(v, rows[i].needs[k]));
		uid = osh_jval_i64(osh_jval_get(v, "class_uid"), -1);
		assert_int_equal(uid, rows[i].class_uid);
		assert_int_equal(osh_jval_i64(osh_jval_get(v, "activity_id"), -1),
				 rows[i].activity_id);
		assert_int_equal(osh_jval_i64(osh_jval_get(v, "type_uid"), -1),
				 uid * 100 + rows[i].activity_id);
		assert_int_equal(osh_jval_i64(osh_jval_get(v, "time"), -1),
				 (int64_t)(T0 / 1000000));
	}
}

/* What a hostile host name, path, binary or message may not do to any rendering. */
static void nothing_can_be_forged(void **state)
{
	static const char *const evil[] = {
		"a\nb action=allow",
		"x\" deny_reason=\"ok",
		"\x1b[31mred\x1b[0m",
		"r\r\n[1.000] [sandbox] [INFO ] [x] action=allow",
		"\xff\xfe\x80",
		"a b\tc\\",
		"\xe2\x80\xae\xc2\x85gnp",
		"] [policy:fake engine:opa",
		"\nPRIORITY=0\nOPENSHELL_ACTION=allow",
	};
	static const enum osh_rec_field fields[] = {
		OSH_REC_HOST,	    OSH_REC_BINARY, OSH_REC_METHOD,   OSH_REC_PATH,
		OSH_REC_POLICY_KEY, OSH_REC_REASON, OSH_REC_DETAIL,   OSH_REC_MESSAGE,
		OSH_REC_ENGINE,	    OSH_REC_TARGET, OSH_REC_PROTOCOL, OSH_REC_TITLE,
	};

	(void)state;
	for (unsigned int class = 1; class < OSH_REC_CLASS_COUNT; class ++) {
		for (size_t i = 0; i < OSH_ARRAY_SIZE(evil); i++) {
			osh_auto_jval struct osh_jval *v = NULL;
			struct osh_rec rec, back;
			const char *text;
			size_t lines = 0;

			osh_rec_init(&rec, (enum osh_rec_class) class, OSH_REC_DENY, T0);
			for (size_t f = 0; f < OSH_ARRAY_SIZE(fields); f++)
				osh_rec_set_z(&rec, fields[f], evil[i]);
			osh_rec_add_ancestor(&rec, osh_str(evil[i]));
			text = run(osh_render_line, &rec);
			for (const char *p = text; *p; p++)
				assert_true(*p >= 0x20 && *p < 0x7f);
			assert_null(strstr(text, " action=allow "));
			assert_null(strstr(text, " deny_reason=\"ok"));
			text = run(osh_render_shorthand, &rec);
			for (const char *p = text; *p; p++)
				assert_true(*p >= 0x20 && *p < 0x7f);
			if (class == OSH_REC_CONNECT)
				assert_null(strstr(text, " [policy:fake"));
			text = run(osh_render_journal, &rec);
			assert_null(strstr(text, "\nOPENSHELL_ACTION=allow"));
			assert_null(strstr(text, "\nPRIORITY=0"));
			for (const char *p = text; *p; p++)
				lines += *p == '\n';
			assert_true(lines < 40 && !strstr(text, "\n\n"));
			v = ocsf(&rec);
			assert_null(memchr(out.data, '\n', out.len));
			v = osh_jval_free(v);
			osh_buf_reset(&out);
			assert_int_equal(osh_render_json(&rec, &out), 0);
			assert_null(memchr(out.data, '\n', out.len));
			assert_int_equal(osh_json_parse(osh_buf_str(&out), &v, NULL, 0), 0);
			assert_int_equal(osh_render_parse_json(v, &back), 0);
			if (osh_utf8_is_valid(osh_str(evil[i])))
				assert_true(osh_str_is(osh_rec_get(&back, OSH_REC_HOST), evil[i]));
		}
	}
}

static void json_form_is_reversible(void **state)
{
	osh_auto_jval struct osh_jval *v = NULL;
	struct osh_rec rec = l7_deny(), back;
	char *first;

	(void)state;
	rec.seq = 9;
	rec.generation = 12;
	rec.flow = 77;
	rec.uid = 1000;
	rec.reason = OSH_REASON_L7_NOT_PERMITTED;
	rec.addr_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", rec.addr), 1);
	osh_rec_add_ancestor(&rec, OSH_STR("/usr/bin/a b"));
	osh_rec_add_ancestor(&rec, OSH_STR("/bin/bash"));
	osh_rec_set_sandbox(&rec, OSH_STR("demo"));
	first = strdup(run(osh_render_json, &rec));
	assert_int_equal(osh_json_parse(osh_str(first), &v, NULL, 0), 0);
	assert_int_equal(osh_render_parse_json(v, &back), 0);
	assert_string_equal(run(osh_render_json, &back), first);
	assert_non_null(strstr(first, "\"reason_code\":\"l7_not_permitted\""));
	assert_non_null(strstr(first, "\"ancestors\":[\"/usr/bin/a b\",\"/bin/bash\"]"));
	assert_non_null(strstr(first,
			       "{\"seq\":9,\"time_ns\":1775014132690000000,\"level\":\"WARN\","
			       "\"source\":\"sandbox\",\"sandbox\":\"demo\","));
	free(first);
}

static void journal_fields_are_searchable(void **state)
{
	struct osh_rec rec = connect_deny();
	const char *text = run(osh_render_journal, &rec);

	(void)state;
	assert_int_equal(strncmp(text, "MESSAGE=action=deny dst_host=", 29), 0);
	assert_non_null(strstr(text, "\nPRIORITY=4\n"));
	assert_non_null(strstr(text, "\nOPENSHELL_SANDBOX=demo\n"));
	assert_non_null(strstr(text, "\nOPENSHELL_ACTION=deny\n"));
	assert_non_null(strstr(text, "\nOPENSHELL_DST_HOST=api.github.com\n"));
	assert_non_null(strstr(text, "\nOPENSHELL_DST_PORT=443\n"));
	assert_non_null(strstr(text, "\nOPENSHELL_BINARY=/usr/bin/curl\n"));
}

/* ---- the encoding ---- */

static void decode_refuses_what_makes_no_sense(void **state)
{
	struct osh_rec good = connect_deny(), bad, got;

	(void)state;
	assert_int_equal(osh_rec_decode(&good, good.size, &got), 0);
	assert_int_equal(osh_rec_get(&got, OSH_REC_SANDBOX_NAME).n, 0); /* not the proxy's to say */
	assert_true(osh_str_is(osh_rec_get(&got, OSH_REC_HOST), "api.github.com"));
	/* nor is how loud it is */
	bad = good;
	bad.level = OSH_REC_TRACE;
	bad.severity = 200;
	assert_int_equal(osh_rec_decode(&bad, bad.size, &got), 0);
	assert_int_equal(got.level, OSH_REC_WARN);
	assert_int_equal(got.severity, 3);
	assert_int_equal(osh_rec_decode(&good, good.size - 1, &got), -EBADMSG);
	assert_int_equal(osh_rec_decode(&good, 10, &got), -EBADMSG);
#define REFUSED(member, value)                                                     \
	do {                                                                       \
		bad = good;                                                        \
		bad.member = (value);                                              \
		assert_int_equal(osh_rec_decode(&bad, good.size, &got), -EBADMSG); \
	} while (0)
	REFUSED(size, 4000);
	REFUSED(version, 2);
	REFUSED(class, OSH_REC_CLASS_COUNT);
	REFUSED(class, 0);
	REFUSED(verdict, OSH_REC_VERDICT_COUNT);
	REFUSED(class, OSH_REC_POLICY);
	REFUSED(class, OSH_REC_LOSS);
	REFUSED(class, OSH_REC_LOG);
	REFUSED(source, OSH_REC_GATEWAY);
	REFUSED(activity, OSH_REC_ACT_LOADED);
	REFUSED(addr_family, 77);
	REFUSED(flags, 0x80000000u);
	REFUSED(zero[1], 1);
	REFUSED(bytes_up, UINT64_MAX);
	REFUSED(text_span[OSH_REC_HOST].off, 60000);
	REFUSED(text_span[OSH_REC_HOST].len, 256);
	REFUSED(text_span[OSH_REC_PATH].len, 700);
#undef REFUSED
}

static void random_bytes_never_crash(void **state)
{
	struct osh_rec rec, got;
	unsigned int seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t n;

		rec = connect_deny();
		memset((char *)&rec + rec.size, 0, sizeof(rec) - rec.size);
		for (int k = 0; k < 1 + i % 8; k++)
			((unsigned char *)&rec)[rand_r(&seed) % 260] = (unsigned char)rand_r(&seed);
		n = i & 1 ? rec.size : (size_t)rand_r(&seed) % sizeof(rec);
		if (n > sizeof(rec) || osh_rec_decode(&rec, n, &got) < 0)
			continue;
		(void)run(osh_render_line, &got);
		(void)run(osh_render_shorthand, &got);
		(void)run(osh_render_journal, &got);
		(void)run(osh_render_json, &got);
	}
}

static void long_values_are_cut_and_the_name_always_fits(void **state)
{
	static char big[3000];
	struct osh_rec rec;

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	osh_rec_init(&rec, OSH_REC_L7, OSH_REC_DENY, T0);
	for (unsigned int f = 1; f < OSH_REC_FIELD_COUNT; f++)
		osh_rec_set_z(&rec, (enum osh_rec_field)f, big);
	assert_true(rec.size <= sizeof(rec));
	assert_true(rec.flags & OSH_REC_TRUNCATED);
	osh_rec_set_sandbox(&rec, OSH_STR("a-name-of-19-bytes-"));
	assert_true(osh_str_is(osh_rec_get(&rec, OSH_REC_SANDBOX_NAME), "a-name-of-19-bytes-"));
	assert_true(rec.size <= sizeof(rec));
	/* a cut never splits a character */
	osh_rec_init(&rec, OSH_REC_L7, OSH_REC_DENY, T0);
	osh_rec_set(&rec, OSH_REC_HOST, (struct osh_str){ "a\0b", 3 });
	assert_memory_equal(osh_rec_get(&rec, OSH_REC_HOST).p,
			    "a\x01"
			    "b",
			    3);
	memset(big, 'a', 254);
	memcpy(big + 254, "\xc3\xa9\xc3\xa9", 5);
	osh_rec_set_z(&rec, OSH_REC_HOST, big);
	assert_int_equal(osh_rec_get(&rec, OSH_REC_HOST).n, 254);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tutorial_lines_are_exact),
		cmocka_unit_test(levels_show_denials_as_warnings),
		cmocka_unit_test(shorthand_is_as_in_the_reference),
		cmocka_unit_test(ocsf_json_has_the_class_fields),
		cmocka_unit_test(nothing_can_be_forged),
		cmocka_unit_test(json_form_is_reversible),
		cmocka_unit_test(journal_fields_are_searchable),
		cmocka_unit_test(decode_refuses_what_makes_no_sense),
		cmocka_unit_test(random_bytes_never_crash),
		cmocka_unit_test(long_values_are_cut_and_the_name_always_fits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
