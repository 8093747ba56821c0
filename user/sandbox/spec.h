/* SPDX-License-Identifier: MIT */
/*
 * What osh_sandbox_spawn() tells init, and what init reports while it sets the sandbox up. Internal
 * to this module. The specification travels in a sealed memfd, reports in SEQPACKET messages.
 */
#ifndef OSH_SANDBOX_SPEC_H
#define OSH_SANDBOX_SPEC_H

#include <stdint.h>

#include "base/arena.h"
#include "sandbox/sandbox.h"

/* Descriptors of init right after exec. */
enum {
	OSH_SPEC_FD_SPEC = 3, /* memfd with the specification */
	OSH_SPEC_FD_STATUS = 4, /* reports out, the release byte in */
	OSH_SPEC_FD_LISTEN = 5, /* exec requests */
	OSH_SPEC_FD_STATE = 6, /* state directory */
	OSH_SPEC_FD_END = 7,
};

#define OSH_SPEC_MAX (4u * 1024 * 1024) /* bytes of an encoded specification */

struct osh_spec_list {
	const char **path;
	uint32_t count;
};

struct osh_spec {
	const char *name;
	const char *id;
	const char *state_path; /* where the state directory is in the mount namespace */
	const char *workdir; /* never NULL */
	const char *system_bundle; /* never NULL */
	const char *dns_addr; /* never NULL */
	struct osh_spec_list read_only, read_write, hide;
	uint32_t include_workdir;
	uint32_t landlock; /* enum osh_sandbox_landlock */
	struct osh_sandbox_ids ids;
	struct osh_sandbox_limits limits;
	struct osh_str ca_pem;
	struct osh_str seccomp; /* array of struct sock_filter */
};

/* Defaults filled in, lists checked for size; strings are borrowed from @cfg. */
int osh_spec_encode(const struct osh_sandbox_cfg *cfg, const char *state_path,
		    struct osh_str seccomp, struct osh_buf *ret_bytes) OSH_MUST_CHECK;
/* Strings are NUL-terminated and borrowed from @bytes, arrays from @arena. -EBADMSG. */
int osh_spec_decode(struct osh_str bytes, struct osh_arena *arena,
		    struct osh_spec *ret_spec) OSH_MUST_CHECK;

enum osh_report_type {
	OSH_REPORT_FAILED = 0, /* @value: errno; text: "step\0detail" */
	OSH_REPORT_NOTE = 1, /* @value: enum osh_sandbox_note_level; text */
	OSH_REPORT_ENTERED = 2, /* times; @value unused */
	OSH_REPORT_ROOTED = 3,
	OSH_REPORT_CONFINED = 4,
	OSH_REPORT_READY = 5, /* @value: Landlock ABI in force, 0: none */
};

#define OSH_REPORT_TEXT_MAX 4608 /* a path may be 4096 bytes */

struct osh_report {
	uint32_t type; /* enum osh_report_type */
	int32_t value;
	uint64_t when_ns; /* CLOCK_MONOTONIC */
	char text[OSH_REPORT_TEXT_MAX]; /* sent only as far as used, NUL included */
};

/* Best effort: who listens is the monitor, and if it is gone init ends soon. */
void osh_report_send(int fd, enum osh_report_type type, int value, const char *text);
void osh_report_note(int fd, enum osh_sandbox_note_level level, const char *fmt, ...)
	OSH_PRINTF(3, 4);
/* Names the step for the person who reads it; returns @r, so that a failure is one line. */
int osh_report_fail(int fd, int r, const char *step, const char *detail);

uint64_t osh_spec_now_ns(void);

#endif
