/* SPDX-License-Identifier: MIT */
/*
 * The red team built in: every known way out of a sandbox as a function that tries it. The same
 * table is linked into the daemon (names, and the attempts against the kernel fence alone) and into
 * a small static program, carried as data, that runs inside a throw-away sandbox.
 *
 * Whatever an attempt sends carries a marker with its index, so that a byte that arrives where none
 * may arrive convicts the attempt it belongs to, however late it comes.
 */
#ifndef OSH_SELFTEST_SELFTEST_H
#define OSH_SELFTEST_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define OSH_SELFTEST_DETAIL	  160 /* bytes of a detail, NUL included; printable, one line */
#define OSH_SELFTEST_MARKER	  "osh-escape-" /* then the attempt's index, four digits */
#define OSH_SELFTEST_MARKER_BYTES 16 /* marker and digits and the NUL */
#define OSH_SELFTEST_DIR	  "/sandbox/st" /* in the sandbox; belongs to root */
#define OSH_SELFTEST_PROBE	  OSH_SELFTEST_DIR "/probe"
#define OSH_SELFTEST_ALLOWED	  OSH_SELFTEST_DIR "/allowed" /* the same file; the policy's binary */
#define OSH_SELFTEST_DYNAMIC	  "/usr/bin/curl" /* in the policy too, if it is there */
#define OSH_SELFTEST_TOFU	  "/sandbox/tofu" /* in the policy too, but writable */
#define OSH_SELFTEST_ANSWER	  "selftest-permitted" /* what permitted listeners answer */

/* Zero is the result that fails the self-test. */
enum osh_selftest_state {
	OSH_SELFTEST_OPEN = 0, /* the forbidden thing worked; a control attempt failed */
	OSH_SELFTEST_CLOSED = 1,
	OSH_SELFTEST_NA = 2, /* cannot be tried here: the detail says why */
};

enum osh_selftest_flags {
	OSH_SELFTEST_FENCE = 1u << 0, /* tried against the kernel fence alone: cgroup, no sandbox */
	OSH_SELFTEST_INSIDE = 1u << 1, /* tried inside the sandbox */
	OSH_SELFTEST_CONTROL = 1u << 2, /* must succeed, or the others prove nothing */
	OSH_SELFTEST_ROOT = 1u << 4, /* against the fence with every capability too */
	OSH_SELFTEST_MAY_DIE = 1u << 3, /* being killed by the kernel is a way of being refused */
};

struct osh_selftest_env {
	unsigned int index; /* of the attempt under way */
	bool inside; /* in the sandbox; else the fence alone */
	const char *host; /* the permitted name */
	uint16_t raw_port; /* permitted without protocol, to the probe */
	uint16_t http_port; /* permitted as "rest", read-only, plain HTTP, to the probe */
	uint16_t id_port; /* permitted to OSH_SELFTEST_ALLOWED and OSH_SELFTEST_TOFU only */
	uint16_t forbidden_port; /* 127.0.0.1 of the host, TCP and UDP: in no policy */
	const char *abstract; /* name of an abstract Unix socket on the host */
	const char *control_socket, *state_dir; /* of the daemon, on the host */
};

struct osh_selftest_attempt {
	const char *name;
	const char *technique; /* numbers of the list in user/doc/SELFTEST.md, for people */
	unsigned int flags; /* enum osh_selftest_flags */
	enum osh_selftest_state (*fn)(const struct osh_selftest_env *env, char *detail);
};

extern const struct osh_selftest_attempt osh_selftest_attempts[];
extern const unsigned int osh_selftest_count;

/*
 * Run attempt env->index in a child of its own, at most 10 s. @detail: OSH_SELFTEST_DETAIL bytes.
 * What cannot be judged (child died, no answer) is OPEN.
 */
enum osh_selftest_state osh_selftest_run(const struct osh_selftest_env *env, char *detail);

/* Bytes of the static program for the sandbox, for as long as the process lives. */
void osh_selftest_program(const void **ret_bytes, size_t *ret_n);

/*
 * The attempts against the kernel fence alone (fence.c), in a network namespace of this process's own, as
 * nobody in cgroup @cgroup_fd and as root with the capabilities this process has. @report is called for
 * each; @index UINT32_MAX is the observer. Blocks for seconds. -errno: they could not be tried.
 */
typedef void osh_selftest_report_fn(void *arg, const char *stage, unsigned int index, int state,
				    const char *detail);
int osh_selftest_fence(int cgroup_fd, osh_selftest_report_fn *report, void *arg) OSH_MUST_CHECK;
/* "STAGE: NAME [TECHNIQUE]"; controls are no technique. */
void osh_selftest_title(const char *stage, unsigned int index, char *dst, size_t size);

#endif
