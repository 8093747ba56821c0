/* SPDX-License-Identifier: MIT */
/*
 * Trust on first use: the hash each path of a sandbox was first seen with. Those of files that the
 * sandbox can write are kept in a file too, so that whoever brings the daemon to restart cannot make
 * it forget; they end with the sandbox's run (its network namespace), as do the others. What lies on
 * read-only mounts is the host's to change, and is trusted anew by a new daemon.
 */
#ifndef OSH_STATE_FIRSTUSE_H
#define OSH_STATE_FIRSTUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/sha256.h"

/* Paths remembered per sandbox; 64 bytes each in the file, little more in memory. */
#define OSH_FIRSTS_MAX 131072

struct osh_firsts;

/*
 * Records of the run of a sandbox that has network namespace @netns_cookie, from file "first-uses"
 * in @dirfd (borrowed for the call). One of another run, or of another boot, is replaced by an empty
 * one. Only -ENOMEM fails; for what else can go wrong see osh_firsts_error().
 */
int osh_firsts_open(int dirfd, uint64_t netns_cookie,
		    struct osh_firsts **ret_firsts) OSH_MUST_CHECK;
struct osh_firsts *osh_firsts_free(struct osh_firsts *f);
/* The run has ended. */
void osh_firsts_remove(int dirfd);
/*
 * 0, or why there is no file to keep records in: -EBADMSG: it is damaged; -errno. Then paths to be
 * kept are unknown, for good; others are remembered.
 */
int osh_firsts_error(const struct osh_firsts *f);

/*
 * The hash @path was first seen with into @ret_first: @sha256 if it is this time. @keep: in the file
 * too. -ENOSPC: OSH_FIRSTS_MAX reached; -errno: it could not be kept. The path is unknown then.
 */
int osh_firsts_check(struct osh_firsts *f, const char *path, bool keep,
		     const uint8_t sha256[OSH_SHA256_BYTES],
		     uint8_t ret_first[OSH_SHA256_BYTES]) OSH_MUST_CHECK;

#endif
