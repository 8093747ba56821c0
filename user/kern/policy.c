/* SPDX-License-Identifier: MIT */
/*
 * The kernel policy of a sandbox: a new inner map is filled completely, then put in place by one
 * update. A decision looks the inner map up once: it uses the old one or the new one.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

/*
 * Room for executables and names that turn up while this generation is loaded, some 100 bytes each.
 * Allocated beforehand: rows one by one take twice as long.
 */
#define GROWTH 4096u
#define BATCH  4096u

static int inner_fd(struct osh_kern *kern, uint32_t sandbox, int *ret_fd)
{
	uint32_t id;
	int fd;

	if (bpf_map_lookup_elem(kern->map_fd[KMAP_POLICIES], &sandbox, &id) < 0)
		return -errno;
	fd = bpf_map_get_fd_by_id(id);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int osh_kern_generation(struct osh_kern *kern, uint32_t sandbox, uint64_t *ret_generation)
{
	osh_auto_close int fd = -1;
	struct osh_pol_key meta = { .kind = OSH_POL_META };
	struct osh_pol_val val;
	int r;

	r = inner_fd(kern, sandbox, &fd);
	if (r == -ENOENT) {
		*ret_generation = 0;
		return 0;
	}
	if (r < 0)
		return r;
	if (bpf_map_lookup_elem(fd, &meta, &val) < 0)
		return -errno;
	*ret_generation = val.generation;
	return 0;
}

static int check_rows(const struct osh_kern_row *rows, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (rows[i].key.kind != OSH_POL_EXE && rows[i].key.kind != OSH_POL_HOST &&
		    rows[i].key.kind != OSH_POL_ADDR)
			return -EINVAL;
	return 0;
}

/* Rows into map @fd, a batch at a time. */
static int put_rows(int fd, uint64_t generation, const struct osh_kern_row *rows, size_t count)
{
	osh_auto_free struct osh_pol_key *keys = NULL;
	osh_auto_free struct osh_pol_val *vals = NULL;
	size_t n = OSH_MIN(count, (size_t)BATCH), done = 0, i;

	if (!count)
		return 0;
	keys = calloc(n, sizeof(*keys));
	vals = calloc(n, sizeof(*vals));
	if (!keys || !vals)
		return -ENOMEM;
	while (done < count) {
		__u32 batch = (__u32)OSH_MIN(count - done, n);

		for (i = 0; i < batch; i++) {
			keys[i] = rows[done + i].key;
			vals[i] = (struct osh_pol_val){ .generation = generation,
							.classes = rows[done + i].classes,
							.inherit = rows[done + i].inherit };
		}
		if (bpf_map_update_batch(fd, keys, vals, &batch, NULL) < 0)
			return -errno;
		if (!batch)
			return -EIO;
		done += batch;
	}
	return 0;
}

int osh_kern_publish(struct osh_kern *kern, uint32_t sandbox, const struct osh_kern_policy *policy)
{
	struct osh_pol_key meta = { .kind = OSH_POL_META };
	struct osh_pol_val val = { .generation = policy->generation, .flags = policy->flags };
	osh_auto_close int fd = -1;
	uint64_t loaded;
	__u32 size;
	int r;

	if (!sandbox || !policy->generation)
		return -EINVAL;
	if (policy->count > OSH_POLICY_MAX - 1)
		return -E2BIG;
	r = check_rows(policy->rows, policy->count);
	if (r < 0)
		return r;
	r = osh_kern_generation(kern, sandbox, &loaded);
	if (r < 0)
		return r;
	if (policy->generation < loaded)
		return -ESTALE;

	size = OSH_MIN((__u32)policy->count + 1 + GROWTH, (__u32)OSH_POLICY_MAX);
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "osh_policy", sizeof(meta), sizeof(val), size, NULL);
	if (fd < 0)
		return -errno;
	r = put_rows(fd, policy->generation, policy->rows, policy->count);
	if (r < 0)
		return r;
	/* last: a map without META denies, should it ever be looked at before it is complete */
	if (bpf_map_update_elem(fd, &meta, &val, BPF_ANY) < 0)
		return -errno;
	return osh_swap_put(kern, kern->map_fd[KMAP_POLICIES], sandbox, fd);
}

int osh_kern_policy_put(struct osh_kern *kern, uint32_t sandbox, uint64_t generation,
			const struct osh_kern_row *rows, size_t count)
{
	struct osh_pol_key meta = { .kind = OSH_POL_META };
	osh_auto_close int fd = -1;
	struct osh_pol_val val;
	int r;

	r = check_rows(rows, count);
	if (r < 0)
		return r;
	r = inner_fd(kern, sandbox, &fd);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (bpf_map_lookup_elem(fd, &meta, &val) < 0)
		return -errno;
	if (val.generation != generation)
		return -ESTALE;
	r = put_rows(fd, generation, rows, count);
	return r == -E2BIG ? -ENOSPC : r;
}

int osh_policy_drop(struct osh_kern *kern, uint32_t sandbox)
{
	if (bpf_map_delete_elem(kern->map_fd[KMAP_POLICIES], &sandbox) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}
