/* SPDX-License-Identifier: MIT */
/*
 * Session tickets towards a sandbox. Every worker of a daemon derives the same keys from a seed that
 * the monitor makes once per sandbox and run, so that a client resumes wherever its next connection
 * is accepted. Tickets are good for one sandbox with one CA: sandbox id and CA are part of the
 * derivation. What a ticket is good for within the sandbox (one host name) is the session id
 * context's business, see osh_leaf_new().
 *
 * Keys change with each epoch (eight hours of CLOCK_BOOTTIME, the same for all processes); tickets
 * of the epoch before are still taken. A TLS 1.3 ticket that is taken is answered with another, for
 * clients that use each once (RFC 8446 C.4); one of TLS 1.2 only when its key is the older. The next
 * epoch's seed is a one-way function of this one's: who takes a seed from memory cannot read what was
 * recorded before its epoch.
 */
#ifndef OSH_TLS_TICKET_H
#define OSH_TLS_TICKET_H

#include <stdint.h>

#include "base/str.h"

enum { OSH_TICKET_SECRET_BYTES = 32 };

struct osh_ticket_seed {
	uint64_t epoch;
	uint8_t secret[OSH_TICKET_SECRET_BYTES];
};

/* The epoch of now. */
uint64_t osh_ticket_epoch(void);
/* Fresh random seed for the epoch before this one (the oldest whose tickets are taken). */
int osh_ticket_seed_new(struct osh_ticket_seed *ret_seed) OSH_MUST_CHECK;
/* Move on to @epoch and forget what was before; an older @epoch changes nothing. */
int osh_ticket_seed_advance(struct osh_ticket_seed *seed, uint64_t epoch) OSH_MUST_CHECK;
void osh_ticket_seed_wipe(struct osh_ticket_seed *seed);

/* The keys of one sandbox in one worker. */
struct osh_tls_scope;

/* @seed: copied, of an epoch before now's. @ca: the CA's certificate as text, compared by bytes. */
int osh_tls_scope_new(const struct osh_ticket_seed *seed, uint32_t sandbox, struct osh_str ca,
		      struct osh_tls_scope **ret_scope) OSH_MUST_CHECK;
struct osh_tls_scope *osh_tls_scope_free(struct osh_tls_scope *scope);
/* Change keys if @epoch is another one than before; done at each use with the epoch of now. */
int osh_tls_scope_advance(struct osh_tls_scope *scope, uint64_t epoch) OSH_MUST_CHECK;

#endif
