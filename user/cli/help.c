/* SPDX-License-Identifier: MIT */
/* Help, the synopsis of the manual and the bash completion: all from the command table. */
#include "cli/args.h"

#include <errno.h>

enum { COLUMN = 28, WIDTH = 80 };

struct out {
	struct osh_buf *buf;
	int err;
};

static void put(struct out *o, const char *fmt, ...) OSH_PRINTF(2, 3);
static void put(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!o->err)
		o->err = osh_buf_vprintf(o->buf, fmt, ap);
	va_end(ap);
}

/*
 * @text and a newline, broken between words before column WIDTH; further lines begin at @indent, and
 * the first one at @column is under way. Newlines in the text stay.
 */
static void put_wrapped(struct out *o, const char *text, int column, int indent)
{
	int at = column;

	while (*text) {
		bool first = at == column || at == indent;
		int n = (int)strcspn(text, " \n");

		if (first && *text == ' ') { /* the text's own indentation */
			put(o, " ");
			column = ++at;
			text++;
			continue;
		}

		if (!first && at + 1 + n > WIDTH) {
			put(o, "\n%*s", indent, "");
			at = indent;
			first = true;
		}
		put(o, "%s%.*s", first ? "" : " ", n, text);
		at += n + !first;
		text += n;
		if (*text == '\n') {
			put(o, "\n%*s", indent, "");
			at = column = indent;
		}
		text += *text != '\0';
	}
	put(o, "\n");
}

static void put_option(struct out *o, const struct osh_opt *opt)
{
	char text[96], help[512];
	int n;

	if (opt->flags & OSH_OPT_HIDDEN)
		return;
	n = snprintf(text, sizeof(text), "  %c%c%s%s%s", opt->letter ? '-' : ' ',
		     opt->letter ? opt->letter : ' ', opt->letter && opt->name ? ", " : "  ",
		     opt->name ? "--" : "", opt->name ? opt->name : "");
	if (opt->arg)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      opt->flags & OSH_OPT_OPTIONAL ? "[=%s]" : " %s", opt->arg);
	if (n >= COLUMN)
		put(o, "%s\n%*s", text, COLUMN, "");
	else
		put(o, "%-*s", COLUMN, text);
	(void)snprintf(help, sizeof(help), "%s%s", opt->help,
		       opt->flags & OSH_OPT_REPEAT && opt->arg ? " (repeatable)" : "");
	put_wrapped(o, help, COLUMN, COLUMN);
}

static void put_options(struct out *o, const char *title, const struct osh_opt *opts)
{
	bool any = false;

	for (const struct osh_opt *i = opts; i && (i->name || i->letter); i++)
		any = any || !(i->flags & OSH_OPT_HIDDEN);
	if (!any)
		return;
	put(o, "\n%s:\n", title);
	for (; opts->name || opts->letter; opts++)
		put_option(o, opts);
}

static void put_usage(struct out *o, const char *prog, const struct osh_cmd *cmd, const char *path)
{
	put(o, "%s%s%s", prog, *path ? " " : "", path);
	if (!cmd || cmd->subs) {
		put(o, " COMMAND");
		return;
	}
	if (cmd->opts)
		put(o, " [OPTIONS]");
	if (cmd->args)
		put(o, " %s", cmd->args);
}

int osh_help_render(const struct osh_cli *cli, const struct osh_cmd *cmd, const char *path,
		    struct osh_buf *out)
{
	const struct osh_cmd *const *subs = cmd ? cmd->subs : cli->root;
	struct out o = { .buf = out };

	put(&o, "%s\n\nUsage: ",
	    cmd ? cmd->help : "Safe, private sandboxes for programs you do not trust");
	put_usage(&o, cli->prog, cmd, path);
	put(&o, "\n");
	if (cmd && cmd->aliases)
		put(&o, "Aliases: %s\n", cmd->aliases);
	if (cmd && cmd->more) {
		put(&o, "\n");
		put_wrapped(&o, cmd->more, 0, 0);
	}
	if (subs) {
		put(&o, "\nCommands:\n");
		for (; *subs; subs++)
			if (!(*subs)->hidden) {
				put(&o, "  %-*s", COLUMN - 2, (*subs)->name);
				put_wrapped(&o, (*subs)->help, COLUMN, COLUMN);
			}
	}
	if (cmd)
		put_options(&o, "Options", cmd->opts);
	put_options(&o, "Global options", cli->globals);
	if (!cmd || cmd->subs)
		put(&o, "\nSee '%s%s%s COMMAND --help' for one command.\n", cli->prog,
		    *path ? " " : "", path);
	return o.err;
}

static void walk_synopsis(struct out *o, const struct osh_cmd *const *group, const char *prefix)
{
	for (; *group; group++) {
		char path[128];

		if ((*group)->hidden)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? " " : "",
			       (*group)->name);
		if ((*group)->subs) {
			walk_synopsis(o, (*group)->subs, path);
			continue;
		}
		put(o, "%s", path);
		for (const struct osh_opt *i = (*group)->opts; i && (i->name || i->letter); i++) {
			if (i->flags & OSH_OPT_HIDDEN)
				continue;
			if (i->name)
				put(o, " [--%s%s%s]", i->name, i->arg ? " " : "",
				    i->arg ? i->arg : "");
			else
				put(o, " [-%c%s%s]", i->letter, i->arg ? " " : "",
				    i->arg ? i->arg : "");
		}
		if ((*group)->args)
			put(o, " %s", (*group)->args);
		put(o, "\n");
	}
}

int osh_help_synopsis(const struct osh_cli *cli, struct osh_buf *out)
{
	struct out o = { .buf = out };

	walk_synopsis(&o, cli->root, "");
	return o.err;
}

/* ---- bash ---- */

static void put_words(struct out *o, const struct osh_opt *opts)
{
	for (; opts && (opts->name || opts->letter); opts++) {
		if (opts->flags & OSH_OPT_HIDDEN)
			continue;
		if (opts->name)
			put(o, " --%s", opts->name);
		if (opts->letter)
			put(o, " -%c", opts->letter);
	}
}

/* One line of the "path|kind|words" table: what may follow, and how option values complete. */
static void walk_complete(struct out *o, const struct osh_cmd *const *group, const char *prefix)
{
	put(o, "\t'%s') subs='", prefix);
	for (const struct osh_cmd *const *g = group; *g; g++)
		if (!(*g)->hidden)
			put(o, "%s ", (*g)->name);
	put(o, "' ;;\n");
	for (; *group; group++) {
		const struct osh_cmd *c = *group;
		char path[128];

		if (c->hidden)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? " " : "", c->name);
		if (c->subs) {
			walk_complete(o, c->subs, path);
			continue;
		}
		put(o, "\t'%s') opts='", path);
		put_words(o, c->opts);
		put(o, "' pos='%s'\n\t\tcase $prev in\n", c->complete ? c->complete : "");
		for (const struct osh_opt *i = c->opts; i && (i->name || i->letter); i++) {
			if (!i->arg || i->flags & (OSH_OPT_HIDDEN | OSH_OPT_OPTIONAL))
				continue;
			put(o, "\t\t");
			if (i->name)
				put(o, "--%s", i->name);
			if (i->letter)
				put(o, "%s-%c", i->name ? "|" : "", i->letter);
			put(o, ") val='%s' ;;\n", i->complete ? i->complete : "-");
		}
		put(o, "\t\tesac ;;\n");
	}
}

/* "path|alias) path=name": however a command was called, its own name is what the tables know. */
static void walk_aliases(struct out *o, const struct osh_cmd *const *group, const char *prefix)
{
	for (; *group; group++) {
		const struct osh_cmd *c = *group;
		struct osh_str rest = osh_str(c->aliases ? c->aliases : ""), one;
		const char *gap = *prefix ? " " : "";
		char path[128];

		while (osh_str_split(&rest, ' ', &one))
			if (one.n)
				put(o, "\t\t'%s%s%.*s') path='%s%s%s' ;;\n", prefix, gap,
				    OSH_STR_FMT(one), prefix, gap, c->name);
		(void)snprintf(path, sizeof(path), "%s%s%s", prefix, gap, c->name);
		if (c->subs)
			walk_aliases(o, c->subs, path);
	}
}

int osh_complete_bash(const struct osh_cli *cli, struct osh_buf *out)
{
	struct out o = { .buf = out };

	put(&o, "# bash completion for openshellctl and openshell; generated, do not edit\n"
		"_openshell() {\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		"\tlocal path='' i w subs='' opts='' pos='' val='' all commands\n"
		"\tCOMPREPLY=()\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tw=${COMP_WORDS[i]}\n"
		"\t\t[[ $w == -- ]] && { COMPREPLY=($(compgen -c -- \"$cur\")); return; }\n"
		"\t\t[[ $w == --socket ]] && ((i++))\n"
		"\t\t[[ $w == -* ]] && continue\n"
		"\t\tcase \"$path\" in\n");
	/* how deep the path of commands goes */
	put(&o, "\t\t'') path=$w ;;\n");
	for (const struct osh_cmd *const *g = cli->root; *g; g++)
		if ((*g)->subs && !(*g)->hidden)
			put(&o, "\t\t%s) path=\"$path $w\" ;;\n", (*g)->name);
	put(&o, "\t\tesac\n\t\tcase \"$path\" in\n");
	walk_aliases(&o, cli->root, "");
	put(&o, "\t\tesac\n\tdone\n\tcase \"$path\" in\n");
	walk_complete(&o, cli->root, "");
	put(&o, "\tesac\n\tcommands='");
	for (const struct osh_cmd *const *g = cli->root; *g; g++)
		if (!(*g)->hidden)
			put(&o, "%s ", (*g)->name);
	put(&o, "'\n"
		"\tcase $prev in --socket) val=file ;; esac\n"
		"\tall=\"$subs\"\n"
		"\tif [[ $val == - ]]; then return\n"
		"\telif [[ -n $val ]]; then pos=$val\n"
		"\telif [[ $cur == -* ]]; then all=\"$opts");
	put_words(&o, cli->globals);
	put(&o,
	    "\"; pos=''\n"
	    "\tfi\n"
	    "\tcase $pos in\n"
	    "\tfile) COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames 2>/dev/null; return ;;\n"
	    "\tdir) COMPREPLY=($(compgen -d -- \"$cur\")); compopt -o filenames 2>/dev/null; return ;;\n"
	    "\tesac\n"
	    "\tlocal us=(\"${COMP_WORDS[0]}\")\n"
	    "\tfor ((i = 1; i + 1 < COMP_CWORD; i++)); do\n"
	    "\t\t[[ ${COMP_WORDS[i]} == --socket ]] && us+=(--socket \"${COMP_WORDS[i+1]}\")\n"
	    "\tdone\n"
	    "\tfor w in $pos; do\n"
	    "\t\tcase $w in\n"
	    "\t\tsandbox) all=\"$all $(\"${us[@]}\" sandbox list --names 2>/dev/null)\" ;;\n"
	    "\t\tmap) all=\"$all $(\"${us[@]}\" bpf map 2>/dev/null | awk 'NR > 3 { print $2 }')\" ;;\n"
	    "\t\tflow) all=\"$all $(\"${us[@]}\" flow list 2>/dev/null | awk 'NR > 3 { print $1 }')\" ;;\n"
	    "\t\tpid) all=\"$all $(\"${us[@]}\" identity list 2>/dev/null | awk 'NR > 3 { print $1 }')\" ;;\n"
	    "\t\tcommand) all=\"$all $commands\" ;;\n"
	    "\t\t*) all=\"$all $w\" ;;\n"
	    "\t\tesac\n"
	    "\tdone\n"
	    "\tCOMPREPLY=($(compgen -W \"$all\" -- \"$cur\"))\n"
	    "}\n"
	    "complete -F _openshell openshellctl openshell\n");
	return o.err;
}
