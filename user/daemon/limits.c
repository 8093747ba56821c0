/* SPDX-License-Identifier: MIT */
/* --cpu, --memory, --pids through cgroup v2, where the host delegates the controllers. */
#include "daemon/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "daemon/api.h"
#include "sys/fs.h"

enum {
	CPU_PERIOD_US = 100000,
	PIDS_DEFAULT =
		8192, /* without --pids: a sandbox must not use up the host's, nor our tables */
};

static const struct {
	const char *param, *controller, *file, *what;
} limits[] = {
	{ "cpu_millis", "cpu", "cpu.max", "--cpu" },
	{ "memory_bytes", "memory", "memory.max", "--memory" },
	{ "pids", "pids", "pids.max", "--pids" },
};

static bool has_controller(int cgroup_fd, const char *file, const char *name)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_str rest, word;

	osh_buf_init(&text, 4096, 0);
	if (osh_fs_read_at(cgroup_fd, file, 4096, &text) < 0)
		return false;
	rest = osh_str_sub(osh_buf_str(&text), 0, osh_str_find(osh_buf_str(&text), '\n'));
	while (osh_str_split(&rest, ' ', &word))
		if (osh_str_is(word, name))
			return true;
	return false;
}

int osh_api_check_limits(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();

	for (size_t i = 0; i < OSH_ARRAY_SIZE(limits); i++) {
		uint64_t value;

		if (osh_ctl_param_u64_opt(call, params, limits[i].param, INT64_MAX, 0, &value) < 0)
			return -EINVAL;
		if (!value ||
		    has_controller(m->cg.agent_fd, "cgroup.controllers", limits[i].controller))
			continue;
		osh_ctl_fail(
			call, OSH_CTL_ERR_PRECONDITION,
			"boot with systemd.unified_cgroup_hierarchy=1, or leave the option out",
			"cannot enforce %s: this host has no cgroup v2 %s controller for openshelld",
			limits[i].what, limits[i].controller);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Controllers have to be switched on from the top down. */
static int enable(const struct osh_monitor *m, const char *controller)
{
	const int dirs[] = { m->cg.agent_fd, m->cg.sandboxes_fd };
	char text[32];
	int n = snprintf(text, sizeof(text), "+%s", controller);

	for (size_t i = 0; i < OSH_ARRAY_SIZE(dirs); i++) {
		osh_auto_close int fd = -1;

		if (has_controller(dirs[i], "cgroup.subtree_control", controller))
			continue;
		fd = openat(dirs[i], "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, text, (size_t)n) < 0)
			return -errno;
	}
	return 0;
}

/* Without --pids, where the host can enforce it. */
static int64_t default_of(const struct osh_sandbox *sb, const char *controller)
{
	if (strcmp(controller, "pids") != 0)
		return 0;
	if (has_controller(sb->m->cg.agent_fd, "cgroup.controllers", controller))
		return PIDS_DEFAULT;
	osh_log_notice("no cgroup v2 pids controller: sandbox %s can use up the host's processes",
		       OSH_Q(sb->name));
	return 0;
}

int osh_limits_apply(struct osh_sandbox *sb, struct osh_diag *diag)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(limits); i++) {
		int64_t value = osh_jval_i64(osh_jval_get(sb->spec, limits[i].param), 0);
		osh_auto_close int fd = -1;
		char text[64];
		int n, r;

		if (value <= 0)
			value = default_of(sb, limits[i].controller);
		if (value <= 0)
			continue;
		n = i == 0 ? snprintf(text, sizeof(text), "%lld %d",
				      (long long)value * CPU_PERIOD_US / 1000, CPU_PERIOD_US)
			   : snprintf(text, sizeof(text), "%lld", (long long)value);
		r = enable(sb->m, limits[i].controller);
		if (r == 0) {
			fd = openat(sb->cgroup_fd, limits[i].file, O_WRONLY | O_CLOEXEC);
			r = fd < 0 || write(fd, text, (size_t)n) < 0 ? -errno : 0;
		}
		if (r < 0) {
			osh_diag_err(diag, 0, 0, "cannot set %s of its cgroup to %s: %s",
				     limits[i].file, text, strerror(-r));
			return r;
		}
	}
	return 0;
}
