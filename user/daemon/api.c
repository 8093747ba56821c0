/* SPDX-License-Identifier: MIT */
/* The control socket: who may call, and the table of methods. */
#include "daemon/api.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"

static struct osh_monitor *monitor;

struct osh_monitor *osh_api_monitor(void)
{
	return monitor;
}

static const struct osh_ctl_method methods[] = {
	{ "SandboxCreate", osh_api_sandbox_create, 0 },
	{ "SandboxList", osh_api_sandbox_list, 0 },
	{ "SandboxGet", osh_api_sandbox_get, 0 },
	{ "SandboxDelete", osh_api_sandbox_delete, 0 },
	{ "SandboxStop", osh_api_sandbox_stop, 0 },
	{ "SandboxStart", osh_api_sandbox_start, 0 },
	{ "Exec", osh_api_exec, OSH_CTL_NEEDS_MORE },
	{ "SessionSignal", osh_api_session_signal, OSH_CTL_ONEWAY_OK },
	{ "PolicySet", osh_api_policy_set, 0 },
	{ "PolicyUpdate", osh_api_policy_update, 0 },
	{ "PolicyRollback", osh_api_policy_rollback, 0 },
	{ "PolicyGet", osh_api_policy_get, 0 },
	{ "PolicyList", osh_api_policy_list, 0 },
	{ "PolicyDeleteGlobal", osh_api_policy_delete_global, 0 },
	{ "SettingsGet", osh_api_settings_get, 0 },
	{ "SettingsSet", osh_api_settings_set, 0 },
	{ "SettingsDelete", osh_api_settings_delete, 0 },
	{ "Logs", osh_api_logs, 0 },
	{ "Status", osh_api_status, 0 },
	{ "Doctor", osh_api_doctor, 0 },
	{ "Introspect", osh_api_introspect, 0 },
	{ "Selftest", osh_api_selftest, 0 },
	{ "SelftestCgroup", osh_api_selftest_cgroup, OSH_CTL_ROOT_ONLY | OSH_CTL_NEEDS_MORE },
	{ 0 },
};

/* A sandboxed process must not steer its own fence, even if the socket should ever be visible. */
static int admit(const struct osh_ctl_peer *peer)
{
	int r = osh_cgroup_pidfd_is_sandboxed(&monitor->cg, peer->pid, peer->pidfd);

	if (r == 0)
		return 0;
	osh_log_warn("control connection of pid %d (uid %u) refused: %s", (int)peer->pid, peer->uid,
		     r > 0 ? "it runs in a sandbox" : "its cgroup cannot be told");
	return -EPERM;
}

int osh_api_start(struct osh_monitor *m)
{
	struct osh_ctl_config config = { .loop = m->loop, .methods = methods, .admit = admit };
	char path[4096];
	int fd, r;

	monitor = m;
	(void)snprintf(path, sizeof(path), "%s/openshelld.sock", m->cfg.runtime_dir.p);
	r = osh_ctl_listen(path, 0660, m->socket_gid, &fd);
	if (r < 0)
		return osh_log_err(r, "cannot listen on control socket %s%s", OSH_Q(path),
				   r == -EADDRINUSE ? " (another openshelld answers there)" : "");
	return osh_ctl_server_new(&config, fd, &m->ctl);
}

void osh_api_stop(struct osh_monitor *m)
{
	m->ctl = osh_ctl_server_free(m->ctl);
}

int osh_api_sandbox(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
		    struct osh_sandbox **ret_sb)
{
	const char *name;
	struct osh_sandbox *sb;

	if (osh_ctl_param_str(call, params, key, 253, &name) < 0)
		return -EINVAL;
	sb = osh_sb_find(monitor, name);
	if (!sb) {
		osh_ctl_fail(call, OSH_CTL_ERR_NOT_FOUND,
			     "see which there are: openshell sandbox list",
			     "sandbox '%s' not found", name);
		return -ENOENT;
	}
	*ret_sb = sb;
	return 0;
}

void osh_api_policy_invalid(struct osh_ctl_call *call, const struct osh_diag *diag,
			    const char *hint)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, OSH_CTL_MSG_MAX / 4, 0);
	if (osh_diag_render(diag, &text) < 0)
		(void)!osh_buf_add_c(&text, '\n'); /* too many messages: what fitted is there */
	osh_ctl_fail_diag(call, OSH_CTL_ERR_POLICY_INVALID,
			  hint ? hint
			       : "openshell-policy(5) describes every field; 'openshell policy "
				 "check' checks a file",
			  text.data ? text.data : "", "the policy has %u error%s", diag->errors,
			  diag->errors == 1 ? "" : "s");
}

void osh_api_warnings(struct osh_json *j, const struct osh_diag *diag)
{
	if (!diag->warnings)
		return;
	osh_json_key(j, "warnings");
	osh_json_arr(j);
	for (size_t i = 0; i < diag->count; i++)
		if (diag->msgs[i].level == OSH_DIAG_WARNING)
			osh_json_str(j, osh_str(diag->msgs[i].text));
	osh_json_arr_end(j);
}
