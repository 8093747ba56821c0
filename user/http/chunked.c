/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include <stdio.h>

#include "http/h1.h"

enum {
	ST_SIZE_FIRST = 0, /* a digit must come */
	ST_SIZE,
	ST_SIZE_BLANK, /* blanks after the size: only ';' may follow */
	ST_EXT_FIRST, /* after ';' */
	ST_EXT_NAME,
	ST_EXT_NAME_BLANK,
	ST_EXT_VALUE_FIRST, /* after '=' */
	ST_EXT_VALUE,
	ST_EXT_QUOTED,
	ST_EXT_ESCAPED,
	ST_EXT_END, /* after a quoted value */
	ST_EXT_END_BLANK,
	ST_SIZE_LF,
	ST_DATA,
	ST_DATA_CR,
	ST_DATA_LF,
	ST_TRAILER_FIRST, /* a trailer or the final CRLF */
	ST_TRAILER_NAME,
	ST_TRAILER_VALUE,
	ST_TRAILER_LF,
	ST_END_LF,
	ST_DONE,
	ST_BAD,
};

#define DIGITS_MAX 16

void osh_chunked_init(struct osh_chunked *c)
{
	*c = (struct osh_chunked){ 0 };
}

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t';
}

static bool is_token(char ch)
{
	return osh_h1_is_token((struct osh_str){ &ch, 1 });
}

static bool is_text(char ch)
{
	return ch == '\t' || ((unsigned char)ch >= 0x20 && ch != 0x7f);
}

static int size_digit(struct osh_chunked *c, char ch)
{
	int value = osh_hex_value(ch);

	if (value < 0 || c->digits == DIGITS_MAX)
		return ST_BAD;
	c->digits++;
	c->left = c->left << 4 | (uint64_t)value;
	return ST_SIZE;
}

/* Sizes beyond this would make sums of lengths overflow elsewhere. */
static int after_size(const struct osh_chunked *c, char ch)
{
	if (c->left > INT64_MAX)
		return ST_BAD;
	if (ch == '\r')
		return ST_SIZE_LF;
	if (ch == ';')
		return ST_EXT_FIRST;
	return is_blank(ch) ? ST_SIZE_BLANK : ST_BAD;
}

/* A byte of the chunk's header line. */
static int size_line(struct osh_chunked *c, char ch)
{
	switch (c->state) {
	case ST_SIZE_FIRST:
		return size_digit(c, ch);
	case ST_SIZE:
		return osh_hex_value(ch) >= 0 ? size_digit(c, ch) : after_size(c, ch);
	case ST_SIZE_BLANK:
		return is_blank(ch) ? ST_SIZE_BLANK : ch == ';' ? ST_EXT_FIRST : ST_BAD;
	case ST_EXT_FIRST:
		return is_blank(ch) ? ST_EXT_FIRST : is_token(ch) ? ST_EXT_NAME : ST_BAD;
	case ST_EXT_NAME:
		if (is_token(ch))
			return ST_EXT_NAME;
		/* fallthrough */
	case ST_EXT_NAME_BLANK:
		if (ch == '\r')
			return c->state == ST_EXT_NAME ? ST_SIZE_LF : ST_BAD;
		if (ch == '=')
			return ST_EXT_VALUE_FIRST;
		return ch == ';' ? ST_EXT_FIRST : is_blank(ch) ? ST_EXT_NAME_BLANK : ST_BAD;
	case ST_EXT_VALUE_FIRST:
		if (ch == '"')
			return ST_EXT_QUOTED;
		return is_blank(ch) ? ST_EXT_VALUE_FIRST : is_token(ch) ? ST_EXT_VALUE : ST_BAD;
	case ST_EXT_QUOTED:
		if (ch == '\\')
			return ST_EXT_ESCAPED;
		return ch == '"' ? ST_EXT_END : is_text(ch) ? ST_EXT_QUOTED : ST_BAD;
	case ST_EXT_ESCAPED:
		return is_text(ch) ? ST_EXT_QUOTED : ST_BAD;
	case ST_EXT_VALUE:
		if (is_token(ch))
			return ST_EXT_VALUE;
		/* fallthrough */
	case ST_EXT_END:
		if (ch == '\r')
			return ST_SIZE_LF;
		/* fallthrough */
	case ST_EXT_END_BLANK:
		return ch == ';' ? ST_EXT_FIRST : is_blank(ch) ? ST_EXT_END_BLANK : ST_BAD;
	default:
		return ST_BAD;
	}
}

/* Fields that must not come late: they would move the end or the target of a message. */
static bool is_forbidden_trailer(const struct osh_chunked *c)
{
	enum osh_h1_field_id id;

	if (c->name_len > sizeof(c->name))
		return false;
	id = osh_h1_field_id((struct osh_str){ c->name, c->name_len });
	return id == OSH_HF_HOST || id == OSH_HF_CONTENT_LENGTH || id == OSH_HF_TRANSFER_ENCODING;
}

static int trailer(struct osh_chunked *c, char ch)
{
	switch (c->state) {
	case ST_TRAILER_FIRST:
		if (ch == '\r')
			return ST_END_LF;
		c->name_len = 0;
		if (ch == ':')
			return ST_BAD;
		/* fallthrough */
	case ST_TRAILER_NAME:
		if (ch == ':')
			return is_forbidden_trailer(c) ? ST_BAD : ST_TRAILER_VALUE;
		if (!is_token(ch))
			return ST_BAD;
		if (c->name_len < sizeof(c->name))
			c->name[c->name_len++] = ch;
		else
			c->name_len = sizeof(c->name) + 1; /* longer than any name we look for */
		return ST_TRAILER_NAME;
	case ST_TRAILER_VALUE:
		return ch == '\r' ? ST_TRAILER_LF : is_text(ch) ? ST_TRAILER_VALUE : ST_BAD;
	case ST_TRAILER_LF:
		return ch == '\n' ? ST_TRAILER_FIRST : ST_BAD;
	default:
		return ST_BAD;
	}
}

static int framing(struct osh_chunked *c, char ch)
{
	switch (c->state) {
	case ST_SIZE_LF:
		if (ch != '\n')
			return ST_BAD;
		c->line = 0;
		return c->left ? ST_DATA : ST_TRAILER_FIRST;
	case ST_DATA_CR:
		return ch == '\r' ? ST_DATA_LF : ST_BAD;
	case ST_DATA_LF:
		c->line = 0;
		c->digits = 0;
		return ch == '\n' ? ST_SIZE_FIRST : ST_BAD;
	case ST_TRAILER_FIRST:
	case ST_TRAILER_NAME:
	case ST_TRAILER_VALUE:
	case ST_TRAILER_LF:
		return trailer(c, ch);
	case ST_END_LF:
		return ch == '\n' ? ST_DONE : ST_BAD;
	default:
		return size_line(c, ch);
	}
}

int osh_chunked_next(struct osh_chunked *c, struct osh_str in, size_t *ret_used,
		     struct osh_str *ret_body)
{
	size_t i = 0;

	*ret_body = (struct osh_str){ in.p, 0 };
	while (i < in.n && c->state != ST_DONE) {
		uint32_t max = c->state >= ST_TRAILER_FIRST ? OSH_CHUNK_TRAILER_MAX
							    : OSH_CHUNK_LINE_MAX;

		if (c->state == ST_DATA) {
			size_t n = (size_t)OSH_MIN((uint64_t)(in.n - i), c->left);

			*ret_body = osh_str_sub(in, i, n);
			c->left -= n;
			if (c->left == 0)
				c->state = ST_DATA_CR;
			*ret_used = i + n;
			return i + n == in.n ? -EAGAIN : 0;
		}
		if (c->line++ == max) {
			c->state = ST_BAD;
			return -EMSGSIZE;
		}
		c->state = (uint8_t)framing(c, in.p[i++]);
		if (c->state == ST_BAD)
			return -EBADMSG;
	}
	*ret_used = i;
	if (c->state == ST_DONE)
		return 1;
	return c->state == ST_BAD ? -EBADMSG : -EAGAIN;
}

size_t osh_chunk_head(char dst[20], uint64_t n)
{
	return (size_t)snprintf(dst, 20, "%llx\r\n", (unsigned long long)n);
}
