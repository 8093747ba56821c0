/* SPDX-License-Identifier: MIT */
/*
 * Every record of every source passes here once: proxies' rings, the kernel's ring, the monitor's
 * own. The monitor alone says which sandbox a record belongs to; flood control, the segment files,
 * journald and live followers come after that.
 */
#include "daemon/monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "audit/flood.h"
#include "audit/journal.h"
#include "audit/ocsf_file.h"
#include "audit/segment.h"
#include "base/log.h"
#include "base/reason.h"
#include "io/ring.h"
#include "sys/fs.h"

enum { DRAIN_MAX = 256, TICK_MS = 1000, GONE_MAX = 256 };

struct osh_events {
	struct osh_monitor *m;
	char dir[4096];
	struct osh_log *log;
	struct osh_journal *journal;
	struct osh_ocsf_file *ocsf; /* NULL: none configured */
	uint64_t ocsf_epoch; /* counts changes of settings */
	uint64_t ocsf_own_epoch;
	bool ocsf_own; /* records of the daemon itself go there */
	struct sink_loss {
		uint64_t seen, reported; /* records */
		bool failing; /* said so */
		bool works; /* took the last one */
	} journal_loss, ocsf_loss;
	struct osh_flood *flood;
	struct osh_list followers;
	struct osh_timer tick;
	int last_error;
	struct gone {
		uint32_t id;
		char name[OSH_STATE_NAME_MAX + 1];
	} gone[GONE_MAX]; /* sandboxes deleted lately */
	unsigned int next_gone;
};

/* ---- one record ---- */

/*
 * Setting ocsf_json_enabled, of everything or else of the sandbox. Who configures a file wants it
 * filled: only an explicit "false" keeps records out.
 */
static bool read_ocsf_setting(struct osh_events *ev, const char *scope)
{
	static const char key[] = "ocsf_json_enabled";
	osh_auto_free char *value = NULL;
	int r = osh_state_setting_get(ev->m->state, OSH_STATE_GLOBAL_SCOPE, key, &value);

	if (r < 0 && scope)
		r = osh_state_setting_get(ev->m->state, scope, key, &value);
	return r < 0 || strcmp(value, "false") != 0;
}

static bool wants_ocsf(struct osh_events *ev, struct osh_sandbox *sb)
{
	if (!ev->ocsf)
		return false;
	if (!sb) {
		if (ev->ocsf_own_epoch != ev->ocsf_epoch)
			ev->ocsf_own = read_ocsf_setting(ev, NULL);
		ev->ocsf_own_epoch = ev->ocsf_epoch;
		return ev->ocsf_own;
	}
	if (sb->ocsf_epoch != ev->ocsf_epoch)
		sb->ocsf_json = read_ocsf_setting(ev, sb->name);
	sb->ocsf_epoch = ev->ocsf_epoch;
	return sb->ocsf_json;
}

/* Records that could not be written are counted by the log; here they are said, once. */
static void note_error(struct osh_events *ev, int r)
{
	if (r == ev->last_error)
		return;
	osh_log_warn_errno(r, "cannot write to the log in %s; records are counted as lost",
			   OSH_Q(ev->dir));
	ev->last_error = r;
}

static void write_record(struct osh_events *ev, struct osh_sandbox *sb, struct osh_rec *rec)
{
	struct osh_list *it, *tmp;
	int r = osh_log_append(ev->log, rec, osh_realtime_ns(), NULL);

	if (r < 0)
		note_error(ev, r);
	if (ev->journal)
		ev->journal_loss.works = osh_journal_send(ev->journal, rec); /* else counted */
	if (wants_ocsf(ev, sb))
		osh_ocsf_file_put(ev->ocsf, rec); /* likewise */
	osh_list_for_each_safe (it, tmp, &ev->followers) {
		struct osh_follower *f = osh_list_entry(it, struct osh_follower, node);

		f->on_record(f, rec);
	}
}

static void put_named(struct osh_monitor *m, struct osh_sandbox *sb, uint32_t id, const char *name,
		      struct osh_rec *rec)
{
	struct osh_events *ev = m->events;
	struct osh_rec note;
	bool suppressed = false, admitted;

	osh_rec_set_sandbox(rec, osh_str(name));
	rec->sandbox_id = id;
	admitted = osh_flood_admit(ev->flood, rec, osh_realtime_ns(), &note, &suppressed);
	if (suppressed)
		write_record(ev, sb, &note);
	if (admitted)
		write_record(ev, sb, rec);
}

void osh_events_put(struct osh_monitor *m, struct osh_sandbox *sb, struct osh_rec *rec)
{
	put_named(m, sb, sb ? sb->id : 0, sb ? sb->name : "", rec);
}

void osh_events_log(struct osh_monitor *m, struct osh_sandbox *sb, enum osh_rec_level level,
		    const char *fmt, ...)
{
	struct osh_rec rec;
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	osh_rec_init(&rec, OSH_REC_LOG, OSH_REC_NOTE, osh_realtime_ns());
	rec.level = (uint8_t)level;
	rec.source = sb ? OSH_REC_SANDBOX_SRC : OSH_REC_GATEWAY;
	osh_rec_set_z(&rec, OSH_REC_TARGET, sb ? "openshell_sandbox" : "openshell_server");
	osh_rec_set_z(&rec, OSH_REC_MESSAGE, text);
	osh_events_put(m, sb, &rec);
}

void osh_events_settings_changed(struct osh_monitor *m)
{
	m->events->ocsf_epoch++;
}

void osh_events_life(struct osh_monitor *m, struct osh_sandbox *sb, enum osh_rec_activity activity,
		     const char *message)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_SANDBOX, OSH_REC_NOTE, osh_realtime_ns());
	rec.activity = (uint8_t)activity;
	rec.source = sb ? OSH_REC_SANDBOX_SRC : OSH_REC_GATEWAY;
	osh_rec_set_z(&rec, OSH_REC_TARGET, sb ? "openshell_sandbox" : "openshell_server");
	osh_rec_set_z(&rec, OSH_REC_MESSAGE, message);
	osh_events_put(m, sb, &rec);
}

void osh_events_policy(struct osh_sandbox *sb, enum osh_rec_activity activity, uint64_t version,
		       const char *hash, const char *message)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_POLICY, OSH_REC_NOTE, osh_realtime_ns());
	rec.activity = (uint8_t)activity;
	rec.revision = version;
	rec.generation = sb->active.generation;
	if (activity == OSH_REC_ACT_FAILED || activity == OSH_REC_ACT_QUARANTINED) {
		rec.level = OSH_REC_ERROR;
		rec.severity = 4;
	}
	osh_rec_set_z(&rec, OSH_REC_HASH, hash);
	osh_rec_set_z(&rec, OSH_REC_MESSAGE, message);
	osh_events_put(sb->m, sb, &rec);
}

/* ---- the proxies' rings ---- */

static void report_loss(struct osh_role *role)
{
	uint64_t lost = osh_ring_lost(role->ring);
	struct osh_rec rec;

	if (lost <= role->ring_lost)
		return;
	osh_rec_init(&rec, OSH_REC_LOSS, OSH_REC_NOTE, osh_realtime_ns());
	rec.count = lost - role->ring_lost;
	role->ring_lost = lost;
	osh_rec_setf(&rec, OSH_REC_MESSAGE, "%llu records of proxy %u were lost: its ring was full",
		     (unsigned long long)rec.count, role->index);
	osh_events_put(role->m, NULL, &rec);
}

void osh_events_sandbox_gone(struct osh_monitor *m, const struct osh_sandbox *sb)
{
	struct gone *gone = m->events ? &m->events->gone[m->events->next_gone++ % GONE_MAX] : NULL;

	if (!gone)
		return;
	gone->id = sb->id;
	(void)osh_strlcpy(gone->name, sb->name, sizeof(gone->name));
}

/*
 * Which sandbox a record is about and when it was written are not for the writer to choose: it is about
 * one that there is, or was until lately, and between the writer's last record and now.
 */
static int put_of_role(struct osh_role *role, struct osh_rec *rec)
{
	struct osh_events *ev = role->m->events;
	struct osh_sandbox *sb = osh_sb_by_id(role->m, (uint32_t)rec->sandbox_id);
	uint64_t now_ns = osh_realtime_ns();
	const char *name = sb ? sb->name : NULL;

	for (unsigned int i = 0; !name && i < GONE_MAX; i++)
		if (ev->gone[i].id && ev->gone[i].id == rec->sandbox_id)
			name = ev->gone[i].name;
	if (!name)
		return -EBADMSG;
	role->last_rec_ns = OSH_MIN(role->last_rec_ns, now_ns); /* the clock was set back */
	rec->time_ns = OSH_MIN(OSH_MAX(rec->time_ns, role->last_rec_ns), now_ns);
	role->last_rec_ns = rec->time_ns;
	put_named(role->m, sb, (uint32_t)rec->sandbox_id, name, rec);
	return 0;
}

bool osh_events_drain_role(struct osh_role *role)
{
	static char buf[OSH_RING_MAX_RECORD];
	struct osh_rec rec;
	size_t n;
	int r = 0;

	for (int i = 0; i < DRAIN_MAX; i++) {
		r = osh_ring_get(role->ring, buf, &n);
		if (r < 0)
			break;
		r = osh_rec_decode(buf, n, &rec);
		if (r < 0)
			break;
		r = put_of_role(role, &rec);
		if (r < 0)
			break;
	}
	report_loss(role);
	if (r == 0) {
		osh_src_again(&role->ring_src); /* more to come: others first */
	} else if (r != -EAGAIN) {
		osh_log_warn_errno(r, "proxy %u wrote a bad record; restarting it", role->index);
		osh_src_del(&role->ring_src);
		(void)kill(role->pid,
			   SIGKILL); /* our own child, not reaped before its last drain */
	}
	return r == 0;
}

/* ---- the kernel's ring ---- */

static enum osh_reason kernel_reason(uint32_t kreason)
{
	switch (kreason) {
	case OSH_KR_NO_SANDBOX:
	case OSH_KR_WRONG_SANDBOX:
		return OSH_REASON_KERN_NETNS;
	case OSH_KR_NO_IDENTITY:
		return OSH_REASON_KERN_TASK;
	case OSH_KR_OWN_PORT:
		return OSH_REASON_KERN_PORT;
	case OSH_KR_UDP:
		return OSH_REASON_KERN_UDP;
	case OSH_KR_PROTOCOL:
	case OSH_KR_ADDRESS:
		return OSH_REASON_KERN_FAMILY;
	case OSH_KR_BIND:
		return OSH_REASON_KERN_BIND;
	case OSH_KR_SOCKOPT:
		return OSH_REASON_KERN_SOCKOPT;
	case OSH_KR_POLICY:
	case OSH_KR_NO_POLICY:
		return OSH_REASON_KERN_POLICY;
	case OSH_KR_PACKET:
		return OSH_REASON_KERN_PACKET;
	case OSH_KR_UNIX:
		return OSH_REASON_KERN_UNIX;
	case OSH_KR_NO_MEMORY:
		return OSH_REASON_KERN_MAP_FULL;
	default:
		return OSH_REASON_INTERNAL;
	}
}

static void set_destination(struct osh_rec *rec, const struct osh_sandbox *sb,
			    const struct osh_flow_rec *flow)
{
	const char *host = sb && flow->host_id ? osh_names_host(sb, flow->host_id) : NULL;
	char text[INET6_ADDRSTRLEN];

	rec->port = ntohs(flow->dst_port_be);
	rec->addr_family = (uint8_t)flow->family;
	if (flow->family == AF_INET) {
		memcpy(rec->addr, flow->dst + 12, 4);
		(void)inet_ntop(AF_INET, flow->dst + 12, text, sizeof(text));
	} else {
		memcpy(rec->addr, flow->dst, 16);
		(void)inet_ntop(AF_INET6, flow->dst, text, sizeof(text));
	}
	osh_rec_set_z(rec, OSH_REC_HOST, host ? host : text);
}

static void put_deny(struct osh_monitor *m, const struct osh_kev_deny *ev)
{
	struct osh_sandbox *sb = osh_sb_by_id(m, ev->rec.sandbox);
	bool policy = ev->rec.reason == OSH_KR_POLICY || ev->rec.reason == OSH_KR_NO_POLICY;
	const struct osh_flow_rec *flow = &ev->rec;
	struct osh_rec rec;

	osh_rec_init(&rec, policy ? OSH_REC_CONNECT : OSH_REC_BYPASS, OSH_REC_DENY,
		     osh_realtime_ns());
	rec.pid = flow->tgid;
	rec.uid = flow->uid;
	rec.generation = flow->generation;
	rec.ip_proto = (uint8_t)ev->protocol;
	rec.reason = (uint16_t)kernel_reason(flow->reason);
	if (flow->family == AF_INET || flow->family == AF_INET6)
		set_destination(&rec, sb, flow);
	osh_rec_set_z(&rec, OSH_REC_BINARY, osh_idents_path(m, flow->exe));
	osh_rec_set_z(&rec, OSH_REC_ENGINE, "bpf");
	osh_rec_set_z(&rec, OSH_REC_REASON,
		      policy ? "no matching network policy" : osh_kreason_name(flow->reason));
	if (policy)
		osh_rec_set_z(&rec, OSH_REC_DETAIL, osh_kreason_name(flow->reason));
	for (uint32_t i = 0; i < OSH_MIN(flow->lineage_count, (uint32_t)OSH_LINEAGE_MAX); i++)
		osh_rec_add_ancestor(&rec, osh_str(osh_idents_path(m, flow->lineage[i].exe)));
	osh_events_put(m, sb, &rec);
}

static void put_taint(struct osh_monitor *m, const struct osh_kev_taint *ev)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_FINDING, OSH_REC_NOTE, osh_realtime_ns());
	rec.pid = ev->tgid;
	osh_rec_set_z(&rec, OSH_REC_UID, "openshell.identity.tainted");
	osh_rec_set_z(&rec, OSH_REC_TITLE, "Process mapped code from a writable place");
	osh_rec_set_z(&rec, OSH_REC_BINARY, osh_idents_path(m, ev->exe));
	osh_rec_setf(&rec, OSH_REC_MESSAGE, "pid %u keeps no privilege of its binary (flags 0x%x)",
		     ev->tgid, ev->flags);
	osh_events_put(m, osh_sb_by_id(m, ev->sandbox), &rec);
}

void osh_events_kernel(struct osh_monitor *m, const struct osh_kev *ev)
{
	if (ev->type == OSH_KEV_DENY && ev->size >= sizeof(struct osh_kev_deny))
		put_deny(m, (const struct osh_kev_deny *)(const void *)ev);
	else if (ev->type == OSH_KEV_TAINT && ev->size >= sizeof(struct osh_kev_taint))
		put_taint(m, (const struct osh_kev_taint *)(const void *)ev);
}

/* ---- life ---- */

void osh_events_follow(struct osh_monitor *m, struct osh_follower *f)
{
	osh_list_add_tail(&m->events->followers, &f->node);
}

const char *osh_events_dir(const struct osh_monitor *m)
{
	return m->events->dir;
}

void osh_events_totals(const struct osh_monitor *m, uint64_t *ret_records, uint64_t *ret_lost)
{
	struct osh_log_stats stats;

	osh_log_stats(m->events->log, &stats);
	*ret_records = stats.records;
	*ret_lost = stats.lost;
}

static void flush(void *arg)
{
	struct osh_events *ev = arg;
	int r = osh_log_flush(ev->log, osh_realtime_ns());

	if (r < 0)
		note_error(ev, r);
	if (ev->ocsf)
		osh_ocsf_file_flush(ev->ocsf);
}

void osh_events_flush(struct osh_monitor *m)
{
	enum { BATCHES = 64 }; /* whoever writes on and on is read on later */

	/* proxies wake us now and then only: what they have written by now counts */
	for (unsigned int i = 0; i < m->nproxies; i++) {
		struct osh_role *role = &m->proxies[i];

		for (int n = 0; n < BATCHES && role->ring && role->state != OSH_ROLE_DEAD; n++)
			if (!osh_events_drain_role(role))
				break;
	}
	flush(m->events);
}

/*
 * A sink that does not take records is said once, and how many it missed when it takes them again:
 * the count is a record, so that it arrives where the loss was.
 */
static void report_sink(struct osh_events *ev, struct sink_loss *loss, const char *name,
			uint64_t lost)
{
	struct osh_rec rec;

	if (lost != loss->seen) {
		loss->seen = lost;
		if (!loss->failing)
			osh_events_log(ev->m, NULL, OSH_REC_WARN,
				       "Records do not reach %s and are counted; the log in %s has "
				       "them",
				       name, ev->dir);
		loss->failing = true;
		return;
	}
	if (!loss->failing || !loss->works)
		return;
	osh_rec_init(&rec, OSH_REC_LOSS, OSH_REC_NOTE, osh_realtime_ns());
	rec.count = lost - loss->reported;
	osh_rec_setf(&rec, OSH_REC_MESSAGE, "%llu records did not reach %s",
		     (unsigned long long)rec.count, name);
	loss->failing = false;
	osh_events_put(ev->m, NULL, &rec);
	loss->reported = lost;
}

/* Events of the kernel that were lost, said of the sandbox whose they were. */
static void report_kernel_loss(struct osh_monitor *m)
{
	const struct osh_list *it;

	osh_list_for_each (it, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(it, struct osh_sandbox, node);
		struct osh_kern_usage usage;
		struct osh_rec rec;

		if (!sb->proc.netns_cookie ||
		    osh_kern_sandbox_usage(m->kern, sb->proc.netns_cookie, &usage) < 0)
			continue;
		if (usage.events_lost > sb->events_lost) {
			osh_rec_init(&rec, OSH_REC_LOSS, OSH_REC_NOTE, osh_realtime_ns());
			rec.count = usage.events_lost - sb->events_lost;
			osh_rec_setf(
				&rec, OSH_REC_MESSAGE,
				"%llu events of the kernel were lost: this sandbox causes more "
				"than its share",
				(unsigned long long)rec.count);
			osh_events_put(m, sb, &rec);
		}
		sb->events_lost = usage.events_lost;
	}
}

static void on_tick(struct osh_timer *timer)
{
	struct osh_events *ev = osh_container_of(timer, struct osh_events, tick);
	struct osh_log_stats stats;
	struct osh_rec note;

	osh_log_stats(ev->log, &stats);
	if (ev->last_error && !stats.last_error) {
		osh_log_notice("the log in %s can be written again", OSH_Q(ev->dir));
		ev->last_error = 0;
	}
	while (osh_flood_tick(ev->flood, osh_realtime_ns(), &note))
		write_record(ev, osh_sb_by_id(ev->m, (uint32_t)note.sandbox_id), &note);
	if (ev->ocsf)
		osh_ocsf_file_tick(ev->ocsf);
	if (ev->journal)
		report_sink(ev, &ev->journal_loss, "journald", osh_journal_lost(ev->journal));
	if (ev->ocsf) {
		ev->ocsf_loss.works = osh_ocsf_file_works(ev->ocsf);
		report_sink(ev, &ev->ocsf_loss, ev->m->cfg.log.ocsf_file.p,
			    osh_ocsf_file_lost(ev->ocsf));
	}
	report_kernel_loss(ev->m);
	osh_timer_set(ev->m->loop, &ev->tick, TICK_MS, on_tick);
}

int osh_events_new(struct osh_monitor *m)
{
	const struct osh_config *cfg = &m->cfg;
	struct osh_log_config lc = {
		.segment_bytes = cfg->log.segment_bytes,
		.total_bytes = (uint64_t)cfg->log.segment_bytes * cfg->log.segments,
		.segment_age_s = (uint64_t)cfg->log.max_age_hours * 3600,
		.sync = OSH_LOG_SYNC_TIMED,
	};
	struct osh_events *ev = calloc(1, sizeof(*ev));
	int r;

	if (!ev)
		return -ENOMEM;
	m->events = ev;
	ev->m = m;
	osh_list_init(&ev->followers);
	if (cfg->log.dir.n)
		(void)osh_strlcpy(ev->dir, cfg->log.dir.p, sizeof(ev->dir));
	else
		(void)snprintf(ev->dir, sizeof(ev->dir), "%s/log", cfg->state_dir.p);
	lc.dir = ev->dir;
	r = osh_fs_mkdir_p(ev->dir, 0750);
	if (r == 0)
		r = osh_log_open(&lc, osh_realtime_ns(), &ev->log);
	if (r < 0)
		return osh_log_err(r, "cannot open the log in %s%s", OSH_Q(ev->dir),
				   r == -EWOULDBLOCK ? " (another openshelld writes there)" : "");
	r = osh_flood_new(&(struct osh_flood_config){ 0 }, &ev->flood);
	if (r == 0 && cfg->log.journal_socket.n)
		r = osh_journal_new(cfg->log.journal_socket.p, &ev->journal);
	if (r < 0)
		return osh_log_err(r, "cannot set up the log's sinks");
	ev->ocsf_epoch = 1;
	if (cfg->log.ocsf_file.n) {
		const struct osh_ocsf_file_config fc = {
			.path = cfg->log.ocsf_file.p,
			.max_bytes = cfg->log.ocsf_file_bytes,
			.files = cfg->log.ocsf_files,
		};

		r = osh_ocsf_file_open(&fc, &ev->ocsf);
		if (r < 0)
			return osh_log_err(r, "cannot open log.ocsf_file %s", OSH_Q(fc.path));
	}
	osh_loop_set_idle(m->loop, flush, ev);
	osh_timer_set(m->loop, &ev->tick, TICK_MS, on_tick);
	return 0;
}

void osh_events_free(struct osh_monitor *m)
{
	struct osh_events *ev = m->events;

	if (!ev)
		return;
	osh_loop_set_idle(m->loop, NULL, NULL);
	osh_timer_stop(&ev->tick);
	osh_log_free(ev->log);
	osh_journal_free(ev->journal);
	osh_ocsf_file_free(ev->ocsf);
	osh_flood_free(ev->flood);
	free(ev);
	m->events = NULL;
}
