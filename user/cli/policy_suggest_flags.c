/* SPDX-License-Identifier: MIT */
/* A refusal as options of `policy update` that lift it. */
#include "cli/policy_suggest.h"

#include "policy/merge.h"

enum { FLAGS_MAX = 3 };

struct flags {
	struct osh_merge_flag v[FLAGS_MAX];
	size_t n;
	struct osh_buf text[FLAGS_MAX]; /* of the values */
};

static int add(struct flags *f, const char *flag, const char *fmt, ...) OSH_PRINTF(3, 4);
static int add(struct flags *f, const char *flag, const char *fmt, ...)
{
	struct osh_buf *text = &f->text[f->n];
	va_list ap;
	int r;

	osh_buf_init(text, 16384, 0);
	va_start(ap, fmt);
	r = osh_buf_vprintf(text, fmt, ap);
	va_end(ap);
	f->v[f->n++] = (struct osh_merge_flag){ osh_str(flag), osh_buf_str(text) };
	return r;
}

static void fini(struct flags *f)
{
	for (size_t i = 0; i < f->n; i++)
		osh_buf_fini(&f->text[i]);
}

static int add_request(struct flags *f, const struct osh_judge_input *in, struct osh_str path)
{
	osh_auto_policy struct osh_policy *scratch = NULL;
	osh_auto_diag struct osh_diag diag = { 0 };
	struct osh_str glob;
	int r;

	osh_diag_init(&diag, NULL);
	r = osh_policy_load(OSH_STR("version: 1\n"), NULL, &scratch, &diag); /* for its arena */
	if (r < 0)
		return r;
	glob = osh_policy_literal_glob(scratch, path);
	return glob.p ? add(f, "--add-allow", "%.*s:%u:%.*s:%.*s", OSH_STR_FMT(in->host), in->port,
			    OSH_STR_FMT(in->method), OSH_STR_FMT(glob))
		      : -ENOMEM;
}

static int collect(struct flags *f, const struct osh_judge_input *in,
		   const struct osh_judge_result *res)
{
	struct osh_str path = osh_str_sub(in->target, 0, osh_str_find(in->target, '?'));
	bool fresh = res->conn.reason != OSH_REASON_NO_BINARY;
	int r;

	if (res->has_request)
		return add_request(f, in, res->path);
	r = add(f, "--add-endpoint", "%.*s:%u%s", OSH_STR_FMT(in->host), in->port,
		fresh && in->method.n ? "::rest:enforce" : "");
	if (!r)
		r = add(f, "--binary", "%.*s", OSH_STR_FMT(in->id->self.path));
	if (!r && fresh && in->method.n)
		r = add_request(f, in, path);
	return r;
}

/* Would it do what it promises? */
static int try(const struct osh_policy *policy, const struct osh_judge_input *in,
	       const struct flags *f)
{
	osh_auto_policy struct osh_policy *after = NULL;
	osh_auto_merge struct osh_merge *merge = NULL;
	osh_auto_diag struct osh_diag diag = { 0 };
	int r;

	osh_diag_init(&diag, NULL);
	r = osh_merge_parse(f->v, f->n, &merge, &diag);
	if (!r)
		r = osh_merge_apply(policy, merge, &after, &diag);
	if (r == -EBADMSG)
		return 0;
	return r < 0 ? r : osh_policy_permits(after, in);
}

static bool is_plain(struct osh_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!osh_is_alnum(s.p[i]) && !memchr("-_./:@%+,", s.p[i], 9))
			return false;
	return s.n > 0;
}

static int add_word(struct osh_buf *out, struct osh_str s)
{
	int r;

	if (is_plain(s))
		return osh_buf_add_str(out, s);
	r = osh_buf_add_c(out, '\'');
	for (size_t i = 0; !r && i < s.n; i++)
		r = s.p[i] == '\'' ? osh_buf_add_str(out, OSH_STR("'\\''"))
				   : osh_buf_add_c(out, s.p[i]);
	return r ? r : osh_buf_add_c(out, '\'');
}

int osh_policy_suggest_flags(const struct osh_policy *policy, const struct osh_judge_input *in,
			     const struct osh_judge_result *res, struct osh_buf *ret_text)
{
	struct flags f = { 0 };
	int r = collect(&f, in, res);

	if (!r)
		r = try(policy, in, &f);
	for (size_t i = 0; r > 0 && i < f.n; i++) {
		int e = osh_buf_printf(ret_text, "%s%.*s ", i ? " " : "", OSH_STR_FMT(f.v[i].flag));

		if (!e)
			e = add_word(ret_text, f.v[i].value);
		r = e < 0 ? e : r;
	}
	fini(&f);
	return r;
}
