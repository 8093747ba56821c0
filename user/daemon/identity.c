/* SPDX-License-Identifier: MIT */
/*
 * Who an executable is. The kernel gives every {file, path, sandbox} that runs an exe id; here it
 * gets its SHA-256, computed from the very file that ran, and is compared with what the same path of
 * the same sandbox was first seen with (trust on first use). Files are read in slices between other
 * events, as soon as they run, so that the hash of an ancestor is known after it is gone. What
 * cannot be read stays UNKNOWN, which matches no policy binary.
 */
#include "daemon/publish.h"

#include <errno.h>

#include "base/log.h"
#include "base/sha256.h"
#include "policy/image.h"
#include "state/firstuse.h"

enum {
	BUCKETS = 4096,
	SLICE_BYTES = 1 << 20,
	WAITERS_MAX = 1024, /* questions of proxies about one file being hashed */
	QUEUE_MAX = 64, /* files of one sandbox open for hashing; each costs a descriptor */
};

/* Larger files stay UNKNOWN: a sparse file costs its sandbox nothing, and us the time to read it. */
#define HASH_MAX_BYTES (UINT64_C(1) << 30)

enum ident_state {
	IDENT_NEW = 0,
	IDENT_HASHING,
	IDENT_DONE, /* status and sha256 say */
};

struct waiter {
	struct osh_list node;
	struct osh_role *role;
	pid_t pid; /* of the role when it asked: answers to a dead one are dropped */
	uint64_t cookie;
};

struct ident {
	struct ident *next; /* in its bucket */
	struct osh_list queue; /* hashing queue */
	enum ident_state state;
	struct osh_exe exe;
	uint32_t status; /* enum osh_exe_status */
	uint8_t sha256[OSH_SHA256_BYTES], first[OSH_SHA256_BYTES];
	int fd;
	struct osh_kern_run run; /* through which @fd was opened */
	struct osh_sha256 *hash;
	struct osh_list waiters;
	unsigned int nwaiters;
};

/* Hash of a file content, for the same file under other paths and sandboxes. */
struct content {
	struct content *next;
	struct osh_exe_key key;
	uint64_t size;
	uint8_t sha256[OSH_SHA256_BYTES];
};

struct osh_idents {
	struct osh_monitor *m;
	struct ident *by_id[BUCKETS];
	struct content *contents[BUCKETS];
	unsigned int ncontents;
	struct osh_list queue;
	uint32_t served; /* sandbox of the last slice */
	struct osh_timer work;
};

enum { CONTENTS_MAX = 65536 };

static uint32_t hash_bytes(const void *data, size_t n, uint32_t h)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static uint32_t key_bucket(const struct osh_exe_key *key)
{
	return hash_bytes(key, sizeof(*key), 2166136261u) % BUCKETS;
}

/* ---- answers ---- */

static void answer(struct osh_role *role, uint64_t cookie, uint32_t sandbox, uint32_t exe_id,
		   const struct ident *id)
{
	struct osh_msg_exe msg = { .sandbox = sandbox, .exe_id = exe_id };

	if (id) {
		msg.status = id->status;
		msg.flags = id->exe.flags;
		memcpy(msg.sha256, id->sha256, sizeof(msg.sha256));
		memcpy(msg.first_sha256, id->first, sizeof(msg.first_sha256));
		(void)osh_strlcpy(msg.path, id->exe.path, sizeof(msg.path));
		(void)osh_strlcpy(msg.script, id->exe.script, sizeof(msg.script));
	}
	osh_role_send(role, OSH_MSG_EXE_INFO, cookie, &msg, sizeof(msg), NULL, 0);
}

static void answer_waiters(struct ident *id)
{
	while (!osh_list_is_empty(&id->waiters)) {
		struct waiter *w = osh_list_entry(id->waiters.next, struct waiter, node);

		osh_list_del(&w->node);
		if (w->role->pid == w->pid)
			answer(w->role, w->cookie, id->exe.ident.sandbox, id->exe.id, id);
		free(w);
	}
	id->nwaiters = 0;
}

/* ---- trust on first use ---- */

static struct osh_firsts *firsts_of(struct osh_sandbox *sb)
{
	int r;

	if (sb->firsts)
		return sb->firsts;
	r = osh_firsts_open(sb->state_fd, sb->proc.netns_cookie, &sb->firsts);
	if (r < 0)
		return NULL;
	r = osh_firsts_error(sb->firsts);
	if (r < 0)
		osh_events_log(sb->m, sb, OSH_REC_ERROR,
			       "First uses of binaries are not readable (%s): those in writable "
			       "places match nothing until the sandbox is restarted",
			       r == -EBADMSG ? "damaged" : strerror(-r));
	return sb->firsts;
}

static void check_first_use(struct osh_idents *ids, struct ident *id)
{
	struct osh_sandbox *sb = osh_sb_by_id(ids->m, id->exe.ident.sandbox);
	struct osh_firsts *firsts = sb ? firsts_of(sb) : NULL;

	id->status = OSH_EXE_UNKNOWN;
	if (!firsts || osh_firsts_check(firsts, id->exe.path, id->exe.flags & OSH_EXE_WRITABLE,
					id->sha256, id->first) < 0)
		return;
	id->status = memcmp(id->first, id->sha256, sizeof(id->first)) == 0 ? OSH_EXE_OK
									   : OSH_EXE_MISMATCH;
}

static void report_mismatch(struct osh_monitor *m, const struct ident *id)
{
	char first[OSH_SHA256_HEX], now[OSH_SHA256_HEX];

	osh_hex(first, id->first, sizeof(id->first));
	osh_hex(now, id->sha256, sizeof(id->sha256));
	osh_events_log(m, osh_sb_by_id(m, id->exe.ident.sandbox), OSH_REC_WARN,
		       "Binary integrity violation: %s hash changed (cached: %s, current: %s)",
		       id->exe.path, first, now);
}

/* ---- hashing ---- */

static const struct content *find_content(const struct osh_idents *ids, const struct osh_exe *exe)
{
	const struct content *c = ids->contents[key_bucket(&exe->ident.key)];

	if (exe->flags & OSH_EXE_ONE_RUN)
		return NULL; /* the key does not stand for the content */
	for (; c; c = c->next)
		if (memcmp(&c->key, &exe->ident.key, sizeof(c->key)) == 0 && c->size == exe->size)
			return c;
	return NULL;
}

static void keep_content(struct osh_idents *ids, const struct ident *id)
{
	uint32_t bucket = key_bucket(&id->exe.ident.key);
	struct content *c = NULL;

	if (!(id->exe.flags & OSH_EXE_ONE_RUN) && ids->ncontents < CONTENTS_MAX)
		c = malloc(sizeof(*c));
	if (!c)
		return; /* only a cache */
	c->key = id->exe.ident.key;
	c->size = id->exe.size;
	memcpy(c->sha256, id->sha256, sizeof(c->sha256));
	c->next = ids->contents[bucket];
	ids->contents[bucket] = c;
	ids->ncontents++;
}

static void ident_done(struct osh_idents *ids, struct ident *id, int err)
{
	osh_list_del(&id->queue);
	osh_close_ptr(&id->fd);
	id->hash = osh_sha256_free(id->hash);
	if (err < 0) {
		/* not read: a later question tries again, unless the file can never be trusted */
		id->state = id->exe.flags & OSH_EXE_UNUSABLE ? IDENT_DONE : IDENT_NEW;
		id->status = OSH_EXE_UNKNOWN;
	} else {
		id->state = IDENT_DONE;
		check_first_use(ids, id);
		if (id->status == OSH_EXE_MISMATCH)
			report_mismatch(ids->m, id);
	}
	answer_waiters(id);
	if (id->state == IDENT_DONE && osh_sb_by_id(ids->m, id->exe.ident.sandbox))
		osh_kmap_add_exe(osh_sb_by_id(ids->m, id->exe.ident.sandbox), id->exe.id);
}

/* The file may have changed while it was read. */
static int finish_hash(struct osh_idents *ids, struct ident *id)
{
	int r = osh_kern_exe_confirm(ids->m->kern, &id->exe, id->fd, &id->run);

	if (r == 0)
		r = osh_sha256_end(id->hash, id->sha256);
	if (r == 0)
		keep_content(ids, id);
	return r;
}

/* Sandboxes take turns, and so do the files of each: nobody's large files hold up the others. */
static struct ident *next_in_queue(struct osh_idents *ids)
{
	struct osh_list *it;

	osh_list_for_each (it, &ids->queue) {
		struct ident *id = osh_list_entry(it, struct ident, queue);

		if (id->exe.ident.sandbox != ids->served)
			return id;
	}
	return osh_list_entry(ids->queue.next, struct ident, queue);
}

static unsigned int queued_of(const struct osh_idents *ids, uint32_t sandbox)
{
	const struct osh_list *it;
	unsigned int n = 0;

	osh_list_for_each (it, &ids->queue)
		n += osh_list_entry(it, struct ident, queue)->exe.ident.sandbox == sandbox;
	return n;
}

static void work_slice(struct osh_timer *timer)
{
	static char buf[SLICE_BYTES];
	struct osh_idents *ids = osh_container_of(timer, struct osh_idents, work);
	struct ident *id;
	ssize_t n;
	int r = 0;

	if (osh_list_is_empty(&ids->queue))
		return;
	id = next_in_queue(ids);
	ids->served = id->exe.ident.sandbox;
	osh_list_del(&id->queue);
	osh_list_add_tail(&ids->queue, &id->queue);
	n = read(id->fd, buf, sizeof(buf));
	if (n > 0)
		r = osh_sha256_add(id->hash, buf, (size_t)n);
	else if (n < 0 && errno != EINTR)
		r = -errno;
	if (r == 0 && n == 0)
		r = finish_hash(ids, id);
	if (r < 0 || n == 0)
		ident_done(ids, id, r);
	if (!osh_list_is_empty(&ids->queue))
		osh_timer_set(ids->m->loop, &ids->work, 0, work_slice);
}

static void start_hash(struct osh_idents *ids, struct ident *id)
{
	const struct content *known = find_content(ids, &id->exe);
	int r = 0;

	if (id->exe.flags & OSH_EXE_UNUSABLE) {
		r = -EPERM;
	} else if (known) {
		memcpy(id->sha256, known->sha256, sizeof(id->sha256));
	} else if (id->exe.size > HASH_MAX_BYTES) {
		r = -EFBIG;
	} else if (queued_of(ids, id->exe.ident.sandbox) >= QUEUE_MAX) {
		r = -EAGAIN;
	} else {
		r = osh_kern_exe_open(ids->m->kern, &id->exe, &id->fd, &id->run);
		id->hash = r == 0 ? osh_sha256_new() : NULL;
		if (r == 0 && !id->hash)
			r = -ENOMEM;
		if (r == 0) {
			id->state = IDENT_HASHING;
			osh_list_add_tail(&ids->queue, &id->queue);
			if (!osh_timer_armed(&ids->work))
				osh_timer_set(ids->m->loop, &ids->work, 0, work_slice);
			return;
		}
	}
	ident_done(ids, id, r);
}

/* ---- table ---- */

static struct ident *find(struct osh_idents *ids, uint32_t exe)
{
	struct ident *id = ids->by_id[exe % BUCKETS];

	while (id && id->exe.id != exe)
		id = id->next;
	return id;
}

static struct ident *get(struct osh_idents *ids, uint32_t exe)
{
	struct ident *id = find(ids, exe);

	if (id || !exe)
		return id;
	id = calloc(1, sizeof(*id));
	if (!id)
		return NULL;
	if (osh_kern_exe_get(ids->m->kern, exe, &id->exe) < 0) {
		free(id);
		return NULL;
	}
	id->exe.path[OSH_PATH_MAX - 1] = '\0';
	id->exe.script[OSH_SCRIPT_MAX - 1] = '\0';
	id->fd = -1;
	osh_list_init(&id->queue);
	osh_list_init(&id->waiters);
	id->next = ids->by_id[exe % BUCKETS];
	ids->by_id[exe % BUCKETS] = id;
	return id;
}

/* Could the policy mean this path, whatever the content? */
static bool is_named(const struct osh_image *img, struct osh_str path)
{
	struct osh_image_binary bin;
	uint64_t self, inherit;

	osh_image_binary_mask(img, path, NULL, &self, &inherit);
	if (self | inherit)
		return true;
	for (size_t c = 0; c < osh_image_class_count(img); c++) {
		for (size_t i = 0; i < osh_image_class_size(img, c); i++) {
			osh_image_class_binary(img, c, i, &bin);
			if (bin.sha256 && (bin.is_glob || osh_str_eq(bin.pattern, path)))
				return true;
		}
	}
	return false;
}

/*
 * Every new executable is read when it starts, so that its hash is known when it is gone. But one
 * that has an id of its own each time it runs could keep us busy for ever: that is read if it
 * matters, or when somebody asks.
 */
static bool is_worth_reading(struct osh_monitor *m, const struct ident *id)
{
	const struct osh_sandbox *sb = osh_sb_by_id(m, id->exe.ident.sandbox);

	if (!(id->exe.flags & OSH_EXE_ONE_RUN))
		return true;
	return sb && sb->active.image && is_named(sb->active.image, osh_str(id->exe.path));
}

void osh_idents_on_exe(struct osh_monitor *m, uint32_t exe, uint32_t sandbox)
{
	struct ident *id = get(m->idents, exe);

	if (id && id->exe.ident.sandbox == sandbox && id->state == IDENT_NEW &&
	    is_worth_reading(m, id))
		start_hash(m->idents, id);
}

void osh_idents_on_ask(struct osh_role *role, uint64_t cookie, const struct osh_msg_exe *ask)
{
	struct osh_idents *ids = role->m->idents;
	struct ident *id = get(ids, ask->exe_id);
	struct waiter *w;

	if (!id || id->exe.ident.sandbox != ask->sandbox) {
		answer(role, cookie, ask->sandbox, ask->exe_id, NULL);
		return;
	}
	if (id->state == IDENT_NEW)
		start_hash(ids, id);
	w = id->state == IDENT_HASHING && id->nwaiters < WAITERS_MAX ? calloc(1, sizeof(*w)) : NULL;
	if (!w) {
		answer(role, cookie, ask->sandbox, ask->exe_id, id);
		return;
	}
	w->role = role;
	w->pid = role->pid;
	w->cookie = cookie;
	osh_list_add_tail(&id->waiters, &w->node);
	id->nwaiters++;
}

static void ident_free(struct ident *id)
{
	while (!osh_list_is_empty(&id->waiters)) {
		struct waiter *w = osh_list_entry(id->waiters.next, struct waiter, node);

		osh_list_del(&w->node);
		free(w);
	}
	osh_list_del(&id->queue);
	osh_close_ptr(&id->fd);
	osh_sha256_free(id->hash);
	free(id);
}

void osh_idents_sweep(struct osh_monitor *m)
{
	struct osh_exe exe;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct ident **at = &m->idents->by_id[i]; *at;) {
			struct ident *id = *at;

			if (id->state == IDENT_HASHING ||
			    osh_kern_exe_get(m->kern, id->exe.id, &exe) != -ENOENT) {
				at = &id->next;
				continue;
			}
			*at = id->next;
			ident_free(id);
		}
	}
}

void osh_idents_forget(struct osh_monitor *m, uint32_t sandbox)
{
	struct osh_idents *ids = m->idents;
	struct osh_sandbox *sb = osh_sb_by_id(m, sandbox);

	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct ident **at = &ids->by_id[i]; *at;) {
			struct ident *id = *at;

			if (sandbox && id->exe.ident.sandbox != sandbox) {
				at = &id->next;
				continue;
			}
			*at = id->next;
			ident_free(id);
		}
	}
	if (sb) {
		sb->firsts = osh_firsts_free(sb->firsts);
		osh_firsts_remove(sb->state_fd);
	}
}

static int visit(const struct ident *id, osh_ident_fn *fn, void *arg)
{
	bool hashed = id->state == IDENT_DONE && id->status != OSH_EXE_UNKNOWN;
	bool usable = !(id->exe.flags & OSH_EXE_UNUSABLE) && id->status != OSH_EXE_MISMATCH;

	return fn(id->exe.id, id->exe.path, hashed ? id->sha256 : NULL, usable, arg);
}

int osh_idents_each(struct osh_monitor *m, uint32_t sandbox, osh_ident_fn *fn, void *arg)
{
	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (const struct ident *id = m->idents->by_id[i]; id; id = id->next) {
			int r = id->exe.ident.sandbox == sandbox ? visit(id, fn, arg) : 0;

			if (r < 0)
				return r;
		}
	}
	return 0;
}

int osh_idents_one(struct osh_monitor *m, uint32_t exe, osh_ident_fn *fn, void *arg)
{
	const struct ident *id = find(m->idents, exe);

	return id ? visit(id, fn, arg) : -ENOENT;
}

const char *osh_idents_path(struct osh_monitor *m, uint32_t exe)
{
	const struct ident *id = get(m->idents, exe);

	return id ? id->exe.path : "";
}

void osh_idents_json(struct osh_monitor *m, uint32_t exe, struct osh_json *j)
{
	static const char *const status[] = { "unknown", "verified", "mismatch" };
	const struct ident *id = get(m->idents, exe);
	char hex[OSH_SHA256_HEX];

	osh_json_obj(j);
	osh_json_ku64(j, "exe", exe);
	if (id) {
		osh_json_kz(j, "path", id->exe.path);
		if (id->exe.script[0])
			osh_json_kz(j, "script", id->exe.script);
		osh_json_kz(j, "status",
			    id->state == IDENT_HASHING ? "hashing" : status[id->status % 3]);
		if (id->state == IDENT_DONE && id->status != OSH_EXE_UNKNOWN) {
			osh_hex(hex, id->sha256, sizeof(id->sha256));
			osh_json_kz(j, "sha256", hex);
		}
		osh_json_ku64(j, "device", id->exe.ident.key.dev);
		osh_json_ku64(j, "inode", id->exe.ident.key.ino);
		osh_json_ku64(j, "inode_generation", id->exe.ident.key.gen);
		osh_json_ku64(j, "size", id->exe.size);
		osh_json_ku64(j, "flags", id->exe.flags);
	}
	osh_json_obj_end(j);
}

int osh_idents_new(struct osh_monitor *m)
{
	m->idents = calloc(1, sizeof(*m->idents));
	if (!m->idents)
		return -ENOMEM;
	m->idents->m = m;
	osh_list_init(&m->idents->queue);
	return 0;
}

void osh_idents_free(struct osh_monitor *m)
{
	struct osh_idents *ids = m->idents;

	if (!ids)
		return;
	osh_timer_stop(&ids->work);
	osh_idents_forget(m, 0);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		while (ids->contents[i]) {
			struct content *c = ids->contents[i];

			ids->contents[i] = c->next;
			free(c);
		}
	}
	free(ids);
	m->idents = NULL;
}
