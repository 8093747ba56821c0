/* SPDX-License-Identifier: MIT */
#include "http/hello.h"

#include "policy/host.h"

#define RECORD_HEAD    5
#define RECORD_MAX     16384
#define EXTENSIONS_MAX 64

/*
 * Reads the handshake message through the record layer: record headers are stepped over. That every
 * byte is there has been checked before, so reading needs no error path of its own: a read beyond the
 * end of the message sets @bad and gives zeros.
 */
struct reader {
	const uint8_t *p; /* next byte */
	size_t in_record; /* bytes left in this record */
	size_t left; /* bytes left of the message, or of the part being read */
	bool bad;
};

static void read_bytes(struct reader *r, uint8_t *dst, size_t n)
{
	if (r->bad || n > r->left) {
		r->bad = true;
		if (dst)
			memset(dst, 0, n);
		return;
	}
	r->left -= n;
	while (n) {
		size_t step;

		if (!r->in_record) {
			r->in_record = (size_t)r->p[3] << 8 | r->p[4];
			r->p += RECORD_HEAD;
		}
		step = OSH_MIN(n, r->in_record);
		if (dst) {
			memcpy(dst, r->p, step);
			dst += step;
		}
		r->p += step;
		r->in_record -= step;
		n -= step;
	}
}

static void skip(struct reader *r, size_t n)
{
	read_bytes(r, NULL, n);
}

static size_t read_num(struct reader *r, size_t bytes)
{
	uint8_t b[3];
	size_t value = 0;

	read_bytes(r, b, bytes);
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | b[i];
	return value;
}

/*
 * A length-prefixed part becomes a reader of its own; @r moves behind it. Both continue on the same
 * input, so @r is advanced by a copy.
 */
static struct reader part(struct reader *r, size_t length_bytes)
{
	size_t n = read_num(r, length_bytes);
	struct reader sub = *r;

	skip(r, n);
	sub.left = r->bad ? 0 : n;
	sub.bad = r->bad;
	return sub;
}

/*
 * Find the whole message: 0, -EAGAIN, -EBADMSG, -EMSGSIZE. Records: type 22, version 3.x, not empty.
 */
static int frame(struct osh_str in, size_t *ret_len, size_t *ret_wire)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t at = 0, have = 0, need = 4;
	uint8_t head[4] = { 0 };

	while (have < need) {
		size_t n, room;

		if (in.n > at && p[at] != 22)
			return -EBADMSG;
		if (in.n > at + 1 && p[at + 1] != 3)
			return -EBADMSG;
		if (in.n < at + RECORD_HEAD)
			return at + RECORD_HEAD > OSH_HELLO_WIRE_MAX ? -EMSGSIZE : -EAGAIN;
		n = (size_t)p[at + 3] << 8 | p[at + 4];
		at += RECORD_HEAD;
		if (n == 0 || n > RECORD_MAX)
			return -EBADMSG;
		for (size_t i = 0; i < n && have + i < 4 && at + i < in.n; i++)
			head[have + i] = p[at + i];
		room = in.n - at;
		if (have + OSH_MIN(n, room) >= 1 && head[0] != 1)
			return -EBADMSG;
		if (have + OSH_MIN(n, room) >= 4) {
			need = 4 + ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
			if (need > OSH_HELLO_MAX)
				return -EMSGSIZE;
			if (have + n > need)
				return -EBADMSG; /* something else in the hello's record */
		}
		if (room < n)
			return -EAGAIN;
		have += n;
		at += n;
		if (at > OSH_HELLO_WIRE_MAX)
			return -EMSGSIZE;
	}
	*ret_len = need;
	*ret_wire = at;
	return 0;
}

/* RFC 6066: a list that must hold exactly one host_name. */
static void take_sni(struct reader ext, struct osh_hello *hello)
{
	struct reader list = part(&ext, 2), name;
	struct osh_host host;
	char text[256];
	size_t n;

	hello->has_sni = true;
	hello->sni_is_bad = true;
	if (read_num(&list, 1) != 0)
		return;
	name = part(&list, 2);
	n = name.left;
	if (ext.bad || list.bad || name.bad || ext.left || list.left || n == 0 || n >= sizeof(text))
		return;
	read_bytes(&name, (uint8_t *)text, n);
	if (osh_host_parse((struct osh_str){ text, n }, 0, &host) < 0)
		return;
	memcpy(hello->sni, host.name, (size_t)host.len + 1);
	hello->sni_len = host.len;
	hello->sni_is_bad = false;
}

static bool take_alpn(struct reader ext, struct osh_hello *hello)
{
	struct reader list = part(&ext, 2);

	hello->alpn = true;
	if (ext.bad || ext.left || !list.left)
		return false;
	while (list.left && !list.bad) {
		struct reader name = part(&list, 1);
		size_t n = name.left;
		uint8_t text[8];

		if (!n)
			return false;
		read_bytes(&name, text, OSH_MIN(n, sizeof(text)));
		if (n == 2 && memcmp(text, "h2", 2) == 0)
			hello->alpn_h2 = true;
		else if (n == 8 && memcmp(text, "http/1.1", 8) == 0)
			hello->alpn_http11 = true;
		else
			hello->alpn_other = true;
	}
	return !list.bad;
}

/*
 * Outer form of the ECH extension: type, suite, config id, key, payload. Common GREASE senders use an
 * X25519 key and a payload of 4 to 7 blocks of 32 bytes and a tag of 16; a real one may look so too.
 */
static void take_ech(struct reader ext, struct osh_hello *hello)
{
	struct reader enc, payload;
	size_t type = read_num(&ext, 1);

	hello->ech = OSH_HELLO_ECH_BAD;
	if (type != 0)
		return;
	skip(&ext, 5);
	enc = part(&ext, 2);
	payload = part(&ext, 2);
	if (ext.bad || ext.left || !payload.left)
		return;
	hello->ech = OSH_HELLO_ECH_OUTER;
	hello->ech_grease_like = enc.left == 32 && payload.left >= 144 && payload.left <= 240 &&
				 payload.left % 32 == 16;
}

static bool take_versions(struct reader ext, struct osh_hello *hello)
{
	struct reader list = part(&ext, 1);

	if (ext.bad || ext.left || !list.left || list.left % 2)
		return false;
	while (list.left && !list.bad)
		if (read_num(&list, 2) == 0x0304)
			hello->tls13 = true;
	return !list.bad;
}

static bool take_extension(size_t type, struct reader ext, struct osh_hello *hello)
{
	switch (type) {
	case 0:
		take_sni(ext, hello);
		return true;
	case 16:
		return take_alpn(ext, hello);
	case 41:
		hello->psk = true;
		return true;
	case 42:
		hello->early_data = true;
		return true;
	case 43:
		return take_versions(ext, hello);
	case 0xfe0d:
		take_ech(ext, hello);
		return true;
	default:
		return true;
	}
}

/* No type may come twice: two readers could take different ones. */
static int take_extensions(struct reader r, struct osh_hello *hello)
{
	uint16_t seen[EXTENSIONS_MAX];
	size_t n = 0;

	while (r.left && !r.bad) {
		size_t type = read_num(&r, 2);
		struct reader ext = part(&r, 2);

		if (r.bad)
			return -EBADMSG;
		if (n == EXTENSIONS_MAX)
			return -EMSGSIZE;
		for (size_t i = 0; i < n; i++)
			if (seen[i] == type)
				return -EBADMSG;
		seen[n++] = (uint16_t)type;
		if (!take_extension(type, ext, hello))
			return -EBADMSG;
	}
	return r.bad ? -EBADMSG : 0;
}

int osh_hello_parse(struct osh_str in, struct osh_hello *ret)
{
	struct osh_hello hello = { 0 };
	struct reader r, ciphers, compression, session;
	size_t len;
	int rc;

	rc = frame(in, &len, &hello.wire_len);
	if (rc < 0)
		return rc;
	r = (struct reader){ .p = (const uint8_t *)in.p, .left = len };
	skip(&r, 4);
	hello.version = (uint16_t)read_num(&r, 2);
	skip(&r, 32);
	session = part(&r, 1);
	ciphers = part(&r, 2);
	compression = part(&r, 1);
	if (r.bad || session.left > 32 || ciphers.left < 2 || ciphers.left % 2 ||
	    !compression.left || hello.version < 0x0300 || hello.version > 0x03ff)
		return -EBADMSG;
	if (r.left) {
		struct reader extensions = part(&r, 2);

		if (r.bad || r.left)
			return -EBADMSG;
		rc = take_extensions(extensions, &hello);
		if (rc < 0)
			return rc;
	}
	*ret = hello;
	return 0;
}
