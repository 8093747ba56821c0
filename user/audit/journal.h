/* SPDX-License-Identifier: MIT */
/*
 * Sink to journald over its native protocol: one datagram per record, never waiting. Without a
 * journal (or while it restarts) records are counted, not kept; the segments have them.
 */
#ifndef OSH_AUDIT_JOURNAL_H
#define OSH_AUDIT_JOURNAL_H

#include "audit/record.h"

struct osh_journal;

/* @path is copied; the socket need not exist. */
int osh_journal_new(const char *path, struct osh_journal **ret_journal) OSH_MUST_CHECK;
struct osh_journal *osh_journal_free(struct osh_journal *journal);
/* false: not taken (no journal, or its queue is full); counted. */
bool osh_journal_send(struct osh_journal *journal, const struct osh_rec *rec);
uint64_t osh_journal_lost(const struct osh_journal *journal);

#endif
