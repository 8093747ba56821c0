/* SPDX-License-Identifier: MIT */
/*
 * policy schema: the policy document as JSON Schema (2020-12), for editors. It says what a field is
 * called and holds; the rules between fields are for `policy check`. A test compares the names here
 * with those the parser knows.
 */
#include "cli/policy_tool.h"

enum shape {
	TEXT = 0,
	BOOL,
	PORT,
	UINT,
	INT,
	TEXTS, /* list of texts */
	PORTS,
	REF, /* an object of the kind @of */
	LIST, /* list of @of */
	MAP, /* any key -> @of */
	ANY_MAP,
};

struct field {
	const char *name;
	enum shape shape;
	bool required;
	const char *of; /* REF, LIST, MAP: the kind; TEXT: allowed words, blank-separated */
	const char *help;
};

struct object {
	const char *name;
	const struct field *fields; /* ends with { 0 } */
	const char *one_of; /* a text is accepted as well, when not NULL */
};

static const struct field fs_fields[] = {
	{ "include_workdir", BOOL, false, NULL, "let the agent use its working folder" },
	{ "read_only", TEXTS, false, NULL, "absolute paths that may be read" },
	{ "read_write", TEXTS, false, NULL, "absolute paths that may be read and written" },
	{ 0 },
};
static const struct field landlock_fields[] = {
	{ "compatibility", TEXT, false, "best_effort hard_requirement",
	  "what to do on a kernel that lacks a restriction" },
	{ 0 },
};
static const struct field process_fields[] = {
	{ "run_as_user", TEXT, false, NULL, "sandbox, or a numeric id from 1" },
	{ "run_as_group", TEXT, false, NULL, "sandbox, or a numeric id from 1" },
	{ 0 },
};
static const struct field binary_fields[] = {
	{ "path", TEXT, true, NULL, "path of the executable, or a glob when it contains *" },
	{ "harness", BOOL, false, NULL, "accepted, without effect" },
	{ "scope", TEXT, false, "exact descendants",
	  "exact: the process itself; descendants (default): also what it starts" },
	{ "sha256", TEXT, false, NULL, "content the executable must have, 64 hex digits" },
	{ 0 },
};
static const struct field entry_fields[] = {
	{ "name", TEXT, false, NULL, "display name; the key when absent" },
	{ "endpoints", LIST, false, "endpoint", "where the binaries may connect" },
	{ "binaries", LIST, false, "binary", "who may connect; none: nobody" },
	{ 0 },
};
static const struct field endpoint_fields[] = {
	{ "host", TEXT, false, NULL,
	  "name, address or glob (*. is one label, **. several); empty only with allowed_ips" },
	{ "port", PORT, false, NULL, "destination port" },
	{ "ports", PORTS, false, NULL, "destination ports" },
	{ "path", TEXT, false, NULL, "part of the host this endpoint is about" },
	{ "protocol", TEXT, false, "tcp rest websocket graphql json-rpc mcp sql",
	  "how to inspect; absent: relay bytes" },
	{ "tls", TEXT, false, "skip terminate passthrough", "skip: relay without looking at it" },
	{ "enforcement", TEXT, false, "enforce audit",
	  "audit (default): forward and log what the rules do not allow" },
	{ "access", TEXT, false, "read-only read-write full", "preset, instead of rules" },
	{ "rules", LIST, false, "allow_rule", "what is allowed" },
	{ "deny_rules", LIST, false, "rule", "what is refused whatever the rules allow" },
	{ "allowed_ips", TEXTS, false, NULL, "addresses or networks the name may resolve to" },
	{ "allow_encoded_slash", BOOL, false, NULL, "accept %2F in paths" },
	{ "websocket_credential_rewrite", BOOL, false, NULL, "substitute credentials in messages" },
	{ "request_body_credential_rewrite", BOOL, false, NULL,
	  "substitute credentials in bodies" },
	{ "allow_uninspected_credentials", BOOL, false, NULL,
	  "accept credentials where nothing is inspected" },
	{ "persisted_queries", TEXT, false, "deny allow_registered", "GraphQL hash-only requests" },
	{ "graphql_persisted_queries", MAP, false, "persisted_query", "by hash or id" },
	{ "graphql_max_body_bytes", UINT, false, NULL, "default 65536" },
	{ "credential_signing", TEXT, false, "sigv4 sigv4:body sigv4:no_body", "sign requests" },
	{ "signing_service", TEXT, false, NULL, "service name to sign for" },
	{ "signing_region", TEXT, false, NULL, "region to sign for" },
	{ "credential_binding", REF, false, "credential_binding", "whose credentials apply" },
	{ "json_rpc", REF, false, "json_rpc", "options of protocol json-rpc" },
	{ "mcp", REF, false, "mcp", "options of protocol mcp" },
	{ 0 },
};
static const struct field allow_rule_fields[] = {
	{ "allow", REF, true, "rule", "the request that is allowed" },
	{ 0 },
};
static const struct field rule_fields[] = {
	{ "method", TEXT, false, NULL, "method, * for any; GET covers HEAD" },
	{ "path", TEXT, false, NULL, "glob of the path; without it nothing matches" },
	{ "command", TEXT, false, NULL, "sql" },
	{ "query", MAP, false, "matcher", "query parameters" },
	{ "operation_type", TEXT, false, "query mutation subscription *", "GraphQL" },
	{ "operation_name", TEXT, false, NULL, "GraphQL: glob of the operation's name" },
	{ "fields", TEXTS, false, NULL, "GraphQL: globs of root fields" },
	{ "tool", REF, false, "matcher", "MCP: the tool that is called" },
	{ "params", ANY_MAP, false, NULL, "MCP: parameters of the call" },
	{ 0 },
};
static const struct field matcher_fields[] = {
	{ "any", TEXTS, true, NULL, "globs, one of which must match" },
	{ 0 },
};
static const struct field persisted_fields[] = {
	{ "operation_type", TEXT, false, "query mutation subscription", "its type" },
	{ "operation_name", TEXT, false, NULL, "its name" },
	{ "fields", TEXTS, false, NULL, "its root fields" },
	{ 0 },
};
static const struct field binding_fields[] = {
	{ "provider", TEXT, true, NULL, "provider whose credentials are used" },
	{ 0 },
};
static const struct field json_rpc_fields[] = {
	{ "max_body_bytes", UINT, false, NULL, "default 65536" },
	{ 0 },
};
static const struct field mcp_fields[] = {
	{ "max_body_bytes", UINT, false, NULL, "default 65536" },
	{ "strict_tool_names", BOOL, false, NULL, "letters, digits, _ . - only (default true)" },
	{ "allow_all_known_mcp_methods", BOOL, false, NULL, "methods need no rule" },
	{ 0 },
};
static const struct field middleware_fields[] = {
	{ "name", TEXT, false, NULL, "display name" },
	{ "middleware", TEXT, true, NULL, "which middleware" },
	{ "order", INT, false, NULL, "lower runs first" },
	{ "on_error", TEXT, false, "fail_open fail_closed", "when it fails" },
	{ "config", ANY_MAP, false, NULL, "its own settings" },
	{ "endpoints", REF, false, "host_selector", "where it applies" },
	{ 0 },
};
static const struct field selector_fields[] = {
	{ "include", TEXTS, false, NULL, "host patterns" },
	{ "exclude", TEXTS, false, NULL, "host patterns" },
	{ 0 },
};
static const struct field policy_fields[] = {
	{ "version", UINT, true, NULL, "1" },
	{ "filesystem_policy", REF, false, "filesystem_policy", "static: files of the sandbox" },
	{ "landlock", REF, false, "landlock", "static" },
	{ "process", REF, false, "process", "static: identity of the agent" },
	{ "network_policies", MAP, false, "entry", "who may connect where, and ask what" },
	{ "network_middlewares", MAP, false, "middleware", "hooks on requests" },
	{ 0 },
};

static const struct object objects[] = {
	{ "filesystem_policy", fs_fields, NULL },
	{ "landlock", landlock_fields, NULL },
	{ "process", process_fields, NULL },
	{ "entry", entry_fields, NULL },
	{ "endpoint", endpoint_fields, NULL },
	{ "binary", binary_fields, NULL },
	{ "allow_rule", allow_rule_fields, NULL },
	{ "rule", rule_fields, NULL },
	{ "matcher", matcher_fields, "a glob" },
	{ "persisted_query", persisted_fields, NULL },
	{ "credential_binding", binding_fields, NULL },
	{ "json_rpc", json_rpc_fields, NULL },
	{ "mcp", mcp_fields, NULL },
	{ "middleware", middleware_fields, NULL },
	{ "host_selector", selector_fields, NULL },
};

/* ---- writing ---- */

static void put_ref(struct osh_json *j, const char *of)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "#/$defs/%s", of);
	osh_json_kz(j, "$ref", text);
}

static void put_words(struct osh_json *j, const char *words)
{
	struct osh_str rest = osh_str(words), word;

	osh_json_key(j, "enum");
	osh_json_arr(j);
	while (osh_str_split(&rest, ' ', &word))
		osh_json_str(j, word);
	osh_json_arr_end(j);
}

static void put_range(struct osh_json *j, uint64_t min, uint64_t max)
{
	osh_json_kz(j, "type", "integer");
	osh_json_ku64(j, "minimum", min);
	osh_json_ku64(j, "maximum", max);
}

static void put_items(struct osh_json *j, enum shape shape, const char *of)
{
	osh_json_kz(j, "type", "array");
	osh_json_key(j, "items");
	osh_json_obj(j);
	if (shape == LIST)
		put_ref(j, of);
	else if (shape == PORTS)
		put_range(j, 1, UINT16_MAX);
	else
		osh_json_kz(j, "type", "string");
	osh_json_obj_end(j);
}

static void put_field(struct osh_json *j, const struct field *f)
{
	osh_json_key(j, f->name);
	osh_json_obj(j);
	osh_json_kz(j, "description", f->help);
	switch (f->shape) {
	case TEXT:
		osh_json_kz(j, "type", "string");
		if (f->of)
			put_words(j, f->of);
		break;
	case BOOL:
		osh_json_kz(j, "type", "boolean");
		break;
	case PORT:
		put_range(j, 1, UINT16_MAX);
		break;
	case UINT:
		put_range(j, 0, UINT32_MAX);
		break;
	case INT:
		osh_json_kz(j, "type", "integer");
		break;
	case TEXTS:
	case PORTS:
	case LIST:
		put_items(j, f->shape, f->of);
		break;
	case REF:
		put_ref(j, f->of);
		break;
	case MAP:
		osh_json_kz(j, "type", "object");
		osh_json_key(j, "additionalProperties");
		osh_json_obj(j);
		put_ref(j, f->of);
		osh_json_obj_end(j);
		break;
	case ANY_MAP:
		osh_json_kz(j, "type", "object");
		break;
	}
	osh_json_obj_end(j);
}

static void put_members(struct osh_json *j, const struct field *fields)
{
	osh_json_kz(j, "type", "object");
	osh_json_kbool(j, "additionalProperties", false);
	osh_json_key(j, "required");
	osh_json_arr(j);
	for (const struct field *f = fields; f->name; f++)
		if (f->required)
			osh_json_str(j, osh_str(f->name));
	osh_json_arr_end(j);
	osh_json_key(j, "properties");
	osh_json_obj(j);
	for (const struct field *f = fields; f->name; f++)
		put_field(j, f);
	osh_json_obj_end(j);
}

static void put_object(struct osh_json *j, const struct object *o)
{
	osh_json_key(j, o->name);
	osh_json_obj(j);
	if (o->one_of) {
		osh_json_key(j, "oneOf");
		osh_json_arr(j);
		osh_json_obj(j);
		osh_json_kz(j, "type", "string");
		osh_json_kz(j, "description", o->one_of);
		osh_json_obj_end(j);
		osh_json_obj(j);
		put_members(j, o->fields);
		osh_json_obj_end(j);
		osh_json_arr_end(j);
	} else {
		put_members(j, o->fields);
	}
	osh_json_obj_end(j);
}

static int run_schema(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_bufmem struct osh_buf out = { 0 };
	struct osh_json j;

	if (osh_tool_wants_json(cli, args) < 0)
		return OSH_EXIT_USAGE;
	osh_buf_init(&out, OSH_TOOL_OUT_MAX, 0);
	osh_json_init(&j, &out, 2);
	osh_json_obj(&j);
	osh_json_kz(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
	osh_json_kz(&j, "title", "OpenShell sandbox policy");
	put_members(&j, policy_fields);
	osh_json_key(&j, "$defs");
	osh_json_obj(&j);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(objects); i++)
		put_object(&j, &objects[i]);
	osh_json_obj_end(&j);
	osh_json_obj_end(&j);
	return osh_tool_print(cli, j.err ? j.err : osh_buf_add_c(&out, '\n'), &out);
}

const struct osh_cmd osh_cmd_policy_schema = {
	.name = "schema",
	.help = "Print the JSON Schema of policy files, for editors",
	.more = "The schema knows names and types; `policy check` knows the rest.",
	.opts =
		(const struct osh_opt[]){
			{ "output", 'o', "FORMAT", "json, the only format", 0, "json" },
			{ 0 },
		},
	.fn = run_schema,
};
