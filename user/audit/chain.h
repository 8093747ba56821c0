/* SPDX-License-Identifier: MIT */
/* Files, lines and hashes of the log directory; shared by writer, reader and verifier. */
#ifndef OSH_AUDIT_CHAIN_H
#define OSH_AUDIT_CHAIN_H

#include "audit/segment.h"
#include "base/sha256.h"

#define OSH_CHAIN_NAME_MAX 64
#define OSH_CHAIN_HEAD	   "HEAD"
/* `,"h":"<64 hex>"}` at the end of every line */
#define OSH_CHAIN_TAIL (6 + 64 + 2)

struct osh_chain_hash {
	unsigned char b[OSH_SHA256_BYTES];
};

/* "events-00000000000000000001.jsonl" */
void osh_chain_name(char dst[OSH_CHAIN_NAME_MAX], uint64_t first_seq);
/* First sequence numbers of the segments in @dirfd, ascending. The array is malloc'd. */
int osh_chain_list(int dirfd, uint64_t **ret_seqs, size_t *ret_count) OSH_MUST_CHECK;

/* Hash of @body (a line up to its h member) after @prev. */
int osh_chain_next(const struct osh_chain_hash *prev, struct osh_str body,
		   struct osh_chain_hash *ret_hash) OSH_MUST_CHECK;
/*
 * Split a line (no newline) into body and stated hash. -EBADMSG when it does not end in an h member.
 * The body lacks the closing brace.
 */
int osh_chain_split(struct osh_str line, struct osh_str *ret_body,
		    struct osh_chain_hash *ret_hash) OSH_MUST_CHECK;
/* The number behind `{"seq":`; -EBADMSG: this is no record (a header has seq 0 by definition). */
int osh_chain_seq(struct osh_str line, uint64_t *ret_seq) OSH_MUST_CHECK;
bool osh_chain_is_header(struct osh_str line);
/* "prev" of a header line. */
int osh_chain_prev(struct osh_str line, struct osh_chain_hash *ret_hash) OSH_MUST_CHECK;

struct osh_chain_head {
	uint64_t first_seq; /* of the oldest segment */
	uint64_t last_seq; /* newest record; 0: none */
	struct osh_chain_hash hash; /* of the newest line */
};
int osh_chain_head_write(int fd, const struct osh_chain_head *head) OSH_MUST_CHECK;
/* -ENOENT: there is none. -EBADMSG: damaged. */
int osh_chain_head_read(int dirfd, struct osh_chain_head *ret_head) OSH_MUST_CHECK;

#endif
