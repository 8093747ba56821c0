/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Every map. __weak lets each object file see them; the static linker merges them and refuses
 * objects that disagree. tools/check-bpf wants the block in front of each.
 */
#ifndef OSH_BPF_MAPS_H
#define OSH_BPF_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "openshell/abi.h"

/* clang-format off */
#define BPF_LICENSE char LICENSE[] SEC("license") = "Dual MIT/GPL"
/* clang-format on */

/*
 * osh_state - ABI version, id counters, hash seed
 * key/val: 0 -> struct osh_state
 * writer:  monitor once, when the pins are made; exec.bpf.c, connect.bpf.c count ids
 * reader:  exec.bpf.c, connect.bpf.c; monitor at adoption
 * full:    cannot be
 * miss:    cannot be
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct osh_state);
} osh_state __weak SEC(".maps");

/*
 * osh_clock - CLOCK_REALTIME minus CLOCK_BOOTTIME, which programs cannot ask for
 * key/val: 0 -> nanoseconds, signed
 * writer:  monitor, at start and with each sweep
 * reader:  exec.bpf.c, to tell freshly changed files
 * full:    cannot be
 * miss:    cannot be
 * life:    pinned; survives the daemon, and ages
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} osh_clock __weak SEC(".maps");

/*
 * osh_sandboxes - the sandbox a network namespace belongs to
 * key/val: netns cookie -> struct osh_sb
 * writer:  monitor; exec.bpf.c, connect.bpf.c, flow.bpf.c, common.bpf.h keep its counts
 * reader:  connect.bpf.c, socket.bpf.c, flow.bpf.c, exec.bpf.c, unix.bpf.c, lsm.bpf.c
 * full:    osh_kern_sandbox_add() fails: the sandbox is not created
 * miss:    deny
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_SANDBOX_MAX);
	__type(key, __u64);
	__type(value, struct osh_sb);
} osh_sandboxes __weak SEC(".maps");

/*
 * osh_cgroups - the sandbox a cgroup belongs to: how its first process is recognised
 * key/val: cgroup id -> sandbox id
 * writer:  monitor
 * reader:  exec.bpf.c
 * full:    osh_kern_sandbox_add() fails
 * miss:    not a sandbox's process: not tracked, so it has no identity and is denied by the fence
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_SANDBOX_MAX);
	__type(key, __u64);
	__type(value, __u32);
} osh_cgroups __weak SEC(".maps");

struct osh_policy_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_POLICY_MAX);
	/* sizes, not types: clang forgets types nested this deep, and 6.1 wants equal BTF */
	__uint(key_size, sizeof(struct osh_pol_key));
	__uint(value_size, sizeof(struct osh_pol_val));
};

/*
 * osh_policies - kernel policy of each sandbox
 * key/val: sandbox id -> map of struct osh_pol_key -> struct osh_pol_val
 * writer:  monitor: fills a new inner map, then replaces the outer entry: one step
 * reader:  connect.bpf.c: one outer lookup per decision, so no decision mixes generations
 * full:    publishing fails with E2BIG; the old generation stays
 * miss:    deny
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, OSH_SANDBOX_MAX);
	__type(key, __u32);
	__array(values, struct osh_policy_inner);
} osh_policies __weak SEC(".maps");

/*
 * osh_exe_ids - exe id of an executable in a sandbox
 * key/val: struct osh_exe_ident -> exe id
 * writer:  exec.bpf.c; monitor deletes (sweep, sandbox removal)
 * reader:  exec.bpf.c
 * full:    exe id 0 (unknown) and counter exe-full
 * miss:    a new id is made
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_EXE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct osh_exe_ident);
	__type(value, __u32);
} osh_exe_ids __weak SEC(".maps");

/*
 * osh_exes - what an exe id stands for
 * key/val: exe id -> struct osh_exe
 * writer:  exec.bpf.c; monitor deletes (sweep, sandbox removal)
 * reader:  monitor
 * full:    exe id 0 (unknown) and counter exe-full
 * miss:    the id was swept: unknown, deny
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_EXE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct osh_exe);
} osh_exes __weak SEC(".maps");

/*
 * osh_tasks - identity of each process of a sandbox
 * key/val: thread group id -> struct osh_task
 * writer:  exec.bpf.c, taint.bpf.c; monitor deletes at sandbox removal
 * reader:  connect.bpf.c, socket.bpf.c, unix.bpf.c, lsm.bpf.c; monitor
 * full:    the process has no identity: denied; counter task-full
 * miss:    outside every sandbox, or no identity: denied inside; the namespace says which
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_TASK_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct osh_task);
} osh_tasks __weak SEC(".maps");

/*
 * osh_sk_rec - who uses a datagram socket to ask our DNS
 * key/val: socket -> struct osh_flow_rec; kind 0: it asks nobody
 * writer:  connect.bpf.c
 * reader:  connect.bpf.c (peer names), skb.bpf.c
 * full:    deny and counter storage-full
 * miss:    not redirected
 * life:    the socket's
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct osh_flow_rec);
} osh_sk_rec __weak SEC(".maps");

/*
 * osh_flows - record of each connection on its way to the daemon; not LRU: eviction would lose live ones
 * key/val: struct osh_flow_key (with the mark) -> struct osh_flow_rec
 * writer:  connect.bpf.c; flow.bpf.c deletes; monitor sweeps the abandoned
 * reader:  flow.bpf.c answers OSH_SO_FLOW from it
 * full:    deny and counter flow-full; so for a sandbox beyond its share
 * miss:    no record: the proxy drops the connection; counter no-handover
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_FLOW_MAX);
	/* preallocated: an insertion per connect must be cheap */
	__type(key, struct osh_flow_key);
	__type(value, struct osh_flow_rec);
} osh_flows __weak SEC(".maps");

/*
 * osh_peers - whom a redirected stream socket asked for
 * key/val: socket cookie -> struct osh_peer
 * writer:  connect.bpf.c; flow.bpf.c deletes with the socket
 * reader:  connect.bpf.c (peer names)
 * full:    getpeername() shows our listener; counter storage-full; so for a sandbox beyond its share
 * miss:    not redirected
 * life:    pinned; an entry lives as long as its socket
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_PEER_MAX);
	/* preallocated, as above */
	__type(key, __u64);
	__type(value, struct osh_peer);
} osh_peers __weak SEC(".maps");

/*
 * osh_dns - who used a datagram port last to ask our DNS; for logs
 * key/val: struct osh_dns_key -> struct osh_flow_rec
 * writer:  skb.bpf.c
 * reader:  flow.bpf.c answers OSH_SO_DNS_RECORD from it
 * full:    the least recently used row goes: a log line without a binary
 * miss:    a log line without a binary
 * life:    pinned; survives the daemon
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct osh_dns_key);
	__type(value, struct osh_flow_rec);
} osh_dns __weak SEC(".maps");

/*
 * osh_names - host name of each synthetic address
 * key/val: struct osh_name_key -> struct osh_name
 * writer:  monitor
 * reader:  monitor, after a restart; no program
 * full:    the name gets no address: its lookup is refused
 * miss:    the address is nobody's: denied by the proxy
 * life:    pinned; survives the daemon; gone with the sandbox
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OSH_NAME_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct osh_name_key);
	__type(value, struct osh_name);
} osh_names __weak SEC(".maps");

/*
 * osh_events - struct osh_kev_*: new executables, denials, taints
 * key/val: none
 * writer:  common.bpf.h
 * reader:  monitor
 * full:    the event is lost; counter ring-full; so are those of a sandbox beyond its share
 * miss:    does not apply
 * life:    pinned; what happens without a daemon waits for the next one
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OSH_EVENT_RING);
} osh_events __weak SEC(".maps");

/*
 * osh_counters - counters by enum osh_ctr
 * key/val: enum osh_ctr -> count, per CPU
 * writer:  every program
 * reader:  monitor
 * full:    cannot be
 * miss:    cannot be
 * life:    pinned; since the pins were made
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OSH_CTR_MAX);
	__type(key, __u32);
	__type(value, __u64);
} osh_counters __weak SEC(".maps");

#endif
