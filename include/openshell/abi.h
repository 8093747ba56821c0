/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * What kernel programs and daemon share: records, keys, numbers. Fixed-width fields, no holes,
 * asserted sizes; both compilers check them. Fields with "_be" are in network byte order. The zero
 * of every id is "none" or "unknown", the zero of every verdict is deny. Change any layout here and
 * OSH_ABI_VERSION must change: a daemon adopts only pins of its own version.
 */
#ifndef OSH_OPENSHELL_ABI_H
#define OSH_OPENSHELL_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define OSH_ABI_VERSION 4

/* ---- ceilings ---- */
#define OSH_LINEAGE_MAX 16 /* ancestors kept per task */
#define OSH_PATH_MAX	1024 /* path of an executable as its sandbox sees it, with the NUL */
#define OSH_SCRIPT_MAX	512 /* path of a "#!" script, with the NUL */
#define OSH_PATH_DEPTH	64 /* components walked */
#define OSH_SANDBOX_MAX 1024
#define OSH_EXE_PER_SANDBOX \
	8192 /* further ones stay unknown (exe id 0): a sandbox starves only
			       itself; files on writable mounts get half of it */
#define OSH_EXE_PRESSURE     (OSH_EXE_PER_SANDBOX / 4) /* so many call for a sweep */
#define OSH_EXE_SETTLE_MS    100 /* far above the tick that file times are taken from */
#define OSH_TASK_PER_SANDBOX 8192 /* further ones have no identity and are denied */
/* One sandbox cannot use up what all share: beyond these it fails alone. */
#define OSH_FLOW_PER_SANDBOX 4096
#define OSH_PEER_PER_SANDBOX \
	16384 /* further sockets are told our listener's address as their peer's */
/*
 * So many sandboxes can use up their shares at a time; the tables are sized by it when they are made.
 * Executables and processes take memory as they come (1.8 kB and 0.3 kB each), connections not yet
 * fetched and sockets, for speed, all at once: 2.6 MB per share.
 */
#define OSH_SHARES_DEFAULT 8
#define OSH_SHARES_MAX	   256
#define OSH_EXE_MAX	   (OSH_SHARES_DEFAULT * OSH_EXE_PER_SANDBOX) /* these: unless set otherwise */
#define OSH_TASK_MAX	   (OSH_SHARES_DEFAULT * OSH_TASK_PER_SANDBOX)
#define OSH_FLOW_MAX	   (OSH_SHARES_DEFAULT * OSH_FLOW_PER_SANDBOX)
#define OSH_PEER_MAX	   (OSH_SHARES_DEFAULT * OSH_PEER_PER_SANDBOX)
#define OSH_EVENT_RING	   (2 * 1024 * 1024) /* bytes */
#define OSH_EVENT_FREE	   (OSH_EVENT_RING / 4) /* as long as less waits, nobody counts */
#define OSH_EVENTS_PER_S \
	500 /* of one sandbox when more waits; further ones are lost, and counted */
#define OSH_NAME_MAX   262144 /* host names known at a time, all sandboxes */
#define OSH_HOST_LEN   256 /* host name with the NUL */
#define OSH_POLICY_MAX 262144 /* rows of one sandbox's kernel policy */

/*
 * Identity of a file's content as the kernel knows it. stat() cannot produce it on overlayfs: ask
 * osh_kern_file_key(). ctime_ns has bit 31 masked off (kernel >= 6.13 keeps a flag there).
 */
struct osh_exe_key {
	__u64 ino;
	__s64 ctime_s;
	__u32 ctime_ns;
	__u32 dev; /* the kernel's internal dev_t: major << 20 | minor */
	__u32 gen;
	__u32 pad;
};
_Static_assert(sizeof(struct osh_exe_key) == 32, "abi");

/* What makes one exe id: file, the path it was started by, the script, the sandbox. */
struct osh_exe_ident {
	struct osh_exe_key key;
	__u64 path_hash;
	__u64 script_hash; /* 0: no script */
	__u32 sandbox;
	__u32 pad;
};
_Static_assert(sizeof(struct osh_exe_ident) == 56, "abi");

/* struct osh_exe.flags: properties of the file and path; same for every run of this exe id. */
enum osh_exe_flags {
	OSH_EXE_DELETED = 1u << 0, /* no name left: path is the last name it had */
	OSH_EXE_MEMFD = 1u << 1, /* anonymous file (memfd, O_TMPFILE on shm): path is not a path */
	OSH_EXE_WRITABLE = 1u << 2, /* on a mount writable in the sandbox */
	OSH_EXE_SUID = 1u << 3, /* set-user-id or set-group-id bit */
	OSH_EXE_PATH_CUT = 1u << 4, /* path too long or too deep: unusable, treat as unknown */
	OSH_EXE_DETACHED = 1u << 5, /* not reachable from the sandbox's root: treat as unknown */
	OSH_EXE_SCRIPT = 1u << 6, /* interpreter started through "#!": script[] is the script */
	OSH_EXE_SCRIPT_CUT = 1u << 7, /* script path did not fit */
	/*
	 * Writable, and content could change under the same key: changed less than OSH_EXE_SETTLE_MS
	 * before it was started, or on a filesystem where writing through a mapping does not move
	 * ctime. The exe id is of this one run.
	 */
	OSH_EXE_ONE_RUN = 1u << 8,
	OSH_EXE_WRITERS = 1u << 9, /* somebody could still write to it when it was started */
};
/* With any of these the path proves nothing: match no policy binary. */
#define OSH_EXE_UNUSABLE \
	(OSH_EXE_DELETED | OSH_EXE_MEMFD | OSH_EXE_PATH_CUT | OSH_EXE_DETACHED | OSH_EXE_WRITERS)

/* An executable that ran in a sandbox; by exe id. */
struct osh_exe {
	struct osh_exe_ident ident;
	__u64 size; /* of the file, bytes */
	__u64 first_ns; /* first exec, CLOCK_BOOTTIME */
	__u32 id;
	__u32 flags; /* enum osh_exe_flags */
	__u32 first_tgid; /* process of the first exec, initial pid namespace */
	__u16 path_len; /* without the NUL */
	__u16 script_len;
	char path[OSH_PATH_MAX]; /* absolute, as seen from the sandbox's root */
	char script[OSH_SCRIPT_MAX]; /* as given to the kernel: may be relative */
};
_Static_assert(sizeof(struct osh_exe) == 88 + OSH_PATH_MAX + OSH_SCRIPT_MAX, "abi");

/* Properties of one run (task), and of each ancestor's run. */
enum osh_run_flags {
	OSH_RUN_PRELOAD = 1u << 0, /* LD_PRELOAD or LD_AUDIT in the environment at exec */
	OSH_RUN_LIBPATH = 1u << 1, /* LD_LIBRARY_PATH or GCONV_PATH in the environment at exec */
	OSH_RUN_ENV_UNREAD =
		1u << 2, /* environment too large or unreadable: not known to be clean */
	OSH_RUN_TRACED = 1u << 3, /* was traced at exec or at connect */
	OSH_RUN_MAPPED =
		1u << 4, /* executable file from a writable mount or memfd mapped, or its loader */
	OSH_RUN_EXE_MOVED = 1u << 5, /* mm->exe_file is no longer the file that was exec'd */
	OSH_RUN_CHAIN_CUT =
		1u << 6, /* more ancestors than OSH_LINEAGE_MAX: the oldest are missing */
	OSH_RUN_SEEDED = 1u << 7, /* first of its sandbox: no ancestors by construction */
};
/*
 * Code other than the named file may run with this identity: it keeps no privilege. LIBPATH on its
 * own, too: a library needs no executable mapping of its file to take over (an executable stack, or
 * symbols that point into the program's own code), so watching mappings does not replace it.
 */
#define OSH_RUN_TAINTED                                                            \
	(OSH_RUN_PRELOAD | OSH_RUN_LIBPATH | OSH_RUN_ENV_UNREAD | OSH_RUN_TRACED | \
	 OSH_RUN_MAPPED | OSH_RUN_EXE_MOVED)

struct osh_lineage {
	__u32 exe; /* exe id; 0: unknown */
	__u32 flags; /* enum osh_run_flags of that ancestor when it left the scene (exec or fork) */
};
_Static_assert(sizeof(struct osh_lineage) == 8, "abi");

/* A process of a sandbox; by thread group id. */
struct osh_task {
	__u64 exec_id; /* unique per exec since boot; 0 never */
	__u64 start_ns; /* of the process, CLOCK_BOOTTIME; tells reused pids apart */
	__u64 self_exec; /* the kernel's count of execs: makes tracking idempotent */
	struct osh_exe_key key; /* of the file exec'd */
	__u32 sandbox;
	__u32 exe; /* exe id; 0: unknown */
	__u32 flags; /* enum osh_run_flags */
	__u32 lineage_count;
	struct osh_lineage lineage[OSH_LINEAGE_MAX]; /* nearest first, each exe once */
};
_Static_assert(sizeof(struct osh_task) == 72 + 8 * OSH_LINEAGE_MAX, "abi");

enum osh_flow_kind {
	OSH_FLOW_NONE = 0,
	OSH_FLOW_EXPLICIT = 1, /* to the explicit proxy: the destination is in the request */
	OSH_FLOW_TRANSPARENT = 2,
	OSH_FLOW_DNS_TCP = 3, /* TCP port 53 */
	OSH_FLOW_DNS_UDP = 4, /* datagram; from OSH_SO_DNS_RECORD */
};

/*
 * Who connects where. Filled in the connecting task's context, travels with the socket to the
 * accepted side, fetched by OSH_SO_FLOW. An address is always 16 bytes, IPv4 as ::ffff:a.b.c.d.
 */
struct osh_flow_rec {
	__u64 cookie; /* of the client's socket */
	__u64 generation; /* kernel policy that let it pass; 0: none was loaded */
	__u64 exec_id;
	__u64 start_ns; /* process start, CLOCK_BOOTTIME */
	__u64 connect_ns; /* CLOCK_BOOTTIME */
	__u64 netns_cookie;
	__u8 dst[16]; /* what the program asked for */
	__u32 sandbox;
	__u32 host_id; /* index into the synthetic pool; 0: a literal address */
	__u32 exe; /* exe id; 0: unknown, deny */
	__u32 flags; /* enum osh_run_flags of the connecting process, now */
	__u32 tgid; /* initial pid namespace */
	__u32 pid; /* thread */
	__u32 uid;
	__u32 mark; /* of the client's socket, for this connection */
	__u32 kind; /* enum osh_flow_kind */
	__u32 lineage_count;
	__u16 dst_port_be;
	__u16 family; /* AF_INET (also v4-mapped on a v6 socket) or AF_INET6 */
	__u32 reason; /* enum osh_kreason; in deny events, else 0 */
	struct osh_lineage lineage[OSH_LINEAGE_MAX];
};
_Static_assert(sizeof(struct osh_flow_rec) == 112 + 8 * OSH_LINEAGE_MAX, "abi");

/*
 * getsockopt() on sockets created in <agent>/daemon (accepted ones belong to their listener's
 * creator), no privilege needed. On an accepted socket:
 *	getsockopt(fd, OSH_SOL_FLOW, OSH_SO_FLOW, &rec, &len)
 * on the in-sandbox DNS datagram socket, for the client port a query came from:
 *	getsockopt(fd, OSH_SOL_FLOW, OSH_SO_DNS_RECORD | client_port, &rec, &len)
 * with len == sizeof(struct osh_flow_rec). 0: filled. -1/ENOENT: no record: drop the connection.
 * An accepted socket's record can be had once: it leaves the kernel's table.
 * -1/ENOPROTOOPT: not in the daemon's cgroup, or the fence is not there. A datagram's record says
 * who used that port last: good for logs, not for decisions.
 */
#define OSH_SOL_FLOW	  0x4f534801
#define OSH_SO_FLOW	  1
#define OSH_SO_DNS_RECORD 0x10000

/* Why the kernel refused. Numbers are stable; names in osh_kreason_name(). */
#define OSH_KREASONS(X)                                                            \
	X(NONE, 0, "none")                                                         \
	X(NO_SANDBOX, 1, "network namespace belongs to no sandbox")                \
	X(NO_IDENTITY, 2, "process has no identity")                               \
	X(WRONG_SANDBOX, 3, "process and namespace belong to different sandboxes") \
	X(OWN_PORT, 4, "direct connection to a port of the daemon")                \
	X(UDP, 5, "UDP other than DNS")                                            \
	X(PROTOCOL, 6, "socket type not allowed")                                  \
	X(BIND, 7, "bind to an address or port that is not the sandbox's")         \
	X(SOCKOPT, 8, "socket option not allowed")                                 \
	X(POLICY, 9, "no policy entry for this destination and binary")            \
	X(NO_POLICY, 10, "no policy loaded")                                       \
	X(NO_LISTENER, 11, "no listener for this address family")                  \
	X(NO_MEMORY, 12, "record could not be stored")                             \
	X(PACKET, 13, "packet outside the sandbox's addresses")                    \
	X(UNIX, 14, "Unix socket outside the sandbox")                             \
	X(ADDRESS, 15, "malformed or unsupported address")

enum osh_kreason {
#define OSH_X(name, n, text) OSH_KR_##name = n,
	OSH_KREASONS(OSH_X)
#undef OSH_X
};

/* Counters: index into a per-CPU array. "anomaly" ones must stay zero on a healthy host. */
#define OSH_COUNTERS(X)                                                                      \
	X(CONNECT, 0, "connect", "TCP connects seen")                                        \
	X(REDIRECT, 0, "redirect", "TCP connects sent to the proxy")                         \
	X(EXPLICIT, 0, "explicit", "of these, to the explicit proxy")                        \
	X(LOOPBACK, 0, "loopback", "connects inside the sandbox")                            \
	X(DNS, 0, "dns", "datagrams redirected to our DNS")                                  \
	X(DENY_POLICY, 0, "deny-policy", "denied by the kernel policy")                      \
	X(DENY_NO_POLICY, 0, "deny-no-policy", "denied: no policy loaded")                   \
	X(DENY_IDENTITY, 0, "deny-identity", "denied: process has no identity")              \
	X(DENY_SANDBOX, 0, "deny-sandbox", "denied: no sandbox for this namespace")          \
	X(DENY_OWN_PORT, 0, "deny-own-port", "denied: direct to one of our ports")           \
	X(DENY_UDP, 0, "deny-udp", "denied: UDP other than DNS")                             \
	X(DENY_SOCKET, 0, "deny-socket", "denied: socket type")                              \
	X(DENY_BIND, 0, "deny-bind", "denied: bind")                                         \
	X(DENY_SOCKOPT, 0, "deny-sockopt", "denied: socket option")                          \
	X(DENY_ADDRESS, 0, "deny-address", "denied: address")                                \
	X(DENY_LISTENER, 0, "deny-listener", "denied: no listener for the family")           \
	X(DENY_UNIX, 0, "deny-unix", "denied: Unix socket")                                  \
	X(SKB_ADDR_OUT, 0, "skb-addr-out", "packets dropped: destination")                   \
	X(SKB_ADDR_IN, 0, "skb-addr-in", "packets dropped: source")                          \
	X(SKB_PROTO, 0, "skb-proto", "packets dropped: protocol")                            \
	X(SKB_OPTIONS, 0, "skb-options", "packets dropped: IP options or extension headers") \
	X(SKB_SHORT, 0, "skb-short", "packets dropped: truncated header")                    \
	X(HANDOVER, 0, "handover", "records fetched for an accepted socket")                 \
	X(EXEC, 0, "exec", "execs in sandboxes")                                             \
	X(EXE_NEW, 0, "exe-new", "executables seen for the first time")                      \
	X(FORK, 0, "fork", "forks in sandboxes")                                             \
	X(EXIT, 0, "exit", "exits in sandboxes")                                             \
	X(TAINT, 0, "taint", "processes tainted after exec")                                 \
	X(GETSOCKOPT, 0, "record-read", "records read by the daemon")                        \
	X(NO_HANDOVER, 1, "no-handover", "accepted connections without a record")            \
	X(RING_FULL, 1, "ring-full", "events lost")                                          \
	X(EXE_FULL, 1, "exe-full", "executables not tracked: table or quota full")           \
	X(TASK_FULL, 1, "task-full", "processes not tracked: table full")                    \
	X(FLOW_FULL, 1, "flow-full", "connections refused: table full")                      \
	X(STORAGE_FULL, 1, "storage-full", "peer or socket storage failed")                  \
	X(HELPER, 1, "helper", "another kernel helper failed")                               \
	X(CLIENT_GONE, 0, "client-gone", "accepted connections whose client had left")

enum osh_ctr {
#define OSH_X(name, anomaly, key, text) OSH_CTR_##name,
	OSH_COUNTERS(OSH_X)
#undef OSH_X
		OSH_CTR_COUNT_,
};
#define OSH_CTR_MAX 64
_Static_assert(OSH_CTR_COUNT_ <= OSH_CTR_MAX, "abi");

/* ---- ring-buffer events ---- */
enum osh_kev_type {
	OSH_KEV_NONE = 0,
	OSH_KEV_EXE = 1, /* struct osh_kev_exe: a new exe id */
	OSH_KEV_DENY = 2, /* struct osh_kev_deny */
	OSH_KEV_TAINT = 3, /* struct osh_kev_taint */
	OSH_KEV_PRESSURE = 4, /* struct osh_kev_pressure: time to sweep */
};

struct osh_kev {
	__u32 type; /* enum osh_kev_type */
	__u32 size; /* of the whole event */
	__u64 time_ns; /* CLOCK_BOOTTIME */
};

struct osh_kev_exe {
	struct osh_kev h;
	__u32 sandbox;
	__u32 exe;
	__u32 tgid; /* a process running it: /proc/<tgid>/exe while it lives */
	__u32 pad;
};
_Static_assert(sizeof(struct osh_kev_exe) == 32, "abi");

struct osh_kev_deny {
	struct osh_kev h;
	struct osh_flow_rec rec; /* rec.reason says why; kind NONE */
	__u32 protocol; /* IPPROTO_*; 0: not IP */
	__u32 op; /* what was refused: enum osh_kop */
};
_Static_assert(sizeof(struct osh_kev_deny) == 24 + sizeof(struct osh_flow_rec), "abi");

struct osh_kev_taint {
	struct osh_kev h;
	struct osh_exe_key key; /* the file mapped */
	__u32 sandbox;
	__u32 exe;
	__u32 tgid;
	__u32 flags; /* what was added */
};
_Static_assert(sizeof(struct osh_kev_taint) == 64, "abi");

struct osh_kev_pressure {
	struct osh_kev h;
	__u32 sandbox; /* has used up much of its share of exe ids */
	__u32 pad;
};
_Static_assert(sizeof(struct osh_kev_pressure) == 24, "abi");

enum osh_kop {
	OSH_KOP_NONE = 0,
	OSH_KOP_CONNECT = 1,
	OSH_KOP_SENDMSG = 2,
	OSH_KOP_SOCKET = 3, /* rec.dst_port_be 0; protocol set */
	OSH_KOP_BIND = 4, /* rec.dst is the local address */
	OSH_KOP_SOCKOPT = 5, /* rec.host_id carries level << 16 | optname */
};

/* ---- keys and values only the daemon's kern module and the programs use ---- */

enum osh_sb_flags {
	OSH_SB_QUARANTINE = 1u << 0, /* deny everything, whatever the policy says */
};

/* A sandbox; by network namespace cookie. Ports 0: no such listener. */
struct osh_sb {
	__u64 netns_cookie;
	__u64 cgroup_id;
	__u32 id;
	__u32 flags;
	__u32 listen4_be; /* address of the listeners */
	__u32 pool4_be; /* synthetic addresses: pool4 + host id */
	__u32 pool4_mask_be;
	__u16 tcp4_port_be;
	__u16 dns4_port_be;
	__u32 listen6_be[4];
	__u32 pool6_be[4]; /* a /64; host id in the last 32 bits */
	__u16 tcp6_port_be;
	__u16 dns6_port_be;
	/* kept by the kernel: quotas */
	__u32 exe_count;
	__u32 task_count;
	__u32 flow_count;
	__u32 peer_count;
	__u32 events; /* since @events_ns while the ring was filling */
	__u32 events_lost; /* at least: since the sandbox was added */
	__u32 pad;
	__u64 events_ns;
};
_Static_assert(sizeof(struct osh_sb) == 112, "abi");

/* A connection on its way to the daemon. */
struct osh_flow_key {
	__u64 netns_cookie;
	__u32 mark; /* never 0 */
	__u32 pad;
};
_Static_assert(sizeof(struct osh_flow_key) == 16, "abi");

/* Whom a redirected stream socket asked for: what getpeername() answers. */
struct osh_peer {
	__u8 addr[16];
	__u16 port_be;
	__u16 family; /* AF_INET (also v4-mapped on a v6 socket) or AF_INET6 */
	__u32 pad;
};
_Static_assert(sizeof(struct osh_peer) == 24, "abi");

/* The one row of osh_state; outlives the daemon. */
struct osh_state {
	__u32 abi; /* OSH_ABI_VERSION of whoever made the pins */
	__u32 next_exe; /* last exe id handed out */
	__u64 next_exec; /* last exec id handed out */
	__u64 seed; /* of path hashes: a sandbox cannot aim for collisions */
	__u32 next_mark; /* last mark handed out */
	__u32 pad;
};
_Static_assert(sizeof(struct osh_state) == 32, "abi");

struct osh_dns_key {
	__u64 netns_cookie;
	__u16 port_be;
	__u16 pad[3];
};
_Static_assert(sizeof(struct osh_dns_key) == 16, "abi");

struct osh_name_key {
	__u32 sandbox;
	__u32 host_id;
};

struct osh_name {
	char host[OSH_HOST_LEN];
};

/*
 * Kernel policy of one sandbox and generation: one hash map, swapped as a whole. Sets of binary
 * classes are the 64-bit masks of policy/image.h.
 *	META  id 0                 -> generation, flags
 *	EXE   id = exe id          -> classes: those of the executable itself; inherit: those it gives
 *				      its descendants; missing: every class
 *	HOST  id = host id, port   -> classes that may reach it; port 0: on any port. A host without a
 *				      port-0 row (with no classes, as a rule) is unknown to the map:
 *				      to the proxy.
 *	ADDR  addr, port           -> the same for literal addresses; missing: OSH_POL_LITERALS_LISTED
 *				      decides (listed: deny, else: to the proxy)
 * A connection goes to the proxy if the destination's classes meet those of the executable or the
 * inherited ones of its lineage.
 */
enum osh_pol_kind {
	OSH_POL_META = 0,
	OSH_POL_EXE = 1,
	OSH_POL_HOST = 2,
	OSH_POL_ADDR = 3,
};

enum osh_pol_flags {
	OSH_POL_ALL_TO_PROXY = 1u << 0, /* the kernel denies nothing by policy */
	OSH_POL_LITERALS_LISTED = 1u << 1, /* every reachable literal address has an ADDR row */
	OSH_POL_WEB_TO_PROXY = 1u << 2, /* ports 80 and 443: the proxy answers with the reason */
};

struct osh_pol_key {
	__u8 addr[16];
	__u32 id;
	__u16 port_be;
	__u16 kind; /* enum osh_pol_kind */
};
_Static_assert(sizeof(struct osh_pol_key) == 24, "abi");

struct osh_pol_val {
	__u64 generation; /* the same in every row of a map */
	__u64 classes;
	__u64 inherit; /* EXE only */
	__u32 flags; /* META: enum osh_pol_flags */
	__u32 pad;
};
_Static_assert(sizeof(struct osh_pol_val) == 32, "abi");

#endif
