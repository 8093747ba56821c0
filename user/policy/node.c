/* SPDX-License-Identifier: MIT */
#include "policy/node.h"

#include <stdlib.h>
#include <yaml.h>

enum { HARD_MAX_DEPTH = 64 };

struct frame {
	struct osh_node *node;
	struct osh_node **tail; /* where the next member is linked */
	bool have_key; /* MAP: a key was read, its value is due */
	struct osh_str key;
	unsigned int key_line, key_col;
};

struct builder {
	struct osh_arena *arena;
	struct osh_diag *diag;
	struct osh_node_limits limits;
	unsigned int count;
	unsigned int depth;
	struct frame stack[HARD_MAX_DEPTH];
	struct osh_node *root;
	bool seen_document;
	bool bad; /* an error was reported, reading goes on */
};

static unsigned int line_of(const yaml_mark_t *mark)
{
	return (unsigned int)mark->line + 1;
}

static unsigned int col_of(const yaml_mark_t *mark)
{
	return (unsigned int)mark->column + 1;
}

/* ---- YAML 1.2 core schema ---- */

static bool is_one_of(struct osh_str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (osh_str_is(s, words[i]))
			return true;
	return false;
}

static bool is_null(struct osh_str s)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	return is_one_of(s, words, OSH_ARRAY_SIZE(words));
}

static bool is_bool(struct osh_str s, bool *ret_value)
{
	static const char *const yes[] = { "true", "True", "TRUE" };
	static const char *const no[] = { "false", "False", "FALSE" };

	*ret_value = is_one_of(s, yes, OSH_ARRAY_SIZE(yes));
	return *ret_value || is_one_of(s, no, OSH_ARRAY_SIZE(no));
}

static size_t count_digits(struct osh_str s, size_t from)
{
	size_t i = from;

	while (i < s.n && osh_is_digit(s.p[i]))
		i++;
	return i - from;
}

/* Digits of @base from @from to the end; saturates and says so in @ret_big. */
static bool parse_digits(struct osh_str s, size_t from, unsigned int base, uint64_t *ret_value,
			 bool *ret_big)
{
	uint64_t value = 0;
	bool big = false;

	if (from >= s.n)
		return false;
	for (size_t i = from; i < s.n; i++) {
		int digit = osh_hex_value(s.p[i]);

		if (digit < 0 || (unsigned int)digit >= base)
			return false;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			big = true;
	}
	*ret_value = value;
	*ret_big = big;
	return true;
}

static bool is_int(struct osh_str s, int64_t *ret_value, bool *ret_big)
{
	uint64_t value;
	bool negative = s.n > 0 && s.p[0] == '-';
	bool big;

	if (s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'o')) {
		if (!parse_digits(s, 2, s.p[1] == 'x' ? 16 : 8, &value, &big))
			return false;
	} else {
		size_t from = negative || (s.n > 0 && s.p[0] == '+') ? 1 : 0;

		if (!parse_digits(s, from, 10, &value, &big))
			return false;
	}
	*ret_big = big || value > INT64_MAX;
	*ret_value = *ret_big ? 0 : negative ? -(int64_t)value : (int64_t)value;
	return true;
}

static bool is_float(struct osh_str s)
{
	static const char *const words[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN" };
	size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
	size_t whole, fraction = 0;

	if (is_one_of(osh_str_sub(s, i, s.n), words, i ? 3 : OSH_ARRAY_SIZE(words)))
		return true;
	whole = count_digits(s, i);
	i += whole;
	if (i < s.n && s.p[i] == '.') {
		fraction = count_digits(s, i + 1);
		i += 1 + fraction;
	}
	if (whole == 0 && fraction == 0)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		size_t digits;

		i++;
		if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		digits = count_digits(s, i);
		if (digits == 0)
			return false;
		i += digits;
	}
	return i == s.n;
}

static void type_plain(struct osh_node *node)
{
	node->empty = node->text.n == 0;
	if (is_null(node->text))
		node->type = OSH_NODE_NULL;
	else if (is_bool(node->text, &node->boolean))
		node->type = OSH_NODE_BOOL;
	else if (is_int(node->text, &node->integer, &node->too_big))
		node->type = OSH_NODE_INT;
	else if (is_float(node->text))
		node->type = OSH_NODE_FLOAT;
	else
		node->type = OSH_NODE_STR;
}

/* ---- building ---- */

static int limit(struct builder *b, unsigned int line, unsigned int col, const char *what,
		 unsigned int max)
{
	osh_diag_err(b->diag, line, col,
		     "%s: this document has more than %u; split it or shorten it", what, max);
	return -EMSGSIZE;
}

static int count_one(struct builder *b, const yaml_mark_t *mark)
{
	if (++b->count > b->limits.max_count)
		return limit(b, line_of(mark), col_of(mark), "too many values",
			     b->limits.max_count);
	return 0;
}

static int link_node(struct builder *b, struct osh_node *node)
{
	struct frame *top;

	if (b->depth == 0) {
		b->root = node;
		return 0;
	}
	top = &b->stack[b->depth - 1];
	if (top->node->type == OSH_NODE_MAP) {
		node->key = top->key;
		node->key_line = top->key_line;
		node->key_col = top->key_col;
		top->have_key = false;
	}
	*top->tail = node;
	top->tail = &node->next;
	top->node->n++;
	return 0;
}

static bool key_is_due(const struct builder *b)
{
	const struct frame *top = b->depth ? &b->stack[b->depth - 1] : NULL;

	return top && top->node->type == OSH_NODE_MAP && !top->have_key;
}

static void refuse_properties(struct builder *b, const yaml_event_t *ev, const yaml_char_t *anchor,
			      const yaml_char_t *tag)
{
	unsigned int line = line_of(&ev->start_mark), col = col_of(&ev->start_mark);

	if (tag) {
		osh_diag_err(b->diag, line, col, "tag %s is not supported; remove it",
			     OSH_Q((const char *)tag));
		b->bad = true;
	}
	if (anchor)
		osh_diag_warn(b->diag, line, col,
			      "anchor %s has no effect: references to anchors are not supported",
			      OSH_Q((const char *)anchor));
}

static int on_key(struct builder *b, const yaml_event_t *ev)
{
	struct frame *top = &b->stack[b->depth - 1];
	struct osh_str text = { (const char *)ev->data.scalar.value, ev->data.scalar.length };
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	top->key = osh_arena_str(b->arena, text);
	if (!top->key.p)
		return -ENOMEM;
	top->key_line = line_of(&ev->start_mark);
	top->key_col = col_of(&ev->start_mark);
	top->have_key = true;
	if (memchr(text.p, 0, text.n)) {
		osh_diag_err(b->diag, top->key_line, top->key_col,
			     "a key contains a NUL character");
		b->bad = true;
	} else if (plain && osh_str_is(text, "<<")) {
		osh_diag_err(b->diag, top->key_line, top->key_col,
			     "merge key \"<<\" is not supported; write the fields out");
		b->bad = true;
	} else if (text.n > OSH_NODE_MAX_KEY_BYTES) {
		osh_diag_err(b->diag, top->key_line, top->key_col, "key %s is longer than %u bytes",
			     osh_quote(text), OSH_NODE_MAX_KEY_BYTES);
		b->bad = true;
	} else if (text.n == 0) {
		osh_diag_err(b->diag, top->key_line, top->key_col, "a key is empty");
		b->bad = true;
	}
	return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *ev)
{
	struct osh_node *node;
	int r = count_one(b, &ev->start_mark);

	if (r < 0)
		return r;
	refuse_properties(b, ev, ev->data.scalar.anchor, ev->data.scalar.tag);
	if (key_is_due(b))
		return on_key(b, ev);
	node = osh_arena_alloc(b->arena, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->line = line_of(&ev->start_mark);
	node->col = col_of(&ev->start_mark);
	node->text = osh_arena_str(b->arena, (struct osh_str){ (const char *)ev->data.scalar.value,
							       ev->data.scalar.length });
	if (!node->text.p)
		return -ENOMEM;
	if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		type_plain(node);
	else
		node->type = OSH_NODE_STR;
	if (memchr(node->text.p, 0, node->text.n)) {
		osh_diag_err(b->diag, node->line, node->col, "a text contains a NUL character");
		b->bad = true;
	}
	return link_node(b, node);
}

/* Nothing stands for what it referred to: the document is refused anyway. */
static int on_alias(struct builder *b, const yaml_event_t *ev)
{
	unsigned int line = line_of(&ev->start_mark), col = col_of(&ev->start_mark);
	struct osh_node *node;
	int r = count_one(b, &ev->start_mark);

	if (r < 0)
		return r;
	osh_diag_err(b->diag, line, col,
		     "alias %s is not supported; write the value out where it is needed",
		     OSH_Q((const char *)ev->data.alias.anchor));
	b->bad = true;
	if (key_is_due(b)) {
		struct frame *top = &b->stack[b->depth - 1];

		top->key = OSH_STR("");
		top->key_line = line;
		top->key_col = col;
		top->have_key = true;
		return 0;
	}
	node = osh_arena_alloc(b->arena, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->text = OSH_STR("");
	node->line = line;
	node->col = col;
	return link_node(b, node);
}

static int on_open(struct builder *b, const yaml_event_t *ev, enum osh_node_type type)
{
	struct osh_node *node;
	int r = count_one(b, &ev->start_mark);

	if (r < 0)
		return r;
	if (key_is_due(b)) {
		/* Without the key there is no telling what belongs where: stop here. */
		osh_diag_err(b->diag, line_of(&ev->start_mark), col_of(&ev->start_mark),
			     "a key must be a single word or text, not a collection");
		return -EBADMSG;
	}
	if (b->depth == b->limits.max_depth)
		return limit(b, line_of(&ev->start_mark), col_of(&ev->start_mark),
			     "too many levels of nesting", b->limits.max_depth);
	node = osh_arena_alloc(b->arena, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->type = type;
	node->text = OSH_STR("");
	node->line = line_of(&ev->start_mark);
	node->col = col_of(&ev->start_mark);
	r = link_node(b, node);
	if (r < 0)
		return r;
	b->stack[b->depth++] = (struct frame){ .node = node, .tail = &node->child };
	return 0;
}

static int cmp_members(const void *pa, const void *pb)
{
	const struct osh_node *a = *(struct osh_node *const *)pa;
	const struct osh_node *b = *(struct osh_node *const *)pb;
	int r = osh_str_cmp(a->key, b->key);

	if (r)
		return r;
	if (a->key_line != b->key_line)
		return a->key_line < b->key_line ? -1 : 1;
	return (a->key_col > b->key_col) - (a->key_col < b->key_col);
}

static int check_duplicates(struct builder *b, const struct osh_node *map)
{
	osh_auto_free const struct osh_node **v = NULL;
	size_t n = 0;

	if (map->n < 2)
		return 0;
	v = calloc(map->n, sizeof(*v));
	if (!v)
		return -ENOMEM;
	osh_node_for_each(it, map) v[n++] = it;
	qsort(v, n, sizeof(*v), cmp_members);
	for (size_t i = 1; i < n; i++) {
		if (!osh_str_eq(v[i]->key, v[i - 1]->key) || v[i]->key.n == 0)
			continue;
		osh_diag_err(b->diag, v[i]->key_line, v[i]->key_col,
			     "duplicate key %s; it was given at line %u already",
			     osh_quote(v[i]->key), v[i - 1]->key_line);
		b->bad = true;
	}
	return 0;
}

static int on_close(struct builder *b)
{
	const struct osh_node *node = b->stack[--b->depth].node;

	return node->type == OSH_NODE_MAP ? check_duplicates(b, node) : 0;
}

static int on_document(struct builder *b, const yaml_event_t *ev)
{
	if (b->seen_document) {
		osh_diag_err(b->diag, line_of(&ev->start_mark), col_of(&ev->start_mark),
			     "a second document starts here; one file holds one document");
		return -EBADMSG;
	}
	b->seen_document = true;
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(b, ev);
	case YAML_ALIAS_EVENT:
		return on_alias(b, ev);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		refuse_properties(b, ev, ev->data.sequence_start.anchor,
				  ev->data.sequence_start.tag);
		return on_open(b, ev, OSH_NODE_SEQ);
	case YAML_MAPPING_START_EVENT:
		refuse_properties(b, ev, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
		return on_open(b, ev, OSH_NODE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(b);
	default:
		return 0;
	}
}

/* What people who write policies mostly did when libyaml says so. */
static const char *advice(const char *context, const char *problem)
{
	if (context && strstr(context, "scanning an alias"))
		return "; a value that begins with '*' needs quotes";
	if (problem && strstr(problem, "found a tab character"))
		return "; indent with blanks";
	if (problem && strstr(problem, "mapping values are not allowed"))
		return "; is this line indented like its neighbours, and a value with ': ' quoted?";
	if (problem && strstr(problem, "did not find expected key"))
		return "; is this line indented like its neighbours?";
	return "";
}

static int report_yaml(struct builder *b, const yaml_parser_t *parser)
{
	const yaml_mark_t *mark = &parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		osh_diag_err(b->diag, line_of(&parser->mark), col_of(&parser->mark),
			     "not readable as YAML: %s",
			     parser->problem ? parser->problem : "bad character");
	else
		osh_diag_err(b->diag, line_of(mark), col_of(mark), "not valid YAML: %s%s%s%s",
			     parser->problem ? parser->problem : "syntax error",
			     parser->context ? " " : "", parser->context ? parser->context : "",
			     advice(parser->context, parser->problem));
	return -EBADMSG;
}

static int run(struct builder *b, yaml_parser_t *parser)
{
	bool done = false;
	int r = 0;

	while (r == 0 && !done) {
		yaml_event_t ev;

		if (!yaml_parser_parse(parser, &ev))
			return report_yaml(b, parser);
		done = ev.type == YAML_STREAM_END_EVENT;
		r = on_event(b, &ev);
		yaml_event_delete(&ev);
	}
	return r;
}

/* Line and column of a byte offset, for what is found before libyaml sees the text. */
static void place_of(struct osh_str text, size_t at, unsigned int *ret_line, unsigned int *ret_col)
{
	unsigned int line = 1, col = 1;

	for (size_t i = 0; i < at && i < text.n; i++) {
		col++;
		if (text.p[i] == '\n') {
			line++;
			col = 1;
		}
	}
	*ret_line = line;
	*ret_col = col;
}

static int check_bytes(struct osh_str text, size_t max_bytes, struct osh_diag *diag)
{
	unsigned int line, col;
	size_t nul;

	if (text.n > max_bytes) {
		osh_diag_err(diag, 0, 0, "document is too large (%zu > %zu bytes)", text.n,
			     max_bytes);
		return -EMSGSIZE;
	}
	nul = osh_str_find(text, '\0');
	if (nul < text.n) {
		place_of(text, nul, &line, &col);
		osh_diag_err(diag, line, col, "the text contains a NUL character");
		return -EBADMSG;
	}
	if (!osh_utf8_is_valid(text)) {
		size_t good = 0, bad = text.n;

		/* Longest valid prefix: validity of prefixes that end on a boundary is monotonic. */
		while (bad - good > 1) {
			size_t mid = good + (bad - good) / 2;
			size_t cut = mid;

			while (cut > good && ((unsigned char)text.p[cut] & 0xc0) == 0x80)
				cut--;
			if (cut > good && osh_utf8_is_valid(osh_str_sub(text, good, cut - good)))
				good = cut;
			else
				bad = mid;
		}
		place_of(text, good, &line, &col);
		osh_diag_err(diag, line, col, "the text is not UTF-8; save the file as UTF-8");
		return -EBADMSG;
	}
	return 0;
}

int osh_node_parse(struct osh_arena *arena, struct osh_str text,
		   const struct osh_node_limits *limits, struct osh_node **ret_root,
		   struct osh_diag *diag)
{
	struct builder b = { .arena = arena, .diag = diag };
	yaml_parser_t parser;
	int r;

	if (limits)
		b.limits = *limits;
	if (!b.limits.max_bytes)
		b.limits.max_bytes = OSH_NODE_MAX_BYTES;
	if (!b.limits.max_depth)
		b.limits.max_depth = OSH_NODE_MAX_DEPTH;
	b.limits.max_depth = OSH_MIN(b.limits.max_depth, (unsigned int)HARD_MAX_DEPTH);
	if (!b.limits.max_count)
		b.limits.max_count = OSH_NODE_MAX_COUNT;

	r = check_bytes(text, b.limits.max_bytes, diag);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)(text.n ? text.p : ""),
				     text.n);
	r = run(&b, &parser);
	yaml_parser_delete(&parser);
	if (r < 0)
		return r;
	*ret_root = b.root;
	return b.bad ? -EBADMSG : 0;
}

const char *osh_node_type_name(enum osh_node_type type)
{
	switch (type) {
	case OSH_NODE_NULL:
		return "nothing (null)";
	case OSH_NODE_BOOL:
		return "a boolean";
	case OSH_NODE_INT:
		return "an integer";
	case OSH_NODE_FLOAT:
		return "a fraction";
	case OSH_NODE_STR:
		return "text";
	case OSH_NODE_SEQ:
		return "a list";
	case OSH_NODE_MAP:
		return "a mapping";
	}
	return "something else";
}

const struct osh_node *osh_node_get(const struct osh_node *map, struct osh_str key)
{
	osh_node_for_each(it, map) if (osh_str_eq(it->key, key)) return it;
	return NULL;
}
