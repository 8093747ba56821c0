/* SPDX-License-Identifier: MIT */
#include "audit/flood.h"

#include <errno.h>
#include <sys/random.h>

enum { WAYS = 4, NS_PER_S = 1000000000, SANDBOX_SCALE = 20 };

struct bucket {
	uint64_t key; /* keyed hash; 0: free */
	uint64_t tokens_ns; /* time credit: one record costs NS_PER_S / per_s */
	uint64_t at_ns; /* of the last refill */
	uint64_t suppressed;
	uint64_t last_drop_ns, last_note_ns;
	unsigned int scale; /* this many times the configured burst and rate */
	struct osh_rec *sample; /* what was held back last; only while suppressed */
};

struct osh_flood {
	struct osh_flood_config config;
	uint64_t seed[2];
	struct bucket *buckets;
	size_t n_sets; /* power of two */
	uint64_t total;
	size_t tick_at;
};

int osh_flood_new(const struct osh_flood_config *config, struct osh_flood **ret_flood)
{
	struct osh_flood *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->config = *config;
	if (!f->config.burst)
		f->config.burst = 50;
	if (!f->config.per_s)
		f->config.per_s = 10;
	if (!f->config.keys_max)
		f->config.keys_max = 4096;
	for (f->n_sets = 1; f->n_sets * WAYS < f->config.keys_max; f->n_sets *= 2)
		;
	f->buckets = calloc(f->n_sets * WAYS, sizeof(*f->buckets));
	/* unpredictable, so that nobody outside can aim two keys at one bucket */
	if (!f->buckets || getrandom(f->seed, sizeof(f->seed), 0) != sizeof(f->seed)) {
		int r = f->buckets ? -EIO : -ENOMEM;

		(void)osh_flood_free(f);
		return r;
	}
	*ret_flood = f;
	return 0;
}

struct osh_flood *osh_flood_free(struct osh_flood *f)
{
	if (!f)
		return NULL;
	for (size_t i = 0; f->buckets && i < f->n_sets * WAYS; i++)
		free(f->buckets[i].sample);
	free(f->buckets);
	free(f);
	return NULL;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x9fb21c651e98df25ull;
	return h ^ h >> 32;
}

static uint64_t hash_str(uint64_t h, struct osh_str s)
{
	h = mix(h, s.n);
	for (size_t i = 0; i < s.n; i += 8) {
		uint64_t word = 0;

		memcpy(&word, s.p + i, OSH_MIN(s.n - i, (size_t)8));
		h = mix(h, word);
	}
	return h;
}

static uint64_t key_of(const struct osh_flood *f, const struct osh_rec *rec)
{
	static const enum osh_rec_field fields[] = {
		OSH_REC_SANDBOX_NAME, OSH_REC_HOST,	  OSH_REC_BINARY,
		OSH_REC_METHOD,	      OSH_REC_POLICY_KEY, OSH_REC_ENGINE,
	};
	uint64_t h = f->seed[0];

	h = mix(h, (uint64_t)rec->class << 32 | (uint64_t)rec->verdict << 24 | rec->port);
	h = mix(h, rec->reason);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(fields); i++)
		h = hash_str(h, osh_rec_get(rec, fields[i]));
	h = mix(h, f->seed[1]);
	return h ? h : 1;
}

static uint64_t cost_ns(const struct osh_flood *f, unsigned int scale)
{
	return NS_PER_S / ((uint64_t)f->config.per_s * scale);
}

static uint64_t full_ns(const struct osh_flood *f, unsigned int scale)
{
	return cost_ns(f, scale) * f->config.burst * scale;
}

static void refill(const struct osh_flood *f, struct bucket *b, uint64_t now_ns)
{
	uint64_t full = full_ns(f, b->scale);

	if (now_ns > b->at_ns)
		b->tokens_ns = OSH_MIN(full, b->tokens_ns + OSH_MIN(now_ns - b->at_ns, full));
	b->at_ns = now_ns;
}

/* The key's bucket; a new key takes the place of the one idle for longest that owes no note. */
static struct bucket *find(struct osh_flood *f, uint64_t key, unsigned int scale, uint64_t now_ns)
{
	struct bucket *set = f->buckets + (key & (f->n_sets - 1)) * WAYS, *victim = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		struct bucket *b = &set[i];

		if (b->key == key) {
			refill(f, b, now_ns);
			return b;
		}
		if (!b->suppressed && (!victim || b->at_ns < victim->at_ns))
			victim = b;
	}
	if (!victim)
		return NULL;
	*victim = (struct bucket){
		.key = key,
		.at_ns = now_ns,
		.scale = scale,
		.tokens_ns = full_ns(f, scale),
	};
	return victim;
}

static bool is_exempt(const struct osh_rec *rec)
{
	return rec->class == OSH_REC_POLICY || rec->class == OSH_REC_SANDBOX ||
	       rec->class == OSH_REC_LOSS || rec->class == OSH_REC_SUPPRESSED;
}

/* Turn what was held back into the note and clear the account. */
static void make_note(struct bucket *b, uint64_t now_ns, struct osh_rec *ret_note)
{
	static const enum osh_rec_field fields[] = {
		OSH_REC_HOST,	    OSH_REC_BINARY, OSH_REC_METHOD,
		OSH_REC_POLICY_KEY, OSH_REC_ENGINE, OSH_REC_REASON,
	};
	const struct osh_rec *s = b->sample;

	osh_rec_init(ret_note, OSH_REC_SUPPRESSED, OSH_REC_NOTE, now_ns);
	ret_note->count = b->suppressed;
	osh_rec_setf(ret_note, OSH_REC_MESSAGE, "records of class %s, verdict %s",
		     osh_rec_class_name(s->class), osh_rec_verdict_name(s->verdict));
	for (size_t i = 0; i < OSH_ARRAY_SIZE(fields); i++)
		osh_rec_set(ret_note, fields[i], osh_rec_get(s, fields[i]));
	ret_note->port = s->port;
	ret_note->pid = s->pid;
	ret_note->reason = s->reason;
	ret_note->sandbox_id = s->sandbox_id;
	ret_note->level = OSH_MIN(ret_note->level, s->level);
	osh_rec_set_sandbox(ret_note, osh_rec_get(s, OSH_REC_SANDBOX_NAME));
	b->suppressed = 0;
	b->last_note_ns = now_ns;
	free(b->sample);
	b->sample = NULL;
}

/* Take one record out of a bucket; false: held back. */
static bool charge(struct osh_flood *f, struct bucket *b, const struct osh_rec *rec,
		   uint64_t now_ns)
{
	if (b->tokens_ns >= cost_ns(f, b->scale)) {
		b->tokens_ns -= cost_ns(f, b->scale);
		return true;
	}
	if (!b->sample) {
		b->sample = malloc(sizeof(*b->sample));
		if (!b->sample)
			return true; /* without a sample the count could not be told */
		memcpy(b->sample, rec, rec->size);
	}
	b->suppressed++;
	b->last_drop_ns = now_ns;
	f->total++;
	return false;
}

bool osh_flood_admit(struct osh_flood *f, const struct osh_rec *rec, uint64_t now_ns,
		     struct osh_rec *ret_note, bool *ret_suppressed)
{
	struct bucket *all, *one;
	uint64_t name;

	*ret_suppressed = false;
	if (is_exempt(rec))
		return true;
	one = find(f, key_of(f, rec), 1, now_ns);
	if (one && !charge(f, one, rec, now_ns))
		return false;
	/* ever new host names are ever new keys, so the sandbox as a whole has a bucket too */
	name = mix(hash_str(f->seed[1], osh_rec_get(rec, OSH_REC_SANDBOX_NAME)), rec->sandbox_id);
	all = find(f, name ? name : 1, SANDBOX_SCALE, now_ns);
	if (all && !charge(f, all, rec, now_ns))
		return false;
	/* no bucket: every one of its set owes a note; rather too much than silence */
	if (one && one->suppressed && now_ns - one->last_note_ns >= NS_PER_S) {
		make_note(one, now_ns, ret_note);
		*ret_suppressed = true;
	} else if (all && all->suppressed && now_ns - all->last_note_ns >= NS_PER_S) {
		make_note(all, now_ns, ret_note);
		*ret_suppressed = true;
	}
	return true;
}

bool osh_flood_tick(struct osh_flood *f, uint64_t now_ns, struct osh_rec *ret_note)
{
	size_t n = f->n_sets * WAYS;

	for (size_t i = 0; i < n; i++) {
		struct bucket *b = &f->buckets[(f->tick_at + i) % n];

		if (!b->suppressed || now_ns < b->last_drop_ns + NS_PER_S)
			continue;
		f->tick_at = (f->tick_at + i + 1) % n;
		make_note(b, now_ns, ret_note);
		return true;
	}
	return false;
}

uint64_t osh_flood_total(const struct osh_flood *f)
{
	return f->total;
}
