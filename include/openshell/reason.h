/* SPDX-License-Identifier: MIT */
/*
 * Why something was refused or noticed: the one list for BPF programs, proxy, logs, tools. A reason
 * has a number (stable within a build), a token (stable for ever: it appears in logs and JSON) and
 * a sentence for people. Add at the end of its group; the numbers are not part of any file format.
 */
#ifndef OPENSHELL_REASON_H
#define OPENSHELL_REASON_H

#define OSH_REASONS(X)                                                                            \
	X(NONE, "none", "no reason recorded")                                                     \
	/* policy, connection level */                                                            \
	X(NO_POLICY, "no_policy", "network connections not allowed by policy")                    \
	X(NO_ENDPOINT, "no_endpoint", "destination is not in any policy entry")                   \
	X(NO_BINARY, "no_binary", "binary is not in the policy entries for this destination")     \
	X(QUARANTINE, "quarantine", "policy validation failed; fail-closed quarantine is active") \
	X(INTEGRITY, "integrity", "binary integrity violation")                                   \
	X(IDENTITY_UNKNOWN, "identity_unknown", "the calling binary could not be identified")     \
	X(IDENTITY_TAINTED, "identity_tainted", "the calling process is not only its binary")     \
	X(GENERATION, "generation", "policy changed while the connection was set up")             \
	/* policy, request level */                                                               \
	X(L7_NOT_PERMITTED, "l7_not_permitted", "request not permitted by policy")                \
	X(L7_DENY_RULE, "l7_deny_rule", "request blocked by deny rule")                           \
	X(L7_NO_ENDPOINT_PATH, "l7_no_endpoint_path", "no L7 endpoint path matched request")      \
	X(L7_BODY, "l7_body", "request body rejected before policy evaluation")                   \
	X(L7_PROTOCOL, "l7_protocol", "protocol cannot be inspected on this endpoint")            \
	/* destination safety */                                                                  \
	X(SSRF_INTERNAL, "ssrf_internal", "resolves to an internal address")                      \
	X(SSRF_BLOCKED, "ssrf_blocked", "resolves to an always-blocked address")                  \
	X(SSRF_ALLOWED_IPS, "ssrf_allowed_ips", "resolves to an address not in allowed_ips")      \
	X(SSRF_PORT, "ssrf_port", "blocked control-plane port")                                   \
	X(DNS_REFUSED, "dns_refused", "name is not allowed by any policy entry")                  \
	X(DNS_FAILED, "dns_failed", "name resolution failed")                                     \
	/* protocol */                                                                            \
	X(HTTP_PARSE, "http_parse", "malformed HTTP request")                                     \
	X(HTTP_TARGET, "http_target", "request target refused")                                   \
	X(HTTP_AUTHORITY, "http_authority", "request authority differs from the authorized host") \
	X(HTTP_TOO_LARGE, "http_too_large", "request head too large")                             \
	X(HTTP_UPGRADE, "http_upgrade", "protocol upgrade refused")                               \
	X(HTTP_RESPONSE, "http_response", "malformed HTTP response from upstream")                \
	X(SNI_MISMATCH, "sni_mismatch", "TLS server name differs from the authorized host")       \
	X(SNI_MISSING, "sni_missing", "TLS server name missing")                                  \
	X(TLS_ECH, "tls_ech", "encrypted ClientHello refused")                                    \
	X(TLS_CLIENT, "tls_client", "TLS handshake with the client failed")                       \
	X(TLS_UPSTREAM, "tls_upstream", "TLS handshake with the upstream failed")                 \
	X(TLS_VERIFY, "tls_verify", "upstream certificate could not be verified")                 \
	X(UPSTREAM_UNREACHABLE, "upstream_unreachable", "connection to the upstream failed")      \
	X(UPSTREAM_PROXY, "upstream_proxy", "no connection through the upstream proxy")           \
	X(UPSTREAM_CLOSED, "upstream_closed", "upstream closed before the response was complete") \
	X(TIMEOUT, "timeout", "deadline passed")                                                  \
	X(LIMIT, "limit", "a limit was reached")                                                  \
	/* kernel fence */                                                                        \
	X(KERN_NETNS, "kern_netns", "socket in an unknown network namespace")                     \
	X(KERN_FAMILY, "kern_family", "socket family, type or protocol not allowed")              \
	X(KERN_UDP, "kern_udp", "UDP other than DNS")                                             \
	X(KERN_PORT, "kern_port", "port is reserved for the sandbox's own services")              \
	X(KERN_BIND, "kern_bind", "bind to this address or port refused")                         \
	X(KERN_SOCKOPT, "kern_sockopt", "socket option refused")                                  \
	X(KERN_POLICY, "kern_policy", "no policy entry could allow this connection")              \
	X(KERN_PACKET, "kern_packet", "packet outside the sandbox's paths")                       \
	X(KERN_TASK, "kern_task", "calling task is not tracked")                                  \
	X(KERN_MAP_FULL, "kern_map_full", "kernel table full")                                    \
	X(KERN_UNIX, "kern_unix", "Unix socket path refused")                                     \
	/* operations */                                                                          \
	X(INTERNAL, "internal", "internal error; refused")

enum osh_reason {
#define OSH_REASON_ENUM(name, token, text) OSH_REASON_##name,
	OSH_REASONS(OSH_REASON_ENUM)
#undef OSH_REASON_ENUM
		OSH_REASON_COUNT
};

#endif
