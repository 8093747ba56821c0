/* SPDX-License-Identifier: MIT */
#include "cli/policy_tool.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "policy/host.h"
#include "sys/fs.h"

static const char no_hash[] = "0000000000000000000000000000000000000000000000000000000000000000";

/* ---- files ---- */

static int read_text(const char *file, struct osh_buf *text)
{
	if (!strcmp(file, "-"))
		return osh_buf_read_all(text, STDIN_FILENO);
	return osh_fs_read(file, OSH_POLICY_TEXT_MAX_BYTES, text);
}

const char *osh_tool_read_error(int r)
{
	return r == -EMSGSIZE ? "bigger than a policy may be (1 MiB)" : strerror(-r);
}

int osh_tool_compile(const struct osh_policy *policy, struct osh_buf *block,
		     const struct osh_image **ret_img)
{
	int r;

	osh_buf_reset(block);
	/* the hash only names revisions; offline there are none */
	r = osh_image_compile(policy, 0, no_hash, block);
	return r ? r : osh_image_open(block->data, block->len, ret_img);
}

int osh_tool_open(const char *file, struct osh_tool_policy *ret)
{
	int r;

	*ret = (struct osh_tool_policy){ .file = strcmp(file, "-") ? file : "stdin" };
	osh_buf_init(&ret->text, OSH_POLICY_TEXT_MAX_BYTES, 0);
	osh_buf_init(&ret->block, OSH_IMAGE_MAX_BYTES, 0);
	osh_diag_init(&ret->diag, ret->file);
	r = read_text(file, &ret->text);
	if (!r)
		r = osh_policy_load(osh_buf_str(&ret->text), ret->file, &ret->policy, &ret->diag);
	if (!r)
		r = osh_tool_compile(ret->policy, &ret->block, &ret->img);
	if (r == -EINVAL) {
		osh_diag_err(&ret->diag, 0, 0, "the policy does not compile");
		r = -EBADMSG;
	}
	return r;
}

void osh_tool_close(struct osh_tool_policy *tp)
{
	tp->policy = osh_policy_free(tp->policy);
	osh_buf_fini(&tp->text);
	osh_buf_fini(&tp->block);
	osh_diag_fini(&tp->diag);
	tp->img = NULL;
}

int osh_tool_require(struct osh_cli *cli, const char *file, struct osh_tool_policy *ret)
{
	osh_auto_bufmem struct osh_buf text = { 0 };
	int r = osh_tool_open(file, ret);

	if (!r)
		return OSH_EXIT_OK;
	if (r != -EBADMSG)
		return osh_cli_fail(cli, "read the policy", NULL, "%s: %s", ret->file,
				    osh_tool_read_error(r));
	osh_buf_init(&text, OSH_TOOL_OUT_MAX, 0);
	r = osh_diag_render(&ret->diag, &text);
	if (r < 0)
		return osh_cli_fail(cli, "show the errors", NULL, "%s", strerror(-r));
	(void)fwrite(text.data, 1, text.len, cli->err); /* stderr is the last resort itself */
	return OSH_EXIT_ERROR;
}

int osh_tool_write_back(const char *file, struct osh_str text)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;
	osh_auto_free char *dir =
		slash ? osh_str_dup((struct osh_str){ file, (size_t)(slash - file) + 1 })
		      : osh_str_dup(OSH_STR("."));
	osh_auto_close int fd = -1;
	struct stat st;

	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatat(fd, name, &st, 0) < 0)
		return -errno;
	return osh_fs_write_atomic(fd, name, text, st.st_mode & 0777);
}

/* ---- output ---- */

int osh_tool_wants_json(struct osh_cli *cli, const struct osh_args *args)
{
	const char *o = osh_args_get(args, "output");

	if (!o || !strcmp(o, "table") || !strcmp(o, "yaml"))
		return 0;
	if (!strcmp(o, "json"))
		return 1;
	(void)osh_cli_usage(cli, args, "--output is table, yaml or json, got %s", OSH_Q(o));
	return -EINVAL;
}

int osh_tool_print(struct osh_cli *cli, int r, const struct osh_buf *text)
{
	if (r < 0)
		return osh_cli_fail(cli, "build the output", NULL, "%s", strerror(-r));
	if (text->len && fwrite(text->data, 1, text->len, cli->out) != text->len)
		return osh_cli_fail(cli, "write the output", NULL, "%s", strerror(errno));
	return OSH_EXIT_OK;
}

void osh_tool_json_diag(struct osh_json *j, const struct osh_diag *diag, enum osh_diag_level level)
{
	osh_json_arr(j);
	for (size_t i = 0; i < diag->count; i++) {
		const struct osh_diag_msg *m = &diag->msgs[i];

		if (m->level != level)
			continue;
		osh_json_obj(j);
		osh_json_ku64(j, "line", m->line);
		osh_json_ku64(j, "column", m->col);
		osh_json_kz(j, "message", m->text);
		osh_json_obj_end(j);
	}
	osh_json_arr_end(j);
}

const char *osh_decision_word(enum osh_decision d)
{
	return d == OSH_DECISION_ALLOW ? "allow" : d == OSH_DECISION_AUDIT ? "audit" : "deny";
}

const char *osh_inspect_word(enum osh_inspect i)
{
	static const char *const words[] = {
		[OSH_INSPECT_NONE] = "none",	   [OSH_INSPECT_AUTHORITY] = "authority",
		[OSH_INSPECT_REST] = "rest",	   [OSH_INSPECT_WEBSOCKET] = "websocket",
		[OSH_INSPECT_GRAPHQL] = "graphql", [OSH_INSPECT_JSON_RPC] = "json-rpc",
		[OSH_INSPECT_MCP] = "mcp",	   [OSH_INSPECT_SQL] = "sql",
	};

	return (size_t)i < OSH_ARRAY_SIZE(words) ? words[i] : "unknown";
}

const char *osh_tool_color(const struct osh_cli *cli, char which)
{
	if (!cli->out_color)
		return "";
	switch (which) {
	case 'g':
		return "\033[32m";
	case 'r':
		return "\033[31m";
	case 'y':
		return "\033[33m";
	case 'b':
		return "\033[1m";
	case 'd':
		return "\033[2m";
	default:
		return "\033[0m";
	}
}

/* ---- destinations ---- */

static const struct {
	const char *scheme;
	unsigned int port;
	bool plain;
} schemes[] = {
	{ "https://", 443, false },
	{ "http://", 80, true },
	{ "wss://", 443, false },
	{ "ws://", 80, true },
};

static int set_authority(struct osh_str authority, unsigned int port, struct osh_tool_dest *ret,
			 const char **ret_why)
{
	struct osh_authority a;

	if (osh_authority_parse(authority, &a) < 0) {
		*ret_why = "that is no host and port";
		return -EINVAL;
	}
	ret->port = a.port ? a.port : port;
	if (!ret->port) {
		*ret_why = "the port is missing";
		return -EINVAL;
	}
	(void)osh_strlcpy(ret->host, a.host.name, sizeof(ret->host)); /* 253 bytes at most */
	return 0;
}

int osh_tool_dest(const char *text, struct osh_tool_dest *ret, const char **ret_why)
{
	struct osh_str s = osh_str(text);
	size_t end;
	int r;

	*ret = (struct osh_tool_dest){ .target = "/" };
	for (size_t i = 0; i < OSH_ARRAY_SIZE(schemes); i++) {
		struct osh_str scheme = osh_str(schemes[i].scheme);

		if (s.n < scheme.n || !osh_str_ieq(osh_str_sub(s, 0, scheme.n), scheme))
			continue;
		s = osh_str_sub(s, scheme.n, s.n);
		for (end = 0; end < s.n && s.p[end] != '/' && s.p[end] != '?'; end++)
			;
		r = set_authority(osh_str_sub(s, 0, end), schemes[i].port, ret, ret_why);
		if (r < 0)
			return r;
		ret->has_url = true;
		ret->plain = schemes[i].plain;
		if (end < s.n && (size_t)snprintf(ret->target, sizeof(ret->target), "%s%.*s",
						  s.p[end] == '/' ? "" : "/",
						  OSH_STR_FMT(osh_str_sub(s, end, s.n))) >=
					 sizeof(ret->target)) {
			*ret_why = "the path is too long";
			return -EINVAL;
		}
		return 0;
	}
	return set_authority(s, 0, ret, ret_why);
}
