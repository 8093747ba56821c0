/* SPDX-License-Identifier: MIT */
/* Tokens and sentences of enum osh_reason (openshell/reason.h). */
#ifndef OSH_BASE_REASON_H
#define OSH_BASE_REASON_H

#include "base/str.h"
#include "openshell/reason.h"

/* Never NULL: a number outside the enum gives "unknown". */
const char *osh_reason_token(unsigned int reason);
const char *osh_reason_text(unsigned int reason);
/* OSH_REASON_COUNT when there is no such token. */
enum osh_reason osh_reason_from_token(struct osh_str token);

#endif
