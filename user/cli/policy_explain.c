/* SPDX-License-Identifier: MIT */
/* policy explain: why is this allowed or refused, and what would change it? */
#include "base/reason.h"
#include "cli/out.h"
#include "cli/policy_suggest.h"
#include "cli/policy_tool.h"
#include "cli/refusal.h"
#include "cli/rpc.h"
#include "policy/explain.h"

#define NEAR_MAX 8
#define ARGS_MAX 64

struct question {
	const char *sandbox; /* NULL: a policy file */
	char last[64];
	struct osh_rec rec; /* the refusal that is explained */
	bool logged; /* @rec is there */
	bool global; /* the policy is that of every sandbox */
	struct osh_identity id;
	struct osh_identity_exe ancestors[ARGS_MAX];
	struct osh_judge_header headers[ARGS_MAX];
	struct osh_tool_dest dest;
	struct osh_judge_input in;
};

struct answer {
	struct osh_judge_result res;
	struct osh_near near[NEAR_MAX];
	size_t nnear;
	struct osh_buf yaml, flags;
	bool has_yaml, has_flags;
	const char *hint;
};

/* ---- the question ---- */

static int read_headers(struct osh_cli *cli, const struct osh_args *args, struct question *q)
{
	for (size_t i = 0; i < osh_args_count(args, "header"); i++) {
		struct osh_str text = osh_str(osh_args_at(args, "header", i));
		size_t colon = osh_str_find(text, ':');

		if (colon == text.n || q->in.nheaders == ARGS_MAX)
			return osh_cli_usage(cli, args, "--header wants 'Name: value', got %s",
					     osh_quote(text));
		q->headers[q->in.nheaders++] = (struct osh_judge_header){
			osh_str_trim(osh_str_sub(text, 0, colon)),
			osh_str_trim(osh_str_sub(text, colon + 1, text.n)),
		};
	}
	return OSH_EXIT_OK;
}

/* What the log keeps of a refusal: the query is not, and a refused name has no port. */
static int ask_log(struct osh_cli *cli, struct question *q)
{
	struct osh_str rest, one;
	int code = osh_refusal_last(cli, q->sandbox, &q->rec);

	if (code)
		return code;
	q->logged = true;
	q->id.self.path = osh_rec_get(&q->rec, OSH_REC_BINARY);
	rest = osh_rec_get(&q->rec, OSH_REC_ANCESTORS);
	while (q->id.nancestors < ARGS_MAX && osh_str_split(&rest, '\0', &one))
		q->ancestors[q->id.nancestors++].path = one;
	q->in.host = osh_rec_get(&q->rec, OSH_REC_HOST);
	q->in.port = q->rec.class == OSH_REC_DNS ? 443 : q->rec.port;
	q->in.plain = q->rec.class == OSH_REC_L7 && !(q->rec.flags & OSH_REC_TLS_INSPECTED);
	q->in.method = osh_rec_get(&q->rec, OSH_REC_METHOD);
	q->in.target = osh_rec_get(&q->rec, OSH_REC_PATH);
	return OSH_EXIT_OK;
}

static int ask_args(struct osh_cli *cli, const struct osh_args *args, struct question *q)
{
	const char *why = NULL, *method = osh_args_get(args, "request");
	size_t n = osh_args_count(args, "ancestor");

	if (n > ARGS_MAX)
		return osh_cli_usage(cli, args, "more than %d ancestors", ARGS_MAX);
	if (osh_tool_dest(osh_args_pos(args, 0), &q->dest, &why) < 0)
		return osh_cli_usage(cli, args, "%s: %s", OSH_Q(osh_args_pos(args, 0)), why);
	if (method && !q->dest.has_url)
		return osh_cli_usage(cli, args, "a method needs a URL, not HOST:PORT");
	q->id.self.path = osh_str(osh_args_get(args, "binary"));
	for (size_t i = 0; i < n; i++)
		q->ancestors[i].path = osh_str(osh_args_at(args, "ancestor", i));
	q->id.nancestors = n;
	q->in.host = osh_str(q->dest.host);
	q->in.port = q->dest.port;
	q->in.plain = q->dest.plain;
	q->in.target = osh_str(q->dest.target);
	if (osh_args_has(args, "data"))
		q->in.body = osh_str(osh_args_get(args, "data"));
	if (q->dest.has_url)
		q->in.method = method	      ? osh_str(method)
			       : q->in.body.p ? OSH_STR("POST")
					      : OSH_STR("GET");
	return read_headers(cli, args, q);
}

static int check_question(struct osh_cli *cli, const struct osh_args *args, struct question *q)
{
	static const char *const of_url[] = { "binary", "ancestor", "request", "header", "data" };
	bool file = osh_args_has(args, "policy");

	if (file && osh_args_has(args, "name"))
		return osh_cli_usage(cli, args, "--policy and --name exclude each other");
	if (args->pos_count && !osh_args_has(args, "binary"))
		return osh_cli_usage(cli, args, "--binary PATH is required: who connects?");
	if (file && !args->pos_count)
		return osh_cli_usage(cli, args,
				     "URL|HOST:PORT is required: a policy file has no log");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(of_url) && !args->pos_count; i++)
		if (osh_args_has(args, of_url[i]))
			return osh_cli_usage(cli, args, "--%s needs URL|HOST:PORT", of_url[i]);
	if (file)
		return OSH_EXIT_OK;
	q->sandbox = osh_last_resolve(cli, osh_args_get(args, "name"), q->last);
	return q->sandbox ? OSH_EXIT_OK : OSH_EXIT_ERROR;
}

static int read_question(struct osh_cli *cli, const struct osh_args *args, struct question *q)
{
	q->id.ancestors = q->ancestors;
	q->in = (struct osh_judge_input){
		.id = &q->id,
		.method = OSH_STR(""),
		.target = OSH_STR(""),
		.headers = q->headers,
	};
	return args->pos_count ? ask_args(cli, args, q) : ask_log(cli, q);
}

/* ---- the answer ---- */

static bool is_refused(const struct osh_judge_result *res)
{
	return res->conn.verdict != OSH_DECISION_ALLOW ||
	       (res->has_request && res->req.verdict != OSH_DECISION_ALLOW);
}

static int find_answer(const struct osh_tool_policy *tp, const struct question *q,
		       struct osh_arena *arena, struct answer *a)
{
	struct osh_request_facts facts = { .method = q->in.method };
	int r;

	if (q->logged && !osh_refusal_is_policy(q->rec.reason)) {
		/* the policy said yes or was not asked: what was logged is the answer */
		a->res.conn.verdict = OSH_DECISION_DENY;
		a->res.reason = osh_rec_get(&q->rec, OSH_REC_REASON);
		a->res.conn_detail = osh_rec_get(&q->rec, OSH_REC_DETAIL);
		a->res.conn.key = osh_rec_get(&q->rec, OSH_REC_POLICY_KEY);
		a->hint = osh_refusal_hint(q->rec.reason);
		return 0;
	}
	r = osh_judge(tp->img, &q->in, arena, &a->res);
	if (r < 0)
		return r;
	if (!is_refused(&a->res)) {
		if (q->logged)
			a->hint = "the policy in force allows this now";
		return 0;
	}
	facts.path = a->res.path;
	a->nnear = osh_explain_near(tp->img, &q->id, q->in.host, q->in.port,
				    a->res.has_request && a->res.path.n ? &facts : NULL, a->near,
				    NEAR_MAX);
	r = osh_policy_suggest(tp->policy, &q->in, &a->res, &a->yaml, &a->hint);
	a->has_yaml = r > 0;
	if (r > 0 && q->sandbox && !q->global) {
		r = osh_policy_suggest_flags(tp->policy, &q->in, &a->res, &a->flags);
		a->has_flags = r > 0;
	}
	return r < 0 ? r : 0;
}

static enum osh_decision overall(const struct osh_judge_result *res)
{
	if (res->conn.verdict != OSH_DECISION_ALLOW)
		return OSH_DECISION_DENY;
	return res->has_request ? res->req.verdict : OSH_DECISION_ALLOW;
}

static const struct {
	unsigned int bit;
	const char *word, *text;
} misses[] = {
	{ OSH_MISS_HOST, "host", "another host" },
	{ OSH_MISS_PORT, "port", "another port" },
	{ OSH_MISS_BINARY, "binary", "the binary is not listed" },
	{ OSH_MISS_SCOPE, "scope", "an ancestor is listed, but with scope: exact" },
	{ OSH_MISS_PIN, "sha256", "the binary is listed, but pinned to another content" },
	{ OSH_MISS_ENDPOINT_PATH, "endpoint_path", "outside the endpoint's path" },
	{ OSH_MISS_METHOD, "method", "another method" },
	{ OSH_MISS_PATH, "path", "another path" },
	{ OSH_MISS_QUERY, "query", "the query does not match" },
};

static int add_ports(struct osh_buf *out, const struct osh_image_target *t)
{
	int r = 0;

	for (size_t i = 0; !r && i < t->nports; i++)
		r = osh_buf_printf(out, "%s%u", i ? "," : "", t->ports[i]);
	return r;
}

static int near_text(struct osh_cli *cli, const struct osh_tool_policy *tp,
		     const struct osh_near *near, struct osh_buf *out)
{
	struct osh_image_target t;
	struct osh_image_entry e;
	int r;

	osh_image_target(tp->img, near->target, &t);
	osh_image_entry(tp->img, t.entry, &e);
	r = osh_buf_printf(out, "  %.*s  %.*s:", OSH_STR_FMT(e.key),
			   OSH_STR_FMT(t.host.n ? t.host : OSH_STR("(any host)")));
	if (!r)
		r = add_ports(out, &t);
	if (!r && near->is_rule)
		r = osh_buf_printf(
			out, "  allow %.*s %.*s",
			OSH_STR_FMT(near->rule_method.n ? near->rule_method : OSH_STR("(preset)")),
			OSH_STR_FMT(near->rule_path.n ? near->rule_path : OSH_STR("**")));
	if (!r)
		r = osh_buf_printf(out, "  %s%s:%u%s\n", osh_tool_color(cli, 'd'), tp->file,
				   near->line, osh_tool_color(cli, 0));
	for (size_t i = 0; !r && i < OSH_ARRAY_SIZE(misses); i++)
		if (near->missed & misses[i].bit)
			r = osh_buf_printf(out, "      %s\n", misses[i].text);
	if (!r && near->one_label)
		r = osh_buf_printf(out, "      `*` stays inside one label; `**.` spans several\n");
	return r;
}

static const char *verdict_color(const struct osh_cli *cli, enum osh_decision d)
{
	return osh_tool_color(cli, d == OSH_DECISION_ALLOW   ? 'g'
				   : d == OSH_DECISION_AUDIT ? 'y'
							     : 'r');
}

/* It was allowed, and did not come off. */
static bool has_failed(const struct question *q)
{
	return q->logged && q->rec.verdict == OSH_REC_NOTE;
}

/* "reason      text", when there is a text. */
static int add_field(struct osh_buf *out, const char *label, struct osh_str text)
{
	return text.n ? osh_buf_printf(out, "%-9s %.*s\n", label, OSH_STR_FMT(text)) : 0;
}

static int add_rule_field(struct osh_buf *out, const struct osh_tool_policy *tp,
			  const struct osh_req_verdict *req)
{
	if (!req->rule_key.n)
		return 0;
	return osh_buf_printf(out, "decided   %s:%u, in entry %.*s\n", tp->file, req->rule_line,
			      OSH_STR_FMT(req->rule_key));
}

static int answer_text(struct osh_cli *cli, const struct osh_tool_policy *tp,
		       const struct question *q, const struct answer *a, struct osh_buf *out)
{
	const struct osh_judge_result *res = &a->res;
	enum osh_decision d = overall(res);
	char when[20];
	int r;

	r = osh_buf_printf(out, "%s%s%s  %.*s%s%.*s  %.*s:%u%.*s\n", verdict_color(cli, d),
			   has_failed(q) ? "fail" : osh_decision_word(d), osh_tool_color(cli, 0),
			   OSH_STR_FMT(q->id.self.path), q->in.method.n ? "  " : "",
			   OSH_STR_FMT(q->in.method), OSH_STR_FMT(q->in.host), q->in.port,
			   OSH_STR_FMT(q->in.method.n ? q->in.target : OSH_STR("")));
	if (!r && q->logged)
		r = osh_buf_printf(out,
				   has_failed(q) ? "failed    %s UTC, reason_code %s\n"
						 : "refused   %s UTC, reason_code %s\n",
				   osh_out_time(when, q->rec.time_ns / 1000000),
				   osh_reason_token(q->rec.reason));
	if (!r)
		r = add_field(out, "reason", res->reason);
	if (!r)
		r = add_field(out, "detail", res->conn_detail);
	if (!r)
		r = add_field(out, "policy", res->conn.key);
	if (!r && res->conn.verdict == OSH_DECISION_ALLOW)
		r = add_field(out, "inspect",
			      osh_str(osh_inspect_word(res->has_request ? res->req.inspect
									: res->conn.inspect)));
	if (!r && res->has_request)
		r = add_rule_field(out, tp, &res->req);
	if (!r && a->nnear)
		r = osh_buf_printf(out, "\n%sNearly matched%s\n", osh_tool_color(cli, 'b'),
				   osh_tool_color(cli, 0));
	for (size_t i = 0; !r && i < a->nnear; i++)
		r = near_text(cli, tp, &a->near[i], out);
	if (!r && a->has_yaml)
		r = osh_buf_printf(out, "\n%sTo allow exactly this, make it%s\n%.*s",
				   osh_tool_color(cli, 'b'), osh_tool_color(cli, 0),
				   (int)a->yaml.len, a->yaml.data);
	if (!r && a->has_flags)
		r = osh_buf_printf(out, "\n%sThat is%s\n  %s policy update %s %.*s --wait\n",
				   osh_tool_color(cli, 'b'), osh_tool_color(cli, 0), cli->prog,
				   q->sandbox, (int)a->flags.len, a->flags.data);
	if (!r && a->has_yaml && q->global)
		r = osh_buf_printf(out,
				   "\nThe global policy is in force: change it with '%s policy set "
				   "--global'\n",
				   cli->prog);
	if (!r && !a->has_yaml && a->hint)
		r = osh_buf_printf(out, "\n%s\n", a->hint);
	return r;
}

static void near_json(struct osh_json *j, const struct osh_tool_policy *tp,
		      const struct osh_near *near)
{
	struct osh_image_target t;
	struct osh_image_entry e;

	osh_image_target(tp->img, near->target, &t);
	osh_image_entry(tp->img, t.entry, &e);
	osh_json_obj(j);
	osh_json_kstr(j, "policy", e.key);
	osh_json_ku64(j, "line", near->line);
	osh_json_kstr(j, "host", t.host);
	if (near->is_rule) {
		osh_json_kstr(j, "rule_method", near->rule_method);
		osh_json_kstr(j, "rule_path", near->rule_path);
	}
	osh_json_key(j, "missed");
	osh_json_arr(j);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(misses); i++)
		if (near->missed & misses[i].bit)
			osh_json_str(j, osh_str(misses[i].word));
	osh_json_arr_end(j);
	osh_json_obj_end(j);
}

static int answer_json(const struct osh_tool_policy *tp, const struct question *q,
		       const struct answer *a, struct osh_buf *out)
{
	const struct osh_judge_result *res = &a->res;
	struct osh_json j;

	osh_json_init(&j, out, 2);
	osh_json_obj(&j);
	osh_json_kz(&j, "verdict", has_failed(q) ? "fail" : osh_decision_word(overall(res)));
	osh_json_kz(&j, "connection", osh_decision_word(res->conn.verdict));
	if (res->has_request)
		osh_json_kz(&j, "request", osh_decision_word(res->req.verdict));
	osh_json_kstr(&j, "binary", q->id.self.path);
	osh_json_kstr(&j, "host", q->in.host);
	osh_json_ku64(&j, "port", q->in.port);
	if (res->has_request) {
		osh_json_kstr(&j, "method", q->in.method);
		osh_json_kstr(&j, "path", res->path);
	}
	osh_json_kstr(&j, "reason", res->reason);
	osh_json_kstr(&j, "detail", res->conn_detail);
	osh_json_kstr(&j, "policy", res->conn.key);
	osh_json_kstr(&j, "name", res->conn.name);
	if (q->logged) {
		osh_json_ku64(&j, "refused_ms", q->rec.time_ns / 1000000);
		osh_json_kz(&j, "reason_code", osh_reason_token(q->rec.reason));
	}
	if (res->has_request && res->req.rule_key.n) {
		osh_json_kstr(&j, "rule_policy", res->req.rule_key);
		osh_json_ku64(&j, "rule_line", res->req.rule_line);
	}
	osh_json_key(&j, "nearly");
	osh_json_arr(&j);
	for (size_t i = 0; i < a->nnear; i++)
		near_json(&j, tp, &a->near[i]);
	osh_json_arr_end(&j);
	if (a->has_yaml)
		osh_json_kstr(&j, "suggestion", osh_buf_str(&a->yaml));
	if (a->has_flags)
		osh_json_kstr(&j, "update", osh_buf_str(&a->flags));
	osh_json_kz(&j, "hint", a->has_yaml ? NULL : a->hint);
	osh_json_obj_end(&j);
	return j.err ? j.err : osh_buf_add_c(out, '\n');
}

static int run_explain(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_tool struct osh_tool_policy tp = { 0 };
	osh_auto_arena struct osh_arena arena = { 0 };
	osh_auto_bufmem struct osh_buf out = { 0 };
	struct answer a = { 0 };
	struct question q = { 0 };
	const char *file = osh_args_get(args, "policy");
	int r, json = osh_tool_wants_json(cli, args);

	if (json < 0)
		return OSH_EXIT_USAGE;
	r = check_question(cli, args, &q);
	if (!r)
		r = file ? osh_tool_require(cli, file, &tp)
			 : osh_tool_require_live(cli, q.sandbox, &tp, &q.global);
	if (!r)
		r = read_question(cli, args, &q);
	if (r)
		return r;
	osh_arena_init(&arena, OSH_JUDGE_ARENA_BYTES);
	osh_buf_init(&out, OSH_TOOL_OUT_MAX, 0);
	osh_buf_init(&a.yaml, OSH_TOOL_OUT_MAX, 0);
	osh_buf_init(&a.flags, OSH_TOOL_OUT_MAX, 0);
	r = find_answer(&tp, &q, &arena, &a);
	if (!r)
		r = json ? answer_json(&tp, &q, &a, &out) : answer_text(cli, &tp, &q, &a, &out);
	r = osh_tool_print(cli, r, &out);
	osh_buf_fini(&a.yaml);
	osh_buf_fini(&a.flags);
	return r;
}

const struct osh_cmd osh_cmd_policy_explain = {
	.name = "explain",
	.args = "[URL|HOST:PORT]",
	.help = "Say which rule decides about a connection or request, and what would change it",
	.more = "Shows the deciding rule, the rules that nearly matched and the YAML to add. Without "
		"URL|HOST:PORT it is about the last refusal in the sandbox's log. With a URL a "
		"request is judged (GET, or POST with --data), with HOST:PORT the connection "
		"alone. Judged is the policy in force in the sandbox, and the command that would "
		"allow it is shown, too; or a policy file, which needs no daemon. The exit code is "
		"0 whatever the verdict. Address checks are not part of it.",
	.opts =
		(const struct osh_opt[]){
			{ "name", 'n', "NAME", "Sandbox; the one used last when absent", 0,
			  "sandbox" },
			{ "policy", 'p', "FILE", "A policy file, instead of a sandbox", 0, "file" },
			{ "binary", 'b', "PATH", "Executable that connects", 0, "file" },
			{ "ancestor", 'a', "PATH", "Its parent, grandparent, ..., nearest first",
			  OSH_OPT_REPEAT, "file" },
			{ "request", 'X', "METHOD", "Method of the request", 0,
			  "GET HEAD POST PUT PATCH DELETE" },
			{ "header", 'H', "FIELD", "Field of the request, 'Name: value'",
			  OSH_OPT_REPEAT, NULL },
			{ "data", 'd', "TEXT", "Body of the request", 0, NULL },
			{ "output", 'o', "FORMAT", "Table or json", 0, "table json" },
			{ 0 },
		},
	.pos_max = 1,
	.fn = run_explain,
};
