/* SPDX-License-Identifier: MIT */
#include "cli/refusal.h"

#include <errno.h>

#include "audit/render.h"
#include "base/reason.h"
#include "cli/rpc.h"

/* ---- the policy in force ---- */

int osh_tool_require_live(struct osh_cli *cli, const char *name, struct osh_tool_policy *ret,
			  bool *ret_global)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	char what[128];
	int code, r;

	*ret = (struct osh_tool_policy){ .file = name };
	osh_buf_init(&ret->text, OSH_POLICY_TEXT_MAX_BYTES, 0);
	osh_buf_init(&ret->block, OSH_IMAGE_MAX_BYTES, 0);
	osh_diag_init(&ret->diag, name);
	(void)snprintf(what, sizeof(what), "read the policy of sandbox %s", OSH_Q(name));
	osh_rpc_begin(&rpc, what);
	osh_json_kz(&rpc.j, "name", name);
	code = osh_rpc_call(cli, &rpc, "SandboxGet", &reply);
	if (code)
		return code;
	r = osh_buf_add_str(&ret->text, osh_str(osh_reply_z(&reply, "policy")));
	if (!r)
		r = osh_policy_load(osh_buf_str(&ret->text), name, &ret->policy, &ret->diag);
	if (!r)
		r = osh_tool_compile(ret->policy, &ret->block, &ret->img);
	if (r < 0)
		return osh_cli_fail(cli, what, "bring openshell and openshelld to one version",
				    "%s", strerror(-r));
	*ret_global = !strcmp(osh_reply_z(&reply, "policy_source"), "global");
	return OSH_EXIT_OK;
}

/* ---- the last refusal ---- */

/* Only the sandboxed program knows what it put into names and paths: nothing that moves a cursor. */
static bool is_showable(struct osh_str text)
{
	if (!osh_utf8_is_valid(text))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		if (c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0)
			return false;
	}
	return true;
}

static bool are_ancestors_showable(struct osh_str rest)
{
	struct osh_str one;

	while (osh_str_split(&rest, '\0', &one))
		if (!is_showable(one))
			return false;
	return true;
}

static bool is_refusal(const struct osh_rec *rec)
{
	if (!osh_rec_get(rec, OSH_REC_HOST).n || !osh_rec_get(rec, OSH_REC_BINARY).n)
		return false;
	switch (rec->class) {
	case OSH_REC_CONNECT:
	case OSH_REC_L7:
	case OSH_REC_PARSER_REJECT:
	case OSH_REC_AUTHORITY:
	case OSH_REC_DNS:
	case OSH_REC_SSRF:
	case OSH_REC_BYPASS:
		return rec->verdict == OSH_REC_DENY;
	case OSH_REC_TLS:
	case OSH_REC_UPSTREAM:
		return rec->verdict == OSH_REC_DENY || rec->verdict == OSH_REC_NOTE;
	default:
		return false;
	}
}

/* Records come oldest first, in parts: the last that fits stays. */
static bool scan(const struct osh_ctl_reply *reply, struct osh_rec *found)
{
	const struct osh_jval *list = osh_jval_get(reply->params, "records");
	bool any = false;

	for (size_t i = 0; i < osh_jval_len(list); i++) {
		struct osh_rec rec;

		if (osh_render_parse_json(osh_jval_at(list, i), &rec) == 0 && is_refusal(&rec)) {
			*found = rec;
			any = true;
		}
	}
	return any;
}

static int check_texts(struct osh_cli *cli, const char *what, const struct osh_rec *rec)
{
	static const enum osh_rec_field fields[] = { OSH_REC_HOST, OSH_REC_BINARY, OSH_REC_METHOD,
						     OSH_REC_PATH, OSH_REC_REASON, OSH_REC_DETAIL };
	bool ok = are_ancestors_showable(osh_rec_get(rec, OSH_REC_ANCESTORS));

	for (size_t i = 0; i < OSH_ARRAY_SIZE(fields); i++)
		ok = ok && is_showable(osh_rec_get(rec, fields[i]));
	return ok ? OSH_EXIT_OK
		  : osh_cli_fail(cli, what,
				 "'openshell logs --level warn --format record' shows it escaped",
				 "its texts hold control characters");
}

int osh_refusal_last(struct osh_cli *cli, const char *name, struct osh_rec *ret_rec)
{
	osh_auto_rpc struct osh_rpc rpc;
	struct osh_rec found;
	bool any = false, more;
	char what[128];
	int code;

	(void)snprintf(what, sizeof(what), "explain the last refusal of sandbox %s", OSH_Q(name));
	osh_rpc_begin(&rpc, what);
	osh_json_kz(&rpc.j, "sandbox", name);
	osh_json_ku64(&rpc.j, "lines", 0);
	osh_json_kz(&rpc.j, "level", osh_rec_level_name(OSH_REC_WARN));
	code = osh_rpc_start(cli, &rpc, "Logs", OSH_CTL_MORE);
	do {
		osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;

		if (code == 0)
			code = osh_rpc_next(cli, &rpc, -1, &reply);
		if (code)
			return code;
		any = scan(&reply, &found) || any;
		more = reply.continues;
	} while (more);
	if (!any)
		return osh_cli_fail(cli, what, "name a URL or HOST:PORT, and --binary PATH",
				    "its log has none");
	code = check_texts(cli, what, &found);
	if (code == 0)
		*ret_rec = found;
	return code;
}

/* ---- what a policy can do about it ---- */

bool osh_refusal_is_policy(unsigned int reason)
{
	switch (reason) {
	case OSH_REASON_NO_POLICY:
	case OSH_REASON_NO_ENDPOINT:
	case OSH_REASON_NO_BINARY:
	case OSH_REASON_L7_NOT_PERMITTED:
	case OSH_REASON_L7_DENY_RULE:
	case OSH_REASON_L7_NO_ENDPOINT_PATH:
	case OSH_REASON_DNS_REFUSED:
	case OSH_REASON_KERN_POLICY:
		return true;
	default:
		return false;
	}
}

const char *osh_refusal_hint(unsigned int reason)
{
	switch (reason) {
	case OSH_REASON_SSRF_INTERNAL:
	case OSH_REASON_SSRF_ALLOWED_IPS:
		return "if that address is meant, list it in allowed_ips of the endpoint";
	case OSH_REASON_SSRF_BLOCKED:
	case OSH_REASON_SSRF_PORT:
		return "no policy allows this address or port";
	case OSH_REASON_HTTP_AUTHORITY:
	case OSH_REASON_SNI_MISMATCH:
		return "the program names one host and connects to another; a policy cannot allow "
		       "that";
	case OSH_REASON_TLS_CLIENT:
		return "the program does not trust the sandbox's CA, or its TLS is too old; the "
		       "bundle is in /etc/ssl/certs/ca-certificates.crt and SSL_CERT_FILE";
	case OSH_REASON_TLS_VERIFY:
		return "if the server's CA is trusted, add it to trust.ca_files of "
		       "openshelld.conf(5)";
	case OSH_REASON_DNS_FAILED:
		return "the policy allows it, but the daemon's resolver has no address for that "
		       "name; behind a corporate proxy see upstream_proxy.connect_by_hostname in "
		       "openshelld.conf(5)";
	case OSH_REASON_UPSTREAM_UNREACHABLE:
	case OSH_REASON_UPSTREAM_CLOSED:
	case OSH_REASON_TIMEOUT:
		return "the policy allows it, but the server did not answer in time or at all; where "
		       "only a corporate proxy leads out, set upstream_proxy in openshelld.conf(5)";
	case OSH_REASON_UPSTREAM_PROXY:
		return "the policy allows it, but the corporate proxy does not let it through: see "
		       "upstream_proxy in openshelld.conf(5)";
	case OSH_REASON_INTEGRITY:
		return "the program's file changed since it was first used: stop and start the sandbox "
		       "if the new one is meant";
	case OSH_REASON_QUARANTINE:
		return "the stored policy does not load: set another";
	default:
		return "this is not for the policy's entries to allow; LOGS.md explains every "
		       "reason_code";
	}
}
