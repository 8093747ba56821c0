/* SPDX-License-Identifier: MIT */
#include "http/wskey.h"

/*
 * SHA-1 of one message of fixed length (key and the protocol's own text) in two blocks. It proves
 * nothing about who answers, only that somebody read the key; collisions are of no use to anybody.
 */

static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

enum { MESSAGE = OSH_WS_KEY_BYTES + sizeof(suffix) - 1, BLOCK = 64, DIGEST = 20 };

static uint32_t rol(uint32_t x, unsigned int n)
{
	return x << n | x >> (32 - n);
}

static void block(uint32_t state[5], const uint8_t *p)
{
	uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

	for (size_t i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (size_t i = 16; i < 80; i++)
		w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (size_t i = 0; i < 80; i++) {
		uint32_t f, k, next;

		if (i < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (i < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (i < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		next = rol(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rol(b, 30);
		b = a;
		a = next;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
}

static void base64(char dst[OSH_WS_ACCEPT_BYTES], const uint8_t p[DIGEST + 1])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < DIGEST + 1; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];

		for (size_t j = 0; j < 4; j++)
			*dst++ = digits[v >> (18 - 6 * j) & 63];
	}
	dst[-1] = '='; /* 20 bytes are one short of a multiple of three */
}

bool osh_ws_accept_is_valid(struct osh_str key, struct osh_str accept)
{
	uint32_t state[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	uint8_t message[2 * BLOCK] = { 0 }, digest[DIGEST + 1] = { 0 };
	char want[OSH_WS_ACCEPT_BYTES];

	if (key.n != OSH_WS_KEY_BYTES || accept.n != sizeof(want))
		return false;
	memcpy(message, key.p, key.n);
	memcpy(message + key.n, suffix, sizeof(suffix) - 1);
	message[MESSAGE] = 0x80;
	message[2 * BLOCK - 2] = (uint8_t)(8 * MESSAGE >> 8);
	message[2 * BLOCK - 1] = (uint8_t)(8 * MESSAGE);
	block(state, message);
	block(state, message + BLOCK);
	for (size_t i = 0; i < DIGEST; i++)
		digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
	base64(want, digest);
	return memcmp(want, accept.p, sizeof(want)) == 0;
}
