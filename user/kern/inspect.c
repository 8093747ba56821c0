/* SPDX-License-Identifier: MIT */
/* Looking in, own objects only: programs, maps, links, hand-over table. */
#include "kern/priv.h"

#include "base/json.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>

static void copy_name(char *dst, size_t size, const char *src)
{
	(void)osh_strlcpy(dst, src ? src : "?", size); /* cut is fine for display */
}

int osh_kern_prog_each(struct osh_kern *kern,
		       int (*fn)(const struct osh_kern_prog_info *info, void *arg), void *arg)
{
	size_t i;
	int r;

	for (i = 0; i < osh_kprog_count; i++) {
		struct osh_kern_prog_info out = { 0 };
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		if (bpf_program__fd(kern->prog[i]) < 0)
			continue; /* not loaded here: see the probes */
		if (bpf_obj_get_info_by_fd(bpf_program__fd(kern->prog[i]), &info, &len) < 0)
			return -errno;
		out.id = info.id;
		copy_name(out.name, sizeof(out.name), osh_kprogs[i].name);
		copy_name(out.type, sizeof(out.type), bpf_program__section_name(kern->prog[i]));
		out.insns = info.xlated_prog_len / 8;
		out.jited_bytes = info.jited_prog_len;
		out.run_count = info.run_cnt;
		out.run_ns = info.run_time_ns;
		out.load_ns = info.load_time;
		out.attached = kern->link[i] != NULL;
		out.required = osh_kprogs[i].required;
		osh_hex(out.tag, info.tag, sizeof(info.tag));
		r = fn(&out, arg);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_countable(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH ||
	       type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

static int count_key(const void *key, void *arg)
{
	(void)key;
	(*(int64_t *)arg)++;
	return 0;
}

static int map_info(struct bpf_map *map, struct osh_kern_map_info *ret_info)
{
	struct osh_kern_map_info out = { .entries = -1 };
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	unsigned char key[64];

	if (bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &len) < 0)
		return -errno;
	out.id = info.id;
	copy_name(out.name, sizeof(out.name), bpf_map__name(map));
	copy_name(out.type, sizeof(out.type), libbpf_bpf_map_type_str(info.type));
	out.key_bytes = info.key_size;
	out.value_bytes = info.value_size;
	out.max_entries = info.max_entries;
	if (is_countable(info.type) && info.key_size <= sizeof(key)) {
		int r;

		out.entries = 0;
		r = osh_kmap_each(bpf_map__fd(map), key, info.key_size, 2 * info.max_entries,
				  count_key, &out.entries);
		if (r < 0)
			return r;
	}
	*ret_info = out;
	return 0;
}

int osh_kern_map_each(struct osh_kern *kern,
		      int (*fn)(const struct osh_kern_map_info *info, void *arg), void *arg)
{
	struct bpf_map *map;
	int r;

	bpf_object__for_each_map(map, kern->obj)
	{
		struct osh_kern_map_info info;

		r = map_info(map, &info);
		if (r == 0)
			r = fn(&info, arg);
		if (r < 0)
			return r;
	}
	return 0;
}

int osh_kern_link_each(struct osh_kern *kern,
		       int (*fn)(const struct osh_kern_link_info *info, void *arg), void *arg)
{
	size_t i;
	int r;

	for (i = 0; i < osh_kprog_count; i++) {
		struct osh_kern_link_info out = { 0 };
		struct bpf_link_info info = { 0 };
		__u32 len = sizeof(info);

		if (!kern->link[i])
			continue;
		if (bpf_obj_get_info_by_fd(bpf_link__fd(kern->link[i]), &info, &len) < 0)
			return -errno;
		out.id = info.id;
		out.prog_id = info.prog_id;
		copy_name(out.prog, sizeof(out.prog), osh_kprogs[i].name);
		copy_name(out.type, sizeof(out.type), libbpf_bpf_link_type_str(info.type));
		if (info.type == BPF_LINK_TYPE_CGROUP)
			out.cgroup_id = info.cgroup.cgroup_id;
		out.pinned = kern->pin_dir != NULL;
		r = fn(&out, arg);
		if (r < 0)
			return r;
	}
	return 0;
}

struct dump {
	int fd;
	size_t key_size, value_size;
	unsigned char *value;
	struct osh_json json;
	bool as_json;
	struct osh_buf *out;
	char *hex; /* room for the larger of key and value */
};

static int dump_one(const void *key, void *arg)
{
	struct dump *d = arg;
	int r;

	if (bpf_map_lookup_elem(d->fd, key, d->value) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (d->as_json) {
		osh_json_obj(&d->json);
		osh_hex(d->hex, key, d->key_size);
		osh_json_kz(&d->json, "key", d->hex);
		osh_hex(d->hex, d->value, d->value_size);
		osh_json_kz(&d->json, "value", d->hex);
		osh_json_obj_end(&d->json);
		return d->json.err;
	}
	osh_hex(d->hex, key, d->key_size);
	r = osh_buf_printf(d->out, "key: %s", d->hex);
	if (r < 0)
		return r;
	osh_hex(d->hex, d->value, d->value_size);
	return osh_buf_printf(d->out, "  value: %s\n", d->hex);
}

/* Arrays have no keys to ask for: count through them. */
static int dump_array(struct dump *d, uint32_t entries)
{
	uint32_t i;
	int r = 0;

	for (i = 0; r == 0 && i < entries; i++)
		r = dump_one(&i, d);
	return r;
}

int osh_kern_map_dump(struct osh_kern *kern, const char *name, bool json, struct osh_buf *out)
{
	struct bpf_map *map = bpf_object__find_map_by_name(kern->obj, name);
	osh_auto_free unsigned char *value = NULL;
	osh_auto_free char *hex = NULL;
	int cpus = libbpf_num_possible_cpus();
	enum bpf_map_type type;
	unsigned char key[64];
	struct dump d;
	int r;

	if (!map)
		return -ENOENT;
	if (cpus < 0)
		return cpus;
	type = bpf_map__type(map);
	d = (struct dump){ .fd = bpf_map__fd(map),
			   .key_size = bpf_map__key_size(map),
			   .value_size = bpf_map__value_size(map),
			   .as_json = json,
			   .out = out };
	if (type == BPF_MAP_TYPE_PERCPU_ARRAY)
		d.value_size = (d.value_size + 7) / 8 * 8 * (size_t)cpus;
	else if (type != BPF_MAP_TYPE_ARRAY && !is_countable(type))
		return -EOPNOTSUPP;
	if (d.key_size > sizeof(key))
		return -EOPNOTSUPP;
	d.value = value = calloc(1, d.value_size);
	d.hex = hex = calloc(1, 2 * OSH_MAX(d.value_size, d.key_size) + 1);
	if (!value || !hex)
		return -ENOMEM;
	if (json) {
		osh_json_init(&d.json, out, 0);
		osh_json_arr(&d.json);
	}
	r = is_countable(type) ? osh_kmap_each(d.fd, key, d.key_size, 2 * bpf_map__max_entries(map),
					       dump_one, &d)
			       : dump_array(&d, bpf_map__max_entries(map));
	if (r == 0 && json) {
		osh_json_arr_end(&d.json);
		r = d.json.err;
	}
	return r;
}

int osh_kern_stats_enable(int *ret_fd)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

struct flow_sweep {
	int fd;
	uint64_t before_ns;
};

static int sweep_flow(const void *key, void *arg)
{
	struct flow_sweep *s = arg;
	struct osh_flow_rec rec;

	if (bpf_map_lookup_elem(s->fd, key, &rec) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (rec.connect_ns >= s->before_ns)
		return 0;
	if (bpf_map_delete_elem(s->fd, key) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int osh_kern_flow_sweep(struct osh_kern *kern, unsigned int age_ms)
{
	struct flow_sweep s = { .fd = kern->map_fd[KMAP_FLOWS] };
	uint64_t now, age = (uint64_t)age_ms * 1000000;
	struct osh_flow_key key;
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts); /* cannot fail */
	now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	if (now <= age)
		return 0;
	s.before_ns = now - age;
	return osh_kmap_each(s.fd, &key, sizeof(key), 2 * kern->map_max[KMAP_FLOWS], sweep_flow,
			     &s);
}
