/* SPDX-License-Identifier: MIT */
#include "audit/ocsf.h"

#include "audit/put.h"

static const struct osh_ocsf_class net = { 4001, "Network Activity", 4, "Network Activity", "NET" };
static const struct osh_ocsf_class http = { 4002, "HTTP Activity", 4, "Network Activity", "HTTP" };
static const struct osh_ocsf_class proc = { 1007, "Process Activity", 1, "System Activity",
					    "PROC" };
static const struct osh_ocsf_class finding = { 2004, "Detection Finding", 2, "Findings",
					       "FINDING" };
static const struct osh_ocsf_class config = { 5019, "Device Config State Change", 5, "Discovery",
					      "CONFIG" };
static const struct osh_ocsf_class lifecycle = { 6002, "Application Lifecycle", 6,
						 "Application Activity", "LIFECYCLE" };
static const struct osh_ocsf_class base = { 0, "Base Event", 0, "Uncategorized", "EVENT" };

static const struct {
	const struct osh_ocsf_class *class;
	unsigned int activity_id;
	const char *activity, *engine;
} rows[OSH_REC_CLASS_COUNT] = {
	[OSH_REC_INVALID] = { &base, 0, "Unknown", NULL },
	[OSH_REC_CONNECT] = { &net, 1, "Open", "opa" },
	[OSH_REC_L7] = { &http, 99, "Other", "l7" },
	[OSH_REC_PARSER_REJECT] = { &net, 1, "Open", "http-parser" },
	[OSH_REC_AUTHORITY] = { &http, 99, "Other", "request-authority" },
	[OSH_REC_TLS] = { &net, 4, "Fail", "tls" },
	[OSH_REC_DNS] = { &net, 5, "Refuse", "dns" },
	[OSH_REC_SSRF] = { &net, 1, "Open", "ssrf" },
	[OSH_REC_BYPASS] = { &net, 5, "Refuse", "bpf" },
	[OSH_REC_UPSTREAM] = { &net, 4, "Fail", NULL },
	[OSH_REC_CLOSE] = { &net, 2, "Close", NULL },
	[OSH_REC_PROCESS] = { &proc, 99, "Other", NULL },
	[OSH_REC_POLICY] = { &config, 1, "Log", NULL },
	[OSH_REC_SANDBOX] = { &lifecycle, 99, "Other", NULL },
	[OSH_REC_FINDING] = { &finding, 1, "Create", NULL },
	[OSH_REC_SUPPRESSED] = { &base, 99, "Other", NULL },
	[OSH_REC_LOSS] = { &base, 99, "Other", NULL },
	[OSH_REC_LOG] = { &base, 99, "Other", NULL },
};

static void map_activity(const struct osh_rec *rec, struct osh_ocsf_event *e)
{
	static const struct {
		unsigned int class, activity, id;
		const char *name;
	} acts[] = {
		{ OSH_REC_PROCESS, OSH_REC_ACT_START, 1, "Launch" },
		{ OSH_REC_PROCESS, OSH_REC_ACT_EXIT, 2, "Terminate" },
		{ OSH_REC_SANDBOX, OSH_REC_ACT_CREATE, 1, "Install" },
		{ OSH_REC_SANDBOX, OSH_REC_ACT_DELETE, 2, "Remove" },
		{ OSH_REC_SANDBOX, OSH_REC_ACT_START, 3, "Start" },
		{ OSH_REC_SANDBOX, OSH_REC_ACT_STOP, 4, "Stop" },
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(acts); i++) {
		if (rec->class != acts[i].class || rec->activity != acts[i].activity)
			continue;
		e->activity_id = acts[i].id;
		e->activity = acts[i].name;
	}
}

/* Network and HTTP events decide; a policy that failed to load is no denied action. */
static bool is_decision(const struct osh_rec *rec)
{
	unsigned int uid = rows[rec->class].class->uid;

	return (uid == 4001 || uid == 4002) && rec->verdict != OSH_REC_NOTE;
}

void osh_ocsf_map(const struct osh_rec *rec, struct osh_ocsf_event *ret_event)
{
	struct osh_ocsf_event e = {
		.class = rows[rec->class].class,
		.activity_id = rows[rec->class].activity_id,
		.activity = rows[rec->class].activity,
		.engine = rows[rec->class].engine,
		.status_id = 1,
		.status = "Success",
	};

	map_activity(rec, &e);
	if (is_decision(rec)) {
		switch (rec->verdict) {
		case OSH_REC_DENY:
			e.action_id = 2, e.action = "Denied";
			e.disposition_id = 2, e.disposition = "Blocked";
			break;
		case OSH_REC_ALLOW_UPGRADE:
			e.action_id = 99, e.action = "Other";
			e.disposition_id = 99, e.disposition = "Other";
			break;
		case OSH_REC_AUDIT:
			e.action_id = 1, e.action = "Allowed";
			e.disposition_id = 17, e.disposition = "Logged";
			break;
		default:
			e.action_id = 1, e.action = "Allowed";
			e.disposition_id = 1, e.disposition = "Allowed";
			break;
		}
	}
	if (rec->verdict == OSH_REC_DENY || rec->class == OSH_REC_TLS ||
	    rec->class == OSH_REC_UPSTREAM || rec->class == OSH_REC_LOSS) {
		e.status_id = 2;
		e.status = "Failure";
	}
	*ret_event = e;
}

static void put_host_port(struct osh_put *p, const struct osh_rec *rec)
{
	struct osh_str host = osh_rec_get(rec, OSH_REC_HOST);
	char addr[64];

	if (!host.n)
		host = osh_str(osh_rec_addr(rec, addr, sizeof(addr)));
	osh_put_esc(p, host.n ? host : OSH_STR("-"), OSH_PUT_ESC_BLANK);
	if (rec->port)
		osh_putf(p, ":%u", rec->port);
}

static void put_l7(struct osh_put *p, const struct osh_rec *rec)
{
	static const char *const names[][2] = {
		{ "graphql", "GRAPHQL_L7_REQUEST" },
		{ "json-rpc", "JSONRPC_L7_REQUEST" },
		{ "mcp", "JSONRPC_L7_REQUEST" },
	};
	struct osh_str protocol = osh_rec_get(rec, OSH_REC_PROTOCOL);
	const char *name = "L7_REQUEST";

	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++)
		if (osh_str_is(protocol, names[i][0]))
			name = names[i][1];
	osh_putf(p, "%s %s ", name, osh_rec_verdict_name(rec->verdict));
	osh_put_esc(p, osh_rec_get(rec, OSH_REC_METHOD), OSH_PUT_ESC_BLANK);
	osh_put_raw(p, " ");
	put_host_port(p, rec);
	osh_put_esc(p, osh_rec_get(rec, OSH_REC_PATH), OSH_PUT_ESC_BLANK);
	if (osh_rec_get(rec, OSH_REC_REASON).n) {
		osh_put_raw(p, " reason=");
		osh_put_esc(p, osh_rec_get(rec, OSH_REC_REASON), 0);
	}
}

static void put_process(struct osh_put *p, const struct osh_rec *rec)
{
	if (rec->activity == OSH_REC_ACT_START)
		osh_putf(p, "Process started: pid=%u", rec->pid);
	else
		osh_putf(p, "Process exited with code %d", rec->exit_code);
}

int osh_ocsf_message(const struct osh_rec *rec, struct osh_buf *out)
{
	static const char *const done[] = { "denied", "allowed", "audited", "noted", "allowed" };
	struct osh_str text = osh_rec_get(rec, OSH_REC_MESSAGE);
	struct osh_put p = { .out = out };

	if (text.n) {
		osh_put_esc(&p, text, 0);
		return p.err;
	}
	switch (rec->class) {
	case OSH_REC_CONNECT:
		osh_putf(&p, "%s %s ", rec->flags & OSH_REC_L7_FOLLOWS ? "CONNECT_L7" : "CONNECT",
			 done[rec->verdict]);
		put_host_port(&p, rec);
		return p.err;
	case OSH_REC_L7:
		put_l7(&p, rec);
		return p.err;
	case OSH_REC_PROCESS:
		put_process(&p, rec);
		return p.err;
	case OSH_REC_SSRF:
		osh_put_raw(&p, "CONNECT blocked: internal address ");
		break;
	case OSH_REC_PARSER_REJECT:
		osh_put_raw(&p, "HTTP request rejected before policy evaluation for ");
		break;
	case OSH_REC_AUTHORITY:
		osh_put_raw(&p, "HTTP request authority does not match ");
		break;
	case OSH_REC_TLS:
		osh_put_raw(&p, "TLS failure with ");
		break;
	case OSH_REC_DNS:
		osh_put_raw(&p, "DNS query refused for ");
		break;
	case OSH_REC_BYPASS:
		osh_put_raw(&p, "Refused in the kernel: ");
		break;
	case OSH_REC_UPSTREAM:
		osh_put_raw(&p, "Upstream unreachable: ");
		break;
	case OSH_REC_CLOSE:
		osh_put_raw(&p, "Connection closed: ");
		break;
	case OSH_REC_SUPPRESSED:
		osh_putf(&p, "%llu similar events suppressed", (unsigned long long)rec->count);
		return p.err;
	case OSH_REC_LOSS:
		osh_putf(&p, "%llu records lost", (unsigned long long)rec->count);
		return p.err;
	default:
		osh_putf(&p, "%s %s", osh_rec_class_name(rec->class),
			 osh_rec_activity_name(rec->activity));
		return p.err;
	}
	put_host_port(&p, rec);
	return p.err;
}
