/* SPDX-License-Identifier: MIT */
/*
 * OCSF 1.8 JSON, reference 7.4: one object, keys in alphabetical order at every level. Each function
 * writes one member of the object and is called in that order.
 */
#include "audit/ocsf.h"
#include "audit/render.h"

#include "base/reason.h"
#include "openshell/version.h"

static void id_name(struct osh_json *j, const char *name_key, const char *id_key, const char *name,
		    unsigned int id)
{
	if (!id)
		return;
	osh_json_kz(j, name_key, name);
	osh_json_ku64(j, id_key, id);
}

static void write_process(struct osh_json *j, const struct osh_rec *rec)
{
	struct osh_str rest = osh_rec_get(rec, OSH_REC_ANCESTORS), parent;

	osh_json_obj(j);
	osh_json_kstr(j, "name", osh_rec_get(rec, OSH_REC_BINARY));
	if (rest.n && osh_str_split(&rest, '\0', &parent)) {
		osh_json_key(j, "parent_process");
		osh_json_obj(j);
		osh_json_kstr(j, "name", parent);
		osh_json_obj_end(j);
	}
	osh_json_ku64(j, "pid", rec->pid);
	osh_json_obj_end(j);
}

static void write_actor(struct osh_json *j, const struct osh_rec *rec)
{
	if (!osh_rec_get(rec, OSH_REC_BINARY).n)
		return;
	osh_json_key(j, "actor");
	osh_json_obj(j);
	osh_json_key(j, "process");
	write_process(j, rec);
	osh_json_obj_end(j);
}

static void write_app(struct osh_json *j)
{
	osh_json_key(j, "app");
	osh_json_obj(j);
	osh_json_kz(j, "name", "openshell");
	osh_json_kz(j, "vendor_name", "OpenShell");
	osh_json_kz(j, "version", OSH_VERSION);
	osh_json_obj_end(j);
}

static void write_container(struct osh_json *j, const struct osh_rec *rec)
{
	struct osh_str name = osh_rec_get(rec, OSH_REC_SANDBOX_NAME);

	if (!name.n)
		return;
	osh_json_key(j, "container");
	osh_json_obj(j);
	osh_json_kstr(j, "name", name);
	osh_json_obj_end(j);
}

static void write_device(struct osh_json *j, const char *hostname)
{
	osh_json_key(j, "device");
	osh_json_obj(j);
	osh_json_kz(j, "hostname", hostname);
	osh_json_key(j, "os");
	osh_json_obj(j);
	osh_json_kz(j, "name", "Linux");
	osh_json_ku64(j, "type_id", 200);
	osh_json_obj_end(j);
	osh_json_ku64(j, "type_id", 0);
	osh_json_obj_end(j);
}

static void write_endpoint(struct osh_json *j, const struct osh_rec *rec)
{
	struct osh_str host = osh_rec_get(rec, OSH_REC_HOST);
	char text[64];
	const char *addr = osh_rec_addr(rec, text, sizeof(text));

	/* a refused socket has no destination yet */
	if (!host.n && !*addr && !rec->port)
		return;
	osh_json_key(j, "dst_endpoint");
	osh_json_obj(j);
	/* a name that is the address itself is no domain */
	if (host.n && !osh_str_is(host, addr))
		osh_json_kstr(j, "domain", host);
	if (*addr)
		osh_json_kz(j, "ip", addr);
	if (rec->port)
		osh_json_ku64(j, "port", rec->port);
	osh_json_obj_end(j);
}

static void write_finding(struct osh_json *j, const struct osh_rec *rec)
{
	osh_json_key(j, "finding_info");
	osh_json_obj(j);
	if (osh_rec_get(rec, OSH_REC_MESSAGE).n)
		osh_json_kstr(j, "desc", osh_rec_get(rec, OSH_REC_MESSAGE));
	osh_json_kstr(j, "title", osh_rec_get(rec, OSH_REC_TITLE));
	osh_json_kstr(j, "uid", osh_rec_get(rec, OSH_REC_UID));
	osh_json_obj_end(j);
}

static void write_rule(struct osh_json *j, const struct osh_rec *rec,
		       const struct osh_ocsf_event *e)
{
	struct osh_str policy = osh_rec_get(rec, OSH_REC_POLICY_KEY);
	struct osh_str engine = osh_rec_get(rec, OSH_REC_ENGINE);

	if (!engine.n && !e->engine)
		return;
	osh_json_key(j, "firewall_rule");
	osh_json_obj(j);
	osh_json_kstr(j, "name", policy.n ? policy : OSH_STR("-"));
	osh_json_kstr(j, "type", engine.n ? engine : osh_str(e->engine));
	osh_json_obj_end(j);
}

static void write_http(struct osh_json *j, const struct osh_rec *rec)
{
	osh_json_key(j, "http_request");
	osh_json_obj(j);
	osh_json_kstr(j, "http_method", osh_rec_get(rec, OSH_REC_METHOD));
	osh_json_key(j, "url");
	osh_json_obj(j);
	osh_json_kstr(j, "hostname", osh_rec_get(rec, OSH_REC_HOST));
	osh_json_kstr(j, "path", osh_rec_get(rec, OSH_REC_PATH));
	osh_json_ku64(j, "port", rec->port);
	osh_json_kz(j, "scheme", rec->flags & OSH_REC_TLS_INSPECTED ? "https" : "http");
	osh_json_obj_end(j);
	osh_json_obj_end(j);
	if (!rec->http_status)
		return;
	osh_json_key(j, "http_response");
	osh_json_obj(j);
	osh_json_ku64(j, "code", rec->http_status);
	osh_json_obj_end(j);
}

static void write_message(struct osh_json *j, const struct osh_rec *rec)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, OSH_RENDER_MAX, 0);
	if (!j->err)
		j->err = osh_ocsf_message(rec, &text);
	osh_json_kstr(j, "message", osh_buf_str(&text));
}

static void write_metadata(struct osh_json *j, const struct osh_rec *rec, bool profiled)
{
	osh_json_key(j, "metadata");
	osh_json_obj(j);
	osh_json_kz(j, "log_source", osh_rec_source_name(rec->source));
	osh_json_key(j, "product");
	osh_json_obj(j);
	osh_json_kz(j, "name", "OpenShell Sandbox Supervisor");
	osh_json_kz(j, "vendor_name", "OpenShell");
	osh_json_kz(j, "version", OSH_VERSION);
	osh_json_obj_end(j);
	osh_json_key(j, "profiles");
	osh_json_arr(j);
	osh_json_str(j, OSH_STR("container"));
	osh_json_str(j, OSH_STR("host"));
	if (profiled)
		osh_json_str(j, OSH_STR("security_control"));
	osh_json_arr_end(j);
	osh_json_ku64(j, "sequence", rec->seq);
	osh_json_kz(j, "version", "1.8.0");
	osh_json_obj_end(j);
}

static void write_severity(struct osh_json *j, const struct osh_rec *rec)
{
	static const char *const names[] = { "Unknown", "Informational", "Low",	 "Medium",
					     "High",	"Critical",	 "Fatal" };

	osh_json_kz(j, "severity",
		    names[rec->severity < OSH_ARRAY_SIZE(names) ? rec->severity : 0]);
	osh_json_ku64(j, "severity_id", rec->severity);
}

static void write_state(struct osh_json *j, const struct osh_rec *rec)
{
	osh_json_kz(j, "state", osh_rec_activity_name(rec->activity));
	osh_json_ku64(j, "state_id", 99);
}

static void write_status(struct osh_json *j, const struct osh_rec *rec,
			 const struct osh_ocsf_event *e)
{
	struct osh_str detail = osh_rec_get(rec, OSH_REC_DETAIL);

	if (!detail.n)
		detail = osh_rec_get(rec, OSH_REC_REASON);
	osh_json_kz(j, "status", e->status);
	if (detail.n)
		osh_json_kstr(j, "status_detail", detail);
	osh_json_ku64(j, "status_id", e->status_id);
}

static void write_traffic(struct osh_json *j, const struct osh_rec *rec)
{
	osh_json_key(j, "traffic");
	osh_json_obj(j);
	osh_json_ku64(j, "bytes", rec->bytes_up + rec->bytes_down);
	osh_json_ku64(j, "bytes_in", rec->bytes_down);
	osh_json_ku64(j, "bytes_out", rec->bytes_up);
	osh_json_obj_end(j);
}

static void write_type(struct osh_json *j, const struct osh_ocsf_event *e)
{
	osh_auto_bufmem struct osh_buf name;

	osh_buf_init(&name, 256, 0);
	if (!j->err)
		j->err = osh_buf_printf(&name, "%s: %s", e->class->name, e->activity);
	osh_json_kstr(j, "type_name", osh_buf_str(&name));
	osh_json_ku64(j, "type_uid", (uint64_t)e->class->uid * 100 + e->activity_id);
}

/* What has no place in the class. */
static void write_unmapped(struct osh_json *j, const struct osh_rec *rec)
{
	osh_json_key(j, "unmapped");
	osh_json_obj(j);
	if (rec->flow)
		osh_json_ku64(j, "flow", rec->flow);
	if (rec->generation)
		osh_json_ku64(j, "generation", rec->generation);
	if (osh_rec_get(rec, OSH_REC_HASH).n)
		osh_json_kstr(j, "policy_hash", osh_rec_get(rec, OSH_REC_HASH));
	if (osh_rec_get(rec, OSH_REC_POLICY_NAME).n)
		osh_json_kstr(j, "policy_name", osh_rec_get(rec, OSH_REC_POLICY_NAME));
	if (rec->revision)
		osh_json_ku64(j, "policy_version", rec->revision);
	if (osh_rec_get(rec, OSH_REC_PROTOCOL).n)
		osh_json_kstr(j, "protocol", osh_rec_get(rec, OSH_REC_PROTOCOL));
	if (rec->reason)
		osh_json_kz(j, "reason_code", osh_reason_token(rec->reason));
	osh_json_obj_end(j);
}

int osh_render_ocsf_json(const struct osh_rec *rec, const char *hostname, struct osh_buf *out)
{
	struct osh_ocsf_event e;
	struct osh_json j;
	bool net;

	osh_ocsf_map(rec, &e);
	net = e.class->category_uid == 4;
	osh_json_init(&j, out, 0);
	osh_json_obj(&j);
	id_name(&j, "action", "action_id", e.action, e.action_id);
	osh_json_ku64(&j, "activity_id", e.activity_id);
	osh_json_kz(&j, "activity_name", e.activity);
	write_actor(&j, rec);
	if (e.class->uid == 6002)
		write_app(&j);
	osh_json_kz(&j, "category_name", e.class->category_name);
	osh_json_ku64(&j, "category_uid", e.class->category_uid);
	osh_json_kz(&j, "class_name", e.class->name);
	osh_json_ku64(&j, "class_uid", e.class->uid);
	if (net) {
		osh_json_key(&j, "connection_info");
		osh_json_obj(&j);
		osh_json_kz(&j, "protocol_name", rec->ip_proto == 17 ? "udp" : "tcp");
		osh_json_obj_end(&j);
	}
	write_container(&j, rec);
	if (rec->class == OSH_REC_SUPPRESSED || rec->class == OSH_REC_LOSS)
		osh_json_ku64(&j, "count", rec->count);
	write_device(&j, hostname);
	id_name(&j, "disposition", "disposition_id", e.disposition, e.disposition_id);
	if (net)
		write_endpoint(&j, rec);
	if (rec->duration_ns)
		osh_json_ku64(&j, "duration", rec->duration_ns / 1000000);
	if (e.class->uid == 1007 && rec->activity == OSH_REC_ACT_EXIT)
		osh_json_ku64(&j, "exit_code", (uint64_t)(uint32_t)rec->exit_code);
	if (e.class->uid == 2004)
		write_finding(&j, rec);
	write_rule(&j, rec, &e);
	if (e.class->uid == 4002)
		write_http(&j, rec);
	write_message(&j, rec);
	write_metadata(&j, rec, e.action_id != 0);
	if (e.class->uid == 1007) {
		osh_json_key(&j, "process");
		write_process(&j, rec);
	}
	write_severity(&j, rec);
	if (rec->src_port) {
		osh_json_key(&j, "src_endpoint");
		osh_json_obj(&j);
		osh_json_ku64(&j, "port", rec->src_port);
		osh_json_obj_end(&j);
	}
	if (e.class->uid == 5019)
		write_state(&j, rec);
	write_status(&j, rec, &e);
	osh_json_ku64(&j, "time", rec->time_ns / 1000000);
	if (rec->class == OSH_REC_CLOSE)
		write_traffic(&j, rec);
	write_type(&j, &e);
	write_unmapped(&j, rec);
	osh_json_obj_end(&j);
	return j.err;
}
