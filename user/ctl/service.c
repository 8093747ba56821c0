/* SPDX-License-Identifier: MIT */
#include "ctl/server.h"

#include <errno.h>
#include <stdio.h>

#include "openshell/version.h"

static const char service_interface[] =
	"# What every Varlink service answers\n"
	"interface org.varlink.service\n"
	"\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

/* io.openshell.varlink, quoted line by line by user/ctl/local.mk */
static const char openshell_interface[] =
#include "ctl-interface.inc"
	;

static void get_info(struct osh_ctl_call *call)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	osh_json_kz(j, "vendor", "OpenShell");
	osh_json_kz(j, "product", "openshelld");
	osh_json_kz(j, "version", OSH_VERSION);
	osh_json_kz(j, "url", "");
	osh_json_key(j, "interfaces");
	osh_json_arr(j);
	osh_json_str(j, OSH_STR("org.varlink.service"));
	osh_json_str(j, OSH_STR(OSH_CTL_INTERFACE));
	osh_json_arr_end(j);
	osh_ctl_reply_end(call);
}

static void get_description(struct osh_ctl_call *call, const struct osh_jval *params)
{
	const char *name, *text;

	if (osh_ctl_param_str(call, params, "interface", 255, &name) < 0)
		return;
	if (!strcmp(name, OSH_CTL_INTERFACE)) {
		text = openshell_interface;
	} else if (!strcmp(name, "org.varlink.service")) {
		text = service_interface;
	} else {
		osh_ctl_fail_raw(call, "org.varlink.service.InterfaceNotFound", "interface", name);
		return;
	}
	osh_json_kz(osh_ctl_reply_begin(call), "description", text);
	osh_ctl_reply_end(call);
}

static bool is_allowed(struct osh_ctl_conn *conn, const struct osh_ctl_method *m)
{
	struct osh_ctl_call *call = &conn->call;

	if (m->flags & OSH_CTL_ROOT_ONLY && conn->peer.uid != 0 && conn->peer.uid != geteuid()) {
		osh_ctl_fail(call, OSH_CTL_ERR_DENIED, "run it as root",
			     "%s is for root, the caller has uid %u", m->name,
			     (unsigned int)conn->peer.uid);
		return false;
	}
	if (m->flags & OSH_CTL_NEEDS_MORE && !call->more) {
		osh_ctl_fail_raw(call, "org.varlink.service.ExpectedMore", NULL, NULL);
		return false;
	}
	if (call->oneway && !(m->flags & OSH_CTL_ONEWAY_OK)) {
		/* no reply may be sent, and doing it anyway would hide its outcome: not done */
		osh_ctl_fail_raw(call, "org.varlink.service.InvalidParameter", "parameter",
				 "oneway");
		return false;
	}
	return true;
}

void osh_ctl_service_dispatch(struct osh_ctl_conn *conn, const char *method,
			      const struct osh_jval *params)
{
	struct osh_ctl_call *call = &conn->call;
	const char *dot = strrchr(method, '.');
	struct osh_str interface = { method, dot ? (size_t)(dot - method) : 0 };

	if (!strcmp(method, "org.varlink.service.GetInfo")) {
		get_info(call);
		return;
	}
	if (!strcmp(method, "org.varlink.service.GetInterfaceDescription")) {
		get_description(call, params);
		return;
	}
	if (osh_str_is(interface, "org.varlink.service")) {
		osh_ctl_fail_raw(call, "org.varlink.service.MethodNotFound", "method", method);
		return;
	}
	if (!osh_str_is(interface, OSH_CTL_INTERFACE)) {
		osh_auto_free char *name = osh_str_dup(interface);

		osh_ctl_fail_raw(call, "org.varlink.service.InterfaceNotFound", "interface",
				 name ? name : "");
		return;
	}
	for (const struct osh_ctl_method *m = osh_ctl_conn_methods(conn); m->name; m++) {
		if (strcmp(m->name, dot + 1))
			continue;
		if (is_allowed(conn, m))
			m->fn(call, params);
		return;
	}
	osh_ctl_fail_raw(call, "org.varlink.service.MethodNotFound", "method", method);
}
