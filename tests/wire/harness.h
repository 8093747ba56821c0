/* SPDX-License-Identifier: MIT */
/*
 * The proxy and signer roles as real processes, with this process as their monitor: sandbox 1 with
 * listeners on loopback, policies from YAML, executables and names from tables, events kept for
 * questions. No kernel fence: flow records come from a page shared with the proxy.
 */
#ifndef OSH_TESTS_WIRE_HARNESS_H
#define OSH_TESTS_WIRE_HARNESS_H

#include <openssl/ssl.h>

#include "audit/record.h"
#include "openshell/abi.h"
#include "openshell/reason.h"
#include "tls/ca.h"

struct harness;

enum { HARNESS_HOST_ID = 16 }; /* host ids are 16 and up */

/* @config: JSON of the proxy's configuration ("hosts" and so on). Ends the program on failure. */
struct harness *harness_start(const char *config);
void harness_stop(struct harness *h);

/* Compile and publish a policy; waits for the acknowledgement. NULL text: no policy yet. */
void harness_policy(struct harness *h, const char *yaml_file);
void harness_policy_text(struct harness *h, const char *yaml);
uint64_t harness_generation(const struct harness *h);

/* Which flow record the next connections get. */
void harness_explicit(struct harness *h, uint32_t exe);
void harness_transparent(struct harness *h, uint32_t exe, const char *host_or_addr, uint16_t port);
void harness_no_record(struct harness *h);
struct osh_flow_rec *harness_rec(struct harness *h); /* to change more of it */
/* Executable @exe is @path from now on (until the proxy has asked). */
void harness_exe(struct harness *h, uint32_t exe, const char *path);

uint16_t harness_port(const struct harness *h); /* of the IPv4 TCP listener */
uint16_t harness_dns_port(const struct harness *h); /* UDP */
uint16_t harness_dns_tcp_port(const struct harness *h);
int harness_proxy_pid(const struct harness *h);
int harness_signer_pid(const struct harness *h);
/* Before harness_start(): certificates of this file are trusted for upstreams, too. */
void harness_trust_file(const char *path);
/* Before harness_start(): what the signer is told. */
void harness_signer_quota(uint32_t burst, uint32_t per_s);
/* Leave the proxy's questions about executables and names unanswered. */
void harness_monitor_mute(struct harness *h, bool mute);
/* Take events out of the ring and forget them. */
void harness_events_discard(struct harness *h);
const char *harness_ca_file(const struct harness *h); /* the sandbox's CA, PEM */
struct osh_str harness_ca_pem(const struct harness *h);
/* Chain and key for an origin that upstream verification trusts. */
SSL_CTX *harness_origin_ctx(struct harness *h, const char *host);

/* Wait until an event matches (class, reason; -1: any) or @ms have passed. Copies it to @ret. */
bool harness_event(struct harness *h, int class, int verdict, int reason, int ms,
		   struct osh_rec *ret);
/* Hand every event to @fn, in another thread, instead of keeping it. */
void harness_events_tap(struct harness *h, void (*fn)(const struct osh_rec *rec));
void harness_events_clear(struct harness *h);
void harness_events_print(struct harness *h); /* the last few */

/* Wait until the proxy holds no connection at all; false after @ms. */
bool harness_quiet(struct harness *h, int ms);
/* One counter of the proxy (OSH_MSG_STATS). */
uint64_t harness_stat(struct harness *h, const char *name);

/* Move this process to a network namespace of its own, with loopback only. false: not allowed here. */
bool own_network(void);
/* Blocking TCP socket with a receive timeout, connected to the listener or to @port. */
int harness_connect(struct harness *h);
int tcp_connect(uint16_t port);
int tcp_listen(uint16_t *ret_port);
int tcp_accept(int listener, int ms); /* -1: nobody came */

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
