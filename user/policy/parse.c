/* SPDX-License-Identifier: MIT */
#include "policy/parse.h"

#include "policy/build.h"
#include "policy/names.h"
#include "policy/schema.h"

static struct osh_place place(const struct osh_node *node)
{
	return (struct osh_place){ node->line, node->col };
}

static struct osh_place key_place(const struct osh_node *node)
{
	return (struct osh_place){ node->key_line, node->key_col };
}

/* ---- static sections ---- */

/* Bring every path of a list into its one form; the places stay. */
static void normalise_paths(struct osh_reader *rd, struct osh_strs *list)
{
	for (size_t i = 0; i < list->n; i++) {
		osh_auto_bufmem struct osh_buf out;

		osh_buf_init(&out, OSH_POLICY_TEXT_MAX_BYTES + 1, 0);
		if (osh_fs_path_normalise(list->v[i], &out) < 0) {
			rd->err = -ENOMEM;
			return;
		}
		list->v[i] = osh_reader_str(rd, osh_buf_str(&out));
	}
}

static void set_filesystem(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("include_workdir", OSH_KEY_BOOL, 0, struct osh_policy_fs,
			      include_workdir),
		OSH_KEY_FIELD_AT("read_only", OSH_KEY_TEXTS, 0, struct osh_policy_fs, read_only,
				 read_only_at),
		OSH_KEY_FIELD_AT("read_write", OSH_KEY_TEXTS, 0, struct osh_policy_fs, read_write,
				 read_write_at),
		{ 0 },
	};
	struct osh_policy_fs *fs = &((struct osh_policy *)obj)->filesystem;

	fs->present = true;
	fs->at = key_place(node);
	fs->include_workdir = false;
	osh_schema_read(rd, node, keys, fs, "filesystem_policy");
	normalise_paths(rd, &fs->read_only);
	normalise_paths(rd, &fs->read_write);
}

static void set_landlock(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD_AT("compatibility", OSH_KEY_TEXT, 0, struct osh_policy_landlock,
				 compatibility, at),
		{ 0 },
	};
	struct osh_policy_landlock *ll = &((struct osh_policy *)obj)->landlock;

	ll->present = true;
	ll->at = key_place(node);
	osh_schema_read(rd, node, keys, ll, "landlock");
	ll->hard_requirement = osh_str_is(ll->compatibility, "hard_requirement");
}

static void set_process(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD_AT("run_as_user", OSH_KEY_TEXT, 0, struct osh_policy_process,
				 run_as_user, user_at),
		OSH_KEY_FIELD_AT("run_as_group", OSH_KEY_TEXT, 0, struct osh_policy_process,
				 run_as_group, group_at),
		{ 0 },
	};
	struct osh_policy_process *process = &((struct osh_policy *)obj)->process;

	process->present = true;
	process->at = key_place(node);
	osh_schema_read(rd, node, keys, process, "process");
}

/* ---- entries ---- */

struct binary_in {
	struct osh_binary binary;
	struct osh_str scope, sha256;
	struct osh_place scope_at, sha256_at;
};

static void finish_binary(struct osh_reader *rd, struct binary_in *in)
{
	struct osh_binary *b = &in->binary;

	b->scope = OSH_SCOPE_DESCENDANTS;
	if (osh_str_is(in->scope, "exact"))
		b->scope = OSH_SCOPE_EXACT;
	else if (in->scope.n && !osh_str_is(in->scope, "descendants"))
		osh_diag_err(rd->diag, in->scope_at.line, in->scope_at.col,
			     "scope must be exact or descendants, got %s", osh_quote(in->scope));
	if (in->sha256.n == 0)
		return;
	b->has_sha256 = osh_unhex(b->sha256, sizeof(b->sha256), in->sha256) == 0;
	if (!b->has_sha256)
		osh_diag_err(rd->diag, in->sha256_at.line, in->sha256_at.col,
			     "sha256 must be 64 hexadecimal digits, got %s (see sha256sum)",
			     osh_quote(in->sha256));
}

static void set_binaries(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("path", OSH_KEY_TEXT, OSH_KEY_REQUIRED, struct binary_in,
			      binary.path),
		OSH_KEY_FIELD("harness", OSH_KEY_BOOL, 0, struct binary_in, binary.harness),
		OSH_KEY_FIELD_AT("scope", OSH_KEY_TEXT, 0, struct binary_in, scope, scope_at),
		OSH_KEY_FIELD_AT("sha256", OSH_KEY_TEXT, 0, struct binary_in, sha256, sha256_at),
		{ 0 },
	};
	struct osh_entry *entry = obj;
	struct osh_binary *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node)
	{
		struct binary_in in = { .binary.path = OSH_STR("") };

		in.scope = in.sha256 = OSH_STR("");
		in.binary.at = place(it);
		osh_schema_read(rd, it, keys, &in, "binary");
		finish_binary(rd, &in);
		v[n++] = in.binary;
	}
	entry->binaries = v;
	entry->n_binaries = n;
}

static void set_endpoints(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_entry *entry = obj;
	struct osh_endpoint *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node) osh_build_read_endpoint(rd, it, &v[n++]);
	entry->endpoints = v;
	entry->n_endpoints = n;
}

static void set_network_policies(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("name", OSH_KEY_TEXT, 0, struct osh_entry, name),
		OSH_KEY_CALL("endpoints", OSH_KEY_SEQ, 0, set_endpoints),
		OSH_KEY_CALL("binaries", OSH_KEY_SEQ, 0, set_binaries),
		{ 0 },
	};
	struct osh_policy *policy = obj;
	struct osh_entry *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node)
	{
		struct osh_entry *entry = &v[n++];

		entry->at = key_place(it);
		entry->key = osh_reader_str(rd, it->key);
		entry->name = OSH_STR("");
		osh_schema_read(rd, it, keys, entry, "network policy");
		if (entry->name.n == 0)
			entry->name = entry->key;
	}
	osh_build_sort_entries(v, n);
	policy->entries = v;
	policy->n_entries = n;
}

/* ---- middlewares ---- */

static void set_config(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_middleware *mw = obj;
	osh_auto_bufmem struct osh_buf json;
	int r;

	osh_buf_init(&json, 8 * OSH_POLICY_TEXT_MAX_BYTES, 0);
	r = osh_build_node_json(node, &json, rd->diag);
	if (r == 0)
		mw->config_json = osh_reader_str(rd, osh_buf_str(&json));
	else if (r == -ENOMEM)
		rd->err = r;
}

static void set_selector(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("include", OSH_KEY_TEXTS, 0, struct osh_middleware, include),
		OSH_KEY_FIELD("exclude", OSH_KEY_TEXTS, 0, struct osh_middleware, exclude),
		{ 0 },
	};
	struct osh_middleware *mw = obj;

	mw->has_endpoints = true;
	mw->endpoints_at = key_place(node);
	osh_schema_read(rd, node, keys, mw, "endpoint selector");
}

static void set_middlewares(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("name", OSH_KEY_TEXT, 0, struct osh_middleware, name),
		OSH_KEY_FIELD("middleware", OSH_KEY_TEXT, OSH_KEY_REQUIRED, struct osh_middleware,
			      middleware),
		OSH_KEY_FIELD("order", OSH_KEY_I32, 0, struct osh_middleware, order),
		OSH_KEY_FIELD("on_error", OSH_KEY_TEXT, 0, struct osh_middleware, on_error_text),
		OSH_KEY_CALL("config", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_config),
		OSH_KEY_CALL("endpoints", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_selector),
		{ 0 },
	};
	struct osh_policy *policy = obj;
	struct osh_middleware *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node)
	{
		struct osh_middleware *mw = &v[n++];

		mw->at = key_place(it);
		mw->key = osh_reader_str(rd, it->key);
		mw->name = mw->middleware = mw->on_error_text = mw->config_json = OSH_STR("");
		osh_schema_read(rd, it, keys, mw, "network middleware");
		mw->fail_open = osh_str_is(mw->on_error_text, "fail_open");
	}
	osh_build_sort_middlewares(v, n);
	policy->middlewares = v;
	policy->n_middlewares = n;
}

/* ---- the document ---- */

/* An empty key stands for an empty collection everywhere but here, where it means "absent". */
static const struct osh_key policy_keys[] = {
	OSH_KEY_FIELD("version", OSH_KEY_U32, OSH_KEY_REQUIRED, struct osh_policy, version),
	OSH_KEY_CALL("filesystem_policy", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_filesystem),
	OSH_KEY_CALL("landlock", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_landlock),
	OSH_KEY_CALL("process", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_process),
	OSH_KEY_CALL("network_policies", OSH_KEY_MAP, 0, set_network_policies),
	OSH_KEY_CALL("network_middlewares", OSH_KEY_MAP, 0, set_middlewares),
	{ 0 },
};

static void read_document(struct osh_reader *rd, const struct osh_node *root,
			  struct osh_policy *policy)
{
	const struct osh_node *version;

	osh_schema_read(rd, root, policy_keys, policy, "policy");
	version = osh_node_get(root, OSH_STR("version"));
	if (version && version->type == OSH_NODE_INT && version->integer != 1)
		osh_diag_err(rd->diag, version->line, version->col,
			     "version must be 1, got %s; this is the only version there is",
			     osh_quote(version->text));
}

int osh_policy_read(struct osh_str text, const struct osh_node_limits *limits,
		    struct osh_policy **ret_policy, struct osh_diag *diag)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	osh_auto_arena struct osh_arena nodes;
	struct osh_reader rd = { .diag = diag };
	struct osh_node *root = NULL;
	int r;

	*ret_policy = NULL;
	osh_arena_init(&nodes, OSH_POLICY_ARENA_MAX_BYTES);
	r = osh_node_parse(&nodes, text, limits, &root, diag);
	if (r < 0 && !root)
		return r;
	if (!root) {
		osh_diag_err(diag, 0, 0,
			     "the document is empty; a policy begins with \"version: 1\"");
		return -EBADMSG;
	}
	policy = osh_policy_new();
	if (!policy)
		return -ENOMEM;
	rd.arena = &policy->arena;
	read_document(&rd, root, policy);
	if (rd.err < 0)
		return rd.err;
	*ret_policy = osh_take_ptr(&policy);
	return r;
}

int osh_policy_parse(struct osh_str text, const struct osh_node_limits *limits,
		     struct osh_policy **ret_policy, struct osh_diag *diag)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	unsigned int errors = diag->errors;
	int r = osh_policy_read(text, limits, &policy, diag);

	if (r < 0)
		return r;
	if (diag->errors != errors)
		return -EBADMSG;
	*ret_policy = osh_take_ptr(&policy);
	return 0;
}
