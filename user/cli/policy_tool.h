/* SPDX-License-Identifier: MIT */
/*
 * Offline policy tools: no daemon, no privilege. What they share, and their entries in the command
 * table (the `policy` group in table.c).
 */
#ifndef OSH_CLI_POLICY_TOOL_H
#define OSH_CLI_POLICY_TOOL_H

#include "base/json.h"
#include "cli/cmd.h"
#include "policy/decide.h"
#include "policy/model.h"

extern const struct osh_cmd osh_cmd_policy_check;
extern const struct osh_cmd osh_cmd_policy_diff;
extern const struct osh_cmd osh_cmd_policy_explain;
extern const struct osh_cmd osh_cmd_policy_fmt;
extern const struct osh_cmd osh_cmd_policy_merge;
extern const struct osh_cmd osh_cmd_policy_schema;
extern const struct osh_cmd osh_cmd_policy_test;

#define OSH_TOOL_OUT_MAX (64u << 20) /* bytes of output collected in memory */

/* A policy file with everything the tools ask of it. */
struct osh_tool_policy {
	const char *file; /* borrowed; "-" was given: "stdin" */
	struct osh_buf text;
	struct osh_diag diag;
	struct osh_policy *policy; /* NULL: refused */
	struct osh_buf block;
	const struct osh_image *img; /* NULL: refused */
};

/*
 * Read ("-": standard input), validate, compile. 0; -EBADMSG: refused, diag has the errors; another
 * error: the file cannot be read. *ret must be closed in every case.
 */
int osh_tool_open(const char *file, struct osh_tool_policy *ret);
void osh_tool_close(struct osh_tool_policy *tp);
/* What that other error means. */
const char *osh_tool_read_error(int r);
/* The same; says what is wrong on stderr. OSH_EXIT_OK or the exit code to return. */
int osh_tool_require(struct osh_cli *cli, const char *file, struct osh_tool_policy *ret);
/* Compile what is in @policy (not taken) into @tp->block. */
int osh_tool_compile(const struct osh_policy *policy, struct osh_buf *block,
		     const struct osh_image **ret_img) OSH_MUST_CHECK;

#define osh_auto_tool OSH_CLEANUP(osh_tool_close) /* struct osh_tool_policy */

/* -o json: 1; -o table, yaml or nothing: 0; anything else: a usage error was printed, -EINVAL. */
int osh_tool_wants_json(struct osh_cli *cli, const struct osh_args *args);
/* Write @text to stdout; OSH_EXIT_OK, or OSH_EXIT_ERROR with a message. @r < 0 counts as failed. */
int osh_tool_print(struct osh_cli *cli, int r, const struct osh_buf *text);
/* Replace @file in one step, keeping its mode. */
int osh_tool_write_back(const char *file, struct osh_str text) OSH_MUST_CHECK;

/* [{"line":,"column":,"message":}] of one level */
void osh_tool_json_diag(struct osh_json *j, const struct osh_diag *diag, enum osh_diag_level level);

const char *osh_decision_word(enum osh_decision d); /* "allow", "audit", "deny" */
const char *osh_inspect_word(enum osh_inspect i); /* "none", "authority", "rest", ... */
/* ANSI sequences, empty unless stdout wants colour: 'g' green, 'r' red, 'y' yellow, 'b' bold, 'd' dim,
 * 0 reset. */
const char *osh_tool_color(const struct osh_cli *cli, char which);

/* Where a request goes: URL (http, https, ws, wss) or HOST:PORT, without user information. */
struct osh_tool_dest {
	char host[256]; /* lower case, no brackets */
	unsigned int port;
	bool has_url, plain;
	char target[4096]; /* origin-form; "/" when the URL has no path */
};

/* -EINVAL: *ret_why says what is wrong with it. */
int osh_tool_dest(const char *text, struct osh_tool_dest *ret, const char **ret_why) OSH_MUST_CHECK;

#endif
