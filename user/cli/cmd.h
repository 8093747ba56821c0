/* SPDX-License-Identifier: MIT */
/*
 * The command table of openshellctl. One static struct osh_cmd per command; help text, the synopsis
 * of the manual and the bash completion all come from it. Options may stand anywhere before "--",
 * GNU style (--opt V, --opt=V, -oV, -o V).
 *
 * Adding a command: define `const struct osh_cmd osh_cmd_<group>_<verb>` in a file of your own,
 * declare it below, put its address into the group's table (table.c).
 */
#ifndef OSH_CLI_CMD_H
#define OSH_CLI_CMD_H

#include <stdio.h>

#include "base/str.h"

/* Exit codes (reference 1.1). */
enum osh_exit {
	OSH_EXIT_OK = 0,
	OSH_EXIT_ERROR = 1,
	OSH_EXIT_USAGE = 2,
	OSH_EXIT_TIMEOUT = 124,
};

enum osh_opt_flags {
	OSH_OPT_REPEAT = 1u << 0, /* may be given several times */
	OSH_OPT_HIDDEN = 1u << 1, /* accepted, not shown */
	OSH_OPT_OPTIONAL = 1u << 2, /* argument may be missing (only --opt=V gives one) */
};

struct osh_opt {
	const char *name; /* long name without "--", or NULL */
	char letter; /* short name, or 0 */
	const char *arg; /* NULL: a flag; else the placeholder, e.g. "FILE" */
	const char *help; /* one line, no stop */
	unsigned int flags;
	const char *
		complete; /* "file" or "dir"; or blank-separated: sandbox, map, flow, pid, command, words */
};

struct osh_cli;
struct osh_args;

struct osh_cmd {
	const char *name;
	const char *aliases; /* blank-separated, or NULL */
	const char
		*args; /* positional synopsis, e.g. "[NAME]", "FILE...", "[-- CMD...]", or NULL */
	const char *help; /* one line, no stop */
	const char *more; /* further paragraphs for `help`, or NULL */
	const struct osh_opt *opts; /* ends with { 0 }; NULL: none */
	const char *complete; /* for positionals, as in struct osh_opt */
	unsigned int pos_min, pos_max; /* number of positionals; UINT_MAX: any */
	bool takes_rest; /* accepts "-- CMD..." */
	bool hidden;
	int (*fn)(struct osh_cli *cli, const struct osh_args *args); /* exit code */
	const struct osh_cmd *const *subs; /* NULL-terminated; a group has no fn */
};

/* What every command gets. */
struct osh_cli {
	const char *prog; /* how we were called: openshell, openshellctl */
	const char *socket; /* control socket path */
	unsigned int verbose;
	bool out_tty, err_tty; /* stdout / stderr is a terminal */
	bool out_color, err_color; /* and colour is wanted there */
	FILE *out, *err;
	const struct osh_cmd *const *root;
	const struct osh_opt *globals;
};

struct osh_args {
	const struct osh_cmd *cmd;
	const char *path; /* "sandbox create" */
	const char *const *pos; /* positionals */
	size_t pos_count;
	const char *const *rest; /* after "--", NULL-terminated */
	size_t rest_count;
	struct osh_arg_value *values;
	size_t value_count;
};

/* Last value given for option @name (long name; short-only options: the letter as a string). */
const char *osh_args_get(const struct osh_args *args, const char *name); /* NULL: not given */
bool osh_args_has(const struct osh_args *args, const char *name);
size_t osh_args_count(const struct osh_args *args, const char *name);
const char *osh_args_at(const struct osh_args *args, const char *name, size_t i);
const char *osh_args_pos(const struct osh_args *args, size_t i); /* NULL: not given */

/*
 * Runtime error on stderr, exit code 1: "error: cannot <what>: <why>" and, if @next is not NULL,
 * "  hint: <next>". @what names the object, quoted with OSH_Q() if it came from outside.
 */
int osh_cli_fail(struct osh_cli *cli, const char *what, const char *next, const char *why_fmt, ...)
	OSH_PRINTF(4, 5);
/* Usage error on stderr with a pointer to --help; exit code 2. */
int osh_cli_usage(struct osh_cli *cli, const struct osh_args *args, const char *fmt, ...)
	OSH_PRINTF(3, 4);
/* "✓ text" and friends to @to; coloured when that stream is a terminal. @glyph is one of + - ! x . > */
void osh_cli_note(struct osh_cli *cli, FILE *to, char glyph, const char *fmt, ...) OSH_PRINTF(4, 5);

/* The groups' tables (table.c). Offline policy tools (policy_*.c) are registered there too. */
extern const struct osh_cmd *const osh_cmd_root[];

#endif
