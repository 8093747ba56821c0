/* SPDX-License-Identifier: MIT */
/*
 * Flood control: a token bucket per (sandbox, key) and one of 20 times its size per sandbox, so that
 * no sandbox can drown the log. The
 * key is what makes records alike: class, verdict, host, port, binary, method, policy - not the path.
 * What is held back is counted; a record of class SUPPRESSED with the count and the fields of the
 * key follows when the bucket has tokens again, or at the latest osh_flood_tick() after the burst.
 */
#ifndef OSH_AUDIT_FLOOD_H
#define OSH_AUDIT_FLOOD_H

#include "audit/record.h"

struct osh_flood;

struct osh_flood_config {
	unsigned int burst; /* records at once; 0: 50 */
	unsigned int per_s; /* then this many per second; 0: 10 */
	unsigned int keys_max; /* buckets kept; 0: 4096 */
};

int osh_flood_new(const struct osh_flood_config *config,
		  struct osh_flood **ret_flood) OSH_MUST_CHECK;
struct osh_flood *osh_flood_free(struct osh_flood *flood);

/*
 * May @rec be written? Records of classes POLICY, SANDBOX, LOSS and SUPPRESSED always may.
 * When records of this key were held back before and this one passes, *ret_suppressed is set to
 * true and @ret_note filled with the SUPPRESSED record to write first.
 */
bool osh_flood_admit(struct osh_flood *flood, const struct osh_rec *rec, uint64_t now_ns,
		     struct osh_rec *ret_note, bool *ret_suppressed);
/*
 * Call about once a second until it returns false: fills @ret_note with the count of a key that has
 * been quiet since its burst.
 */
bool osh_flood_tick(struct osh_flood *flood, uint64_t now_ns, struct osh_rec *ret_note);
uint64_t osh_flood_total(const struct osh_flood *flood); /* held back since the start */

#endif
