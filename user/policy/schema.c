/* SPDX-License-Identifier: MIT */
#include "policy/schema.h"

static void *field(void *obj, size_t offset)
{
	return (char *)obj + offset;
}

static void wrong_type(struct osh_reader *rd, const struct osh_node *node, const char *what,
		       const char *want)
{
	bool scalar = node->type != OSH_NODE_SEQ && node->type != OSH_NODE_MAP && !node->empty;

	osh_diag_err(rd->diag, node->line, node->col, "%s: expected %s, got %s%s%s", what, want,
		     osh_node_type_name(node->type), scalar ? " " : "",
		     scalar ? osh_quote(node->text) : "");
}

bool osh_schema_text(struct osh_reader *rd, const struct osh_node *node, const char *what,
		     struct osh_str *ret_text)
{
	switch (node->type) {
	case OSH_NODE_NULL:
		if (!node->empty)
			break;
		*ret_text = OSH_STR("");
		return true;
	case OSH_NODE_BOOL:
	case OSH_NODE_INT:
	case OSH_NODE_FLOAT:
	case OSH_NODE_STR:
		*ret_text = osh_reader_str(rd, node->text);
		return true;
	default:
		break;
	}
	wrong_type(rd, node, what, "text");
	return false;
}

static bool read_bool(struct osh_reader *rd, const struct osh_node *node, const char *what,
		      bool *ret_value)
{
	if (node->type != OSH_NODE_BOOL) {
		wrong_type(rd, node, what, "true or false");
		return false;
	}
	*ret_value = node->boolean;
	return true;
}

bool osh_schema_int(struct osh_reader *rd, const struct osh_node *node, const char *what,
		    int64_t min, int64_t max, int64_t *ret_value)
{
	if (node->type != OSH_NODE_INT) {
		wrong_type(rd, node, what, "an integer");
		return false;
	}
	if (node->too_big || node->integer < min || node->integer > max) {
		osh_diag_err(rd->diag, node->line, node->col, "%s: %s is outside %lld to %lld",
			     what, osh_quote(node->text), (long long)min, (long long)max);
		return false;
	}
	*ret_value = node->integer;
	return true;
}

bool osh_schema_is_seq(struct osh_reader *rd, const struct osh_node *node, const char *what)
{
	if (node->type == OSH_NODE_SEQ || (node->type == OSH_NODE_NULL && node->empty))
		return true;
	wrong_type(rd, node, what, "a list");
	return false;
}

bool osh_schema_is_map(struct osh_reader *rd, const struct osh_node *node, const char *what)
{
	if (node->type == OSH_NODE_MAP || (node->type == OSH_NODE_NULL && node->empty))
		return true;
	wrong_type(rd, node, what, "a mapping");
	return false;
}

void *osh_reader_array(struct osh_reader *rd, size_t n, size_t size)
{
	void *p;

	if (n == 0 || rd->err < 0)
		return NULL;
	p = osh_arena_array(rd->arena, n, size);
	if (!p)
		rd->err = -ENOMEM;
	return p;
}

struct osh_str osh_reader_str(struct osh_reader *rd, struct osh_str s)
{
	struct osh_str copy;

	if (rd->err < 0 || s.n == 0)
		return OSH_STR("");
	copy = osh_arena_str(rd->arena, s);
	if (!copy.p) {
		rd->err = -ENOMEM;
		return OSH_STR("");
	}
	return copy;
}

/* Report "unknown FIELD 'x' in WHAT" with the nearest of @keys, at the key of @node. */
static void report_unknown(struct osh_reader *rd, const struct osh_node *node,
			   const struct osh_key *keys, const char *what)
{
	const char *best = NULL;
	unsigned int best_distance = 4;

	/* After so many errors nobody reads the suggestions, and they cost. */
	for (const struct osh_key *k = keys; k->name && rd->diag->errors < 200; k++) {
		struct osh_str name = osh_str(k->name);
		unsigned int d = osh_str_distance(node->key, name);

		/* "filesystem" for "filesystem_policy": a beginning of three letters counts. */
		if (d > 3 && node->key.n >= 3 && osh_str_has_prefix(name, node->key))
			d = 3;
		/* A suggestion that shares less than half of the word only confuses. */
		if (d < best_distance && d * 2 <= OSH_MAX(node->key.n, name.n)) {
			best = k->name;
			best_distance = d;
		}
	}
	if (best)
		osh_diag_err(rd->diag, node->key_line, node->key_col,
			     "unknown field %s in %s; did you mean \"%s\"?", osh_quote(node->key),
			     what, best);
	else
		osh_diag_err(rd->diag, node->key_line, node->key_col, "unknown field %s in %s",
			     osh_quote(node->key), what);
}

static void read_texts(struct osh_reader *rd, const struct osh_node *node,
		       const struct osh_key *key, void *obj)
{
	struct osh_strs *list = field(obj, key->offset);
	struct osh_place *places = NULL;
	struct osh_str *texts;
	size_t n = 0;

	if (!osh_schema_is_seq(rd, node, key->name) || node->n == 0)
		return;
	texts = osh_reader_array(rd, node->n, sizeof(*texts));
	if (key->has_at)
		places = osh_reader_array(rd, node->n, sizeof(*places));
	if (rd->err < 0)
		return;
	osh_node_for_each(it, node)
	{
		if (!osh_schema_text(rd, it, key->name, &texts[n]))
			continue;
		if (places)
			places[n] = (struct osh_place){ it->line, it->col };
		n++;
	}
	*list = (struct osh_strs){ n ? texts : NULL, n };
	if (key->has_at)
		*(struct osh_place **)field(obj, key->at_offset) = n ? places : NULL;
}

static void read_int(struct osh_reader *rd, const struct osh_node *node, const struct osh_key *key,
		     void *dst)
{
	int64_t value;

	switch (key->kind) {
	case OSH_KEY_U16:
		if (osh_schema_int(rd, node, key->name, 0, UINT16_MAX, &value))
			*(uint16_t *)dst = (uint16_t)value;
		break;
	case OSH_KEY_U32:
		if (osh_schema_int(rd, node, key->name, 0, UINT32_MAX, &value))
			*(uint32_t *)dst = (uint32_t)value;
		break;
	default:
		if (osh_schema_int(rd, node, key->name, INT32_MIN, INT32_MAX, &value))
			*(int32_t *)dst = (int32_t)value;
		break;
	}
}

static void read_key(struct osh_reader *rd, const struct osh_node *node, const struct osh_key *key,
		     void *obj)
{
	void *dst = field(obj, key->offset);

	if (key->has_at && key->kind != OSH_KEY_TEXTS)
		*(struct osh_place *)field(obj, key->at_offset) = (struct osh_place){ node->line,
										      node->col };
	if ((key->flags & OSH_KEY_NULLABLE) && node->type == OSH_NODE_NULL)
		return;
	switch (key->kind) {
	case OSH_KEY_TEXT:
		(void)osh_schema_text(rd, node, key->name, dst); /* reported; reading goes on */
		break;
	case OSH_KEY_BOOL:
		(void)read_bool(rd, node, key->name, dst); /* likewise */
		break;
	case OSH_KEY_U16:
	case OSH_KEY_U32:
	case OSH_KEY_I32:
		read_int(rd, node, key, dst);
		break;
	case OSH_KEY_TEXTS:
		read_texts(rd, node, key, obj);
		break;
	case OSH_KEY_SEQ:
		if (osh_schema_is_seq(rd, node, key->name))
			key->set(rd, node, obj);
		break;
	case OSH_KEY_MAP:
		if (osh_schema_is_map(rd, node, key->name))
			key->set(rd, node, obj);
		break;
	case OSH_KEY_ANY:
		key->set(rd, node, obj);
		break;
	}
}

void osh_schema_read(struct osh_reader *rd, const struct osh_node *node, const struct osh_key *keys,
		     void *obj, const char *what)
{
	if (!osh_schema_is_map(rd, node, what))
		return;
	osh_node_for_each(it, node)
	{
		const struct osh_key *k = keys;

		if (rd->err < 0)
			return;
		while (k->name && !osh_str_is(it->key, k->name))
			k++;
		if (k->name)
			read_key(rd, it, k, obj);
		else if (it->key.n)
			report_unknown(rd, it, keys, what);
	}
	for (const struct osh_key *k = keys; k->name; k++)
		if ((k->flags & OSH_KEY_REQUIRED) && !osh_node_get(node, osh_str(k->name)))
			osh_diag_err(rd->diag, node->line, node->col,
				     "%s: field \"%s\" is required", what, k->name);
}
