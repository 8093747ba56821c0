/* SPDX-License-Identifier: MIT */
#include "cli/args.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>

/* ---- access ---- */

static bool is_named(const struct osh_opt *opt, const char *name)
{
	if (opt->name)
		return !strcmp(opt->name, name);
	return opt->letter == name[0] && !name[1];
}

size_t osh_args_count(const struct osh_args *args, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < args->value_count; i++)
		n += is_named(args->values[i].opt, name);
	return n;
}

bool osh_args_has(const struct osh_args *args, const char *name)
{
	return osh_args_count(args, name) > 0;
}

const char *osh_args_at(const struct osh_args *args, const char *name, size_t i)
{
	for (size_t k = 0; k < args->value_count; k++)
		if (is_named(args->values[k].opt, name) && i-- == 0)
			return args->values[k].value;
	return NULL;
}

const char *osh_args_get(const struct osh_args *args, const char *name)
{
	size_t n = osh_args_count(args, name);

	return n ? osh_args_at(args, name, n - 1) : NULL;
}

const char *osh_args_pos(const struct osh_args *args, size_t i)
{
	return i < args->pos_count ? args->pos[i] : NULL;
}

/* ---- finding ---- */

static bool has_alias(const char *aliases, const char *name)
{
	struct osh_str rest = osh_str(aliases), one;

	while (osh_str_split(&rest, ' ', &one))
		if (one.n && osh_str_is(one, name))
			return true;
	return false;
}

const struct osh_cmd *osh_cmd_find(const struct osh_cmd *const *group, const char *name)
{
	for (; *group; group++)
		if (!strcmp((*group)->name, name) ||
		    ((*group)->aliases && has_alias((*group)->aliases, name)))
			return *group;
	return NULL;
}

static const char *nearest_cmd(const struct osh_cmd *const *group, const char *name)
{
	unsigned int best = 3;
	const char *hit = NULL;

	for (; *group; group++) {
		unsigned int d = osh_str_distance(osh_str((*group)->name), osh_str(name));

		if (d < best && !(*group)->hidden) {
			best = d;
			hit = (*group)->name;
		}
	}
	return hit;
}

struct parser {
	struct osh_cli *cli;
	struct osh_parsed *out;
	const struct osh_cmd *cmd; /* deepest found; NULL: none yet */
	size_t cap;
	bool failed;
};

static const struct osh_opt *in_table(const struct osh_opt *opts, struct osh_str name, char letter)
{
	for (; opts && (opts->name || opts->letter); opts++)
		if (name.p ? opts->name && osh_str_is(name, opts->name) : opts->letter == letter)
			return opts;
	return NULL;
}

static const struct osh_opt *find_opt(const struct parser *p, struct osh_str name, char letter)
{
	const struct osh_opt *opt = NULL;

	if (p->cmd)
		opt = in_table(p->cmd->opts, name, letter);
	return opt ? opt : in_table(p->cli->globals, name, letter);
}

static void fail(struct parser *p, const char *fmt, ...) OSH_PRINTF(2, 3);
static void fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	if (p->failed)
		return;
	p->failed = true;
	fputs("error: ", p->cli->err);
	va_start(ap, fmt);
	vfprintf(p->cli->err, fmt, ap);
	va_end(ap);
	fprintf(p->cli->err, "\n  hint: see '%s%s%s --help'\n", p->cli->prog,
		p->out->path[0] ? " " : "", p->out->path);
}

static void unknown_option(struct parser *p, const char *text, struct osh_str name)
{
	const struct osh_opt *tables[] = { p->cmd ? p->cmd->opts : NULL, p->cli->globals };
	const char *hit = NULL;
	unsigned int best = 4;

	for (size_t t = 0; name.p && t < OSH_ARRAY_SIZE(tables); t++) {
		for (const struct osh_opt *o = tables[t]; o && (o->name || o->letter); o++) {
			unsigned int d;

			if (!o->name || o->flags & OSH_OPT_HIDDEN)
				continue;
			d = osh_str_distance(name, osh_str(o->name));
			if (d < best) {
				best = d;
				hit = o->name;
			}
		}
	}
	if (hit)
		fail(p, "unknown option %s; did you mean --%s?", OSH_Q(text), hit);
	else
		fail(p, "unknown option %s", OSH_Q(text));
}

static void add_value(struct parser *p, const struct osh_opt *opt, const char *value)
{
	struct osh_args *args = &p->out->args;

	for (size_t i = 0; i < args->value_count && !(opt->flags & OSH_OPT_REPEAT); i++)
		if (args->values[i].opt == opt) {
			if (opt->name)
				fail(p, "option --%s was given twice", opt->name);
			else
				fail(p, "option -%c was given twice", opt->letter);
			return;
		}
	if (args->value_count == p->cap) {
		struct osh_arg_value *more = reallocarray(args->values, p->cap + 16, sizeof(*more));

		if (!more) {
			fail(p, "out of memory");
			return;
		}
		args->values = more;
		p->cap += 16;
	}
	args->values[args->value_count++] = (struct osh_arg_value){ opt, value };
}

/* "--name", "--name=value", "--name value"; returns how many arguments were used beyond this. */
static int parse_long(struct parser *p, char **argv, int left)
{
	const char *eq = strchr(argv[0], '=');
	struct osh_str name = osh_str(argv[0] + 2);
	const struct osh_opt *opt;

	if (eq)
		name.n = (size_t)(eq - argv[0]) - 2;
	opt = find_opt(p, name, 0);
	if (!opt) {
		unknown_option(p, argv[0], name);
		return 0;
	}
	if (!opt->arg) {
		if (eq)
			fail(p, "option --%s takes no value", opt->name);
		else
			add_value(p, opt, NULL);
		return 0;
	}
	if (eq) {
		add_value(p, opt, eq + 1);
		return 0;
	}
	if (opt->flags & OSH_OPT_OPTIONAL) {
		add_value(p, opt, NULL);
		return 0;
	}
	if (!left) {
		fail(p, "option --%s needs a value: %s", opt->name, opt->arg);
		return 0;
	}
	add_value(p, opt, argv[1]);
	return 1;
}

/* "-abc", "-nV", "-n V" */
static int parse_short(struct parser *p, char **argv, int left)
{
	for (const char *c = argv[0] + 1; *c; c++) {
		const struct osh_opt *opt = find_opt(p, OSH_STR_NONE, *c);

		if (!opt) {
			unknown_option(p, argv[0], OSH_STR_NONE);
			return 0;
		}
		if (!opt->arg) {
			add_value(p, opt, NULL);
			continue;
		}
		if (c[1]) {
			add_value(p, opt, c[1] == '=' ? c + 2 : c + 1);
			return 0;
		}
		if (!left) {
			fail(p, "option -%c needs a value: %s", *c, opt->arg);
			return 0;
		}
		add_value(p, opt, argv[1]);
		return 1;
	}
	return 0;
}

/* Commands that tutorials of OpenShell name, and what does their work here; NULL: none of them. */
static const char *not_here(const char *word)
{
	static const struct {
		const char *name, *instead;
	} rows[] = {
		{ "term", "'logs --tail' and 'logs -A --tail' follow the same decisions, 'flow "
			  "list' shows connections" },
		{ "provider", "'sandbox create --env KEY=VALUE' sets variables in the sandbox" },
		{ "inference", "allow the model's host in the policy" },
		{ "forward", "a sandbox has no inbound connections" },
		{ "upload", "write through 'sandbox exec -n NAME -- tee FILE'" },
		{ "download", "read through 'sandbox exec -n NAME -- cat FILE'" },
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, word))
			return rows[i].instead;
	return NULL;
}

static void enter(struct parser *p, const char *word)
{
	const struct osh_cmd *const *group = p->cmd ? p->cmd->subs : p->cli->root;
	const struct osh_cmd *next = osh_cmd_find(group, word);
	size_t len = strlen(p->out->path);

	if (!next) {
		const char *hit = nearest_cmd(group, word);

		if (!p->cmd && not_here(word))
			fail(p, "this build has no command '%s'; %s", word, not_here(word));
		else if (hit)
			fail(p, "unknown command %s; did you mean '%s'?", OSH_Q(word), hit);
		else
			fail(p, "unknown command %s", OSH_Q(word));
		return;
	}
	p->cmd = next;
	(void)snprintf(p->out->path + len, sizeof(p->out->path) - len, "%s%s", len ? " " : "",
		       next->name);
}

static void add_pos(struct parser *p, const char *word)
{
	struct osh_args *args = &p->out->args;

	if (args->pos_count >= p->cmd->pos_max) {
		if (p->cmd->takes_rest)
			fail(p, "unexpected argument %s; a command to run goes behind --",
			     OSH_Q(word));
		else
			fail(p, "unexpected argument %s", OSH_Q(word));
		return;
	}
	p->out->pos[args->pos_count++] = word;
}

static void apply_globals(struct parser *p)
{
	struct osh_args *args = &p->out->args;
	const char *socket = osh_args_get(args, "socket");

	if (socket)
		p->cli->socket = socket;
	p->cli->verbose = (unsigned int)osh_args_count(args, "verbose");
	p->out->help = osh_args_has(args, "help");
	p->out->version = osh_args_has(args, "version");
}

static void check_counts(struct parser *p)
{
	struct osh_args *args = &p->out->args;

	if (p->failed || p->out->help || p->out->version)
		return;
	if (!p->cmd || p->cmd->subs) {
		p->out->help = true; /* a group alone: show what it has */
		return;
	}
	if (args->pos_count < p->cmd->pos_min)
		fail(p, "%s needs %s", args->path, p->cmd->args);
}

int osh_args_parse(struct osh_cli *cli, int argc, char **argv, struct osh_parsed *ret_parsed)
{
	struct parser p = { .cli = cli, .out = ret_parsed };

	*ret_parsed = (struct osh_parsed){ .args.path = ret_parsed->path };
	if (argc > OSH_ARGS_MAX) {
		fail(&p, "too many arguments");
		return -EINVAL;
	}
	ret_parsed->pos = calloc((size_t)argc + 1, sizeof(*ret_parsed->pos));
	if (!ret_parsed->pos)
		return -ENOMEM;
	ret_parsed->args.pos = ret_parsed->pos;
	for (int i = 1; i < argc && !p.failed; i++) {
		char *a = argv[i];

		if (!strcmp(a, "--")) {
			ret_parsed->args.rest = (const char *const *)(argv + i + 1);
			ret_parsed->args.rest_count = (size_t)(argc - i - 1);
			break;
		}
		if (a[0] == '-' && a[1] == '-')
			i += parse_long(&p, argv + i, argc - i - 1);
		else if (a[0] == '-' && a[1])
			i += parse_short(&p, argv + i, argc - i - 1);
		else if (!p.cmd || p.cmd->subs)
			enter(&p, a);
		else
			add_pos(&p, a);
	}
	ret_parsed->args.cmd = p.cmd;
	if (p.cmd && !p.cmd->takes_rest) {
		/* for a command that runs nothing, "--" only ends the options */
		for (size_t i = 0; i < ret_parsed->args.rest_count && !p.failed; i++)
			add_pos(&p, ret_parsed->args.rest[i]);
		ret_parsed->args.rest_count = 0;
	}
	apply_globals(&p);
	check_counts(&p);
	return p.failed ? -EINVAL : 0;
}

void osh_args_fini(struct osh_parsed *parsed)
{
	free(parsed->pos);
	free(parsed->args.values);
	parsed->pos = NULL;
	parsed->args.values = NULL;
}
