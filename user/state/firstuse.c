/* SPDX-License-Identifier: MIT */
/*
 * The file is a header and records of equal size, each with a checksum over itself, its place and
 * the header: a record changed, moved, or of another file does not go unnoticed. Nothing is synced
 * to disk: a record is of use to the next daemon only, on a host that runs on.
 */
#include "state/firstuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "sys/fs.h"

enum { BUCKETS = 1024, PATH_BYTES = 24, CHECK_BYTES = 8, BOOT_ID_MAX = 64 };

#define FILE_NAME "first-uses"

struct header {
	char magic[8];
	uint64_t netns_cookie;
	uint8_t boot[OSH_SHA256_BYTES]; /* of the boot id */
	uint8_t pad[8];
	uint8_t check[CHECK_BYTES];
};
_Static_assert(sizeof(struct header) == 64, "file format");

struct record {
	uint8_t path[PATH_BYTES]; /* of its SHA-256 */
	uint8_t sha256[OSH_SHA256_BYTES];
	uint8_t check[CHECK_BYTES];
};
_Static_assert(sizeof(struct record) == 64, "file format");

struct first {
	struct first *next;
	uint8_t path[PATH_BYTES];
	uint8_t sha256[OSH_SHA256_BYTES];
};

struct osh_firsts {
	struct first *bucket[BUCKETS];
	uint32_t count;
	uint64_t kept; /* records in the file */
	struct header header;
	int fd, err;
};

/* First bytes of the SHA-256 of two pieces. */
static int digest(const void *a, size_t an, const void *b, size_t bn, void *ret, size_t n)
{
	struct osh_sha256 *h = osh_sha256_new();
	uint8_t full[OSH_SHA256_BYTES];
	int r = h ? osh_sha256_add(h, a, an) : -ENOMEM;

	if (r == 0)
		r = osh_sha256_add(h, b, bn);
	if (r == 0)
		r = osh_sha256_end(h, full);
	osh_sha256_free(h);
	if (r == 0)
		memcpy(ret, full, n);
	return r;
}

static int record_check(const struct osh_firsts *f, uint64_t at, const struct record *rec,
			uint8_t ret_check[CHECK_BYTES])
{
	struct {
		struct header header;
		uint64_t at;
	} place = { f->header, at };

	return digest(&place, sizeof(place), rec, offsetof(struct record, check), ret_check,
		      CHECK_BYTES);
}

static int header_fill(struct header *h, uint64_t netns_cookie)
{
	osh_auto_bufmem struct osh_buf boot;
	int r;

	*h = (struct header){ .magic = "OSHTOFU1", .netns_cookie = netns_cookie };
	osh_buf_init(&boot, BOOT_ID_MAX, 0);
	r = osh_fs_read("/proc/sys/kernel/random/boot_id", BOOT_ID_MAX, &boot);
	if (r == 0)
		r = osh_sha256(boot.data, boot.len, h->boot);
	if (r == 0)
		r = digest(h, offsetof(struct header, check), "", 0, h->check, CHECK_BYTES);
	return r;
}

/* ---- in memory ---- */

static unsigned int bucket_of(const uint8_t path[PATH_BYTES])
{
	return (path[0] | (unsigned int)path[1] << 8) % BUCKETS;
}

static struct first *find(const struct osh_firsts *f, const uint8_t path[PATH_BYTES])
{
	struct first *e = f->bucket[bucket_of(path)];

	while (e && memcmp(e->path, path, PATH_BYTES) != 0)
		e = e->next;
	return e;
}

static int remember(struct osh_firsts *f, const uint8_t path[PATH_BYTES],
		    const uint8_t sha256[OSH_SHA256_BYTES])
{
	struct first *e, **head = &f->bucket[bucket_of(path)];

	if (f->count >= OSH_FIRSTS_MAX)
		return -ENOSPC;
	e = malloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	memcpy(e->path, path, sizeof(e->path));
	memcpy(e->sha256, sha256, sizeof(e->sha256));
	e->next = *head;
	*head = e;
	f->count++;
	return 0;
}

/* ---- in the file ---- */

static int read_records(struct osh_firsts *f, uint64_t count)
{
	struct record rec;
	uint8_t check[CHECK_BYTES];
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < count; i++) {
		ssize_t n = pread(f->fd, &rec, sizeof(rec), (off_t)((i + 1) * sizeof(rec)));

		if (n != (ssize_t)sizeof(rec))
			return n < 0 ? -errno : -EBADMSG;
		r = record_check(f, i, &rec, check);
		if (r == 0 && (memcmp(check, rec.check, sizeof(check)) != 0 || find(f, rec.path)))
			r = -EBADMSG;
		if (r == 0)
			r = remember(f, rec.path, rec.sha256);
	}
	f->kept = count;
	return r;
}

static int start_anew(struct osh_firsts *f)
{
	if (ftruncate(f->fd, 0) < 0)
		return -errno;
	if (pwrite(f->fd, &f->header, sizeof(f->header), 0) != (ssize_t)sizeof(f->header))
		return -EIO;
	return 0;
}

static int read_file(struct osh_firsts *f)
{
	uint8_t check[CHECK_BYTES];
	struct header h;
	struct stat st;
	int r;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return start_anew(f);
	if (st.st_size % (off_t)sizeof(struct record) != 0 ||
	    st.st_size > (off_t)((OSH_FIRSTS_MAX + 1) * sizeof(struct record)))
		return -EBADMSG;
	if (pread(f->fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return -EIO;
	r = digest(&h, offsetof(struct header, check), "", 0, check, CHECK_BYTES);
	if (r < 0)
		return r;
	if (memcmp(check, h.check, sizeof(check)) != 0 ||
	    memcmp(h.magic, f->header.magic, sizeof(h.magic)) != 0)
		return -EBADMSG;
	if (memcmp(&h, &f->header, sizeof(h)) != 0)
		return start_anew(f); /* of another run */
	return read_records(f, (uint64_t)st.st_size / sizeof(struct record) - 1);
}

static int keep_record(struct osh_firsts *f, const uint8_t path[PATH_BYTES],
		       const uint8_t sha256[OSH_SHA256_BYTES])
{
	off_t at = (off_t)((f->kept + 1) * sizeof(struct record));
	struct record rec;
	ssize_t n;
	int r;

	if (f->err < 0)
		return f->err;
	memcpy(rec.path, path, sizeof(rec.path));
	memcpy(rec.sha256, sha256, sizeof(rec.sha256));
	r = record_check(f, f->kept, &rec, rec.check);
	if (r < 0)
		return r;
	n = pwrite(f->fd, &rec, sizeof(rec), at);
	if (n == (ssize_t)sizeof(rec)) {
		f->kept++;
		return 0;
	}
	r = n < 0 ? -errno : -ENOSPC;
	/* half a record would spoil the file for the next daemon */
	if (ftruncate(f->fd, at) < 0)
		f->err = -errno;
	return r;
}

int osh_firsts_check(struct osh_firsts *f, const char *path, bool keep,
		     const uint8_t sha256[OSH_SHA256_BYTES], uint8_t ret_first[OSH_SHA256_BYTES])
{
	uint8_t key[PATH_BYTES];
	struct first *e;
	int r;

	if (keep && f->err < 0)
		return f->err;
	r = digest(path, strlen(path), "", 0, key, sizeof(key));
	if (r < 0)
		return r;
	e = find(f, key);
	if (e) {
		memcpy(ret_first, e->sha256, OSH_SHA256_BYTES);
		return 0;
	}
	if (f->count >= OSH_FIRSTS_MAX)
		return -ENOSPC;
	r = keep ? keep_record(f, key, sha256) : 0;
	if (r == 0)
		r = remember(f, key, sha256);
	if (r == 0)
		memcpy(ret_first, sha256, OSH_SHA256_BYTES);
	return r;
}

int osh_firsts_error(const struct osh_firsts *f)
{
	return f->err;
}

/* ---- life ---- */

int osh_firsts_open(int dirfd, uint64_t netns_cookie, struct osh_firsts **ret_firsts)
{
	struct osh_firsts *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->err = header_fill(&f->header, netns_cookie);
	f->fd = openat(dirfd, FILE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd < 0)
		f->err = -errno;
	if (f->err == 0)
		f->err = read_file(f);
	*ret_firsts = f;
	return 0;
}

struct osh_firsts *osh_firsts_free(struct osh_firsts *f)
{
	if (!f)
		return NULL;
	for (unsigned int i = 0; i < BUCKETS; i++) {
		while (f->bucket[i]) {
			struct first *e = f->bucket[i];

			f->bucket[i] = e->next;
			free(e);
		}
	}
	osh_close_ptr(&f->fd);
	free(f);
	return NULL;
}

void osh_firsts_remove(int dirfd)
{
	(void)unlinkat(dirfd, FILE_NAME, 0); /* left over, it is known to be of another run */
}
