/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "cli/out.h"
#include "cli/revision.h"
#include "cli/table.h"

static int put_scope(struct osh_cli *cli, const struct osh_args *args, struct osh_json *j,
		     char last[64], const char **ret_name)
{
	*ret_name = NULL;
	if (osh_args_has(args, "global")) {
		if (args->pos_count)
			return osh_cli_usage(cli, args,
					     "--global and a sandbox name exclude each other");
		osh_json_kbool(j, "global", true);
		return 0;
	}
	*ret_name = osh_last_resolve(cli, osh_args_pos(args, 0), last);
	if (!*ret_name)
		return OSH_EXIT_ERROR;
	osh_json_kz(j, "sandbox", *ret_name);
	return 0;
}

static void get_table(struct osh_cli *cli, const struct osh_ctl_reply *reply, const char *name)
{
	const struct osh_jval *list = osh_jval_get(reply->params, "settings");

	if (name)
		fprintf(cli->out,
			"Sandbox:       %s\nConfig Rev:    %" PRIu64
			"\nPolicy Source: %s\nPolicy Hash:   %s\n",
			name, osh_reply_u64(reply, "config_revision"),
			osh_reply_z(reply, "policy_source"), osh_reply_z(reply, "policy_hash"));
	else
		fprintf(cli->out, "Scope:         global\nSettings Rev:  %" PRIu64 "\n",
			osh_reply_u64(reply, "config_revision"));
	fputs("Settings:\n", cli->out);
	for (size_t i = 0; i < osh_jval_len(list); i++) {
		const struct osh_jval *s = osh_jval_at(list, i);

		fprintf(cli->out, "  %s = ", osh_jval_z(osh_jval_get(s, "key"), ""));
		osh_out_text(cli->out, osh_str(osh_jval_z(osh_jval_get(s, "value"), "<unset>")));
		if (name)
			fprintf(cli->out, " (%s)", osh_jval_z(osh_jval_get(s, "scope"), "unset"));
		fputc('\n', cli->out);
	}
}

static int get_json(struct osh_cli *cli, enum osh_out_format format,
		    const struct osh_ctl_reply *reply, const char *name)
{
	const struct osh_jval *list = osh_jval_get(reply->params, "settings");
	osh_auto_bufmem struct osh_buf text;
	struct osh_json j;

	osh_buf_init(&text, 1 << 20, 0);
	osh_json_init(&j, &text, 0);
	osh_json_obj(&j);
	if (name) {
		osh_json_ku64(&j, "config_revision", osh_reply_u64(reply, "config_revision"));
		osh_json_kz(&j, "policy_hash", osh_reply_z(reply, "policy_hash"));
		osh_json_kz(&j, "policy_source", osh_reply_z(reply, "policy_source"));
		osh_json_kz(&j, "sandbox", name);
	} else {
		osh_json_kz(&j, "scope", "global");
	}
	osh_json_key(&j, "settings");
	osh_json_obj(&j);
	for (size_t i = 0; i < osh_jval_len(list); i++) {
		const struct osh_jval *s = osh_jval_at(list, i);
		const char *value = osh_jval_z(osh_jval_get(s, "value"), "<unset>");

		osh_json_key(&j, osh_jval_z(osh_jval_get(s, "key"), ""));
		if (!name) {
			osh_json_str(&j, osh_str(value));
			continue;
		}
		osh_json_obj(&j);
		osh_json_kz(&j, "scope", osh_jval_z(osh_jval_get(s, "scope"), "unset"));
		osh_json_kz(&j, "value", value);
		osh_json_obj_end(&j);
	}
	osh_json_obj_end(&j);
	if (name)
		osh_json_kz(&j, "workspace", "default");
	else
		osh_json_ku64(&j, "settings_revision", osh_reply_u64(reply, "config_revision"));
	osh_json_obj_end(&j);
	if (j.err)
		return osh_cli_fail(cli, "show the settings", NULL, "%s", strerror(-j.err));
	return osh_out_data(cli, format, osh_buf_str(&text));
}

static int settings_get(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format;
	const char *name;
	char last[64];
	int code;

	osh_rpc_begin(&rpc, "show the settings");
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	if (osh_args_has(args, "json"))
		format = OSH_OUT_JSON;
	code = put_scope(cli, args, &rpc.j, last, &name);
	if (code == 0)
		code = osh_rpc_call(cli, &rpc, "SettingsGet", &reply);
	if (code)
		return code;
	if (format != OSH_OUT_TABLE)
		return get_json(cli, format, &reply, name);
	get_table(cli, &reply, name);
	return OSH_EXIT_OK;
}

static int settings_set(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	const char *key = osh_args_get(args, "key"), *value = osh_args_get(args, "value"), *name;
	char last[64], question[160];
	osh_auto_rpc struct osh_rpc rpc;
	int code;

	osh_rpc_begin(&rpc, "change the setting");
	if (!key || !value)
		return osh_cli_usage(cli, args, "settings set needs --key and --value");
	code = put_scope(cli, args, &rpc.j, last, &name);
	if (code == 0 && !name) {
		(void)snprintf(question, sizeof(question),
			       "Setting %s globally will disable sandbox-level management for "
			       "this key. Continue?",
			       OSH_Q(key));
		code = osh_confirm_global(cli, args, question);
	}
	if (code)
		return code;
	osh_json_kz(&rpc.j, "key", key);
	osh_json_kz(&rpc.j, "value", value);
	code = osh_rpc_call(cli, &rpc, "SettingsSet", &reply);
	if (code)
		return code;
	if (name)
		osh_cli_note(cli, cli->out, '+',
			     "Set sandbox setting %s=%s for %s (revision %" PRIu64 ")", key, value,
			     name, osh_reply_u64(&reply, "revision"));
	else
		osh_cli_note(cli, cli->out, '+', "Set global setting %s=%s (revision %" PRIu64 ")",
			     key, value, osh_reply_u64(&reply, "revision"));
	return OSH_EXIT_OK;
}

static int settings_delete(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	const char *key = osh_args_get(args, "key"), *name;
	char last[64], question[160];
	osh_auto_rpc struct osh_rpc rpc;
	bool found;
	int code;

	osh_rpc_begin(&rpc, "delete the setting");
	if (!key)
		return osh_cli_usage(cli, args, "settings delete needs --key");
	code = put_scope(cli, args, &rpc.j, last, &name);
	if (code == 0 && !name) {
		(void)snprintf(question, sizeof(question),
			       "Deleting global setting %s re-enables sandbox-level management "
			       "for this key. Continue?",
			       OSH_Q(key));
		code = osh_confirm_global(cli, args, question);
	}
	if (code)
		return code;
	osh_json_kz(&rpc.j, "key", key);
	code = osh_rpc_call(cli, &rpc, "SettingsDelete", &reply);
	if (code)
		return code;
	found = osh_reply_bool(&reply, "found");
	if (found && name)
		osh_cli_note(cli, cli->out, '+',
			     "Deleted sandbox setting %s for %s (revision %" PRIu64 ")", key, name,
			     osh_reply_u64(&reply, "revision"));
	else if (found)
		osh_cli_note(cli, cli->out, '+', "Deleted global setting %s (revision %" PRIu64 ")",
			     key, osh_reply_u64(&reply, "revision"));
	else if (name)
		osh_cli_note(cli, cli->out, '!', "Sandbox setting %s not found for %s", key, name);
	else
		osh_cli_note(cli, cli->out, '!', "Global setting %s not found", key);
	return OSH_EXIT_OK;
}

#define KEYS                                                                     \
	"providers_v2_enabled ocsf_json_enabled agent_policy_proposals_enabled " \
	"proposal_approval_mode"

static const struct osh_opt get_opts[] = {
	{ "global", 0, NULL, "Settings of every sandbox", 0, NULL },
	OSH_OUT_OPT,
	{ "json", 0, NULL, "The same as --output json", 0, NULL },
	{ 0 },
};
static const struct osh_opt set_opts[] = {
	{ "key", 0, "KEY", "Which setting", 0, KEYS },
	{ "value", 0, "VALUE", "Its new value", 0, NULL },
	{ "global", 0, NULL, "For every sandbox", 0, NULL },
	{ "yes", 'y', NULL, "Do not ask", 0, NULL },
	{ 0 },
};
static const struct osh_opt delete_opts[] = {
	{ "key", 0, "KEY", "Which setting", 0, KEYS },
	{ "global", 0, NULL, "The global value", 0, NULL },
	{ "yes", 'y', NULL, "Do not ask", 0, NULL },
	{ 0 },
};

const struct osh_cmd osh_cmd_settings_get = {
	.name = "get",
	.args = "[NAME]",
	.help = "Show the settings of a sandbox and the policy's source",
	.opts = get_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = settings_get,
};

const struct osh_cmd osh_cmd_settings_set = {
	.name = "set",
	.args = "[NAME]",
	.help = "Change a setting",
	.opts = set_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = settings_set,
};

const struct osh_cmd osh_cmd_settings_delete = {
	.name = "delete",
	.args = "[NAME]",
	.help = "Return a setting to its default",
	.opts = delete_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = settings_delete,
};
