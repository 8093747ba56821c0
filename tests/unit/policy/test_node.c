/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include <stdio.h>

#include "policy/node.h"

struct tree {
	struct osh_arena arena;
	struct osh_diag diag;
	struct osh_buf text;
	struct osh_node *root;
	int r;
};

static void parse(struct tree *t, struct osh_str text, const struct osh_node_limits *limits)
{
	*t = (struct tree){ 0 };
	osh_arena_init(&t->arena, 64u << 20);
	osh_diag_init(&t->diag, "f");
	osh_buf_init(&t->text, 1u << 20, 0);
	t->r = osh_node_parse(&t->arena, text, limits, &t->root, &t->diag);
	assert_int_equal(osh_diag_render(&t->diag, &t->text), 0);
}

static void done(struct tree *t)
{
	osh_arena_fini(&t->arena);
	osh_diag_fini(&t->diag);
	osh_buf_fini(&t->text);
}

static void fails(struct osh_str text, int err, const char *message)
{
	struct tree t;

	parse(&t, text, NULL);
	assert_int_equal(t.r, err);
	if (!t.text.data || !strstr(t.text.data, message))
		fail_msg("no \"%s\" in: %s", message, t.text.data ? t.text.data : "(nothing)");
	done(&t);
}

static void scalars_are_typed_by_the_core_schema(void **state)
{
	static const struct {
		const char *text;
		enum osh_node_type type;
	} v[] = {
		{ "", OSH_NODE_NULL },	    { "~", OSH_NODE_NULL },    { "null", OSH_NODE_NULL },
		{ "nUll", OSH_NODE_STR },   { "true", OSH_NODE_BOOL }, { "False", OSH_NODE_BOOL },
		{ "yes", OSH_NODE_STR },    { "on", OSH_NODE_STR },    { "0", OSH_NODE_INT },
		{ "-12", OSH_NODE_INT },    { "+7", OSH_NODE_INT },    { "0x1bB", OSH_NODE_INT },
		{ "0o17", OSH_NODE_INT },   { "0o18", OSH_NODE_STR },  { "0x", OSH_NODE_STR },
		{ "1:30", OSH_NODE_STR },   { "1_000", OSH_NODE_STR }, { "1.5", OSH_NODE_FLOAT },
		{ ".5", OSH_NODE_FLOAT },   { "5.", OSH_NODE_FLOAT },  { "1e3", OSH_NODE_FLOAT },
		{ "1e", OSH_NODE_STR },	    { ".", OSH_NODE_STR },     { "-.inf", OSH_NODE_FLOAT },
		{ ".nan", OSH_NODE_FLOAT }, { "-.nan", OSH_NODE_STR }, { "'1'", OSH_NODE_STR },
		{ "\"\"", OSH_NODE_STR },   { "1.2.3", OSH_NODE_STR }, { "-", OSH_NODE_STR },
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(v); i++) {
		char text[64];
		struct tree t;

		if (strcmp(v[i].text, "-") == 0)
			continue; /* a list item, no scalar */
		(void)snprintf(text, sizeof(text), "k: %s\n", v[i].text);
		parse(&t, osh_str(text), NULL);
		assert_int_equal(t.r, 0);
		if (t.root->child->type != v[i].type)
			fail_msg("%s is %s", v[i].text, osh_node_type_name(t.root->child->type));
		done(&t);
	}
}

static void numbers_that_do_not_fit_say_so(void **state)
{
	struct tree t;

	(void)state;
	parse(&t, OSH_STR("[9223372036854775807, 9223372036854775808, -5]"), NULL);
	assert_int_equal(t.r, 0);
	assert_false(t.root->child->too_big);
	assert_true(t.root->child->integer == INT64_MAX);
	assert_true(t.root->child->next->too_big);
	assert_int_equal(t.root->child->next->next->integer, -5);
	done(&t);
}

static void nodes_have_places(void **state)
{
	struct tree t;
	const struct osh_node *b;

	(void)state;
	parse(&t, OSH_STR("a: 1\nbb:\n  - x\n  - {c: y}\n"), NULL);
	assert_int_equal(t.r, 0);
	b = osh_node_get(t.root, OSH_STR("bb"));
	assert_non_null(b);
	assert_int_equal(b->key_line, 2);
	assert_int_equal(b->key_col, 1);
	assert_int_equal(b->n, 2);
	assert_int_equal(b->child->line, 3);
	assert_int_equal(b->child->col, 5);
	assert_int_equal(b->child->next->child->line, 4);
	assert_int_equal(b->child->next->child->col, 9);
	done(&t);
}

static void dangerous_yaml_is_refused(void **state)
{
	(void)state;
	fails(OSH_STR("a: *x\n"), -EBADMSG, "f:1:4: alias \"x\" is not supported");
	fails(OSH_STR("*x : 1\n"), -EBADMSG, "alias");
	fails(OSH_STR("a: &x 1\nb: *x\n"), -EBADMSG, "f:2:4: alias");
	fails(OSH_STR("a: !!str 1\n"), -EBADMSG, "f:1:4: tag");
	fails(OSH_STR("a: !x {b: 1}\n"), -EBADMSG, "tag \"!x\"");
	fails(OSH_STR("!x\na: 1\n"), -EBADMSG, "tag");
	fails(OSH_STR("a: 1\na: 2\n"), -EBADMSG, "f:2:1: duplicate key \"a\"");
	fails(OSH_STR("{a: {b: 1, 'b': 2}}\n"), -EBADMSG, "duplicate key \"b\"");
	fails(OSH_STR("<<: {a: 1}\n"), -EBADMSG, "merge key");
	fails(OSH_STR("a: 1\n---\nb: 2\n"), -EBADMSG, "f:2:1: a second document");
	fails(OSH_STR("a: 1\0\n"), -EBADMSG, "f:1:5: the text contains a NUL");
	fails(OSH_STR("a: \"x\\0y\"\n"), -EBADMSG, "NUL");
	fails(OSH_STR("\"\\0\": 1\n"), -EBADMSG, "NUL");
	fails(OSH_STR("a: b\nc: \xff\n"), -EBADMSG, "f:2:4: the text is not UTF-8");
	fails(OSH_STR("a: \xed\xa0\x80\n"), -EBADMSG, "not UTF-8");
	fails(OSH_STR("\xff\xfe"
		      "a\0"),
	      -EBADMSG, "NUL");
	fails(OSH_STR("? [a]\n: 1\n"), -EBADMSG, "a key must be");
	fails(OSH_STR("{'': 1}\n"), -EBADMSG, "a key is empty");
	fails(OSH_STR("a: [1\n"), -EBADMSG, "not valid YAML");
	fails(OSH_STR("a: \x01\n"), -EBADMSG, "not readable as YAML");
	fails(OSH_STR("a: 'x\n"), -EBADMSG, "not valid YAML");
}

static void an_anchor_alone_is_ignored_with_a_warning(void **state)
{
	struct tree t;

	(void)state;
	parse(&t, OSH_STR("a: &x {b: 1}\n"), NULL);
	assert_int_equal(t.r, 0);
	assert_int_equal(t.diag.warnings, 1);
	done(&t);
}

static void ceilings_hold(void **state)
{
	struct osh_node_limits small = { .max_bytes = 40, .max_depth = 2, .max_count = 5 };
	char deep[64];
	struct tree t;

	(void)state;
	parse(&t, OSH_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: 1\n"), &small);
	assert_int_equal(t.r, -EMSGSIZE);
	done(&t);
	parse(&t, OSH_STR("[[1]]"), &small);
	assert_int_equal(t.r, 0);
	done(&t);
	parse(&t, OSH_STR("[[[1]]]"), &small);
	assert_int_equal(t.r, -EMSGSIZE);
	done(&t);
	parse(&t, OSH_STR("[1,2,3,4]"), &small);
	assert_int_equal(t.r, 0);
	done(&t);
	parse(&t, OSH_STR("[1,2,3,4,5]"), &small);
	assert_int_equal(t.r, -EMSGSIZE);
	assert_null(t.root);
	done(&t);
	memset(deep, '[', 17);
	memset(deep + 17, ']', 17);
	fails((struct osh_str){ deep, 34 }, -EMSGSIZE, "levels of nesting");
	parse(&t, (struct osh_str){ deep + 1, 32 }, NULL);
	assert_int_equal(t.r, 0);
	done(&t);
}

static void a_mebibyte_of_brackets_is_cheap(void **state)
{
	size_t n = OSH_NODE_MAX_BYTES;
	char *text = malloc(n);
	struct tree t;

	(void)state;
	assert_non_null(text);
	memset(text, '[', n);
	parse(&t, (struct osh_str){ text, n }, NULL);
	assert_int_equal(t.r, -EMSGSIZE);
	done(&t);
	memset(text, '?', n);
	parse(&t, (struct osh_str){ text, n }, NULL);
	assert_true(t.r < 0 || t.root);
	done(&t);
	free(text);
}

static void a_long_key_is_refused(void **state)
{
	char text[300];

	(void)state;
	memset(text, 'k', sizeof(text));
	memcpy(text + 256, ": 1\n", 4);
	fails((struct osh_str){ text, 260 }, -EBADMSG, "longer than 255 bytes");
}

static void an_empty_document_has_no_root(void **state)
{
	struct tree t;

	(void)state;
	parse(&t, OSH_STR("# nothing\n"), NULL);
	assert_int_equal(t.r, 0);
	assert_null(t.root);
	done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_are_typed_by_the_core_schema),
		cmocka_unit_test(numbers_that_do_not_fit_say_so),
		cmocka_unit_test(nodes_have_places),
		cmocka_unit_test(dangerous_yaml_is_refused),
		cmocka_unit_test(an_anchor_alone_is_ignored_with_a_warning),
		cmocka_unit_test(ceilings_hold),
		cmocka_unit_test(a_mebibyte_of_brackets_is_cheap),
		cmocka_unit_test(a_long_key_is_refused),
		cmocka_unit_test(an_empty_document_has_no_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
