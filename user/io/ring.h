/* SPDX-License-Identifier: MIT */
/*
 * Lock-free single-producer single-consumer ring of variable-sized records in shared memory (memfd),
 * with an eventfd to wake the consumer. The producer never waits: a record that does not fit is
 * dropped and counted. Neither side trusts the other's indices: a ring whose indices make no sense
 * reads as -EBADMSG (consumer) or full (producer).
 */
#ifndef OSH_IO_RING_H
#define OSH_IO_RING_H

#include <stdint.h>

#include <stdbool.h>

#include "base/macros.h"

struct osh_ring;

enum { OSH_RING_MAX_RECORD = 16384 }; /* bytes */

/*
 * Creator (consumer side). @bytes: power of two, 4 KiB..64 MiB. The two descriptors (memory, event)
 * are borrowed through the accessors to be sent to the producer.
 */
int osh_ring_create(size_t bytes, struct osh_ring **ret_ring) OSH_MUST_CHECK;
int osh_ring_mem_fd(const struct osh_ring *ring);
int osh_ring_event_fd(const struct osh_ring *ring);
/* Producer side; takes both descriptors, also on failure. */
int osh_ring_attach(int take_mem_fd, int take_event_fd, struct osh_ring **ret_ring) OSH_MUST_CHECK;
struct osh_ring *osh_ring_free(struct osh_ring *ring);

/* Producer: copy one record in. false: dropped and counted. Does not wake. */
bool osh_ring_put(struct osh_ring *ring, const void *record, size_t n);
/* Producer: wake the consumer if it asked for that and something was put since. */
void osh_ring_kick(struct osh_ring *ring);
/*
 * Producer: bytes put since the last kick; 0: a kick would do nothing. A wake-up costs more than a
 * record: a busy producer kicks once for many.
 */
size_t osh_ring_unkicked(const struct osh_ring *ring);

/*
 * Consumer: copy the next record to @buf (at least OSH_RING_MAX_RECORD bytes). 0; -EAGAIN: empty,
 * the eventfd will become readable; -EBADMSG: the producer broke the ring, which is unusable.
 */
int osh_ring_get(struct osh_ring *ring, void *buf, size_t *ret_n) OSH_MUST_CHECK;
/* Records dropped by the producer so far (as the producer says). */
uint64_t osh_ring_lost(const struct osh_ring *ring);

#endif
