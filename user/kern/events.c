/* SPDX-License-Identifier: MIT */
/* The ring buffer, the counters, and the names of what they carry. */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

static size_t event_size(uint32_t type)
{
	switch (type) {
	case OSH_KEV_EXE:
		return sizeof(struct osh_kev_exe);
	case OSH_KEV_DENY:
		return sizeof(struct osh_kev_deny);
	case OSH_KEV_TAINT:
		return sizeof(struct osh_kev_taint);
	case OSH_KEV_PRESSURE:
		return sizeof(struct osh_kev_pressure);
	default:
		return 0;
	}
}

static int on_sample(void *ctx, void *data, size_t size)
{
	const struct osh_kev *ev = data;
	struct osh_kern *kern = ctx;

	/* of a program newer or older than we are: not ours to interpret */
	if (size >= sizeof(*ev) && event_size(ev->type) == ev->size && ev->size <= size) {
		kern->sink->on_event(ev, kern->sink->arg);
		kern->drained++;
	}
	return kern->drained >= kern->drain_max ? -ECANCELED : 0;
}

int osh_events_init(struct osh_kern *kern)
{
	kern->ring = ring_buffer__new(kern->map_fd[KMAP_EVENTS], on_sample, kern, NULL);
	return kern->ring ? 0 : -errno;
}

int osh_kern_events_fd(const struct osh_kern *kern)
{
	return ring_buffer__epoll_fd(kern->ring);
}

int osh_kern_events_drain(struct osh_kern *kern, const struct osh_kern_sink *sink, unsigned int max)
{
	int r;

	if (!max)
		return 0;
	kern->sink = sink;
	kern->drained = 0;
	kern->drain_max = max;
	r = ring_buffer__consume(kern->ring);
	kern->sink = NULL;
	if (r < 0 && r != -ECANCELED)
		return r;
	return (int)kern->drained;
}

int osh_kern_counters(struct osh_kern *kern, uint64_t ret_values[OSH_CTR_MAX])
{
	int cpus = libbpf_num_possible_cpus(), c;
	osh_auto_free uint64_t *per_cpu = NULL;
	uint64_t sums[OSH_CTR_MAX] = { 0 };
	uint32_t i;

	if (cpus < 0)
		return cpus;
	per_cpu = calloc((size_t)cpus, sizeof(*per_cpu));
	if (!per_cpu)
		return -ENOMEM;
	for (i = 0; i < OSH_CTR_MAX; i++) {
		if (bpf_map_lookup_elem(kern->map_fd[KMAP_COUNTERS], &i, per_cpu) < 0)
			return -errno;
		for (c = 0; c < cpus; c++)
			sums[i] += per_cpu[c];
	}
	memcpy(ret_values, sums, sizeof(sums));
	return 0;
}

static const struct {
	const char *name, *text;
	bool anomaly;
} counters[] = {
#define OSH_X(id, is_anomaly, key, explanation) { key, explanation, is_anomaly },
	OSH_COUNTERS(OSH_X)
#undef OSH_X
};

const char *osh_kern_ctr_name(unsigned int ctr)
{
	return ctr < OSH_ARRAY_SIZE(counters) ? counters[ctr].name : NULL;
}

const char *osh_kern_ctr_text(unsigned int ctr)
{
	return ctr < OSH_ARRAY_SIZE(counters) ? counters[ctr].text : NULL;
}

bool osh_kern_ctr_is_anomaly(unsigned int ctr)
{
	return ctr < OSH_ARRAY_SIZE(counters) && counters[ctr].anomaly;
}

const char *osh_kreason_name(uint32_t reason)
{
	static const char *const names[] = {
#define OSH_X(id, n, text) [n] = text,
		OSH_KREASONS(OSH_X)
#undef OSH_X
	};

	return reason < OSH_ARRAY_SIZE(names) && names[reason] ? names[reason] : "unknown";
}
