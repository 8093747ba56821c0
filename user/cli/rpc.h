/* SPDX-License-Identifier: MIT */
/* Calls to the daemon, with errors told to the person. */
#ifndef OSH_CLI_RPC_H
#define OSH_CLI_RPC_H

#include "cli/cmd.h"
#include "ctl/varlink.h"

/*
 * One call. Usage: osh_rpc_begin(), add parameters to rpc.j, then osh_rpc_call() or osh_rpc_start()
 * and osh_rpc_next(). Functions return 0 or an exit code after having told why ("cannot @what:
 * ...").
 */
struct osh_rpc {
	struct osh_ctl_client *client;
	struct osh_buf params;
	struct osh_json j;
	const char *what; /* "create sandbox \"demo\"" */
};

/* @what is kept, not copied. */
void osh_rpc_begin(struct osh_rpc *rpc, const char *what);
void osh_rpc_fini(struct osh_rpc *rpc);
#define osh_auto_rpc OSH_CLEANUP(osh_rpc_fini) /* struct osh_rpc */

int osh_rpc_call(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
		 struct osh_ctl_reply *ret_reply) OSH_MUST_CHECK;
/* @flags: enum osh_ctl_send_flags. */
int osh_rpc_start(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
		  unsigned int flags) OSH_MUST_CHECK;
/* OSH_EXIT_TIMEOUT without a word after @timeout_ms (negative: never). */
int osh_rpc_next(struct osh_cli *cli, struct osh_rpc *rpc, int timeout_ms,
		 struct osh_ctl_reply *ret_reply) OSH_MUST_CHECK;
/* Connect only; -errno without a message. */
int osh_rpc_try(struct osh_cli *cli, struct osh_rpc *rpc) OSH_MUST_CHECK;
/* Tell what an error reply says; exit code. */
int osh_rpc_tell(struct osh_cli *cli, const char *what, const struct osh_ctl_reply *reply);
/* Is @reply the error @name (without "io.openshell.")? */
bool osh_rpc_is(const struct osh_ctl_reply *reply, const char *name);
/* Send and receive without telling: errors of the daemon stay in @ret_reply. */
int osh_rpc_ask(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
		struct osh_ctl_reply *ret_reply) OSH_MUST_CHECK;

/* Parameters of a reply. */
const char *osh_reply_z(const struct osh_ctl_reply *reply, const char *key); /* "" when absent */
uint64_t osh_reply_u64(const struct osh_ctl_reply *reply, const char *key);
bool osh_reply_bool(const struct osh_ctl_reply *reply, const char *key);
/* "! text" lines of a string array, on stderr. */
void osh_reply_warnings(struct osh_cli *cli, const struct osh_ctl_reply *reply);

/*
 * The sandbox a command is about: @given, or the one used last (announced on stderr). NULL after a
 * message. @dst has 64 bytes.
 */
const char *osh_last_resolve(struct osh_cli *cli, const char *given, char dst[64]);
void osh_last_save(struct osh_cli *cli, const char *name);
/* Forget it if it is @name. */
void osh_last_clear(struct osh_cli *cli, const char *name);

/* A file of at most @max bytes, "-" is standard input. Exit code after a message. */
int osh_cli_read_file(struct osh_cli *cli, const char *what, const char *path, size_t max,
		      struct osh_buf *ret_text) OSH_MUST_CHECK;
/* "KEY=VALUE" options as a JSON object member; exit code after a message. */
int osh_cli_pairs(struct osh_cli *cli, const struct osh_args *args, const char *option,
		  const char *json_key, struct osh_json *j) OSH_MUST_CHECK;
/* A decimal number option. */
int osh_cli_u64(struct osh_cli *cli, const struct osh_args *args, const char *option, uint64_t max,
		uint64_t otherwise, uint64_t *ret_value) OSH_MUST_CHECK;

#endif
