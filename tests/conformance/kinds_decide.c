/* SPDX-License-Identifier: MIT */
/* Decisions, and the answer a denied request gets. */
#include <stdio.h>

#include "http/denybody.h"
#include "http/judge.h"
#include "policy/model.h"
#include "runner.h"

#define HEADERS_MAX 64

/* One judged request with everything it borrows from. */
struct judged {
	struct osh_policy *policy;
	struct osh_buf block;
	struct osh_diag diag;
	struct osh_identity_exe ancestors[OSH_IDENTITY_ANCESTORS];
	struct osh_identity id;
	struct osh_judge_header headers[HEADERS_MAX];
	struct osh_judge_input in;
	struct osh_judge_result res;
};

static void judged_fini(struct judged *j)
{
	osh_policy_free(j->policy);
	osh_buf_fini(&j->block);
	osh_diag_fini(&j->diag);
}

static void take_identity(struct outcome *out, const json_t *request, struct judged *j)
{
	const json_t *list = json_object_get(request, "ancestors");
	size_t n = json_array_size(list);

	if (n > OSH_ARRAY_SIZE(j->ancestors))
		out->malformed = true;
	n = OSH_MIN(n, OSH_ARRAY_SIZE(j->ancestors));
	j->id.self.path = text_of(out, request, "binary");
	for (size_t i = 0; i < n; i++)
		j->ancestors[i].path = osh_str(json_string_value(json_array_get(list, i)));
	j->id.ancestors = j->ancestors;
	j->id.nancestors = n;
}

static void take_request(struct outcome *out, const json_t *request, struct judged *j)
{
	json_t *headers = json_object_get(request, "headers"), *value;
	struct osh_str target = opt_text(request, "target");
	const char *name;

	j->in.id = &j->id;
	j->in.host = text_of(out, request, "host");
	j->in.port = (unsigned int)opt_int(request, "port", 0);
	j->in.method = opt_text(request, "method");
	j->in.target = target.p ? latin1(out, target) : target;
	j->in.body = opt_text(request, "body");
	j->in.headers = j->headers;
	json_object_foreach(headers, name, value)
	{
		if (j->in.nheaders == HEADERS_MAX || !json_is_string(value)) {
			out->malformed = true;
			return;
		}
		j->headers[j->in.nheaders++] = (struct osh_judge_header){
			osh_str(name),
			{ json_string_value(value), json_string_length(value) },
		};
	}
}

static bool judge(const json_t *row, struct outcome *out, struct judged *j)
{
	static const char hash[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	const json_t *request = json_object_get(row, "request");
	const struct osh_image *img;
	const char *failed = NULL;

	osh_diag_init(&j->diag, NULL);
	osh_buf_init(&j->block, OSH_IMAGE_MAX_BYTES, 0);
	if (!json_is_object(request)) {
		out->malformed = true;
		return false;
	}
	take_identity(out, request, j);
	take_request(out, request, j);
	if (osh_policy_load(text_of(out, row, "policy"), NULL, &j->policy, &j->diag) < 0)
		failed = "the policy is refused";
	else if (osh_image_compile(j->policy, 1, hash, &j->block) < 0)
		failed = "the policy does not compile";
	else if (osh_image_open(j->block.data, j->block.len, &img) < 0)
		failed = "the image does not open";
	else if (osh_judge(img, &j->in, &out->arena, &j->res) < 0)
		failed = "no memory";
	if (!failed)
		return true;
	want(out, "a decision");
	return got(out, "%s", failed);
}

static const char *decision_name(enum osh_decision decision)
{
	switch (decision) {
	case OSH_DECISION_ALLOW:
		return "allow";
	case OSH_DECISION_AUDIT:
		return "audit";
	case OSH_DECISION_DENY:
		break;
	}
	return "deny";
}

static bool check_decision(const json_t *expect, struct outcome *out, const struct judged *j)
{
	const struct osh_judge_result *res = &j->res;
	struct osh_str request = opt_text(expect, "request"), key = opt_text(expect, "policy");
	struct osh_str part = opt_text(expect, "reason_contains");
	struct osh_str actual = res->has_request ? res->req.key : res->conn.key;

	if (!same_str(out, text_of(out, expect, "connection"),
		      osh_str(decision_name(res->conn.verdict))))
		return false;
	if (request.p && !same_str(out, request,
				   res->has_request ? osh_str(decision_name(res->req.verdict))
						    : OSH_STR("(no request)"))) {
		osh_auto_bufmem struct osh_buf text;

		osh_buf_init(&text, 1u << 16, 0);
		return got(out, "%s (%s)", decision_name(res->req.verdict), osh_quote(res->reason));
	}
	if (key.p && !same_str(out, key, actual.n ? actual : res->conn.key))
		return false;
	if (part.p && !memmem(res->reason.p ? res->reason.p : "", res->reason.n, part.p, part.n) &&
	    !memmem(res->conn_detail.p ? res->conn_detail.p : "", res->conn_detail.n, part.p,
		    part.n)) {
		want(out, "a reason with %s", osh_quote(part));
		return got(out, "%s", osh_quote(res->reason));
	}
	return true;
}

static bool row_decide(const json_t *row, struct outcome *out)
{
	struct judged *j = osh_arena_alloc(&out->arena, sizeof(*j));
	bool ok = judge(row, out, j) && check_decision(json_object_get(row, "expect"), out, j);

	judged_fini(j);
	return ok;
}

/* Value of a field of the answer, .p NULL if it is not there. */
static struct osh_str field_of(struct osh_str answer, const char *name)
{
	size_t n = strlen(name);
	struct osh_str line;

	while (osh_str_split(&answer, '\n', &line)) {
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > n && osh_str_ieq(osh_str_sub(line, 0, n), osh_str(name)) &&
		    line.p[n] == ':')
			return osh_str_trim(osh_str_sub(line, n + 1, line.n));
	}
	return OSH_STR_NONE;
}

static bool check_answer(const json_t *row, struct outcome *out, struct osh_str answer)
{
	const char *end = memmem(answer.p, answer.n, "\r\n\r\n", 4);
	struct osh_str head = osh_str_sub(answer, 0, end ? (size_t)(end - answer.p) : answer.n);
	struct osh_str body = osh_str_sub(answer, head.n + 4, answer.n);
	struct osh_str key = opt_text(row, "header_policy");
	json_t *members = json_object_get(row, "body_contains"), *value, *json;
	char status[16];
	const char *name;
	bool ok = true;

	(void)snprintf(status, sizeof(status), "%ld", opt_int(row, "status", 0));
	if (!same_str(out, osh_str(status), osh_str_sub(answer, sizeof("HTTP/1.1"), 3)))
		return false;
	if (key.p && !same_str(out, key, field_of(head, "X-OpenShell-Policy")))
		return false;
	(void)snprintf(status, sizeof(status), "%zu", body.n);
	if (!same_str(out, osh_str(status), field_of(head, "Content-Length")))
		return false;
	json = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	json_object_foreach(members, name, value)
		ok = ok && json_equal(json_object_get(json, name), value);
	json_decref(json);
	if (ok)
		return true;
	want(out, "all of body_contains");
	return got(out, "%.*s", OSH_STR_FMT(body));
}

static bool row_deny_body(const json_t *row, struct outcome *out)
{
	struct judged *j = osh_arena_alloc(&out->arena, sizeof(*j));
	osh_auto_bufmem struct osh_buf answer;
	bool ok = judge(row, out, j);

	osh_buf_init(&answer, 1u << 20, 0);
	if (ok) {
		const struct osh_judge_result *res = &j->res;
		struct osh_deny_l7 deny = {
			.policy_key = res->req.key,
			.policy_name = res->req.name,
			.detail = res->reason,
			.method = j->in.method,
			.path = res->path,
			.binary = j->id.self.path,
			.host = j->in.host,
			.port = (uint16_t)j->in.port,
		};

		if (!res->has_request || res->req.verdict != OSH_DECISION_DENY) {
			want(out, "a denied request");
			ok = got(out, "%s", decision_name(res->req.verdict));
		} else if (osh_deny_l7_response(&deny, &answer) < 0) {
			ok = got(out, "no answer");
		} else {
			ok = check_answer(row, out, osh_buf_str(&answer));
		}
	}
	judged_fini(j);
	return ok;
}

const struct kind decide_kinds[] = {
	{ "decide", row_decide, false },
	{ "deny_body", row_deny_body, false },
	{ 0 },
};
