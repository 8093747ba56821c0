/* SPDX-License-Identifier: MIT */
/*
 * Sink to a file for log shippers: one OCSF JSON object per line (osh_render_ocsf_json()), rotated by
 * size to FILE.1, FILE.2 ... A file that somebody else renamed or removed is made anew within a
 * second. What cannot be written is counted, not kept; the segments have it.
 */
#ifndef OSH_AUDIT_OCSF_FILE_H
#define OSH_AUDIT_OCSF_FILE_H

#include "audit/record.h"

struct osh_ocsf_file;

struct osh_ocsf_file_config {
	const char *path; /* absolute; its folder exists; copied */
	uint64_t max_bytes; /* rotate before the file grows beyond */
	unsigned int files; /* kept in all, at least 2; the oldest is removed */
};

int osh_ocsf_file_open(const struct osh_ocsf_file_config *config,
		       struct osh_ocsf_file **ret_file) OSH_MUST_CHECK;
struct osh_ocsf_file *osh_ocsf_file_free(struct osh_ocsf_file *file); /* flushes */
/* Buffers the record; writes by itself when 64 KiB are buffered. */
void osh_ocsf_file_put(struct osh_ocsf_file *file, const struct osh_rec *rec);
/* Write what is buffered. Once per turn of the event loop. */
void osh_ocsf_file_flush(struct osh_ocsf_file *file);
/* About once a second: is the file still the one at its path? */
void osh_ocsf_file_tick(struct osh_ocsf_file *file);
bool osh_ocsf_file_works(const struct osh_ocsf_file *file); /* the last write succeeded */
uint64_t osh_ocsf_file_lost(const struct osh_ocsf_file *file); /* records */

#endif
