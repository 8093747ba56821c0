/* SPDX-License-Identifier: MIT */
#include "daemon/fdstore.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"

enum {
	FIRST_FD = 3, /* SD_LISTEN_FDS_START */
	FDS_MAX = 4096, /* FileDescriptorStoreMax= of the unit */
	NAME_MAX_LEN = 96,
	PARTS = 6,
};

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Debian 12's libc does not name it */
#endif

/* Descriptors that came back and were not taken yet; -1: taken. */
static struct kept {
	char name[NAME_MAX_LEN];
	int fd;
} * kept;
static size_t kept_n;

/* What a part of osh_sandbox_listeners has to be. */
static const struct {
	int family, type;
	bool optional; /* a kernel without IPv6 */
} parts[PARTS] = {
	{ AF_INET, SOCK_STREAM, false }, { AF_INET, SOCK_DGRAM, false },
	{ AF_INET, SOCK_STREAM, false }, { AF_INET6, SOCK_STREAM, true },
	{ AF_INET6, SOCK_DGRAM, true },	 { AF_INET6, SOCK_STREAM, true },
};

static void list_parts(struct osh_sandbox_listeners *lst, int *fds[PARTS], uint16_t *ports[PARTS])
{
	int *const f[PARTS] = { &lst->tcp4, &lst->dns_udp4, &lst->dns_tcp4,
				&lst->tcp6, &lst->dns_udp6, &lst->dns_tcp6 };
	uint16_t *const p[PARTS] = { &lst->tcp4_port, &lst->dns_udp4_port, &lst->dns_tcp4_port,
				     &lst->tcp6_port, &lst->dns_udp6_port, &lst->dns_tcp6_port };

	memcpy(fds, f, sizeof(f));
	memcpy(ports, p, sizeof(p));
}

/* The id makes a name unlike that of an earlier sandbox of the same name. */
static void part_name(const struct osh_sandbox *sb, unsigned int part, char name[NAME_MAX_LEN])
{
	(void)snprintf(name, NAME_MAX_LEN, "sb-%s-%u-%u", sb->name, sb->id, part);
}

static void forget(const char *name)
{
	char text[NAME_MAX_LEN + 64];

	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	osh_notify(text);
}

/* ---- taking back ---- */

static int adopt_fds(size_t n, const char *names)
{
	struct osh_str rest = osh_str(names ? names : ""), name;

	kept = calloc(n, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int fd = FIRST_FD + (int)i;

		if (!osh_str_split(&rest, ':', &name))
			name = OSH_STR("");
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			continue; /* not open: somebody set the variable by hand */
		kept[kept_n].fd = fd;
		(void)snprintf(kept[kept_n].name, NAME_MAX_LEN, "%.*s", OSH_STR_FMT(name));
		kept_n++;
	}
	return 0;
}

void osh_fdstore_init(void)
{
	const char *pid_text = secure_getenv("LISTEN_PID"), *n_text = secure_getenv("LISTEN_FDS");
	uint64_t pid = 0, n = 0;

	if (pid_text && n_text && osh_parse_u64(osh_str(pid_text), INT32_MAX, &pid) == 0 &&
	    osh_parse_u64(osh_str(n_text), FDS_MAX, &n) == 0 && pid == (uint64_t)getpid() && n) {
		int r = adopt_fds(n, secure_getenv("LISTEN_FDNAMES"));

		if (r < 0)
			osh_log_warn_errno(r, "cannot keep stored listeners, opening new ones");
	}
	/* nobody whom we execute may take them for its own */
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
}

static struct kept *find(const char *name)
{
	for (size_t i = 0; i < kept_n; i++)
		if (kept[i].fd >= 0 && strcmp(kept[i].name, name) == 0)
			return &kept[i];
	return NULL;
}

static bool option_is(int fd, int option, int want)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == want;
}

/* Is it the socket that belongs there? Its port in *ret_port. */
static bool fits(int fd, unsigned int part, uint64_t cookie, uint16_t *ret_port)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr = { 0 };
	socklen_t len = sizeof(addr), cookie_len = sizeof(uint64_t);
	uint64_t have = 0;

	if (!option_is(fd, SO_DOMAIN, parts[part].family) ||
	    !option_is(fd, SO_TYPE, parts[part].type) ||
	    !option_is(fd, SO_ACCEPTCONN, parts[part].type == SOCK_STREAM) ||
	    getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &have, &cookie_len) < 0 || have != cookie ||
	    getsockname(fd, &addr.sa, &len) < 0)
		return false;
	*ret_port = ntohs(parts[part].family == AF_INET ? addr.in.sin_port : addr.in6.sin6_port);
	return *ret_port != 0;
}

int osh_fdstore_take(struct osh_sandbox *sb)
{
	struct osh_sandbox_listeners lst;
	struct kept *found[PARTS];
	uint16_t *ports[PARTS];
	int *fds[PARTS];

	osh_sandbox_listeners_init(&lst);
	list_parts(&lst, fds, ports);
	for (unsigned int i = 0; i < PARTS; i++) {
		char name[NAME_MAX_LEN];

		part_name(sb, i, name);
		found[i] = find(name);
		if (!found[i] && parts[i].optional && !found[PARTS / 2])
			continue;
		if (!found[i] || !fits(found[i]->fd, i, sb->proc.netns_cookie, ports[i]))
			return -ENOENT;
		*fds[i] = found[i]->fd;
	}
	for (unsigned int i = 0; i < PARTS; i++)
		if (found[i])
			found[i]->fd = -1;
	sb->lst = lst;
	return 0;
}

void osh_fdstore_finish(void)
{
	for (size_t i = 0; i < kept_n; i++) {
		if (kept[i].fd < 0)
			continue;
		if (kept[i].name[0])
			forget(kept[i].name);
		osh_close_ptr(&kept[i].fd);
	}
	free(kept);
	kept = NULL;
	kept_n = 0;
}

/* ---- giving ---- */

void osh_fdstore_put(const struct osh_sandbox *sb)
{
	struct osh_sandbox_listeners lst = sb->lst;
	char name[NAME_MAX_LEN], text[NAME_MAX_LEN + 64];
	uint16_t *ports[PARTS];
	int *fds[PARTS];

	list_parts(&lst, fds, ports);
	for (unsigned int i = 0; i < PARTS; i++) {
		if (*fds[i] < 0)
			continue;
		part_name(sb, i, name);
		/* polling them tells the manager nothing: a listener does not hang up */
		(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
		osh_notify_fd(text, *fds[i]);
	}
}

void osh_fdstore_drop(const struct osh_sandbox *sb)
{
	char name[NAME_MAX_LEN];

	for (unsigned int i = 0; i < PARTS; i++) {
		part_name(sb, i, name);
		forget(name);
	}
}
