/* SPDX-License-Identifier: MIT */
/* Methods Status and Doctor. */
#include "daemon/api.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "daemon/canary.h"
#include "openshell/version.h"

static void put_role(struct osh_json *j, const struct osh_role *role)
{
	static const char *const states[] = { "dead", "starting", "ready" };
	char name[32];

	(void)snprintf(name, sizeof(name), "%s %u", role->name, role->index);
	osh_json_obj(j);
	osh_json_kz(j, "name", name);
	osh_json_ku64(j, "pid", (uint64_t)role->pid);
	osh_json_kz(j, "state", states[role->state]);
	osh_json_ku64(j, "restarts", role->restarts);
	osh_json_obj_end(j);
}

void osh_api_status(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();
	uint64_t counters[OSH_CTR_MAX] = { 0 }, records, lost;
	struct osh_json *j = osh_ctl_reply_begin(call);
	struct osh_list *it;
	uint64_t sandboxes = 0;

	(void)params;
	osh_list_for_each (it, &m->sandboxes)
		sandboxes++;
	osh_json_kz(j, "version", OSH_VERSION);
	osh_json_ku64(j, "pid", (uint64_t)getpid());
	osh_json_ku64(j, "started_ms", m->start_ms);
	osh_json_kz(j, "state_dir", m->cfg.state_dir.p);
	osh_json_kz(j, "log_dir", osh_events_dir(m));
	osh_json_ku64(j, "sandboxes", sandboxes);
	osh_json_key(j, "roles");
	osh_json_arr(j);
	put_role(j, &m->signer);
	for (unsigned int i = 0; i < m->nproxies; i++)
		put_role(j, &m->proxies[i]);
	osh_json_arr_end(j);
	osh_json_key(j, "anomalies");
	osh_json_obj(j);
	if (osh_kern_counters(m->kern, counters) == 0)
		for (unsigned int i = 0; osh_kern_ctr_name(i); i++)
			if (osh_kern_ctr_is_anomaly(i) && counters[i])
				osh_json_ku64(j, osh_kern_ctr_name(i), counters[i]);
	osh_json_obj_end(j);
	osh_events_totals(m, &records, &lost);
	osh_json_ku64(j, "log_records", records);
	osh_json_ku64(j, "log_lost", lost);
	osh_ctl_reply_end(call);
}

/* ---- doctor ---- */

static void check(struct osh_json *j, const char *name, const char *status, const char *hint,
		  const char *fmt, ...) OSH_PRINTF(5, 6);

static void check(struct osh_json *j, const char *name, const char *status, const char *hint,
		  const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	osh_json_obj(j);
	osh_json_kz(j, "name", name);
	osh_json_kz(j, "status", status);
	osh_json_kz(j, "detail", text);
	osh_json_kz(j, "hint", hint);
	osh_json_obj_end(j);
}

static void check_pidns(struct osh_json *j)
{
	bool hosts = osh_monitor_sees_host_pids();

	check(j, "process numbers", hosts ? "ok" : "fail",
	      hosts ? NULL : "run it in the host's pid namespace (docker: --pid=host)", "%s",
	      hosts ? "the kernel's" : "of a pid namespace: no program can be identified");
}

static void check_kernel(struct osh_monitor *m, struct osh_json *j)
{
	const struct osh_kern_probe *probes;
	size_t n = osh_kern_probes(m->kern, &probes);
	char mount[4096] = "?";

	check(j, "BTF", access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? "ok" : "fail",
	      access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? NULL
							   : "use a kernel built with "
							     "CONFIG_DEBUG_INFO_BTF",
	      "/sys/kernel/btf/vmlinux");
	if (osh_cgroup_mount(mount, sizeof(mount)) == 0)
		check(j, "cgroup v2", "ok", NULL, "%s, ours is %s", mount, m->cg.agent_path);
	else
		check(j, "cgroup v2", "fail",
		      "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified", "not mounted");
	for (size_t i = 0; i < n; i++) {
		bool ok = probes[i].err == 0;

		check(j, probes[i].what,
		      ok		   ? "ok"
		      : probes[i].required ? "fail"
					   : "warn",
		      ok || probes[i].err == -ECANCELED ? NULL
		      : probes[i].required		? "this kernel cannot hold the fence"
					   : "an extra layer is missing; the required ones stand",
		      "%s", ok ? "loaded and attached" : strerror(-probes[i].err));
	}
}

static void check_confinement(struct osh_json *j)
{
	unsigned int abi = osh_sandbox_landlock_abi();

	check(j, "Landlock",
	      abi >= 3 ? "ok"
	      : abi    ? "warn"
		       : "fail",
	      abi >= 3 ? NULL : "boot with landlock in lsm=, on kernel 6.2 or newer", "ABI %u%s",
	      abi, abi && abi < 6 ? ": no scopes for signals and abstract Unix sockets" : "");
	check(j, "seccomp",
	      access("/proc/sys/kernel/seccomp/actions_avail", R_OK) == 0 ? "ok" : "fail", NULL,
	      "filters with kill-process");
}

static void check_users(struct osh_monitor *m, struct osh_json *j)
{
	const char *const users[] = { m->cfg.proxy_user.p, m->cfg.signer_user.p, "sandbox" };
	char hint[256];

	for (size_t i = 0; i < OSH_ARRAY_SIZE(users); i++) {
		const struct passwd *pw = getpwnam(users[i]);

		(void)snprintf(hint, sizeof(hint),
			       "useradd --system --no-create-home --shell /usr/sbin/nologin %s",
			       users[i]);
		check(j, "user", pw ? "ok" : "fail", pw ? NULL : hint, "%s%s", users[i],
		      pw ? "" : " does not exist");
	}
}

static void check_files(struct osh_monitor *m, struct osh_json *j)
{
	time_t now = time(NULL);
	bool bundle = access(m->cfg.system_bundle.p, R_OK) == 0;

	check(j, "CA bundle", bundle ? "ok" : "fail",
	      bundle ? NULL : "apt-get install ca-certificates", "%s", m->cfg.system_bundle.p);
	/* certificates minted with a clock years off are refused by every client */
	check(j, "clock", now > 1735689600 ? "ok" : "fail",
	      now > 1735689600 ? NULL : "set the clock: certificates depend on it", "%lld",
	      (long long)now);
}

struct doctor {
	struct osh_ctl_waiter waiter;
	struct osh_canary canary;
};

static void doctor_abandoned(struct osh_ctl_waiter *w)
{
	struct doctor *d = osh_container_of(w, struct doctor, waiter);

	osh_canary_forget(&d->canary);
	free(d);
}

static void doctor_done(struct osh_canary *canary, int err, const struct osh_diag *diag)
{
	struct doctor *d = osh_container_of(canary, struct doctor, canary);
	struct osh_monitor *m = osh_api_monitor();
	struct osh_json *j = osh_ctl_reply_begin(d->waiter.call);

	osh_json_key(j, "checks");
	osh_json_arr(j);
	check(j, "fence", err == 0 ? "ok" : "fail", err == 0 ? NULL : "restart openshelld", "%s",
	      err == 0	    ? "a canary in a sandbox cgroup was refused"
	      : diag->count ? diag->msgs[0].text
			    : strerror(-err));
	check_pidns(j);
	check_kernel(m, j);
	check_confinement(j);
	check_users(m, j);
	check_files(m, j);
	osh_json_arr_end(j);
	osh_ctl_reply_end(d->waiter.call);
	free(d);
}

void osh_api_doctor(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct doctor *d = calloc(1, sizeof(*d));

	(void)params;
	if (!d) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	d->waiter.on_close = doctor_abandoned;
	osh_ctl_call_wait(call, &d->waiter);
	osh_canary_send(osh_api_monitor(), &d->canary, doctor_done);
}
