/* SPDX-License-Identifier: MIT */
/*
 * Messages between the roles of openshelld (monitor, proxy, signer) over io/seqpkt. Both ends are
 * the same binary, so there is no versioning. A receiver ends itself (proxy, signer) or drops the
 * peer (monitor) when a message has an unknown type, a wrong size or comes from a role that may not
 * send it. "M>P" reads monitor to proxy. Text fields are NUL-terminated inside their arrays.
 *
 * Start of a proxy: M>P UPSTREAM_AUTH if there are credentials, CONFIG, then SANDBOX_ADD +
 * POLICY_LOAD + POLICY_SWITCH per sandbox, then START; the proxy answers READY after CONFIG and
 * accepts nothing before START.
 */
#ifndef OPENSHELL_ROLE_H
#define OPENSHELL_ROLE_H

#include <stdint.h>

#define OSH_ROLE_MONITOR_FD 3 /* a role finds its socket to the monitor here */

enum {
	OSH_MSG_NAME_MAX = 20, /* with the NUL */
	OSH_MSG_HOST_MAX = 256, /* with the NUL */
	OSH_MSG_PATH_MAX = 1024, /* with the NUL; longer executables are "unknown" */
	OSH_MSG_SHA256_LEN = 32,
	OSH_MSG_PUBKEY_MAX = 256, /* DER SubjectPublicKeyInfo */
	OSH_MSG_CERT_MAX = 4096, /* DER certificate */
	OSH_MSG_TICKET_SECRET_LEN = 32,
	OSH_MSG_CA_PEM_MAX = 4096,
};

enum osh_msg {
	OSH_MSG_INVALID = 0,

	/* M>P: body JSON (proxy configuration, see proxy/config.h); fds: event ring memory, event ring
	 * eventfd, PEM bundle of trusted upstream CAs (read-only memfd), socket to the signer */
	OSH_MSG_CONFIG,
	/* M>P, before CONFIG: the value of Proxy-Authorization for the upstream proxy. Apart from the
	 * JSON so that no parser copies it; whoever has sent or read it wipes it. */
	OSH_MSG_UPSTREAM_AUTH,
	OSH_MSG_READY, /* P>M, S>M: no body */
	OSH_MSG_START, /* M>P: no body; begin to accept */

	OSH_MSG_SANDBOX_ADD, /* M>P: osh_msg_sandbox; fds in the order of enum osh_sandbox_fd */
	OSH_MSG_SANDBOX_DEL, /* M>P: osh_msg_sandbox; close everything of it */

	OSH_MSG_POLICY_LOAD, /* M>P: osh_msg_policy; fd: sealed memfd with the image; map it */
	OSH_MSG_POLICY_LOADED, /* P>M: osh_msg_policy; mapped and valid (status 0) or refused (-errno) */
	OSH_MSG_POLICY_SWITCH, /* M>P: osh_msg_policy; judge by it from now on, re-evaluate tunnels */
	OSH_MSG_POLICY_ACTIVE, /* P>M: osh_msg_policy; done */

	OSH_MSG_EXE_ASK, /* P>M: osh_msg_exe (sandbox, exe_id) */
	OSH_MSG_EXE_INFO, /* M>P: osh_msg_exe */

	OSH_MSG_NAME_ASK, /* P>M: osh_msg_name; host given: which id (allocates); id given: which host */
	OSH_MSG_NAME_INFO, /* M>P: osh_msg_name with both, or status */

	OSH_MSG_FLOWS_ASK, /* M>P: no body; cookie is echoed */
	OSH_MSG_FLOWS, /* P>M: JSON array of live flows, several messages, the last one empty */
	OSH_MSG_STATS_ASK, /* M>P: no body */
	OSH_MSG_STATS, /* P>M: JSON object of counters */
	OSH_MSG_DRAIN, /* M>P: accept no more; exit 0 when the last connection has ended */

	OSH_MSG_PING, /* M>P, M>S: no body; to be answered soon, or the role is taken for stuck */
	OSH_MSG_PONG, /* P>M, S>M: no body; cookie of the PING */

	/* signer */
	OSH_MSG_CA_MAKE, /* M>S: osh_msg_ca: make, or load if it exists, the CA of a sandbox */
	OSH_MSG_CA, /* S>M: osh_msg_ca with the PEM, or status */
	OSH_MSG_CA_DROP, /* M>S: osh_msg_ca: wipe the key */
	OSH_MSG_PROXY_ADD, /* M>S: no body; fd: socket of one more proxy */
	OSH_MSG_SIGN, /* P>S: osh_msg_sign; one at a time per cookie */
	OSH_MSG_CERT, /* S>P: osh_msg_cert */
};

enum osh_sandbox_fd {
	OSH_SBFD_TCP4 = 0, /* listener for redirected and explicit proxy connections */
	OSH_SBFD_TCP6,
	OSH_SBFD_DNS_UDP4,
	OSH_SBFD_DNS_UDP6,
	OSH_SBFD_DNS_TCP4,
	OSH_SBFD_DNS_TCP6,
	OSH_SBFD_COUNT
};

struct osh_msg_sandbox {
	uint32_t id; /* the kernel's sandbox id; never reused while the daemon's pins live */
	uint32_t pad;
	char name[OSH_MSG_NAME_MAX];
	char pad2[4];
	char ca_pem[OSH_MSG_CA_PEM_MAX]; /* certificate of the sandbox's CA, for the chain */
	/* what the keys of session tickets are derived from: one seed for all proxies of a run */
	uint64_t ticket_epoch;
	uint8_t ticket_secret[OSH_MSG_TICKET_SECRET_LEN];
};

struct osh_msg_policy {
	uint32_t sandbox;
	int32_t status;
	uint64_t generation;
	uint64_t bytes; /* size of the image */
};

enum osh_exe_status {
	OSH_EXE_UNKNOWN = 0, /* never matches anything */
	OSH_EXE_OK = 1, /* path and hash are what was first seen */
	OSH_EXE_MISMATCH = 2, /* content differs from the first use of this path: deny */
};

struct osh_msg_exe {
	uint32_t sandbox;
	uint32_t exe_id;
	uint32_t status; /* enum osh_exe_status */
	uint32_t flags; /* enum osh_exe_flags of openshell/abi.h */
	uint8_t sha256[OSH_MSG_SHA256_LEN];
	uint8_t first_sha256[OSH_MSG_SHA256_LEN]; /* with MISMATCH: what was seen first */
	char path[OSH_MSG_PATH_MAX]; /* as the sandbox sees it */
	char script[OSH_MSG_PATH_MAX]; /* "#!" script run by this interpreter, or empty */
};

struct osh_msg_name {
	uint32_t sandbox;
	uint32_t host_id; /* index of the synthetic address; 0: none */
	int32_t status; /* 0 or -errno: -ENOENT no such id, -EPERM in no policy, -ENOSPC table full */
	uint32_t pad;
	char host[OSH_MSG_HOST_MAX]; /* lower case, no trailing dot */
};

struct osh_msg_ca {
	uint32_t sandbox;
	int32_t status;
	char name[OSH_MSG_NAME_MAX]; /* key file name */
	char pad[4];
	char pem[OSH_MSG_CA_PEM_MAX];
};

struct osh_msg_sign {
	uint32_t sandbox;
	uint32_t pubkey_len;
	char host[OSH_MSG_HOST_MAX]; /* DNS name or address literal */
	uint8_t pubkey[OSH_MSG_PUBKEY_MAX];
};

struct osh_msg_cert {
	uint32_t sandbox;
	int32_t status; /* 0 or -errno: -ENOENT no such sandbox, -EDQUOT too many lately */
	uint32_t cert_len;
	uint32_t pad;
	char host[OSH_MSG_HOST_MAX];
	uint8_t cert[OSH_MSG_CERT_MAX];
};

#endif
