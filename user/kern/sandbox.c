/* SPDX-License-Identifier: MIT */
/* Which namespaces and cgroups are sandboxes, and the names of their synthetic addresses. */
#include "kern/priv.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int osh_kmap_each(int fd, void *key, size_t key_size, unsigned int max,
		  int (*fn)(const void *key, void *arg), void *arg)
{
	unsigned char prev[64], next[64];
	unsigned int n;
	int r;

	if (key_size > sizeof(prev))
		return -EINVAL;
	if (bpf_map_get_next_key(fd, NULL, next) < 0)
		return errno == ENOENT ? 0 : -errno;
	for (n = 0; n < max; n++) {
		bool last;

		memcpy(prev, next, key_size);
		/* look ahead: the callback may delete the key, and then its successor is lost */
		last = bpf_map_get_next_key(fd, prev, next) < 0;
		if (last && errno != ENOENT)
			return -errno;
		memcpy(key, prev, key_size);
		r = fn(key, arg);
		if (r < 0 || last)
			return r < 0 ? r : 0;
	}
	return 0;
}

int osh_kern_netns_cookie(int socket_fd, uint64_t *ret_cookie)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return -errno;
	*ret_cookie = cookie;
	return 0;
}

struct find {
	struct osh_kern *kern;
	uint32_t id;
	struct osh_sb sb; /* found when sb.id == id */
	uint64_t key;
};

static int find_id(const void *key, void *arg)
{
	struct find *f = arg;
	struct osh_sb sb;

	if (bpf_map_lookup_elem(f->kern->map_fd[KMAP_SANDBOXES], key, &sb) == 0 && sb.id == f->id)
		f->sb = sb;
	return 0;
}

static int find_sandbox(struct osh_kern *kern, uint32_t id, struct osh_sb *ret_sb)
{
	struct find f = { .kern = kern, .id = id };
	int r;

	r = osh_kmap_each(kern->map_fd[KMAP_SANDBOXES], &f.key, sizeof(f.key), 2 * OSH_SANDBOX_MAX,
			  find_id, &f);
	if (r < 0)
		return r;
	if (f.sb.id != id)
		return -ENOENT;
	*ret_sb = f.sb;
	return 0;
}

static uint32_t mask4_be(unsigned int bits)
{
	return bits ? htonl(~0u << (32 - bits)) : 0;
}

int osh_kern_sandbox_add(struct osh_kern *kern, const struct osh_kern_sandbox *in)
{
	struct osh_sb sb = {
		.netns_cookie = in->netns_cookie,
		.cgroup_id = in->cgroup_id,
		.id = in->id,
		.flags = in->flags,
		.listen4_be = in->listen4.s_addr,
		.pool4_be = in->pool4.s_addr,
		.tcp4_port_be = htons(in->tcp4_port),
		.dns4_port_be = htons(in->dns4_port),
		.tcp6_port_be = htons(in->tcp6_port),
		.dns6_port_be = htons(in->dns6_port),
	};
	struct osh_sb old;
	int r;

	if (!in->id || !in->netns_cookie || !in->cgroup_id || !in->pool4_bits ||
	    in->pool4_bits > 30)
		return -EINVAL;
	sb.pool4_mask_be = mask4_be(in->pool4_bits);
	if ((sb.pool4_be & sb.pool4_mask_be) != sb.pool4_be)
		return -EINVAL;
	memcpy(sb.listen6_be, &in->listen6, sizeof(sb.listen6_be));
	memcpy(sb.pool6_be, &in->pool6, sizeof(sb.pool6_be));

	r = find_sandbox(kern, in->id, &old);
	if (r == 0) {
		sb.exe_count = old.exe_count;
		sb.task_count = old.task_count;
		sb.flow_count = old.flow_count;
		sb.peer_count = old.peer_count;
		sb.events_lost = old.events_lost;
		if (old.netns_cookie != sb.netns_cookie || old.cgroup_id != sb.cgroup_id)
			return -EEXIST; /* another namespace under the same id: remove first */
	} else if (r != -ENOENT) {
		return r;
	}
	if (bpf_map_update_elem(kern->map_fd[KMAP_SANDBOXES], &sb.netns_cookie, &sb, BPF_ANY) < 0)
		return -errno;
	if (bpf_map_update_elem(kern->map_fd[KMAP_CGROUPS], &sb.cgroup_id, &sb.id, BPF_ANY) < 0) {
		r = -errno;
		(void)bpf_map_delete_elem(kern->map_fd[KMAP_SANDBOXES], &sb.netns_cookie);
		return r;
	}
	return 0;
}

int osh_kern_sandbox_remove(struct osh_kern *kern, uint32_t id)
{
	struct osh_sb sb;
	int r, first = 0;

	if (!id)
		return -EINVAL;
	r = find_sandbox(kern, id, &sb);
	if (r == 0) {
		/* the namespace first: from here on everything in it is denied */
		if (bpf_map_delete_elem(kern->map_fd[KMAP_SANDBOXES], &sb.netns_cookie) < 0 &&
		    errno != ENOENT)
			first = -errno;
		if (bpf_map_delete_elem(kern->map_fd[KMAP_CGROUPS], &sb.cgroup_id) < 0 &&
		    errno != ENOENT && !first)
			first = -errno;
	} else if (r != -ENOENT) {
		first = r;
	}
	/* go on after a failure: the less is left the better; report the first */
	r = osh_policy_drop(kern, id);
	first = first ? first : r;
	r = osh_name_drop(kern, id);
	first = first ? first : r;
	r = osh_task_drop(kern, id);
	first = first ? first : r;
	r = osh_exe_drop(kern, id);
	return first ? first : r;
}

struct list {
	struct osh_kern *kern;
	int (*fn)(const struct osh_kern_sandbox *sb, void *arg);
	void *arg;
};

static int list_one(const void *key, void *arg)
{
	struct osh_kern_sandbox out = { 0 };
	struct list *l = arg;
	struct osh_sb sb;

	if (bpf_map_lookup_elem(l->kern->map_fd[KMAP_SANDBOXES], key, &sb) < 0)
		return errno == ENOENT ? 0 : -errno;
	out.id = sb.id;
	out.netns_cookie = sb.netns_cookie;
	out.cgroup_id = sb.cgroup_id;
	out.listen4.s_addr = sb.listen4_be;
	out.pool4.s_addr = sb.pool4_be;
	out.pool4_bits = (unsigned int)__builtin_popcount(sb.pool4_mask_be);
	out.tcp4_port = ntohs(sb.tcp4_port_be);
	out.dns4_port = ntohs(sb.dns4_port_be);
	memcpy(&out.listen6, sb.listen6_be, sizeof(out.listen6));
	memcpy(&out.pool6, sb.pool6_be, sizeof(out.pool6));
	out.tcp6_port = ntohs(sb.tcp6_port_be);
	out.dns6_port = ntohs(sb.dns6_port_be);
	out.flags = sb.flags;
	return l->fn(&out, l->arg);
}

int osh_kern_sandbox_list(struct osh_kern *kern,
			  int (*fn)(const struct osh_kern_sandbox *sb, void *arg), void *arg)
{
	struct list l = { .kern = kern, .fn = fn, .arg = arg };
	uint64_t key;

	return osh_kmap_each(kern->map_fd[KMAP_SANDBOXES], &key, sizeof(key), 2 * OSH_SANDBOX_MAX,
			     list_one, &l);
}

/* ---- names ---- */

int osh_kern_name_put(struct osh_kern *kern, uint32_t sandbox, uint32_t host_id, const char *host)
{
	struct osh_name_key key = { .sandbox = sandbox, .host_id = host_id };
	struct osh_name name = { { 0 } };

	if (!sandbox || !host_id)
		return -EINVAL;
	if (!osh_strlcpy(name.host, host, sizeof(name.host)))
		return -EMSGSIZE;
	if (bpf_map_update_elem(kern->map_fd[KMAP_NAMES], &key, &name, BPF_ANY) < 0)
		return errno == E2BIG ? -ENOSPC : -errno;
	return 0;
}

int osh_kern_name_get(struct osh_kern *kern, uint32_t sandbox, uint32_t host_id,
		      char ret_host[OSH_HOST_LEN])
{
	struct osh_name_key key = { .sandbox = sandbox, .host_id = host_id };
	struct osh_name name;

	if (bpf_map_lookup_elem(kern->map_fd[KMAP_NAMES], &key, &name) < 0)
		return -errno;
	name.host[sizeof(name.host) - 1] = '\0';
	memcpy(ret_host, name.host, sizeof(name.host));
	return 0;
}

int osh_kern_name_del(struct osh_kern *kern, uint32_t sandbox, uint32_t host_id)
{
	struct osh_name_key key = { .sandbox = sandbox, .host_id = host_id };

	if (bpf_map_delete_elem(kern->map_fd[KMAP_NAMES], &key) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

struct name_walk {
	struct osh_kern *kern;
	uint32_t sandbox; /* 0: all */
	bool drop;
	int (*fn)(uint32_t sandbox, uint32_t host_id, const char *host, void *arg);
	void *arg;
};

static int name_one(const void *key, void *arg)
{
	const struct osh_name_key *k = key;
	char host[OSH_HOST_LEN];
	struct name_walk *w = arg;
	int r;

	if (w->sandbox && k->sandbox != w->sandbox)
		return 0;
	if (w->drop)
		return osh_kern_name_del(w->kern, k->sandbox, k->host_id);
	r = osh_kern_name_get(w->kern, k->sandbox, k->host_id, host);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return w->fn(k->sandbox, k->host_id, host, w->arg);
}

int osh_kern_name_each(struct osh_kern *kern, uint32_t sandbox,
		       int (*fn)(uint32_t sandbox, uint32_t host_id, const char *host, void *arg),
		       void *arg)
{
	struct name_walk w = { .kern = kern, .sandbox = sandbox, .fn = fn, .arg = arg };
	struct osh_name_key key;

	return osh_kmap_each(kern->map_fd[KMAP_NAMES], &key, sizeof(key), 2 * OSH_NAME_MAX,
			     name_one, &w);
}

int osh_name_drop(struct osh_kern *kern, uint32_t sandbox)
{
	struct name_walk w = { .kern = kern, .sandbox = sandbox, .drop = true };
	struct osh_name_key key;

	return osh_kmap_each(kern->map_fd[KMAP_NAMES], &key, sizeof(key), 2 * OSH_NAME_MAX,
			     name_one, &w);
}

int osh_kern_sandbox_usage(struct osh_kern *kern, uint64_t netns_cookie,
			   struct osh_kern_usage *ret_usage)
{
	struct osh_sb sb;

	if (bpf_map_lookup_elem(kern->map_fd[KMAP_SANDBOXES], &netns_cookie, &sb) < 0)
		return -errno;
	*ret_usage = (struct osh_kern_usage){
		.exes = sb.exe_count,
		.tasks = sb.task_count,
		.flows = sb.flow_count,
		.peers = sb.peer_count,
		.events_lost = sb.events_lost,
	};
	return 0;
}
