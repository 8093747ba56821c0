/* SPDX-License-Identifier: MIT */
#include "cli/policy_suggest.h"

#include "cli/policy_tool.h"
#include "policy/explain.h"
#include "policy/merge.h"
#include "policy/serialise.h"

/* ---- building parts in the policy's arena ---- */

/* One more element at the end; *array and *n change only on success. NULL: out of memory. */
static void *append(struct osh_policy *p, void *array_ptr, size_t *n, size_t size)
{
	void **array = array_ptr;
	char *grown = osh_arena_array(&p->arena, *n + 1, size);

	if (!grown)
		return NULL;
	if (*n)
		memcpy(grown, *array, *n * size);
	*array = grown;
	return grown + (*n)++ * size;
}

struct osh_str osh_policy_literal_glob(struct osh_policy *p, struct osh_str path)
{
	char *dst = osh_arena_alloc(&p->arena, 2 * path.n + 1);
	size_t n = 0;

	if (!dst)
		return OSH_STR_NONE;
	for (size_t i = 0; i < path.n; i++) {
		if (strchr("*?[]{}\\", path.p[i]))
			dst[n++] = '\\';
		dst[n++] = path.p[i];
	}
	return (struct osh_str){ dst, n };
}

static int add_allow(struct osh_policy *p, struct osh_endpoint *ep, struct osh_str method,
		     struct osh_str path)
{
	struct osh_rule *rule = append(p, &ep->rules, &ep->n_rules, sizeof(*ep->rules));

	if (!rule)
		return -ENOMEM;
	rule->method = method;
	rule->path = path;
	rule->command = rule->operation_type = rule->operation_name = OSH_STR("");
	return path.p ? 0 : -ENOMEM;
}

/* A preset and explicit rules exclude each other: spell the preset out. */
static int expand_preset(struct osh_policy *p, struct osh_endpoint *ep)
{
	const char *const *words = NULL;
	size_t n = osh_access_words(ep->access, ep->protocol, &words);
	int r = 0;

	if (ep->n_rules)
		return 0;
	for (size_t i = 0; !r && i < n; i++)
		r = add_allow(p, ep, osh_str(words[i]), OSH_STR("**"));
	ep->access = OSH_ACCESS_NONE;
	ep->access_text = OSH_STR("");
	return r;
}

static int add_binary(struct osh_policy *p, struct osh_entry *entry, struct osh_str path)
{
	struct osh_binary *bin = append(p, &entry->binaries, &entry->n_binaries,
					sizeof(*entry->binaries));

	if (!bin)
		return -ENOMEM;
	bin->path = path;
	bin->scope = OSH_SCOPE_DESCENDANTS;
	return 0;
}

static int add_entry(struct osh_policy *p, const struct osh_judge_input *in, size_t *ret_entry)
{
	struct osh_entry *e, made = { 0 };
	struct osh_endpoint *ep;
	size_t at;
	int r;

	made.key = osh_merge_rule_name(&p->arena, in->host, in->port);
	if (!made.key.p)
		return -ENOMEM;
	if (osh_policy_entry(p, made.key))
		return 0; /* the name is taken by something else; nothing to suggest */
	made.name = made.key;
	ep = append(p, &made.endpoints, &made.n_endpoints, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep->host = in->host;
	ep->path = ep->tls_text = ep->enforcement_text = ep->access_text = OSH_STR("");
	ep->protocol_text = ep->persisted_queries_text = ep->credential_signing_text = OSH_STR("");
	ep->signing_service = ep->signing_region = ep->credential_binding_provider = OSH_STR("");
	ep->mcp_strict_tool_names = true;
	ep->enforcement = OSH_AUDIT;
	ep->ports = osh_arena_array(&p->arena, 1, sizeof(uint16_t));
	if (!ep->ports)
		return -ENOMEM;
	ep->ports[0] = (uint16_t)in->port;
	ep->n_ports = 1;
	if (in->method.n && !osh_str_is(in->method, "WEBSOCKET_TEXT")) {
		struct osh_str path = osh_str_sub(in->target, 0, osh_str_find(in->target, '?'));

		ep->protocol = OSH_PROTO_REST;
		ep->protocol_text = OSH_STR("rest");
		ep->enforcement = OSH_ENFORCE;
		ep->enforcement_text = OSH_STR("enforce");
		r = add_allow(p, ep, in->method, osh_policy_literal_glob(p, path));
		if (r < 0)
			return r;
	}
	r = add_binary(p, &made, in->id->self.path);
	if (r < 0)
		return r;
	e = append(p, &p->entries, &p->n_entries, sizeof(*e));
	if (!e)
		return -ENOMEM;
	/* entries stay sorted by key */
	for (at = p->n_entries - 1; at > 0 && osh_str_cmp(p->entries[at - 1].key, made.key) > 0;
	     at--)
		p->entries[at] = p->entries[at - 1];
	p->entries[at] = made;
	*ret_entry = at;
	return 1;
}

/* ---- which change ---- */

/* An entry that has the destination and lacks only the binary; n_entries when there is none. */
static size_t entry_with_dest(const struct osh_policy *p, const struct osh_judge_input *in)
{
	osh_auto_bufmem struct osh_buf block = { 0 };
	const struct osh_image *img = NULL;
	struct osh_image_target target;
	struct osh_near near;

	osh_buf_init(&block, OSH_IMAGE_MAX_BYTES, 0);
	if (osh_tool_compile(p, &block, &img) < 0 ||
	    !osh_explain_near(img, in->id, in->host, in->port, NULL, &near, 1) ||
	    near.missed != OSH_MISS_BINARY)
		return p->n_entries;
	osh_image_target(img, near.target, &target);
	return target.entry; /* entries of model and image have the same order */
}

static size_t entry_index(const struct osh_policy *p, struct osh_str key)
{
	size_t i = 0;

	while (i < p->n_entries && !osh_str_eq(p->entries[i].key, key))
		i++;
	return i;
}

static int widen_request(struct osh_policy *p, const struct osh_judge_input *in,
			 const struct osh_judge_result *res, size_t *ret_entry,
			 const char **ret_hint)
{
	size_t at = entry_index(p, res->route.key);

	if (res->req.reason != OSH_REASON_L7_NOT_PERMITTED ||
	    (res->route.inspect != OSH_INSPECT_REST &&
	     res->route.inspect != OSH_INSPECT_WEBSOCKET)) {
		*ret_hint =
			res->req.reason == OSH_REASON_L7_DENY_RULE
				? "a deny rule wins over every allow rule: narrow that rule"
			: res->req.reason == OSH_REASON_L7_NO_ENDPOINT_PATH
				? "no endpoint's `path` covers this request: widen one or add an endpoint"
			: res->req.reason == OSH_REASON_L7_NOT_PERMITTED
				? "add an allow rule for this operation to the endpoint"
				: "the request itself is refused; no policy change allows it";
		return 0;
	}
	if (at == p->n_entries)
		return 0;
	for (size_t i = 0; i < p->entries[at].n_endpoints; i++) {
		struct osh_endpoint *ep = &p->entries[at].endpoints[i];
		int r;

		if (ep->at.line != res->route.line)
			continue;
		r = expand_preset(p, ep);
		if (!r)
			r = add_allow(p, ep, in->method, osh_policy_literal_glob(p, res->path));
		*ret_entry = at;
		return r < 0 ? r : 1;
	}
	return 0;
}

static int change(struct osh_policy *p, const struct osh_judge_input *in,
		  const struct osh_judge_result *res, size_t *ret_entry, const char **ret_hint)
{
	size_t at;
	int r;

	if (res->has_request)
		return widen_request(p, in, res, ret_entry, ret_hint);
	switch (res->conn.reason) {
	case OSH_REASON_NO_POLICY:
	case OSH_REASON_NO_ENDPOINT:
		return add_entry(p, in, ret_entry);
	case OSH_REASON_NO_BINARY:
		at = entry_with_dest(p, in);
		if (at == p->n_entries)
			return add_entry(p, in, ret_entry);
		r = add_binary(p, &p->entries[at], in->id->self.path);
		*ret_entry = at;
		return r < 0 ? r : 1;
	default:
		*ret_hint = "no policy change allows a process that cannot be identified";
		return 0;
	}
}

/* ---- showing it ---- */

static int entry_yaml(const struct osh_policy *p, size_t at, struct osh_buf *out)
{
	struct osh_policy only = { .version = 1, .filesystem.include_workdir = true };

	if (at >= p->n_entries)
		return 0;
	only.landlock.compatibility = OSH_STR("");
	only.process.run_as_user = only.process.run_as_group = OSH_STR("");
	only.entries = &p->entries[at];
	only.n_entries = 1;
	return osh_policy_to_yaml(&only, out);
}

static bool next_line(struct osh_str *rest, struct osh_str *ret_line)
{
	return rest->n && osh_str_split(rest, '\n', ret_line);
}

static bool has_line(struct osh_str text, struct osh_str wanted)
{
	struct osh_str line;

	while (next_line(&text, &line))
		if (osh_str_eq(line, wanted))
			return true;
	return false;
}

/*
 * The lines of @after, marked '+' when they are not in @before; lines that went are shown with '-'.
 * Both texts have the same order, so one pass suffices.
 */
static int mark_changes(struct osh_str before, struct osh_str after, struct osh_buf *out)
{
	struct osh_str line, old = OSH_STR("");
	bool have = next_line(&before, &old);
	int r = 0;

	while (!r) {
		struct osh_str rest = after;

		if (have && !has_line(after, old)) {
			r = osh_buf_printf(out, "- %.*s\n", OSH_STR_FMT(old));
			have = next_line(&before, &old);
			continue;
		}
		if (!next_line(&rest, &line))
			break;
		after = rest;
		if (have && osh_str_eq(line, old)) {
			have = next_line(&before, &old);
			if (!osh_str_has_prefix(line, OSH_STR("version:")))
				r = osh_buf_printf(out, "  %.*s\n", OSH_STR_FMT(line));
		} else if (!osh_str_has_prefix(line, OSH_STR("version:"))) {
			r = osh_buf_printf(out, "+ %.*s\n", OSH_STR_FMT(line));
		}
	}
	return r;
}

bool osh_policy_permits(const struct osh_policy *p, const struct osh_judge_input *in)
{
	osh_auto_bufmem struct osh_buf block = { 0 };
	osh_auto_arena struct osh_arena arena = { 0 };
	const struct osh_image *img = NULL;
	struct osh_judge_result res;

	osh_buf_init(&block, OSH_IMAGE_MAX_BYTES, 0);
	osh_arena_init(&arena, OSH_JUDGE_ARENA_BYTES);
	if (osh_tool_compile(p, &block, &img) < 0 || osh_judge(img, in, &arena, &res) < 0)
		return false;
	return res.conn.verdict == OSH_DECISION_ALLOW &&
	       (!res.has_request || res.req.verdict == OSH_DECISION_ALLOW);
}

/* Only a document that passes validation as a file is shown. */
static bool is_valid(const struct osh_policy *p)
{
	osh_auto_bufmem struct osh_buf yaml = { 0 };
	osh_auto_diag struct osh_diag diag = { 0 };
	osh_auto_policy struct osh_policy *again = NULL;

	osh_buf_init(&yaml, OSH_POLICY_TEXT_MAX_BYTES, 0);
	osh_diag_init(&diag, NULL);
	return osh_policy_to_yaml(p, &yaml) == 0 &&
	       osh_policy_load(osh_buf_str(&yaml), NULL, &again, &diag) == 0;
}

int osh_policy_suggest(const struct osh_policy *policy, const struct osh_judge_input *in,
		       const struct osh_judge_result *res, struct osh_buf *ret_yaml,
		       const char **ret_hint)
{
	osh_auto_policy struct osh_policy *copy = NULL;
	osh_auto_bufmem struct osh_buf before = { 0 }, after = { 0 };
	size_t at = SIZE_MAX;
	int r;

	osh_buf_init(&before, OSH_POLICY_TEXT_MAX_BYTES, 0);
	osh_buf_init(&after, OSH_POLICY_TEXT_MAX_BYTES, 0);
	r = osh_policy_copy(policy, &copy);
	if (!r)
		r = change(copy, in, res, &at, ret_hint);
	if (r <= 0)
		return r;
	if (!osh_policy_permits(copy, in) || !is_valid(copy)) {
		*ret_hint = "the change is not a simple addition; see what nearly matched";
		return 0;
	}
	if (copy->n_entries == policy->n_entries)
		r = entry_yaml(policy, at, &before);
	else
		r = 0;
	if (!r)
		r = entry_yaml(copy, at, &after);
	if (!r)
		r = mark_changes(osh_buf_str(&before), osh_buf_str(&after), ret_yaml);
	return r < 0 ? r : 1;
}
