/* SPDX-License-Identifier: MIT */
#include "audit/render.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/reason.h"

/* One row per integer member; kept in one table so that writing and reading cannot differ. */
#define NUM(key, member)                                                                        \
	{                                                                                       \
		key, offsetof(struct osh_rec, member), sizeof(((struct osh_rec *)NULL)->member) \
	}
static const struct num {
	const char *key;
	size_t off, size;
} nums[] = {
	NUM("port", port),
	NUM("src_port", src_port),
	NUM("ip_proto", ip_proto),
	NUM("pid", pid),
	NUM("uid", uid),
	NUM("exit_code", exit_code),
	NUM("http_status", http_status),
	NUM("severity", severity),
	NUM("flags", flags),
	NUM("duration_ns", duration_ns),
	NUM("bytes_up", bytes_up),
	NUM("bytes_down", bytes_down),
	NUM("sandbox_id", sandbox_id),
	NUM("generation", generation),
	NUM("revision", revision),
	NUM("count", count),
	NUM("flow", flow),
};

/* Text fields in the order they are written; the sandbox comes earlier, ancestors are an array. */
static const struct {
	const char *key;
	enum osh_rec_field field;
} texts[] = {
	{ "host", OSH_REC_HOST },	  { "binary", OSH_REC_BINARY },
	{ "method", OSH_REC_METHOD },	  { "path", OSH_REC_PATH },
	{ "policy", OSH_REC_POLICY_KEY }, { "policy_name", OSH_REC_POLICY_NAME },
	{ "engine", OSH_REC_ENGINE },	  { "protocol", OSH_REC_PROTOCOL },
	{ "reason", OSH_REC_REASON },	  { "detail", OSH_REC_DETAIL },
	{ "message", OSH_REC_MESSAGE },	  { "target", OSH_REC_TARGET },
	{ "finding_uid", OSH_REC_UID },	  { "title", OSH_REC_TITLE },
	{ "hash", OSH_REC_HASH },
};

static uint64_t load(const struct osh_rec *rec, const struct num *f)
{
	const char *at = (const char *)rec + f->off;
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (f->size) {
	case 8:
		memcpy(&v64, at, 8);
		return v64;
	case 4:
		memcpy(&v32, at, 4);
		return v32;
	case 2:
		memcpy(&v16, at, 2);
		return v16;
	default:
		return *(const uint8_t *)at;
	}
}

static int save(struct osh_rec *rec, const struct num *f, uint64_t v)
{
	char *at = (char *)rec + f->off;
	uint32_t v32 = (uint32_t)v;
	uint16_t v16 = (uint16_t)v;

	if (f->size < 8 && v >> (8 * f->size))
		return -EBADMSG;
	if (f->size == 8)
		memcpy(at, &v, 8);
	else if (f->size == 4)
		memcpy(at, &v32, 4);
	else if (f->size == 2)
		memcpy(at, &v16, 2);
	else
		*(uint8_t *)at = (uint8_t)v;
	return 0;
}

static void write_ancestors(struct osh_json *j, struct osh_str rest)
{
	struct osh_str one;

	if (!rest.n)
		return;
	osh_json_key(j, "ancestors");
	osh_json_arr(j);
	while (osh_str_split(&rest, '\0', &one))
		osh_json_str(j, one);
	osh_json_arr_end(j);
}

int osh_render_json(const struct osh_rec *rec, struct osh_buf *out)
{
	struct osh_json j;
	struct osh_str name = osh_rec_get(rec, OSH_REC_SANDBOX_NAME);
	char addr[64];

	osh_json_init(&j, out, 0);
	osh_json_obj(&j);
	/* the reader's quick filter relies on the order of these five */
	osh_json_ku64(&j, "seq", rec->seq);
	osh_json_ku64(&j, "time_ns", rec->time_ns);
	osh_json_kz(&j, "level", osh_rec_level_name(rec->level));
	osh_json_kz(&j, "source", osh_rec_source_name(rec->source));
	osh_json_kstr(&j, "sandbox", name);
	osh_json_kz(&j, "class", osh_rec_class_name(rec->class));
	osh_json_kz(&j, "verdict", osh_rec_verdict_name(rec->verdict));
	if (rec->activity)
		osh_json_kz(&j, "activity", osh_rec_activity_name(rec->activity));
	for (size_t i = 0; i < OSH_ARRAY_SIZE(texts); i++) {
		struct osh_str s = osh_rec_get(rec, texts[i].field);

		if (s.n)
			osh_json_kstr(&j, texts[i].key, s);
	}
	write_ancestors(&j, osh_rec_get(rec, OSH_REC_ANCESTORS));
	if (rec->addr_family)
		osh_json_kz(&j, "addr", osh_rec_addr(rec, addr, sizeof(addr)));
	if (rec->reason)
		osh_json_kz(&j, "reason_code", osh_reason_token(rec->reason));
	for (size_t i = 0; i < OSH_ARRAY_SIZE(nums); i++)
		if (load(rec, &nums[i]))
			osh_json_ku64(&j, nums[i].key, load(rec, &nums[i]));
	osh_json_obj_end(&j);
	return j.err;
}

/* Index of the string member @key in a name table; -1 when missing or unknown. */
static int index_of(const struct osh_jval *obj, const char *key, const char *(*name)(unsigned int),
		    unsigned int count)
{
	struct osh_str s = osh_jval_str(osh_jval_get(obj, key));

	for (unsigned int i = 0; s.p && i < count; i++) {
		const char *n = name(i);

		if (n && osh_str_is(s, n))
			return (int)i;
	}
	return -1;
}

static int read_addr(const struct osh_jval *obj, struct osh_rec *rec)
{
	const struct osh_jval *v = osh_jval_get(obj, "addr");
	const char *text = osh_jval_z(v, NULL);

	if (!v)
		return 0;
	if (!text)
		return -EBADMSG;
	rec->addr_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(rec->addr_family, text, rec->addr) == 1 ? 0 : -EBADMSG;
}

static int read_texts(const struct osh_jval *obj, struct osh_rec *rec)
{
	const struct osh_jval *v;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(texts); i++) {
		v = osh_jval_get(obj, texts[i].key);
		if (v && osh_jval_type(v) != OSH_JSON_STR)
			return -EBADMSG;
		if (v)
			osh_rec_set(rec, texts[i].field, osh_jval_str(v));
	}
	v = osh_jval_get(obj, "ancestors");
	if (v && osh_jval_type(v) != OSH_JSON_ARR)
		return -EBADMSG;
	for (size_t i = 0; i < osh_jval_len(v); i++) {
		struct osh_str s = osh_jval_str(osh_jval_at(v, i));

		if (!s.p)
			return -EBADMSG;
		osh_rec_add_ancestor(rec, s);
	}
	v = osh_jval_get(obj, "sandbox");
	if (v && osh_jval_type(v) != OSH_JSON_STR)
		return -EBADMSG;
	if (v)
		osh_rec_set_sandbox(rec, osh_jval_str(v));
	return 0;
}

static int read_num(const struct osh_jval *obj, const char *key, uint64_t *ret_value)
{
	const struct osh_jval *v = osh_jval_get(obj, key);

	if (!v)
		return -ENOENT;
	if (osh_jval_type(v) != OSH_JSON_INT || osh_jval_i64(v, -1) < 0)
		return -EBADMSG;
	*ret_value = (uint64_t)osh_jval_i64(v, 0);
	return 0;
}

static int read_nums(const struct osh_jval *obj, struct osh_rec *rec)
{
	uint64_t value;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(nums); i++) {
		int r = read_num(obj, nums[i].key, &value);

		if (r == -ENOENT)
			continue;
		if (r < 0 || save(rec, &nums[i], value) < 0)
			return -EBADMSG;
	}
	if (rec->severity < 1 || rec->severity > 6)
		return -EBADMSG;
	rec->flags &= OSH_REC_FLAGS_ALL;
	return 0;
}

int osh_render_parse_json(const struct osh_jval *obj, struct osh_rec *ret_rec)
{
	int class = index_of(obj, "class", osh_rec_class_name, OSH_REC_CLASS_COUNT);
	int verdict = index_of(obj, "verdict", osh_rec_verdict_name, OSH_REC_VERDICT_COUNT);
	int level = index_of(obj, "level", osh_rec_level_name, OSH_REC_LEVEL_COUNT);
	int source = index_of(obj, "source", osh_rec_source_name, OSH_REC_SOURCE_COUNT);
	int activity = index_of(obj, "activity", osh_rec_activity_name, OSH_REC_ACT_COUNT);
	struct osh_str code = osh_jval_str(osh_jval_get(obj, "reason_code"));
	uint64_t time_ns, seq;
	struct osh_rec rec;
	unsigned int reason = OSH_REASON_NONE;

	if (class <= 0 || verdict < 0 || level < 0 || source < 0 ||
	    read_num(obj, "time_ns", &time_ns) < 0 || read_num(obj, "seq", &seq) < 0)
		return -EBADMSG;
	osh_rec_init(&rec, (enum osh_rec_class) class, (enum osh_rec_verdict)verdict, time_ns);
	rec.level = (uint8_t)level;
	rec.source = (uint8_t)source;
	rec.activity = (uint8_t)(activity < 0 ? 0 : activity);
	rec.seq = seq;
	/* a token this build does not know: the text beside it still says why */
	if (code.p)
		reason = osh_reason_from_token(code);
	rec.reason = (uint16_t)(reason == OSH_REASON_COUNT ? OSH_REASON_NONE : reason);
	if (read_texts(obj, &rec) < 0 || read_nums(obj, &rec) < 0 || read_addr(obj, &rec) < 0)
		return -EBADMSG;
	memcpy(ret_rec, &rec, rec.size);
	return 0;
}
