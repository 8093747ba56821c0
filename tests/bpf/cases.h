/* SPDX-License-Identifier: MIT */
/* Shared between the files of cases. */
#ifndef OSH_TESTS_BPF_CASES_H
#define OSH_TESTS_BPF_CASES_H

#include "kt.h"

struct event_log {
	struct osh_kev_deny deny[64];
	struct osh_kev_exe exe[64];
	struct osh_kev_taint taint[8];
	unsigned int denies, exes, taints;
};

/* All events that wait; the first 64 (8) of a kind are kept. */
void drain(struct kt *kt, struct event_log *log);
/* Run a client whose connection arrives at @listener; its record. @want_out may be NULL. */
bool arrives(struct kt *kt, struct kt_sandbox *sb, const char *args, int listener,
	     const char *want_out, struct osh_flow_rec *rec);
/* Run a client; its first line must be @want. */
bool says(struct kt *kt, struct kt_sandbox *sb, const char *args, const char *want);
int kt_copy(const char *from, const char *to);

void case_policy(struct kt *kt);
void case_swap(struct kt *kt);
void case_reuse(struct kt *kt);
void case_mounts(struct kt *kt);
void case_cheats(struct kt *kt);
void case_fresh(struct kt *kt);
void case_content(struct kt *kt);
void case_loader(struct kt *kt);
void case_unix(struct kt *kt);
void case_shares(struct kt *kt);
void case_strangers(struct kt *kt);
void case_quota(struct kt *kt);
void case_cgroups(struct kt *kt);
void case_inspect(struct kt *kt);
void case_watch(struct kt *kt);
void case_flows(struct kt *kt);

#endif
