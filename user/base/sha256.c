/* SPDX-License-Identifier: MIT */
/*
 * Our own, so that the command-line tools, which hash policies and log lines, do not load libcrypto.
 * The processor's SHA instructions are used where it has them.
 */
#include "base/sha256.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { BLOCK = 64 };

struct osh_sha256 {
	uint32_t state[8];
	uint64_t bytes;
	unsigned char block[BLOCK];
};

static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t ror(uint32_t x, unsigned int n)
{
	return x >> n | x << (32 - n);
}

static uint32_t load_be(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_be(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

/* FIPS 180-4, 6.2.2 */
static void compress_portable(uint32_t state[8], const unsigned char *p, size_t blocks)
{
	for (; blocks; blocks--, p += BLOCK) {
		uint32_t w[64], s[8];

		for (int i = 0; i < 16; i++)
			w[i] = load_be(p + 4 * i);
		for (int i = 16; i < 64; i++) {
			uint32_t a = w[i - 15], b = w[i - 2];

			w[i] = w[i - 16] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) + w[i - 7] +
			       (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
		}
		memcpy(s, state, sizeof(s));
		for (int i = 0; i < 64; i++) {
			uint32_t e = s[4], a = s[0];
			uint32_t t1 = s[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) +
				      ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
			uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) +
				      ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

			memmove(s + 1, s, 7 * sizeof(s[0]));
			s[4] += t1;
			s[0] = t1 + t2;
		}
		for (int i = 0; i < 8; i++)
			state[i] += s[i];
	}
}

#if defined(__x86_64__)
static bool cpu_has_sha(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

/*
 * The instructions work on the state as two words ABEF and CDGH and do four rounds per pair. The
 * message schedule keeps the last sixteen words in four registers.
 */
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_sha_ni(uint32_t state[8],
									const unsigned char *p,
									size_t blocks)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
	__m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
	__m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

	for (; blocks; blocks--, p += BLOCK) {
		__m128i abef_in = abef, cdgh_in = cdgh, w[4];

		for (int i = 0; i < 16; i++) {
			__m128i wk, *cur = &w[i % 4];

			if (i < 4) {
				*cur = _mm_shuffle_epi8(
					_mm_loadu_si128((const __m128i *)(const void *)p + i),
					swap);
			} else {
				/* w[t] = w[t-16] + s0(w[t-15]) + w[t-7] + s1(w[t-2]) */
				__m128i t7 = _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4);

				*cur = _mm_sha256msg1_epu32(*cur, w[(i + 1) % 4]);
				*cur = _mm_add_epi32(*cur, t7);
				*cur = _mm_sha256msg2_epu32(*cur, w[(i + 3) % 4]);
			}
			wk = _mm_add_epi32(*cur,
					   _mm_loadu_si128((const __m128i *)(const void *)k + i));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
		}
		abef = _mm_add_epi32(abef, abef_in);
		cdgh = _mm_add_epi32(cdgh, cdgh_in);
	}
	cdab = _mm_shuffle_epi32(abef, 0x1b); /* FEBA */
	efgh = _mm_shuffle_epi32(cdgh, 0xb1); /* DCHG */
	dcba = _mm_blend_epi16(cdab, efgh, 0xf0);
	hgfe = _mm_alignr_epi8(efgh, cdab, 8);
	_mm_storeu_si128((__m128i *)(void *)state, dcba);
	_mm_storeu_si128((__m128i *)(void *)(state + 4), hgfe);
}
#endif

static void compress(uint32_t state[8], const unsigned char *p, size_t blocks)
{
#if defined(__x86_64__)
	static int has_sha = -1;

	if (has_sha < 0)
		has_sha = cpu_has_sha();
	if (has_sha) {
		compress_sha_ni(state, p, blocks);
		return;
	}
#endif
	compress_portable(state, p, blocks);
}

static void start(struct osh_sha256 *h)
{
	static const uint32_t initial[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	memcpy(h->state, initial, sizeof(initial));
	h->bytes = 0;
}

static void add(struct osh_sha256 *h, const unsigned char *p, size_t n)
{
	size_t have = h->bytes % BLOCK;

	h->bytes += n;
	if (have) {
		size_t take = OSH_MIN(n, BLOCK - have);

		memcpy(h->block + have, p, take);
		p += take;
		n -= take;
		if (have + take < BLOCK)
			return;
		compress(h->state, h->block, 1);
	}
	if (n >= BLOCK)
		compress(h->state, p, n / BLOCK);
	if (n % BLOCK)
		memcpy(h->block, p + n / BLOCK * BLOCK, n % BLOCK);
}

static void finish(struct osh_sha256 *h, unsigned char digest[OSH_SHA256_BYTES])
{
	static const unsigned char padding[BLOCK] = { 0x80 };
	uint64_t bits = h->bytes * 8;
	size_t have = h->bytes % BLOCK;
	unsigned char length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (unsigned char)(bits >> (56 - 8 * i));
	add(h, padding, have < 56 ? 56 - have : 120 - have);
	add(h, length, sizeof(length));
	for (int i = 0; i < 8; i++)
		store_be(digest + 4 * i, h->state[i]);
}

struct osh_sha256 *osh_sha256_new(void)
{
	struct osh_sha256 *h = malloc(sizeof(*h));

	if (h)
		start(h);
	return h;
}

struct osh_sha256 *osh_sha256_free(struct osh_sha256 *h)
{
	free(h);
	return NULL;
}

int osh_sha256_add(struct osh_sha256 *h, const void *data, size_t n)
{
	if (n)
		add(h, data, n);
	return 0;
}

int osh_sha256_end(struct osh_sha256 *h, unsigned char ret_digest[OSH_SHA256_BYTES])
{
	finish(h, ret_digest);
	return 0;
}

int osh_sha256(const void *data, size_t n, unsigned char ret_digest[OSH_SHA256_BYTES])
{
	struct osh_sha256 h;

	start(&h);
	if (n)
		add(&h, data, n);
	finish(&h, ret_digest);
	return 0;
}
