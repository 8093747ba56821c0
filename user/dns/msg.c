/* SPDX-License-Identifier: MIT */
#include "dns/msg.h"

#define HEADER	    12
#define CLASS_IN    1
#define FLAG_QR	    0x8000
#define FLAG_TC	    0x0200
#define FLAG_RD	    0x0100
#define FLAG_RA	    0x0080
#define FLAG_Z	    0x0040
#define FLAG_CD	    0x0010
#define OPCODE(f)   ((f) >> 11 & 15)
#define UDP_MIN	    512
#define EDNS_DO	    0x8000
#define NAME_AT	    0xc00c /* pointer to the question's name */
#define OPT_SIZE    11
#define ANSWER_HEAD 12

struct reader {
	const uint8_t *p;
	size_t n, at;
	bool bad;
};

static unsigned int get8(struct reader *r)
{
	if (r->at >= r->n) {
		r->bad = true;
		return 0;
	}
	return r->p[r->at++];
}

static unsigned int get16(struct reader *r)
{
	unsigned int hi = get8(r);

	return hi << 8 | get8(r);
}

/* The question's name: as sent, and as text if all its labels are ordinary. No compression. */
static bool read_name(struct reader *r, struct osh_dns_query *q)
{
	char text[256];
	size_t n = 0, len;

	q->wire_len = 0;
	for (;;) {
		size_t label = get8(r);

		if (r->bad || label > 63 || q->wire_len + 1 + label > sizeof(q->wire))
			return false;
		q->wire[q->wire_len++] = (uint8_t)label;
		if (label == 0)
			break;
		for (size_t i = 0; i < label; i++) {
			uint8_t c = (uint8_t)get8(r);

			q->wire[q->wire_len++] = c;
			/* A dot inside a label must not look like the border of two. */
			text[n++] = c == '.' ? ' ' : (char)c;
		}
		text[n++] = '.';
	}
	if (r->bad)
		return false;
	if (osh_dns_name_normalise((struct osh_str){ text, n }, q->name, &len) == 0) {
		q->has_name = true;
		q->name_len = (uint8_t)len;
	}
	return true;
}

/* The one record that may follow the question. 0, or an rcode. */
static int read_opt(struct reader *r, struct osh_dns_query *q)
{
	unsigned int version, flags, len;
	size_t end;

	if (get8(r) != 0 || get16(r) != OSH_DNS_OPT)
		return OSH_DNS_FORMERR;
	q->udp_size = (uint16_t)get16(r);
	(void)get8(r); /* extended rcode, of no meaning in a query */
	version = get8(r);
	flags = get16(r);
	len = get16(r);
	end = r->at + len;
	if (r->bad || end > r->n)
		return OSH_DNS_FORMERR;
	while (r->at < end) {
		(void)get16(r); /* option code: none is understood, all are ignored */
		len = get16(r);
		if (r->at > end || len > end - r->at)
			return OSH_DNS_FORMERR;
		r->at += len;
	}
	if (r->bad || r->at != end)
		return OSH_DNS_FORMERR;
	q->has_edns = true;
	q->dnssec_ok = flags & EDNS_DO;
	if (q->udp_size < UDP_MIN)
		q->udp_size = UDP_MIN;
	return version ? OSH_DNS_BADVERS : 0;
}

int osh_dns_parse(struct osh_str msg, struct osh_dns_query *ret)
{
	struct reader r = { .p = (const uint8_t *)msg.p, .n = msg.n };
	unsigned int flags, questions, answers, authorities, additional;
	int rcode;

	*ret = (struct osh_dns_query){ .udp_size = UDP_MIN };
	if (msg.n < HEADER)
		return -EBADMSG;
	ret->id = (uint16_t)get16(&r);
	flags = get16(&r);
	if (flags & FLAG_QR)
		return -EBADMSG;
	ret->rd = flags & FLAG_RD;
	ret->cd = flags & FLAG_CD;
	questions = get16(&r);
	answers = get16(&r);
	authorities = get16(&r);
	additional = get16(&r);
	if (OPCODE(flags) != 0)
		return OSH_DNS_NOTIMP;
	if (msg.n > OSH_DNS_QUERY_MAX || flags & (FLAG_TC | FLAG_Z | 15) || questions != 1 ||
	    answers || authorities || additional > 1)
		return OSH_DNS_FORMERR;
	if (!read_name(&r, ret))
		return OSH_DNS_FORMERR;
	ret->qtype = (uint16_t)get16(&r);
	ret->qclass = (uint16_t)get16(&r);
	if (r.bad)
		return OSH_DNS_FORMERR;
	ret->has_question = true;
	rcode = additional ? read_opt(&r, ret) : 0;
	if (rcode == 0 && r.at != r.n)
		rcode = OSH_DNS_FORMERR;
	if (rcode == 0 && ret->qclass != CLASS_IN)
		rcode = OSH_DNS_REFUSED;
	return rcode;
}

static uint8_t *put8(uint8_t *p, unsigned int v)
{
	*p = (uint8_t)v;
	return p + 1;
}

static uint8_t *put16(uint8_t *p, unsigned int v)
{
	return put8(put8(p, v >> 8), v);
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

static uint8_t *put_bytes(uint8_t *p, const uint8_t *src, size_t n)
{
	memcpy(p, src, n);
	return p + n;
}

int osh_dns_reply(const struct osh_dns_query *query, const struct osh_dns_answer *answer, bool tcp,
		  uint8_t *dst, size_t size, size_t *ret_len)
{
	size_t addr_len = answer->v6 ? 16 : 4;
	size_t max = tcp ? OSH_DNS_MSG_MAX
			 : OSH_MIN((size_t)OSH_MAX(query->udp_size, UDP_MIN),
				   (size_t)OSH_DNS_UDP_MAX);
	size_t fixed = HEADER + (query->has_question ? query->wire_len + 4u : 0) +
		       (query->has_edns ? OPT_SIZE : 0);
	size_t n = query->has_question && answer->rcode == OSH_DNS_NOERROR
			   ? OSH_MIN(answer->n, (size_t)OSH_DNS_ANSWERS_MAX)
			   : 0;
	bool cut = fixed + n * (ANSWER_HEAD + addr_len) > max;
	unsigned int flags = FLAG_QR | FLAG_RA | ((unsigned int)answer->rcode & 15);
	uint8_t *p = dst;

	if (cut)
		n = 0;
	if (size < fixed + n * (ANSWER_HEAD + addr_len))
		return -EMSGSIZE;
	flags |= (query->rd ? FLAG_RD : 0u) | (query->cd ? FLAG_CD : 0u) | (cut ? FLAG_TC : 0u);
	p = put16(p, query->id);
	p = put16(p, flags);
	p = put16(p, query->has_question);
	p = put16(p, (unsigned int)n);
	p = put16(p, 0);
	p = put16(p, query->has_edns);
	if (query->has_question) {
		p = put_bytes(p, query->wire, query->wire_len);
		p = put16(p, query->qtype);
		p = put16(p, query->qclass);
	}
	for (size_t i = 0; i < n; i++) {
		p = put16(p, NAME_AT);
		p = put16(p, answer->v6 ? OSH_DNS_AAAA : OSH_DNS_A);
		p = put16(p, CLASS_IN);
		p = put32(p, answer->ttl_s);
		p = put16(p, (unsigned int)addr_len);
		p = put_bytes(p, answer->addrs + i * addr_len, addr_len);
	}
	if (query->has_edns) {
		p = put8(p, 0);
		p = put16(p, OSH_DNS_OPT);
		p = put16(p, OSH_DNS_UDP_MAX);
		p = put8(p, (unsigned int)answer->rcode >> 4);
		p = put8(p, 0);
		p = put16(p, query->dnssec_ok ? EDNS_DO : 0);
		p = put16(p, 0);
	}
	*ret_len = (size_t)(p - dst);
	return 0;
}
