/* SPDX-License-Identifier: MIT */
#include "audit/chain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/json.h"

enum { SEGMENTS_MAX = 100000, HEAD_BYTES = 160 };

static const struct osh_str header_start = { "{\"segment\":", 11 };
static const struct osh_str record_start = { "{\"seq\":", 7 };

void osh_chain_name(char dst[OSH_CHAIN_NAME_MAX], uint64_t first_seq)
{
	(void)snprintf(dst, OSH_CHAIN_NAME_MAX, "events-%020llu.jsonl",
		       (unsigned long long)first_seq);
}

static int parse_name(const char *name, uint64_t *ret_seq)
{
	struct osh_str s = osh_str(name);

	if (s.n != 7 + 20 + 6 || !osh_str_has_prefix(s, OSH_STR("events-")) ||
	    !osh_str_has_suffix(s, OSH_STR(".jsonl")))
		return -EINVAL;
	return osh_parse_u64(osh_str_sub(s, 7, 20), INT64_MAX, ret_seq);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* only read from */
}

int osh_chain_list(int dirfd, uint64_t **ret_seqs, size_t *ret_count)
{
	OSH_CLEANUP(close_dir) DIR *d = NULL;
	osh_auto_free uint64_t *seqs = NULL;
	size_t count = 0, cap = 0;
	struct dirent *e;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		osh_close_ptr(&fd);
		return -errno;
	}
	while ((e = readdir(d))) {
		uint64_t seq;

		if (parse_name(e->d_name, &seq) < 0)
			continue;
		if (count == SEGMENTS_MAX)
			return -E2BIG;
		if (count == cap) {
			uint64_t *more = reallocarray(seqs, cap + 64, sizeof(*seqs));

			if (!more)
				return -ENOMEM;
			seqs = more;
			cap += 64;
		}
		seqs[count++] = seq;
	}
	if (count)
		qsort(seqs, count, sizeof(*seqs), cmp_u64);
	*ret_seqs = osh_take_ptr(&seqs);
	*ret_count = count;
	return 0;
}

static void free_hash(struct osh_sha256 **h)
{
	*h = osh_sha256_free(*h);
}

int osh_chain_next(const struct osh_chain_hash *prev, struct osh_str body,
		   struct osh_chain_hash *ret_hash)
{
	OSH_CLEANUP(free_hash) struct osh_sha256 *h = osh_sha256_new();
	int r;

	if (!h)
		return -ENOMEM;
	r = osh_sha256_add(h, prev->b, sizeof(prev->b));
	if (r == 0)
		r = osh_sha256_add(h, body.p, body.n);
	return r < 0 ? r : osh_sha256_end(h, ret_hash->b);
}

int osh_chain_split(struct osh_str line, struct osh_str *ret_body, struct osh_chain_hash *ret_hash)
{
	struct osh_str tail;

	if (line.n <= OSH_CHAIN_TAIL)
		return -EBADMSG;
	tail = osh_str_sub(line, line.n - OSH_CHAIN_TAIL, OSH_CHAIN_TAIL);
	if (!osh_str_has_prefix(tail, OSH_STR(",\"h\":\"")) ||
	    !osh_str_has_suffix(tail, OSH_STR("\"}")))
		return -EBADMSG;
	if (osh_unhex(ret_hash->b, sizeof(ret_hash->b), osh_str_sub(tail, 6, 64)) < 0)
		return -EBADMSG;
	*ret_body = osh_str_sub(line, 0, line.n - OSH_CHAIN_TAIL);
	return 0;
}

bool osh_chain_is_header(struct osh_str line)
{
	return osh_str_has_prefix(line, header_start);
}

int osh_chain_seq(struct osh_str line, uint64_t *ret_seq)
{
	struct osh_str rest;

	if (!osh_str_has_prefix(line, record_start))
		return -EBADMSG;
	rest = osh_str_sub(line, record_start.n, 24);
	rest.n = osh_str_find(rest, ',');
	return osh_parse_u64(rest, INT64_MAX, ret_seq) < 0 ? -EBADMSG : 0;
}

int osh_chain_prev(struct osh_str line, struct osh_chain_hash *ret_hash)
{
	osh_auto_jval struct osh_jval *v = NULL;
	struct osh_str hex;

	if (!osh_chain_is_header(line) || osh_json_parse(line, &v, NULL, 0) < 0)
		return -EBADMSG;
	hex = osh_jval_str(osh_jval_get(v, "prev"));
	if (!hex.p || osh_unhex(ret_hash->b, sizeof(ret_hash->b), hex) < 0)
		return -EBADMSG;
	return 0;
}

int osh_chain_head_write(int fd, const struct osh_chain_head *head)
{
	char hex[OSH_SHA256_HEX], text[HEAD_BYTES + 1];
	int n;

	/* one write of one block that never changes its size: it is there completely or not */
	osh_hex(hex, head->hash.b, sizeof(head->hash.b));
	n = snprintf(text, sizeof(text), "openshell-log 1 first=%020llu last=%020llu h=%s",
		     (unsigned long long)head->first_seq, (unsigned long long)head->last_seq, hex);
	memset(text + n, ' ', (size_t)(HEAD_BYTES - n));
	text[HEAD_BYTES - 1] = '\n';
	if (pwrite(fd, text, HEAD_BYTES, 0) != HEAD_BYTES)
		return errno ? -errno : -EIO;
	return 0;
}

static bool take(struct osh_str *s, const char *prefix, size_t n, struct osh_str *ret_value)
{
	struct osh_str p = osh_str(prefix);

	if (!osh_str_has_prefix(*s, p) || s->n < p.n + n)
		return false;
	*ret_value = osh_str_sub(*s, p.n, n);
	*s = osh_str_sub(*s, p.n + n, s->n);
	return true;
}

int osh_chain_head_read(int dirfd, struct osh_chain_head *ret_head)
{
	osh_auto_close int fd = openat(dirfd, OSH_CHAIN_HEAD, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[HEAD_BYTES];
	struct osh_str s = { text, sizeof(text) }, first, last, hex;
	struct osh_chain_head head;

	if (fd < 0)
		return -errno;
	if (read(fd, text, sizeof(text)) != HEAD_BYTES)
		return -EBADMSG;
	if (!take(&s, "openshell-log 1 first=", 20, &first) || !take(&s, " last=", 20, &last) ||
	    !take(&s, " h=", 64, &hex))
		return -EBADMSG;
	if (osh_parse_u64(first, INT64_MAX, &head.first_seq) < 0 ||
	    osh_parse_u64(last, INT64_MAX, &head.last_seq) < 0 ||
	    osh_unhex(head.hash.b, sizeof(head.hash.b), hex) < 0)
		return -EBADMSG;
	*ret_head = head;
	return 0;
}
