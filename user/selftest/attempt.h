/* SPDX-License-Identifier: MIT */
/* Inside of user/selftest: the tables of the files, and what attempts have in common. */
#ifndef OSH_SELFTEST_ATTEMPT_H
#define OSH_SELFTEST_ATTEMPT_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "selftest/selftest.h"

typedef enum osh_selftest_state osh_selftest_fn(const struct osh_selftest_env *env, char *detail);

/* socket.c, packet.c: sockets and the kernel */
osh_selftest_fn osh_st_tcp4, osh_st_tcp6, osh_st_mapped, osh_st_fastopen, osh_st_fastopen_connect,
	osh_st_udp_families, osh_st_mptcp, osh_st_udp_sendto, osh_st_udp_connect,
	osh_st_udp_reconnect, osh_st_udplite_connect, osh_st_udplite_sendto, osh_st_broadcast,
	osh_st_multicast, osh_st_ping4, osh_st_ping6, osh_st_unspec, osh_st_bind_device,
	osh_st_source_bind, osh_st_addrform;
osh_selftest_fn osh_st_rthdr, osh_st_rthdr_cmsg, osh_st_ip_options, osh_st_ip_options_cmsg,
	osh_st_hopopts, osh_st_mark, osh_st_repair, osh_st_ulp, osh_st_transparent, osh_st_raw,
	osh_st_packet, osh_st_xdp, osh_st_vsock, osh_st_families, osh_st_protocols, osh_st_netlink,
	osh_st_uring_connect, osh_st_uring_setup, osh_st_nested_netns;
/* process.c: the process fence */
osh_selftest_fn osh_st_userns, osh_st_clone3, osh_st_setns, osh_st_mount, osh_st_tun, osh_st_bpf,
	osh_st_keyring, osh_st_int80, osh_st_x32, osh_st_privileges, osh_st_inherited,
	osh_st_cgroup, osh_st_proc_root, osh_st_control_socket, osh_st_state, osh_st_own_policy,
	osh_st_abstract, osh_st_host_sockets, osh_st_sysctl, osh_st_devices;
/* identity.c */
osh_selftest_fn osh_st_allowed_control, osh_st_dynamic_control, osh_st_not_allowed, osh_st_copy,
	osh_st_rename, osh_st_hardlink, osh_st_argv, osh_st_memfd, osh_st_tmpfile, osh_st_deleted,
	osh_st_fexecve, osh_st_ld_so, osh_st_preload, osh_st_audit, osh_st_libpath, osh_st_big_env,
	osh_st_mapped_code, osh_st_mm_exe, osh_st_layout, osh_st_connect_exec, osh_st_thread_exec,
	osh_st_leader_exit, osh_st_traced, osh_st_attach, osh_st_vm_write, osh_st_proc_mem,
	osh_st_getfd, osh_st_tofu_control, osh_st_tofu, osh_st_script;
/* proxy.c: names, TLS, DNS, listeners; http.c: requests */
osh_selftest_fn osh_st_raw_control, osh_st_connect_control, osh_st_http_control, osh_st_dns_control;
osh_selftest_fn osh_st_literal, osh_st_metadata, osh_st_sni, osh_st_sni_split, osh_st_sni_records,
	osh_st_connect_sni, osh_st_connect_forms, osh_st_socks, osh_st_absolute, osh_st_fronting,
	osh_st_post, osh_st_pipeline, osh_st_smuggle, osh_st_h2c, osh_st_fake_101, osh_st_paths,
	osh_st_override, osh_st_listener, osh_st_impersonate, osh_st_port_reuse, osh_st_unspec_flow,
	osh_st_kept_mark, osh_st_dns_tunnel, osh_st_dns_tcp, osh_st_dns_other, osh_st_dot_quic,
	osh_st_other_port;

/* ---- helpers (common.c) ---- */

/* printf into @detail, made printable. */
void osh_st_say(char *detail, const char *fmt, ...) OSH_PRINTF(2, 3);
/* say("%s", strerror(errno)) and CLOSED: what was refused, with its reason. */
enum osh_selftest_state osh_st_refused(char *detail, const char *what);
/* The kernel was not built with it. */
enum osh_selftest_state osh_st_not_here(char *detail, const char *what);
enum osh_selftest_state osh_st_open(char *detail, const char *what);

/* "osh-escape-0042" */
void osh_st_marker(const struct osh_selftest_env *env, char dst[OSH_SELFTEST_MARKER_BYTES]);

/* Where nobody may get: 10.77.0.2 and fd77::2 of the fence's namespace, TEST-NET inside. */
struct sockaddr_in osh_st_target4(const struct osh_selftest_env *env);
struct sockaddr_in6 osh_st_target6(const struct osh_selftest_env *env);
struct sockaddr_in osh_st_sin(const char *ip, uint16_t port);

/* Both directions at most @ms for each call. */
void osh_st_deadline(int fd, int ms);
/* A TCP socket connected to @to within 3 s, or -1 with errno. */
int osh_st_connect(const void *to, socklen_t len);
/* CLOSED when connect() or the first send() fails, else OPEN. Consumes @take_fd. */
enum osh_selftest_state osh_st_try(const struct osh_selftest_env *env, int take_fd, const void *to,
				   socklen_t len, char *detail);

/* Ask the name server @server ("198.18.0.1") for @name's IPv4 address; -errno, -EHOSTUNREACH: refused. */
int osh_st_resolve(const char *server, const char *name, struct in_addr *ret_addr);
/* Connect to the permitted host's @port as an ordinary program does; -errno. */
int osh_st_dial(const struct osh_selftest_env *env, uint16_t port);
/* Read until the answer of a permitted listener was seen (1), the end or a second of silence (0). */
int osh_st_answered(int fd);
/* Send the marker, then osh_st_answered(). */
int osh_st_talk(const struct osh_selftest_env *env, int fd);

/* ---- ways to the proxy (ways.c) ---- */

#define OSH_ST_EXPLICIT_PORT 3128

/* A connection to the explicit proxy, or -1 with errno. */
int osh_st_explicit(void);
/* All of @data; -1 if not. */
int osh_st_send(int fd, const void *data, size_t n);
/* Status code of an answer's head; 0: none came. */
int osh_st_status(int fd);
/* CONNECT with @target as it is; the descriptor when it was accepted, else -status or -1. */
int osh_st_tunnel(const char *target, size_t n);
int osh_st_tunnel_to(const char *host, uint16_t port);
/*
 * Text to a fresh connection to http_port; 1 when the permitted listener's answer came back, 0 when
 * not, -errno when there was no connection.
 */
int osh_st_ask(const struct osh_selftest_env *env, const char *fmt, ...) OSH_PRINTF(2, 3);

/* ---- what the static program does when it is started as the policy's binary (fetch.c) ---- */

/* 0: the permitted listener at id_port answered; else 1 */
int osh_st_fetch_main(int argc, char **argv);

#endif
