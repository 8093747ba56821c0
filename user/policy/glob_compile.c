/* SPDX-License-Identifier: MIT */
/*
 * Pattern text to program. Two syntaxes: the full one (host, path, query, binary) and the small one
 * of endpoint_path. The full one first becomes tokens, because what a double star means depends on
 * its neighbours and may swallow the separator before it; then operations.
 */
#include "policy/glob_prog.h"

#define BRACES_MAX 64 /* nesting; each level is a level of recursion below */

enum tok_type {
	T_CHAR = 0,
	T_ONE,
	T_STAR,
	T_GSTAR, /* '.' dialects: a whole component of two stars */
	T_CLASS,
	T_HEAD, /* leading double-star component and its slash */
	T_MIDDLE, /* slash, double star, slash */
	T_TAIL, /* slash, double star, end */
	T_OPEN,
	T_COMMA,
	T_CLOSE,
};

struct tok {
	uint8_t type;
	uint8_t c;
	uint16_t arg; /* class */
};

struct work {
	struct osh_str pat;
	size_t at;
	char sep;
	bool small; /* syntax of endpoint_path */
	const char *why;

	struct tok toks[OSH_GLOB_PATTERN_MAX];
	size_t n_toks;
	size_t branch[BRACES_MAX + 1]; /* first token of the present branch, by depth */
	size_t depth;
	struct osh_glob_class classes[OSH_GLOB_PATTERN_MAX / 3 + 1];
	size_t n_classes;

	struct osh_glob_op ops[OSH_GLOB_OPS_MAX];
	size_t n_ops;
};

static int bad(struct work *w, const char *why)
{
	w->why = why;
	return -EBADMSG;
}

/* Never more tokens than pattern bytes, so the array cannot overflow. */
static void token(struct work *w, enum tok_type type, char c, size_t arg)
{
	w->toks[w->n_toks++] = (struct tok){ (uint8_t)type, (uint8_t)c, (uint16_t)arg };
}

/* Byte of the pattern @ahead of the cursor, or -1. */
static int peek(const struct work *w, size_t ahead)
{
	return w->at + ahead < w->pat.n ? (unsigned char)w->pat.p[w->at + ahead] : -1;
}

static void class_add(struct osh_glob_class *class, int from, int to)
{
	for (int c = from; c <= to; c++)
		class->bits[c >> 6] |= (uint64_t)1 << (c & 63);
}

/*
 * After '['. A range's end may itself be extended by a further "-x" ("[a-c-e]" is a to e): the
 * reference reads it so.
 */
static int parse_class(struct work *w)
{
	struct osh_glob_class class = { 0 };
	int lo = -1, hi = -1, c;
	bool negate = false, first = true, in_range = false;

	if (peek(w, 0) == '!' || (!w->small && peek(w, 0) == '^')) {
		negate = true;
		w->at++;
	}
	for (;; first = false) {
		c = peek(w, 0);
		if (c < 0)
			return bad(w, "unclosed character class");
		if (c >= 0x80)
			return bad(w, "non-ASCII character in a character class");
		w->at++;
		if (c == ']' && !first)
			break;
		if (c == '-' && !first && !in_range) {
			in_range = true;
			continue;
		}
		if (in_range) {
			if (c < lo)
				return bad(w, "reversed range in a character class");
			hi = c;
			in_range = false;
		} else {
			lo = hi = c;
		}
		class_add(&class, lo, hi);
	}
	if (in_range)
		class_add(&class, '-', '-');
	if (negate)
		for (size_t i = 0; i < 4; i++)
			class.bits[i] = ~class.bits[i];
	class.bits[0] &= ~(uint64_t)1; /* NUL matches nothing */
	class.bits[(unsigned char)w->sep >> 6] &= ~((uint64_t)1 << (w->sep & 63));
	w->classes[w->n_classes] = class;
	token(w, T_CLASS, 0, w->n_classes++);
	return 0;
}

static bool branch_is_new(const struct work *w)
{
	return w->n_toks == w->branch[w->depth];
}

/* After the second star of a pair; @prev is the byte before the first, or -1. */
static void parse_double_star(struct work *w, int prev)
{
	int next = peek(w, 0);
	bool slash = w->sep == '/';

	if (branch_is_new(w)) {
		/* Only the start of a branch: "x{" before it does not glue. */
		if (next != w->sep && next >= 0) {
			token(w, T_STAR, 0, 0);
		} else if (slash) {
			token(w, T_HEAD, 0, 0);
			w->at += next >= 0;
		} else {
			token(w, T_GSTAR, 0, 0);
		}
		return;
	}
	if (prev != w->sep ||
	    !(next < 0 || next == w->sep || (w->depth && (next == ',' || next == '}')))) {
		token(w, T_STAR, 0, 0);
		return;
	}
	if (!slash) {
		token(w, T_GSTAR, 0, 0);
		return;
	}
	/* Repeated components melt into the first; otherwise the slash before becomes part of it. */
	if (next == '/')
		w->at++;
	if (w->toks[w->n_toks - 1].type == T_HEAD || w->toks[w->n_toks - 1].type == T_TAIL)
		return;
	w->n_toks--;
	token(w, next == '/' ? T_MIDDLE : T_TAIL, 0, 0);
}

static int parse_full(struct work *w)
{
	int prev = -1, r;

	while (w->at < w->pat.n) {
		char c = w->pat.p[w->at++];
		int before = prev;

		prev = (unsigned char)c;
		switch (c) {
		case '\0':
			return bad(w, "NUL byte");
		case '?':
			token(w, T_ONE, 0, 0);
			break;
		case '*':
			if (peek(w, 0) == '*') {
				w->at++;
				parse_double_star(w, before);
				prev = (unsigned char)w->pat.p[w->at - 1];
			} else {
				token(w, T_STAR, 0, 0);
			}
			break;
		case '[':
			r = parse_class(w);
			if (r < 0)
				return r;
			prev = ']';
			break;
		case '{':
			if (w->depth == BRACES_MAX)
				return bad(w, "braces nested too deeply");
			token(w, T_OPEN, 0, 0);
			w->branch[++w->depth] = w->n_toks;
			break;
		case '}':
			if (!w->depth)
				return bad(w, "unmatched '}'");
			w->depth--;
			token(w, T_CLOSE, 0, 0);
			break;
		case ',':
			if (w->depth) {
				token(w, T_COMMA, 0, 0);
				w->branch[w->depth] = w->n_toks;
			} else {
				token(w, T_CHAR, c, 0);
			}
			break;
		case '\\':
			if (w->at == w->pat.n)
				return bad(w, "trailing backslash");
			c = w->pat.p[w->at++];
			if (!c)
				return bad(w, "NUL byte");
			prev = (unsigned char)c;
			token(w, T_CHAR, c, 0);
			break;
		default:
			token(w, T_CHAR, c, 0);
		}
	}
	if (w->depth)
		return bad(w, "unclosed '{'");
	return 0;
}

/* endpoint_path: stars and '?' cross '/', a double star must be a whole component. */
static int parse_small(struct work *w)
{
	int prev = -1, r;

	while (w->at < w->pat.n) {
		char c = w->pat.p[w->at++];
		int before = prev;

		prev = (unsigned char)c;
		switch (c) {
		case '\0':
			return bad(w, "NUL byte");
		case '?':
			token(w, T_ONE, 0, 0);
			break;
		case '[':
			r = parse_class(w);
			if (r < 0)
				return r;
			prev = ']';
			break;
		case '*':
			if (peek(w, 0) != '*') {
				token(w, T_GSTAR, 0, 0);
				break;
			}
			w->at++;
			if ((before >= 0 && before != '/') ||
			    (peek(w, 0) >= 0 && peek(w, 0) != '/'))
				return bad(w, "'**' must be a whole path segment");
			if (peek(w, 0) == '/') {
				w->at++;
				prev = '/';
				token(w, T_HEAD, 0, 0);
			} else {
				token(w, T_GSTAR, 0, 0);
			}
			break;
		default:
			token(w, T_CHAR, c, 0);
		}
	}
	return 0;
}

static size_t op(struct work *w, enum osh_glob_op_type type, char c, size_t arg)
{
	w->ops[w->n_ops] = (struct osh_glob_op){ (uint8_t)type, (uint8_t)c, (uint16_t)arg };
	return w->n_ops++;
}

/* Index after the T_CLOSE that belongs to the T_OPEN at @i. */
static size_t after_group(const struct work *w, size_t i)
{
	size_t level = 0;

	do {
		if (w->toks[i].type == T_OPEN)
			level++;
		else if (w->toks[i].type == T_CLOSE)
			level--;
		i++;
	} while (level);
	return i;
}

/* End of the branch that starts at @i: its T_COMMA or T_CLOSE. */
static size_t branch_end(const struct work *w, size_t i)
{
	while (w->toks[i].type != T_COMMA && w->toks[i].type != T_CLOSE)
		i = w->toks[i].type == T_OPEN ? after_group(w, i) : i + 1;
	return i;
}

/* Nothing but braces and commas: the reference drops such a branch. */
static bool branch_is_empty(const struct work *w, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (w->toks[i].type != T_OPEN && w->toks[i].type != T_COMMA &&
		    w->toks[i].type != T_CLOSE)
			return false;
	return true;
}

static void gen(struct work *w, size_t from, size_t to);

static void gen_group(struct work *w, size_t open, size_t end)
{
	size_t last_jump = 0, i = open + 1;
	bool more = true, jumps = false;

	/* Jumps to the end are chained through their arguments until the end is known. */
	while (more) {
		size_t stop = branch_end(w, i), next = stop + 1, split = 0;
		bool empty = branch_is_empty(w, i, stop), another = false;

		more = w->toks[stop].type == T_COMMA;
		for (size_t b = next; b < end && !another;) {
			size_t e = branch_end(w, b);

			another = !branch_is_empty(w, b, e);
			b = e + 1;
		}
		if (!empty) {
			if (another)
				split = op(w, OSH_GLOB_OP_SPLIT, 0, 0);
			gen(w, i, stop);
			if (another) {
				last_jump = op(w, OSH_GLOB_OP_JUMP, 0, jumps ? last_jump + 1 : 0);
				jumps = true;
				w->ops[split].arg = (uint16_t)w->n_ops;
			}
		}
		i = next;
	}
	while (jumps) {
		size_t chained = w->ops[last_jump].arg;

		w->ops[last_jump].arg = (uint16_t)w->n_ops;
		jumps = chained > 0;
		last_jump = chained - 1;
	}
}

static void gen(struct work *w, size_t from, size_t to)
{
	size_t split;

	for (size_t i = from; i < to; i++) {
		const struct tok *t = &w->toks[i];

		switch ((enum tok_type)t->type) {
		case T_CHAR:
			op(w, OSH_GLOB_OP_CHAR, (char)t->c, 0);
			break;
		case T_ONE:
			op(w, w->small ? OSH_GLOB_OP_BYTE : OSH_GLOB_OP_ONE, 0, 0);
			break;
		case T_STAR:
			op(w, OSH_GLOB_OP_STAR, 0, 0);
			break;
		case T_GSTAR:
			op(w, OSH_GLOB_OP_GSTAR, 0, 0);
			break;
		case T_CLASS:
			op(w, OSH_GLOB_OP_CLASS, 0, t->arg);
			break;
		case T_MIDDLE:
			op(w, OSH_GLOB_OP_CHAR, '/', 0);
			/* fallthrough */
		case T_HEAD:
			split = op(w, OSH_GLOB_OP_SPLIT, 0, 0);
			op(w, OSH_GLOB_OP_GSTAR, 0, 0);
			op(w, OSH_GLOB_OP_CHAR, '/', 0);
			w->ops[split].arg = (uint16_t)w->n_ops;
			break;
		case T_TAIL:
			op(w, OSH_GLOB_OP_CHAR, '/', 0);
			op(w, OSH_GLOB_OP_GSTAR, 0, 0);
			break;
		case T_OPEN:
			split = after_group(w, i);
			gen_group(w, i, split);
			i = split - 1;
			break;
		case T_COMMA:
		case T_CLOSE:
			break; /* gen_group() takes them */
		}
	}
}

/* Neighbouring stars are one; the pattern "a***" would otherwise only cost time. */
static void merge_stars(struct work *w)
{
	size_t out = 0;

	for (size_t i = 0; i < w->n_toks; i++) {
		if (out && w->toks[i].type == T_STAR && w->toks[out - 1].type == T_STAR)
			continue;
		w->toks[out++] = w->toks[i];
	}
	w->n_toks = out;
}

struct result {
	enum osh_glob_kind kind;
	char text[OSH_GLOB_LITERAL_MAX];
	size_t text_len;
};

static bool all_chars(const struct work *w, size_t from)
{
	for (size_t i = from; i < w->n_toks; i++)
		if (w->toks[i].type != T_CHAR)
			return false;
	return true;
}

static void take_text(const struct work *w, size_t from, size_t to, struct result *res)
{
	for (size_t i = from; i < to; i++)
		res->text[res->text_len++] = (char)w->toks[i].c;
}

/* Choose the cheapest shape for the tokens. */
static void shape(struct work *w, struct result *res)
{
	size_t lead = 0;

	if (w->n_toks == 1 && (w->toks[0].type == T_HEAD || w->toks[0].type == T_GSTAR)) {
		res->kind = OSH_GLOB_ANY;
		return;
	}
	while (lead < w->n_toks && w->toks[lead].type == T_CHAR)
		lead++;
	if (lead == 0 && w->n_toks > 1 && all_chars(w, 1) &&
	    (w->toks[0].type == T_STAR || w->toks[0].type == T_GSTAR)) {
		res->kind = w->toks[0].type == T_STAR ? OSH_GLOB_SUFFIX_SEG : OSH_GLOB_SUFFIX;
		take_text(w, 1, w->n_toks, res);
		return;
	}
	take_text(w, 0, lead, res);
	if (lead == w->n_toks) {
		res->kind = OSH_GLOB_LITERAL;
	} else if (lead + 1 == w->n_toks && w->toks[lead].type == T_TAIL) {
		res->kind = OSH_GLOB_PREFIX;
		res->text[res->text_len++] = '/';
	} else if (lead + 1 == w->n_toks && w->toks[lead].type == T_GSTAR) {
		res->kind = OSH_GLOB_PREFIX;
	} else if (lead + 1 == w->n_toks && w->toks[lead].type == T_STAR) {
		res->kind = OSH_GLOB_PREFIX_SEG;
	} else {
		res->kind = OSH_GLOB_NFA;
		gen(w, lead, w->n_toks);
		op(w, OSH_GLOB_OP_MATCH, 0, 0);
	}
}

static int literal(struct osh_str pat, struct result *res)
{
	if (pat.n > sizeof(res->text))
		return -EMSGSIZE;
	res->kind = OSH_GLOB_LITERAL;
	memcpy(res->text, pat.p, pat.n);
	res->text_len = pat.n;
	return 0;
}

static bool has_any(struct osh_str s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] && strchr(set, s.p[i]))
			return true;
	return false;
}

static int compile_endpoint_path(struct work *w, struct osh_str pat, struct result *res)
{
	int r;

	if (!pat.n || osh_str_is(pat, "**") || osh_str_is(pat, "/**")) {
		res->kind = OSH_GLOB_ANY;
		return 0;
	}
	r = literal(pat, res);
	if (r < 0)
		return r;
	if (osh_str_has_suffix(pat, OSH_STR("/**"))) {
		res->kind = OSH_GLOB_BELOW;
		res->text_len -= 3;
		return 0;
	}
	if (!has_any(pat, "*?["))
		return 0;
	if (pat.n > OSH_GLOB_PATTERN_MAX)
		return -EMSGSIZE;
	r = parse_small(w);
	if (r < 0)
		return 0; /* malformed: stays the literal; osh_glob_check() refuses it in policies */
	gen(w, 0, w->n_toks);
	op(w, OSH_GLOB_OP_MATCH, 0, 0);
	res->kind = OSH_GLOB_NFA_OR_TEXT;
	return 0;
}

static void work_init(struct work *w, enum osh_glob_dialect dialect, struct osh_str pat)
{
	w->pat = pat;
	w->at = 0;
	w->sep = dialect == OSH_GLOB_HOST || dialect == OSH_GLOB_QUERY ? '.' : '/';
	w->small = dialect == OSH_GLOB_ENDPOINT_PATH;
	w->why = NULL;
	w->n_toks = w->n_classes = w->n_ops = w->depth = 0;
	w->branch[0] = 0;
}

static bool is_plain(enum osh_glob_dialect dialect, struct osh_str pat)
{
	return (dialect == OSH_GLOB_HOST || dialect == OSH_GLOB_BINARY) && !has_any(pat, "*");
}

/* Hosts compare in lower case, ranges of classes included. @mem takes the copy. */
static struct osh_str folded(enum osh_glob_dialect dialect, struct osh_str pat, char *mem)
{
	if (dialect != OSH_GLOB_HOST)
		return pat;
	for (size_t i = 0; i < pat.n; i++)
		mem[i] = osh_lower(pat.p[i]);
	return (struct osh_str){ mem, pat.n };
}

static int compile(struct work *w, enum osh_glob_dialect dialect, struct osh_str pat,
		   struct result *res)
{
	int r;

	work_init(w, dialect, pat);
	res->text_len = 0;
	if (dialect == OSH_GLOB_ENDPOINT_PATH)
		return compile_endpoint_path(w, pat, res);
	if (memchr(pat.p ? pat.p : "", '\0', pat.n))
		return bad(w, "NUL byte");
	if (is_plain(dialect, pat) || !has_any(pat, "*?[]{}\\"))
		return literal(pat, res);
	if (pat.n > OSH_GLOB_PATTERN_MAX)
		return -EMSGSIZE;
	r = parse_full(w);
	if (r < 0)
		return r;
	merge_stars(w);
	shape(w, res);
	return 0;
}

static int emit(const struct work *w, enum osh_glob_dialect dialect, const struct result *res,
		struct osh_buf *buf, size_t *ret_off)
{
	static const char zero[8];
	size_t pad = (8 - buf->len % 8) % 8, off = buf->len + pad;
	size_t ops = osh_glob_ops_size(w->n_ops), classes = w->n_classes * sizeof(w->classes[0]);
	size_t size = (sizeof(struct osh_glob_prog) + ops + classes + res->text_len + 7) &
		      ~(size_t)7;
	struct osh_glob_prog prog = {
		.size = (uint32_t)size,
		.n_ops = (uint16_t)w->n_ops,
		.n_classes = (uint16_t)w->n_classes,
		.text_len = (uint16_t)res->text_len,
		.kind = (uint8_t)res->kind,
		.dialect = (uint8_t)dialect,
		.sep = (uint8_t)w->sep,
		.fold = dialect == OSH_GLOB_HOST,
	};
	size_t ops_raw = w->n_ops * sizeof(struct osh_glob_op);
	int r;

	r = osh_buf_reserve(buf, pad + size);
	if (r < 0)
		return r;
	/* Reserved, so none of these can fail half-way. */
	r = osh_buf_add(buf, zero, pad);
	r = r < 0 ? r : osh_buf_add(buf, &prog, sizeof(prog));
	r = r < 0 ? r : osh_buf_add(buf, w->ops, ops_raw);
	r = r < 0 ? r : osh_buf_add(buf, zero, ops - ops_raw);
	r = r < 0 ? r : osh_buf_add(buf, w->classes, classes);
	r = r < 0 ? r : osh_buf_add(buf, res->text, res->text_len);
	r = r < 0 ? r : osh_buf_add(buf, zero, off + size - buf->len);
	if (r < 0)
		return r;
	*ret_off = off;
	return 0;
}

/* Classes of a pattern that turned out to need no automaton are dead weight in the image. */
static void drop_unused(struct work *w, const struct result *res)
{
	if (res->kind != OSH_GLOB_NFA && res->kind != OSH_GLOB_NFA_OR_TEXT)
		w->n_ops = w->n_classes = 0;
}

int osh_glob_compile(enum osh_glob_dialect dialect, struct osh_str pattern, struct osh_buf *buf,
		     size_t *ret_off)
{
	osh_auto_free struct work *w = malloc(sizeof(*w));
	osh_auto_free struct result *res = malloc(sizeof(*res));
	char lower[OSH_GLOB_LITERAL_MAX];
	int r;

	if (!w || !res)
		return -ENOMEM;
	if (pattern.n > sizeof(lower))
		return -EMSGSIZE;
	r = compile(w, dialect, folded(dialect, pattern, lower), res);
	if (r < 0)
		return r;
	drop_unused(w, res);
	return emit(w, dialect, res, buf, ret_off);
}

/* ---- checks for policies ---- */

/* Where stars may stand in a host; *ret_why untouched when fine. */
static int check_host_shape(struct osh_str host, const char **ret_why)
{
	struct osh_str rest = host, label;
	size_t labels = 0;

	for (size_t i = 0; i < host.n; i++)
		labels += host.p[i] == '.';
	labels++;
	if (labels == 1) {
		*ret_why = "invalid host wildcard: it would match every host";
		return -EBADMSG;
	}
	if (labels == 2) {
		*ret_why = "invalid host wildcard: a TLD wildcard is too broad";
		return -EBADMSG;
	}
	for (size_t i = 0; osh_str_split(&rest, '.', &label); i++) {
		bool star = has_any(label, "*");
		bool dstar = memmem(label.p, label.n, "**", 2) != NULL;

		if (!label.n) {
			/* a trailing dot would make "*.tld." look like three labels */
			*ret_why = "invalid host wildcard: empty label";
			return -EBADMSG;
		}
		if (dstar && i > 0) {
			*ret_why = "invalid host wildcard: '**' only as the whole first label";
			return -EBADMSG;
		}
		if (dstar && label.n != 2) {
			*ret_why = "invalid host wildcard: '**' must be the whole label";
			return -EBADMSG;
		}
		if (star && i > 0 && label.n != 1) {
			*ret_why = "invalid host wildcard: after the first label only a whole '*'";
			return -EBADMSG;
		}
	}
	return 0;
}

static int check_host(struct osh_str host, const char **ret_why)
{
	for (size_t i = 0; i < host.n; i++) {
		unsigned char c = (unsigned char)host.p[i];

		if (c >= 0x80) {
			*ret_why = "host is not ASCII: write its A-label (xn--...) form";
			return -EBADMSG;
		}
		if (c <= 0x20 || c == 0x7f) {
			*ret_why = "blank or control character in host";
			return -EBADMSG;
		}
	}
	return has_any(host, "*") ? check_host_shape(host, ret_why) : 0;
}

int osh_glob_check(enum osh_glob_dialect dialect, struct osh_str pattern, const char **ret_why)
{
	osh_auto_free struct work *w = malloc(sizeof(*w));
	char lower[OSH_GLOB_LITERAL_MAX];
	const char *why = NULL;
	int r = 0;

	if (!w) {
		*ret_why = "out of memory";
		return -EBADMSG; /* not checked is not valid */
	}
	if (dialect == OSH_GLOB_HOST)
		r = check_host(pattern, &why);
	if (r == 0 && dialect == OSH_GLOB_ENDPOINT_PATH && pattern.n && pattern.p[0] != '/' &&
	    !osh_str_is(pattern, "**"))
		r = -EBADMSG, why = "path must start with '/' or be '**'";
	if (r == 0 && memchr(pattern.p ? pattern.p : "", '\0', pattern.n))
		r = -EBADMSG, why = "NUL byte";
	if (r == 0 && pattern.n > OSH_GLOB_LITERAL_MAX)
		r = -EBADMSG, why = "pattern is too long";
	if (r == 0 && !is_plain(dialect, pattern) && has_any(pattern, "*?[]{}\\")) {
		if (pattern.n > OSH_GLOB_PATTERN_MAX) {
			r = -EBADMSG, why = "pattern with wildcards is too long";
		} else {
			/*
			 * An endpoint path is also read as a rule path (the gate of reference 3.7),
			 * so it must be well formed in that syntax too.
			 */
			work_init(w, dialect == OSH_GLOB_ENDPOINT_PATH ? OSH_GLOB_PATH : dialect,
				  folded(dialect, pattern, lower));
			r = parse_full(w);
			why = w->why;
		}
	}
	if (r < 0)
		*ret_why = why;
	return r;
}

size_t osh_glob_specificity(struct osh_str pattern)
{
	size_t n = 0;

	for (size_t i = 0; i < pattern.n; i++)
		n += pattern.p[i] != '*';
	return n;
}
