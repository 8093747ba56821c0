/* SPDX-License-Identifier: MIT */
/*
 * Listeners of sandboxes in the service manager's file descriptor store (sd_notify(3), FDSTORE=1):
 * while the daemon restarts they stay open, so that connections of sandboxed programs wait with their
 * flow records instead of being refused. Without a service manager all of this does nothing.
 */
#ifndef OSH_DAEMON_FDSTORE_H
#define OSH_DAEMON_FDSTORE_H

#include "daemon/monitor.h"

/* Take what the service manager gives back ($LISTEN_FDS). Once, before any descriptor is opened. */
void osh_fdstore_init(void);
/* Store the listeners of @sb. */
void osh_fdstore_put(const struct osh_sandbox *sb);
/* Forget them: the sandbox stops. */
void osh_fdstore_drop(const struct osh_sandbox *sb);
/*
 * Fill sb->lst with listeners that came back, if all are there and belong to the namespace of
 * sb->proc. -ENOENT: there are none; sb->lst is untouched.
 */
int osh_fdstore_take(struct osh_sandbox *sb) OSH_MUST_CHECK;
/* Close and forget what nobody has taken. */
void osh_fdstore_finish(void);

#endif
