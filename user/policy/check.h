/* SPDX-License-Identifier: MIT */
/* Shared by the files behind osh_policy_validate(). Not for use outside policy/. */
#ifndef OSH_POLICY_CHECK_H
#define OSH_POLICY_CHECK_H

#include "policy/build.h"
#include "policy/model.h"

/* What is being looked at; messages begin with it. */
struct osh_check {
	struct osh_diag *diag;
	const struct osh_policy *policy;
	const struct osh_entry *entry;
	const struct osh_endpoint *ep;
	size_t index; /* of @ep in its entry */
};

/* "network policy 'k' endpoint[0] (host:443): " and the message. */
void osh_check_err(const struct osh_check *c, struct osh_place at, const char *fmt, ...)
	OSH_PRINTF(3, 4);
void osh_check_warn(const struct osh_check *c, struct osh_place at, const char *fmt, ...)
	OSH_PRINTF(3, 4);

/* "443,8443", at most @size bytes with the NUL. */
void osh_check_ports(const struct osh_endpoint *ep, char *dst, size_t size);

/* A websocket endpoint whose messages are judged as GraphQL operations. */
bool osh_endpoint_is_ws_graphql(const struct osh_endpoint *ep);

void osh_check_endpoint(const struct osh_check *c); /* host, ports, options */
void osh_check_rules(const struct osh_check *c); /* rules, deny_rules, access */
void osh_check_middlewares(const struct osh_policy *policy, struct osh_diag *diag);

#endif
