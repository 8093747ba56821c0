/* SPDX-License-Identifier: MIT */
#include "policy/addr.h"

#include <stdio.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* Exactly "a.b.c.d", no leading zeros. */
static int parse_v4(struct osh_str s, uint8_t v4[4])
{
	size_t i = 0;

	for (unsigned int part = 0; part < 4; part++) {
		unsigned int value = 0, digits = 0;

		if (part && (i >= s.n || s.p[i++] != '.'))
			return -EBADMSG;
		while (i < s.n && osh_is_digit(s.p[i])) {
			if (digits && value == 0)
				return -EBADMSG;
			value = value * 10 + (unsigned int)(s.p[i++] - '0');
			if (++digits > 3)
				return -EBADMSG;
		}
		if (!digits || value > 255)
			return -EBADMSG;
		v4[part] = (uint8_t)value;
	}
	return i == s.n ? 0 : -EBADMSG;
}

/* One group of at most four hex digits at s.p[*i]; -1 if there is none. */
static int parse_group(struct osh_str s, size_t *i)
{
	int value = 0;
	size_t from = *i;

	while (*i < s.n && *i - from < 4 && osh_hex_value(s.p[*i]) >= 0)
		value = value << 4 | osh_hex_value(s.p[(*i)++]);
	return *i > from ? value : -1;
}

static int parse_v6(struct osh_str s, uint8_t b[16])
{
	uint16_t groups[8];
	size_t n = 0, gap = SIZE_MAX, i = 0;

	if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
		gap = 0;
		i = 2;
	}
	while (i < s.n) {
		size_t start = i;
		uint8_t v4[4];
		int value;

		if (n == 8)
			return -EBADMSG;
		value = parse_group(s, &i);
		if (i < s.n && s.p[i] == '.') {
			/* a dotted quad can only be the end */
			if (n > 6 || parse_v4(osh_str_sub(s, start, s.n - start), v4) < 0)
				return -EBADMSG;
			groups[n++] = (uint16_t)(v4[0] << 8 | v4[1]);
			groups[n++] = (uint16_t)(v4[2] << 8 | v4[3]);
			i = s.n;
			break;
		}
		if (value < 0)
			return -EBADMSG;
		groups[n++] = (uint16_t)value;
		if (i == s.n)
			break;
		if (s.p[i++] != ':' || i == s.n)
			return -EBADMSG;
		if (s.p[i] == ':') {
			if (gap != SIZE_MAX)
				return -EBADMSG;
			gap = n;
			i++;
		}
	}
	if (gap == SIZE_MAX ? n != 8 : n > 7)
		return -EBADMSG;
	memset(b, 0, 16);
	for (size_t g = 0; g < n; g++) {
		size_t at = g < gap ? g : 8 - (n - g);

		b[2 * at] = (uint8_t)(groups[g] >> 8);
		b[2 * at + 1] = (uint8_t)groups[g];
	}
	return 0;
}

int osh_addr_parse(struct osh_str text, struct osh_addr *ret)
{
	struct osh_addr addr;
	uint8_t v4[4];

	if (osh_str_find(text, ':') == text.n) {
		if (parse_v4(text, v4) < 0)
			return -EBADMSG;
		addr = osh_addr_from_v4(v4);
	} else if (parse_v6(text, addr.b) < 0) {
		return -EBADMSG;
	}
	*ret = addr;
	return 0;
}

bool osh_addr_is_v4(const struct osh_addr *addr)
{
	return memcmp(addr->b, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

const uint8_t *osh_addr_v4(const struct osh_addr *addr)
{
	return osh_addr_is_v4(addr) ? addr->b + 12 : NULL;
}

struct osh_addr osh_addr_from_v4(const uint8_t v4[4])
{
	struct osh_addr addr;

	memcpy(addr.b, mapped_prefix, sizeof(mapped_prefix));
	memcpy(addr.b + 12, v4, 4);
	return addr;
}

bool osh_addr_eq(const struct osh_addr *a, const struct osh_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Longest run of at least two zero groups, the first of equals. */
static void longest_gap(const uint16_t g[8], int *ret_at, int *ret_len)
{
	int at = -1, len = 1;

	for (int i = 0; i < 8; i++) {
		int n = 0;

		while (i + n < 8 && g[i + n] == 0)
			n++;
		if (n > len) {
			at = i;
			len = n;
		}
		i += n;
	}
	*ret_at = at;
	*ret_len = len;
}

const char *osh_addr_text(const struct osh_addr *addr, char dst[OSH_ADDR_TEXT_MAX])
{
	const uint8_t *v4 = osh_addr_v4(addr);
	uint16_t g[8];
	int gap, gap_len, used = 0;

	if (v4) {
		(void)snprintf(dst, OSH_ADDR_TEXT_MAX, "%u.%u.%u.%u", v4[0], v4[1], v4[2], v4[3]);
		return dst;
	}
	for (int i = 0; i < 8; i++)
		g[i] = (uint16_t)(addr->b[2 * i] << 8 | addr->b[2 * i + 1]);
	longest_gap(g, &gap, &gap_len);
	for (int i = 0; i < 8; i++) {
		size_t room = OSH_ADDR_TEXT_MAX - (size_t)used;

		if (i == gap) {
			used += snprintf(dst + used, room, "::");
			i += gap_len - 1;
			continue;
		}
		used += snprintf(dst + used, room, "%s%x", i && i != gap + gap_len ? ":" : "",
				 g[i]);
	}
	return dst;
}

/* ---- classes ---- */

struct v4_net {
	uint8_t b[4];
	uint8_t bits;
	uint8_t class;
};

static const struct v4_net v4_nets[] = {
	{ { 127, 0, 0, 0 }, 8, OSH_ADDR_ALWAYS_BLOCKED },
	{ { 169, 254, 0, 0 }, 16, OSH_ADDR_ALWAYS_BLOCKED },
	{ { 0, 0, 0, 0 }, 32, OSH_ADDR_ALWAYS_BLOCKED },
	{ { 0, 0, 0, 0 }, 8, OSH_ADDR_INTERNAL },
	{ { 10, 0, 0, 0 }, 8, OSH_ADDR_INTERNAL },
	{ { 100, 64, 0, 0 }, 10, OSH_ADDR_INTERNAL },
	{ { 172, 16, 0, 0 }, 12, OSH_ADDR_INTERNAL },
	{ { 192, 0, 0, 0 }, 24, OSH_ADDR_INTERNAL },
	{ { 192, 0, 2, 0 }, 24, OSH_ADDR_INTERNAL },
	{ { 192, 168, 0, 0 }, 16, OSH_ADDR_INTERNAL },
	{ { 198, 18, 0, 0 }, 15, OSH_ADDR_INTERNAL },
	{ { 198, 51, 100, 0 }, 24, OSH_ADDR_INTERNAL },
	{ { 203, 0, 113, 0 }, 24, OSH_ADDR_INTERNAL },
	{ { 224, 0, 0, 0 }, 4, OSH_ADDR_INTERNAL },
	{ { 240, 0, 0, 0 }, 4, OSH_ADDR_INTERNAL },
};

static bool has_prefix(const uint8_t *addr, const uint8_t *base, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	if (memcmp(addr, base, whole) != 0)
		return false;
	return !rest || (uint8_t)(addr[whole] ^ base[whole]) >> (8 - rest) == 0;
}

static enum osh_addr_class classify_v4(const uint8_t v4[4])
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(v4_nets); i++)
		if (has_prefix(v4, v4_nets[i].b, v4_nets[i].bits))
			return (enum osh_addr_class)v4_nets[i].class;
	return OSH_ADDR_PUBLIC;
}

static enum osh_addr_class worse(enum osh_addr_class a, enum osh_addr_class b)
{
	return a < b ? a : b;
}

/* What an IPv6 prefix is, and where it carries an IPv4 address (0: nowhere). */
struct v6_net {
	uint8_t b[12];
	uint8_t bits;
	uint8_t class;
	uint8_t v4_at; /* byte offset */
};

static const struct v6_net v6_nets[] = {
	{ { 0xfe, 0x80 }, 10, OSH_ADDR_ALWAYS_BLOCKED, 0 },
	{ { 0xfc }, 7, OSH_ADDR_INTERNAL, 0 },
	{ { 0xfe, 0xc0 }, 10, OSH_ADDR_INTERNAL, 0 }, /* site-local */
	{ { 0xff }, 8, OSH_ADDR_INTERNAL, 0 }, /* multicast */
	{ { 0 }, 96, OSH_ADDR_INTERNAL, 12 }, /* IPv4-compatible */
	{ { 0, 0x64, 0xff, 0x9b }, 96, OSH_ADDR_PUBLIC, 12 }, /* NAT64 */
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, OSH_ADDR_INTERNAL, 12 }, /* local NAT64 */
	{ { 0x20, 0x02 }, 16, OSH_ADDR_PUBLIC, 2 }, /* 6to4 */
	{ { 0x20, 0x01, 0, 0 }, 32, OSH_ADDR_PUBLIC, 4 }, /* Teredo: its server */
};

static const uint8_t teredo[4] = { 0x20, 0x01, 0, 0 };

static bool is_loopback_or_any(const struct osh_addr *addr)
{
	static const uint8_t zero[15];

	return memcmp(addr->b, zero, sizeof(zero)) == 0 && addr->b[15] <= 1;
}

enum osh_addr_class osh_addr_classify(const struct osh_addr *addr)
{
	enum osh_addr_class class = OSH_ADDR_PUBLIC;
	const uint8_t *b = addr->b;

	if (osh_addr_is_v4(addr))
		return classify_v4(b + 12);
	if (is_loopback_or_any(addr))
		return OSH_ADDR_ALWAYS_BLOCKED;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(v6_nets); i++) {
		const struct v6_net *net = &v6_nets[i];

		if (!has_prefix(b, net->b, net->bits))
			continue;
		class = worse(class, (enum osh_addr_class)net->class);
		if (net->v4_at)
			class = worse(class, classify_v4(b + net->v4_at));
	}
	if (has_prefix(b, teredo, 32)) {
		/* the client's address is stored inverted */
		uint8_t client[4] = { (uint8_t)~b[12], (uint8_t)~b[13], (uint8_t)~b[14],
				      (uint8_t)~b[15] };

		class = worse(class, classify_v4(client));
	}
	/* ISATAP interface identifiers, under any prefix */
	if ((b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe)
		class = worse(class, classify_v4(b + 12));
	return class;
}

const char *osh_addr_class_name(enum osh_addr_class class)
{
	switch (class) {
	case OSH_ADDR_INTERNAL:
		return "internal";
	case OSH_ADDR_PUBLIC:
		return "public";
	case OSH_ADDR_ALWAYS_BLOCKED:
		break;
	}
	return "always_blocked";
}

/* ---- networks ---- */

int osh_cidr_parse(struct osh_str text, struct osh_cidr *ret)
{
	size_t slash = osh_str_find(text, '/');
	struct osh_cidr cidr = { 0 };
	bool dotted = osh_str_find(osh_str_sub(text, 0, slash), ':') == slash;
	uint64_t bits = dotted ? 32 : 128;

	if (osh_addr_parse(osh_str_sub(text, 0, slash), &cidr.base) < 0)
		return -EBADMSG;
	if (slash < text.n) {
		struct osh_str len = osh_str_sub(text, slash + 1, text.n - slash - 1);

		if (len.n > 3 || (len.n > 1 && len.p[0] == '0') ||
		    osh_parse_u64(len, dotted ? 32 : 128, &bits) < 0)
			return -EBADMSG;
	}
	cidr.bits = (uint8_t)(dotted ? bits + 96 : bits);
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int keep = cidr.bits > 8 * i ? OSH_MIN(cidr.bits - 8 * i, 8u) : 0;

		cidr.base.b[i] &= (uint8_t)(0xff00u >> keep);
	}
	*ret = cidr;
	return 0;
}

bool osh_cidr_has(const struct osh_cidr *cidr, const struct osh_addr *addr)
{
	return has_prefix(addr->b, cidr->base.b, cidr->bits);
}

bool osh_cidr_overlap(const struct osh_cidr *a, const struct osh_cidr *b)
{
	return has_prefix(a->base.b, b->base.b, OSH_MIN(a->bits, b->bits));
}

bool osh_cidr_hits_always_blocked(const struct osh_cidr *cidr)
{
	/* In every form that embeds IPv4 at a fixed place. */
	static const char *const nets[] = {
		"::/127",
		"fe80::/10",
		"127.0.0.0/8",
		"169.254.0.0/16",
		"0.0.0.0/32",
		"::127.0.0.0/104",
		"::169.254.0.0/112",
		"64:ff9b::/128",
		"64:ff9b::127.0.0.0/104",
		"64:ff9b::169.254.0.0/112",
		"2002:7f00::/24",
		"2002:a9fe::/32",
		"2002::/48",
		"2001:0:7f00::/40",
		"2001:0:a9fe::/48",
		"2001::/64",
	};
	struct osh_cidr net;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(nets); i++)
		if (osh_cidr_parse(osh_str(nets[i]), &net) < 0 || osh_cidr_overlap(cidr, &net))
			return true;
	return false;
}

int osh_allowed_ip_parse(struct osh_str text, struct osh_cidr *ret, bool *ret_wide)
{
	struct osh_cidr cidr;
	int r;

	r = osh_cidr_parse(text, &cidr);
	if (r < 0)
		return r;
	if (osh_cidr_hits_always_blocked(&cidr))
		return -EPERM;
	if (ret_wide)
		*ret_wide = cidr.bits < (osh_addr_is_v4(&cidr.base) && cidr.bits >= 96 ? 112 : 16);
	*ret = cidr;
	return 0;
}
