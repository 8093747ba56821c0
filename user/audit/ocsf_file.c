/* SPDX-License-Identifier: MIT */
#include "audit/ocsf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "audit/render.h"

enum { FLUSH_AT = 65536, HOST_MAX = 256, FILES_MAX = 1000 };

struct osh_ocsf_file {
	char *path;
	uint64_t max_bytes, bytes; /* of the file as it is */
	unsigned int files;
	int fd; /* -1: could not be opened; tried again every second */
	char host[HOST_MAX];
	struct osh_buf buf; /* whole lines */
	uint64_t buffered, lost; /* records */
	bool works;
};

static int reopen(struct osh_ocsf_file *file)
{
	struct stat st;
	int fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
		      0640);
	int r;

	osh_close_ptr(&file->fd);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		r = errno ? -errno : -EINVAL;
		osh_close_ptr(&fd);
		return r;
	}
	file->fd = fd;
	file->bytes = (uint64_t)st.st_size;
	return 0;
}

/* FILE.(n-2) becomes FILE.(n-1), ... and FILE becomes FILE.1. */
static void rotate(struct osh_ocsf_file *file)
{
	size_t size = strlen(file->path) + 16;
	osh_auto_free char *from = malloc(size), *to = malloc(size);

	if (!from || !to)
		return; /* the file grows until there is memory */
	for (unsigned int i = file->files - 1; i > 0; i--) {
		(void)snprintf(to, size, "%s.%u", file->path, i);
		(void)snprintf(from, size, "%s.%u", file->path, i - 1);
		(void)rename(i > 1 ? from : file->path, to); /* those that are not there yet */
	}
	(void)reopen(file); /* tick() tries again */
}

void osh_ocsf_file_flush(struct osh_ocsf_file *file)
{
	size_t done = 0;

	if (!file->buf.len)
		return;
	if (file->bytes && file->bytes + file->buf.len > file->max_bytes)
		rotate(file);
	while (file->fd >= 0 && done < file->buf.len) {
		ssize_t n = write(file->fd, file->buf.data + done, file->buf.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done < file->buf.len) {
		/* no half line may stay: a reader would glue the next record to it */
		if (done && ftruncate(file->fd, (off_t)file->bytes) < 0)
			osh_close_ptr(&file->fd);
		file->lost += file->buffered;
		file->works = false;
	} else {
		file->works = true;
		file->bytes += done;
	}
	file->buffered = 0;
	osh_buf_reset(&file->buf);
}

void osh_ocsf_file_put(struct osh_ocsf_file *file, const struct osh_rec *rec)
{
	size_t before = file->buf.len;

	if (osh_render_ocsf_json(rec, file->host, &file->buf) < 0 ||
	    osh_buf_add_c(&file->buf, '\n') < 0) {
		file->buf.len = before;
		file->lost++;
		return;
	}
	file->buffered++;
	if (file->buf.len >= FLUSH_AT)
		osh_ocsf_file_flush(file);
}

void osh_ocsf_file_tick(struct osh_ocsf_file *file)
{
	struct stat ours, there;

	if (file->fd >= 0 && fstat(file->fd, &ours) == 0 && lstat(file->path, &there) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) {
		file->bytes = (uint64_t)ours.st_size; /* somebody may have emptied it */
		return;
	}
	(void)reopen(file); /* or at the next tick; what comes meanwhile is counted */
}

int osh_ocsf_file_open(const struct osh_ocsf_file_config *config, struct osh_ocsf_file **ret_file)
{
	struct osh_ocsf_file *file = calloc(1, sizeof(*file));
	int r;

	if (!file)
		return -ENOMEM;
	file->fd = -1;
	file->max_bytes = config->max_bytes;
	file->files = OSH_MIN(OSH_MAX(config->files, 2u), (unsigned int)FILES_MAX);
	osh_buf_init(&file->buf, FLUSH_AT + 2 * OSH_RENDER_MAX, 0);
	if (gethostname(file->host, sizeof(file->host) - 1) < 0)
		file->host[0] = '\0';
	file->path = osh_str_dup(osh_str(config->path));
	r = file->path ? reopen(file) : -ENOMEM;
	if (r < 0) {
		(void)osh_ocsf_file_free(file);
		return r;
	}
	*ret_file = file;
	return 0;
}

struct osh_ocsf_file *osh_ocsf_file_free(struct osh_ocsf_file *file)
{
	if (!file)
		return NULL;
	osh_ocsf_file_flush(file);
	osh_close_ptr(&file->fd);
	osh_buf_fini(&file->buf);
	free(file->path);
	free(file);
	return NULL;
}

uint64_t osh_ocsf_file_lost(const struct osh_ocsf_file *file)
{
	return file->lost;
}

bool osh_ocsf_file_works(const struct osh_ocsf_file *file)
{
	return file->works;
}
