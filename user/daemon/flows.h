/* SPDX-License-Identifier: MIT */
#ifndef OSH_DAEMON_FLOWS_H
#define OSH_DAEMON_FLOWS_H

#include "daemon/monitor.h"

/* @items: JSON objects separated by commas (flows of all proxies, or one object per proxy). */
typedef void osh_flows_fn(struct osh_str items, void *arg);

/* Ask every proxy; @done is called once, later, with what came within two seconds. */
int osh_flows_collect(struct osh_monitor *m, bool stats, osh_flows_fn *done,
		      void *arg) OSH_MUST_CHECK;

#endif
