/* SPDX-License-Identifier: MIT */
/* The way of a record from the connecting socket to the daemon, and what is left behind: nothing. */
#include "cases.h"

#include <fcntl.h>
#include <sched.h>

static int count_entries(const struct osh_kern_map_info *info, void *arg)
{
	int64_t *sum = arg;

	if (strcmp(info->name, "osh_flows") == 0 || strcmp(info->name, "osh_peers") == 0)
		*sum += info->entries;
	return 0;
}

static int64_t left_behind(struct kt *kt)
{
	int64_t sum = 0;

	CHECK(osh_kern_map_each(kt->kern, count_entries, &sum) == 0);
	return sum;
}

static int set_in_netns(struct kt_sandbox *sb, const char *path, const char *value)
{
	osh_auto_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd = -1;
	int r = 0;

	if (setns(sb->netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		r = -errno;
	return setns(home, CLONE_NEWNET) < 0 ? -errno : r;
}

void case_flows(struct kt *kt)
{
	uint64_t counters[OSH_CTR_MAX], denied;
	struct osh_flow_rec rec;
	struct kt_sandbox sb;
	int fd, i;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	CHECK(osh_kern_counters(kt->kern, counters) == 0);
	denied = counters[OSH_CTR_DENY_SOCKOPT];

	CHECK(counters[OSH_CTR_CLIENT_GONE] == 0);
	/* the number is the kernel's to give, and gone when the socket leads elsewhere */
	CHECK(says(kt, &sb, "marks 10.1.2.3 80", "ok 1 0 0"));
	CHECK(osh_kern_counters(kt->kern, counters) == 0);
	CHECK(counters[OSH_CTR_DENY_SOCKOPT] == denied + 1);
	fd = kt_accept(sb.tcp4);
	CHECK(fd >= 0 && osh_flow_fetch(fd, &rec) == -ENOENT);
	osh_close_ptr(&fd);
	CHECK(osh_kern_counters(kt->kern, counters) == 0);
	CHECK(counters[OSH_CTR_CLIENT_GONE] == 1 && counters[OSH_CTR_NO_HANDOVER] == 0);
	CHECK(left_behind(kt) == 0);

	/* accepted and closed without a look, by us: shed load */
	for (i = 0; i < 20; i++) {
		CHECK(says(kt, &sb, "connect plain 10.1.2.3 80", "ok 10.1.2.3 80"));
		CHECK(says(kt, &sb, "connect plain 2001:db8::1 80", "ok 2001:db8::1 80"));
		CHECK(left_behind(kt) == 2); /* the clients are gone: only the records wait */
		fd = kt_accept(sb.tcp4);
		osh_close_ptr(&fd);
		fd = kt_accept(sb.tcp6);
		osh_close_ptr(&fd);
		CHECK(left_behind(kt) == 0);
	}

	/* more failures than the table has rows: each takes its own back */
	CHECK(says(kt, &sb, "clash 20000", "ok 20000"));
	fd = kt_accept(sb.tcp4);
	CHECK(fd >= 0 && osh_flow_fetch(fd, &rec) == 0 && rec.dst_port_be == htons(80));
	osh_close_ptr(&fd);
	CHECK(left_behind(kt) == 0);

	/* the listener keeps no state of a SYN: the mark comes with the ACK */
	NEED(set_in_netns(&sb, "/proc/sys/net/ipv4/tcp_syncookies", "2") == 0);
	CHECK(arrives(kt, &sb, "connect plain 10.1.2.3 81", sb.tcp4, "ok 10.1.2.3 81\n", &rec));
	CHECK(rec.dst_port_be == htons(81));
	CHECK(arrives(kt, &sb, "connect plain 2001:db8::1 82", sb.tcp6, "ok 2001:db8::1 82\n",
		      &rec));
	CHECK(rec.dst_port_be == htons(82) && rec.mark != 0);
	CHECK(left_behind(kt) == 0);

	/* a namespace that does not hand marks on: no record, not somebody's */
	NEED(set_in_netns(&sb, "/proc/sys/net/ipv4/tcp_fwmark_accept", "0") == 0);
	CHECK(says(kt, &sb, "connect plain 10.1.2.3 80", "ok 10.1.2.3 80"));
	fd = kt_accept(sb.tcp4);
	CHECK(fd >= 0 && osh_flow_fetch(fd, &rec) == -ENOENT);
	osh_close_ptr(&fd);
	CHECK(osh_kern_counters(kt->kern, counters) == 0 && counters[OSH_CTR_NO_HANDOVER] == 1);
	CHECK(left_behind(kt) == 1 && osh_kern_flow_sweep(kt->kern, 0) == 0 &&
	      left_behind(kt) == 0);
	kt_sandbox_drop(kt, &sb);
}
