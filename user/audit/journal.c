/* SPDX-License-Identifier: MIT */
#include "audit/journal.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "audit/render.h"

struct osh_journal {
	int fd;
	struct sockaddr_un addr;
	struct osh_buf buf;
	uint64_t lost;
};

int osh_journal_new(const char *path, struct osh_journal **ret_journal)
{
	struct osh_journal *journal = calloc(1, sizeof(*journal));
	int size = 1 << 20;

	if (!journal)
		return -ENOMEM;
	journal->addr.sun_family = AF_UNIX;
	if (!osh_strlcpy(journal->addr.sun_path, path, sizeof(journal->addr.sun_path))) {
		free(journal);
		return -ENAMETOOLONG;
	}
	journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (journal->fd < 0) {
		free(journal);
		return -errno;
	}
	/* a smaller buffer only loses records earlier, and they are counted */
	(void)setsockopt(journal->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	osh_buf_init(&journal->buf, 4 * OSH_RENDER_MAX, 0);
	*ret_journal = journal;
	return 0;
}

struct osh_journal *osh_journal_free(struct osh_journal *journal)
{
	if (!journal)
		return NULL;
	osh_close_ptr(&journal->fd);
	osh_buf_fini(&journal->buf);
	free(journal);
	return NULL;
}

bool osh_journal_send(struct osh_journal *journal, const struct osh_rec *rec)
{
	/* addressed per datagram: a journal that comes back is found again without doing anything */
	osh_buf_reset(&journal->buf);
	if (osh_render_journal(rec, &journal->buf) == 0 &&
	    sendto(journal->fd, journal->buf.data, journal->buf.len, MSG_NOSIGNAL,
		   (struct sockaddr *)&journal->addr, sizeof(journal->addr)) >= 0)
		return true;
	journal->lost++;
	return false;
}

uint64_t osh_journal_lost(const struct osh_journal *journal)
{
	return journal->lost;
}
