/* SPDX-License-Identifier: MIT */
/*
 * The proxy role: accepts the sandboxes' connections, decides, relays or inspects. One process per
 * core, one loop, no privilege. Everything it knows comes from the monitor (openshell/role.h).
 */
#ifndef OSH_PROXY_PROXY_H
#define OSH_PROXY_PROXY_H

#include <stddef.h>

#include "base/macros.h"
#include "openshell/abi.h"

struct osh_px;

/* Where flow records come from. Tests without a kernel fence give their own. */
struct osh_px_hooks {
	int (*flow_fetch)(int accepted_fd, struct osh_flow_rec *ret_rec);
	int (*flow_fetch_dns)(int dns_fd, unsigned int client_port, struct osh_flow_rec *ret_rec);
};

/*
 * Body of the process, which must be confined already: talk to the monitor on @take_monitor_fd until
 * it ends. Returns the exit code: 0 after a drain or when the monitor has gone.
 */
int osh_proxy_main(int take_monitor_fd);

/* The same in pieces, for tests. @hooks NULL: the kernel's. */
int osh_px_new(int take_monitor_fd, const struct osh_px_hooks *hooks,
	       struct osh_px **ret_px) OSH_MUST_CHECK;
struct osh_px *osh_px_free(struct osh_px *px);
struct osh_loop *osh_px_loop(struct osh_px *px);

/* System calls the role makes, by name; NULL-terminated. */
extern const char *const osh_proxy_syscalls[];

#endif
