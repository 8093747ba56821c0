/* SPDX-License-Identifier: MIT */
/* policy test: unit tests for policies. */
#include "cli/policy_tool.h"

#include "http/judge.h"
#include "policy/schema.h"
#include "sys/fs.h"

#define TEXT_MAX (1u << 20) /* bytes of a test file */
#define HEADERS	 32

/* One test as the file has it. */
struct test {
	struct osh_str name, request, connect, binary, expect, policy, reason, body;
	struct osh_strs ancestors;
	struct osh_judge_header headers[HEADERS];
	size_t nheaders;
	unsigned int line;
};

struct suite {
	struct osh_str binary; /* for tests that name none */
	struct test *tests;
	size_t n;
};

struct result {
	bool passed;
	enum osh_decision got;
	struct osh_str reason, policy;
	char problem[160]; /* why it could not be judged; empty: it was */
};

/* ---- the file ---- */

static void set_headers(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct test *t = obj;

	if (!osh_schema_is_map(rd, node, "headers"))
		return;
	osh_node_for_each(member, node)
	{
		struct osh_str value;

		if (t->nheaders == HEADERS) {
			osh_diag_err(rd->diag, member->line, member->col, "more than %d headers",
				     HEADERS);
			return;
		}
		if (!osh_schema_text(rd, member, "header", &value))
			continue;
		t->headers[t->nheaders++] = (struct osh_judge_header){ member->key, value };
	}
}

static const struct osh_key test_keys[] = {
	OSH_KEY_FIELD("name", OSH_KEY_TEXT, 0, struct test, name),
	OSH_KEY_FIELD("request", OSH_KEY_TEXT, 0, struct test, request),
	OSH_KEY_FIELD("connect", OSH_KEY_TEXT, 0, struct test, connect),
	OSH_KEY_FIELD("binary", OSH_KEY_TEXT, 0, struct test, binary),
	OSH_KEY_FIELD("ancestors", OSH_KEY_TEXTS, 0, struct test, ancestors),
	OSH_KEY_FIELD("body", OSH_KEY_TEXT, 0, struct test, body),
	OSH_KEY_CALL("headers", OSH_KEY_MAP, 0, set_headers),
	OSH_KEY_FIELD("expect", OSH_KEY_TEXT, OSH_KEY_REQUIRED, struct test, expect),
	OSH_KEY_FIELD("policy", OSH_KEY_TEXT, 0, struct test, policy),
	OSH_KEY_FIELD("reason", OSH_KEY_TEXT, 0, struct test, reason),
	{ 0 },
};

static bool is_verdict(struct osh_str word)
{
	return osh_str_is(word, "allow") || osh_str_is(word, "audit") || osh_str_is(word, "deny");
}

static void set_tests(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct suite *s = obj;

	if (!osh_schema_is_seq(rd, node, "tests"))
		return;
	s->tests = osh_reader_array(rd, node->n, sizeof(*s->tests));
	if (!s->tests)
		return;
	osh_node_for_each(item, node)
	{
		struct test *t = &s->tests[s->n++];

		t->line = item->line;
		osh_schema_read(rd, item, test_keys, t, "test");
		if (t->expect.n && !is_verdict(t->expect))
			osh_diag_err(rd->diag, item->line, item->col,
				     "expect is allow, audit or deny, got %s",
				     osh_quote(t->expect));
		if (!t->request.n == !t->connect.n)
			osh_diag_err(rd->diag, item->line, item->col,
				     "a test has either request: METHOD URL or connect: HOST:PORT");
	}
}

static const struct osh_key suite_keys[] = {
	OSH_KEY_FIELD("binary", OSH_KEY_TEXT, 0, struct suite, binary),
	OSH_KEY_CALL("tests", OSH_KEY_SEQ, OSH_KEY_REQUIRED, set_tests),
	{ 0 },
};

static int read_suite(struct osh_str text, struct osh_arena *arena, struct osh_diag *diag,
		      struct suite *ret)
{
	struct osh_reader rd = { .arena = arena, .diag = diag };
	struct osh_node *root = NULL;
	int r = osh_node_parse(arena, text, NULL, &root, diag);

	if (r < 0)
		return r;
	if (!root) {
		osh_diag_err(diag, 1, 1, "the file is empty");
		return -EBADMSG;
	}
	osh_schema_read(&rd, root, suite_keys, ret, "test file");
	for (size_t i = 0; i < ret->n; i++)
		if (!ret->tests[i].binary.n && !ret->binary.n)
			osh_diag_err(diag, ret->tests[i].line, 1,
				     "no binary, here or for the file");
	if (rd.err)
		return rd.err;
	return diag->errors ? -EBADMSG : 0;
}

/* ---- one test ---- */

static enum osh_decision overall(const struct osh_judge_result *res)
{
	if (res->conn.verdict != OSH_DECISION_ALLOW)
		return OSH_DECISION_DENY;
	return res->has_request ? res->req.verdict : OSH_DECISION_ALLOW;
}

static bool contains(struct osh_str text, struct osh_str part)
{
	return !part.n || (text.n && memmem(text.p, text.n, part.p, part.n));
}

/* "METHOD URL" or "HOST:PORT" into the parts of a question. */
static bool aim(const struct test *t, struct osh_tool_dest *dest, struct osh_str *ret_method,
		struct result *ret)
{
	struct osh_str rest = t->request, method = OSH_STR("");
	osh_auto_free char *url = NULL;
	const char *why = NULL;

	if (t->request.n)
		(void)osh_str_split(&rest, ' ', &method); /* checked below */
	url = osh_str_dup(osh_str_trim(t->request.n ? rest : t->connect));
	if (!url || osh_tool_dest(url, dest, &why) < 0) {
		(void)snprintf(ret->problem, sizeof(ret->problem), "%s",
			       why ? why : "out of memory");
		return false;
	}
	if (dest->has_url != (t->request.n > 0)) {
		(void)snprintf(ret->problem, sizeof(ret->problem), "%s",
			       t->request.n ? "request wants METHOD URL"
					    : "connect wants HOST:PORT");
		return false;
	}
	*ret_method = method;
	return true;
}

static int run_one(const struct osh_image *img, const struct suite *s, const struct test *t,
		   struct osh_arena *arena, struct result *ret)
{
	struct osh_identity_exe *ancestors = osh_arena_array(arena, t->ancestors.n + 1,
							     sizeof(*ancestors));
	struct osh_tool_dest *dest = osh_arena_alloc(arena, sizeof(*dest));
	struct osh_identity id = { .self.path = t->binary.n ? t->binary : s->binary,
				   .ancestors = ancestors,
				   .nancestors = t->ancestors.n };
	struct osh_judge_input in = { .id = &id, .headers = t->headers, .nheaders = t->nheaders };
	struct osh_judge_result res;
	int r;

	*ret = (struct result){ .reason = OSH_STR(""), .policy = OSH_STR("") };
	if (!ancestors || !dest)
		return -ENOMEM;
	for (size_t i = 0; i < t->ancestors.n; i++)
		ancestors[i].path = t->ancestors.v[i];
	if (!aim(t, dest, &in.method, ret))
		return 0;
	in.host = osh_str(dest->host);
	in.port = dest->port;
	in.plain = dest->plain;
	in.target = osh_str(dest->target);
	in.body = t->body.n ? t->body : OSH_STR_NONE;
	r = osh_judge(img, &in, arena, &res);
	if (r < 0)
		return r;
	ret->got = overall(&res);
	ret->reason = res.reason;
	ret->policy = res.has_request ? res.req.key : res.conn.key;
	ret->passed = osh_str_is(t->expect, osh_decision_word(ret->got)) &&
		      (!t->policy.n || osh_str_eq(t->policy, ret->policy)) &&
		      contains(ret->reason, t->reason);
	return 0;
}

/* ---- output ---- */

static struct osh_str title(const struct test *t)
{
	return t->name.n ? t->name : t->request.n ? t->request : t->connect;
}

static int show(struct osh_cli *cli, const char *file, const struct test *t, const struct result *r,
		struct osh_buf *out)
{
	int e = osh_buf_printf(out, "%s%-4s%s  %-5.*s  %.*s\n",
			       osh_tool_color(cli, r->passed ? 'g' : 'r'),
			       r->passed ? "ok" : "FAIL", osh_tool_color(cli, 0),
			       OSH_STR_FMT(t->expect), OSH_STR_FMT(title(t)));

	if (e < 0 || r->passed)
		return e;
	if (r->problem[0])
		return osh_buf_printf(out, "      %s:%u: %s\n", file, t->line, r->problem);
	e = osh_buf_printf(out, "      %s:%u: got %s%s%.*s%s%.*s\n", file, t->line,
			   osh_decision_word(r->got), r->policy.n ? ", policy " : "",
			   OSH_STR_FMT(r->policy), r->reason.n ? ", " : "", OSH_STR_FMT(r->reason));
	return e;
}

static void show_json(struct osh_json *j, const struct test *t, const struct result *r)
{
	osh_json_obj(j);
	osh_json_kstr(j, "name", title(t));
	osh_json_ku64(j, "line", t->line);
	osh_json_kbool(j, "passed", r->passed);
	osh_json_kstr(j, "expect", t->expect);
	if (r->problem[0]) {
		osh_json_kz(j, "problem", r->problem);
	} else {
		osh_json_kz(j, "got", osh_decision_word(r->got));
		osh_json_kstr(j, "policy", r->policy);
		osh_json_kstr(j, "reason", r->reason);
	}
	osh_json_obj_end(j);
}

static int run_suite(struct osh_cli *cli, const struct osh_image *img, const struct suite *s,
		     const char *file, bool json, struct osh_buf *out, size_t *ret_failed)
{
	struct osh_json j;
	size_t failed = 0;
	int r = 0;

	osh_json_init(&j, out, 2);
	if (json) {
		osh_json_obj(&j);
		osh_json_key(&j, "tests");
		osh_json_arr(&j);
	}
	for (size_t i = 0; !r && i < s->n; i++) {
		osh_auto_arena struct osh_arena arena = { 0 };
		struct result res;

		osh_arena_init(&arena, OSH_JUDGE_ARENA_BYTES);
		r = run_one(img, s, &s->tests[i], &arena, &res);
		if (r < 0)
			return r;
		failed += !res.passed;
		if (json)
			show_json(&j, &s->tests[i], &res);
		else
			r = show(cli, file, &s->tests[i], &res, out);
	}
	*ret_failed = failed;
	if (!json)
		return r ? r
			 : osh_buf_printf(out, "%zu passed, %zu failed\n", s->n - failed, failed);
	osh_json_arr_end(&j);
	osh_json_ku64(&j, "passed", s->n - failed);
	osh_json_ku64(&j, "failed", failed);
	osh_json_obj_end(&j);
	return j.err ? j.err : osh_buf_add_c(out, '\n');
}

/* policy.yaml is tested by policy.test.yaml unless told otherwise. */
static char *tests_of(const struct osh_args *args)
{
	struct osh_str file = osh_str(osh_args_pos(args, 0));
	struct osh_str suffix = OSH_STR(".yaml");
	char *name = NULL;

	if (osh_args_pos(args, 1))
		return osh_str_dup(osh_str(osh_args_pos(args, 1)));
	if (osh_str_has_suffix(file, suffix))
		file.n -= suffix.n;
	return asprintf(&name, "%.*s.test.yaml", OSH_STR_FMT(file)) < 0 ? NULL : name;
}

static int load_suite(struct osh_cli *cli, const char *file, struct osh_arena *arena,
		      struct osh_buf *text, struct suite *ret)
{
	osh_auto_diag struct osh_diag diag = { 0 };
	osh_auto_bufmem struct osh_buf messages = { 0 };
	int r = osh_fs_read(file, TEXT_MAX, text);

	if (r < 0)
		return osh_cli_fail(cli, "read the tests", NULL, "%s: %s", file, strerror(-r));
	osh_diag_init(&diag, file);
	osh_buf_init(&messages, OSH_TOOL_OUT_MAX, 0);
	r = read_suite(osh_buf_str(text), arena, &diag, ret);
	if (!r)
		return OSH_EXIT_OK;
	if (osh_diag_render(&diag, &messages) == 0)
		(void)fwrite(messages.data, 1, messages.len, cli->err); /* nothing better to do */
	return OSH_EXIT_ERROR;
}

static int run_test(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_tool struct osh_tool_policy tp = { 0 };
	osh_auto_arena struct osh_arena arena = { 0 };
	osh_auto_bufmem struct osh_buf text = { 0 }, out = { 0 };
	osh_auto_free char *file = tests_of(args);
	struct suite suite = { 0 };
	size_t failed = 0;
	int r, json = osh_tool_wants_json(cli, args);

	if (json < 0)
		return OSH_EXIT_USAGE;
	if (!file)
		return osh_cli_fail(cli, "read the tests", NULL, "out of memory");
	r = osh_tool_require(cli, osh_args_pos(args, 0), &tp);
	if (r)
		return r;
	osh_arena_init(&arena, OSH_JUDGE_ARENA_BYTES);
	osh_buf_init(&text, TEXT_MAX, 0);
	osh_buf_init(&out, OSH_TOOL_OUT_MAX, 0);
	r = load_suite(cli, file, &arena, &text, &suite);
	if (r)
		return r;
	r = run_suite(cli, tp.img, &suite, file, json, &out, &failed);
	r = osh_tool_print(cli, r, &out);
	return r ? r : failed ? OSH_EXIT_ERROR : OSH_EXIT_OK;
}

const struct osh_cmd osh_cmd_policy_test = {
	.name = "test",
	.args = "FILE [TESTS]",
	.help = "Run the unit tests of a policy",
	.more = "TESTS defaults to FILE with .test.yaml for .yaml. It has `tests:`, a list of\n"
		"  - name: TEXT, request: METHOD URL (or connect: HOST:PORT), binary: PATH,\n"
		"    ancestors: [PATH...], headers: {NAME: VALUE}, body: TEXT,\n"
		"    expect: allow|audit|deny, policy: KEY, reason: TEXT\n"
		"and optionally `binary: PATH` for the tests that name none. Exit code 1 when a test "
		"fails.",
	.opts =
		(const struct osh_opt[]){
			{ "output", 'o', "FORMAT", "Table or json", 0, "table json" },
			{ 0 },
		},
	.complete = "file",
	.pos_min = 1,
	.pos_max = 2,
	.fn = run_test,
};
