/* SPDX-License-Identifier: MIT */
/* How our events map to OCSF classes (reference 7.3, 7.4); shared by the two OCSF renderers. */
#ifndef OSH_AUDIT_OCSF_H
#define OSH_AUDIT_OCSF_H

#include "audit/record.h"
#include "base/buf.h"

struct osh_ocsf_class {
	unsigned int uid; /* 4001, ... */
	const char *name;
	unsigned int category_uid;
	const char *category_name;
	const char *prefix; /* shorthand: NET, HTTP, ... */
};

struct osh_ocsf_event {
	const struct osh_ocsf_class *class;
	unsigned int activity_id;
	const char *activity; /* "Open", "Other", ... */
	unsigned int action_id; /* 0: the event has no action */
	const char *action;
	unsigned int disposition_id;
	const char *disposition;
	unsigned int status_id;
	const char *status;
	const char *engine; /* firewall_rule.type when the record names none; NULL: no rule */
};

void osh_ocsf_map(const struct osh_rec *rec, struct osh_ocsf_event *ret_event);
/* The catalogue's message ("CONNECT denied h:p"), appended to @out. */
int osh_ocsf_message(const struct osh_rec *rec, struct osh_buf *out) OSH_MUST_CHECK;

#endif
