/* SPDX-License-Identifier: MIT */
#include "cli/out.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>

static const char *color_of(char glyph)
{
	switch (glyph) {
	case '+':
		return "\033[32m";
	case 'x':
		return "\033[31m";
	case '!':
	case '~':
		return "\033[33m";
	default:
		return "\033[36m";
	}
}

static const char *glyph_text(char glyph)
{
	switch (glyph) {
	case '+':
		return "\xe2\x9c\x93"; /* check mark */
	case 'x':
		return "\xe2\x9c\x97"; /* ballot x */
	case '~':
		return "\xe2\x9a\xa0"; /* warning sign */
	case '.':
		return "\xc2\xb7"; /* middle dot */
	case '>':
		return "\xe2\x86\x92"; /* arrow */
	default:
		return "!";
	}
}

void osh_cli_note(struct osh_cli *cli, FILE *to, char glyph, const char *fmt, ...)
{
	bool color = to == cli->out ? cli->out_color : cli->err_color;
	va_list ap;

	if (color)
		fprintf(to, "%s%s\033[0m ", color_of(glyph), glyph_text(glyph));
	else
		fprintf(to, "%s ", glyph_text(glyph));
	va_start(ap, fmt);
	vfprintf(to, fmt, ap);
	va_end(ap);
	fputc('\n', to);
}

static void put_error_word(struct osh_cli *cli)
{
	fputs(cli->err_color ? "\033[1;31merror:\033[0m " : "error: ", cli->err);
}

int osh_cli_fail(struct osh_cli *cli, const char *what, const char *next, const char *why_fmt, ...)
{
	va_list ap;

	put_error_word(cli);
	if (what)
		fprintf(cli->err, "cannot %s: ", what);
	va_start(ap, why_fmt);
	vfprintf(cli->err, why_fmt, ap);
	va_end(ap);
	fputc('\n', cli->err);
	if (next)
		fprintf(cli->err, "  hint: %s\n", next);
	return OSH_EXIT_ERROR;
}

int osh_cli_usage(struct osh_cli *cli, const struct osh_args *args, const char *fmt, ...)
{
	va_list ap;

	put_error_word(cli);
	va_start(ap, fmt);
	vfprintf(cli->err, fmt, ap);
	va_end(ap);
	fprintf(cli->err, "\n  hint: see '%s %s --help'\n", cli->prog, args->path);
	return OSH_EXIT_USAGE;
}

int osh_out_format(struct osh_cli *cli, const struct osh_args *args,
		   enum osh_out_format *ret_format)
{
	const char *o = osh_args_get(args, "output");

	if (!o || !strcmp(o, "table")) {
		*ret_format = OSH_OUT_TABLE;
	} else if (!strcmp(o, "json")) {
		*ret_format = OSH_OUT_JSON;
	} else if (!strcmp(o, "yaml")) {
		*ret_format = OSH_OUT_YAML;
	} else {
		(void)osh_cli_usage(cli, args,
				    "invalid value %s for --output: it is table, yaml or json",
				    OSH_Q(o));
		return -EINVAL;
	}
	return 0;
}

/* ---- JSON and YAML ---- */

static void copy_json(struct osh_json *j, const struct osh_jval *v)
{
	const struct osh_jval *one;
	osh_auto_bufmem struct osh_buf text;
	const char *key;
	void *iter = NULL;

	osh_buf_init(&text, 1 << 20, 0);
	switch (osh_jval_type(v)) {
	case OSH_JSON_OBJ:
		osh_json_obj(j);
		while (osh_jval_next(v, &iter, &key, &one)) {
			osh_json_key(j, key);
			copy_json(j, one);
		}
		osh_json_obj_end(j);
		return;
	case OSH_JSON_ARR:
		osh_json_arr(j);
		for (size_t i = 0; i < osh_jval_len(v); i++)
			copy_json(j, osh_jval_at(v, i));
		osh_json_arr_end(j);
		return;
	default:
		if (!j->err)
			j->err = v ? osh_jval_dump(v, &text) : osh_buf_add(&text, "null", 4);
		osh_json_raw(j, osh_buf_str(&text));
		return;
	}
}

static bool yaml_is_plain(struct osh_str s)
{
	static const char *const words[] = { "true", "false", "null", "yes", "no",
					     "on",   "off",   "y",    "n",   "~" };

	if (!s.n || (!osh_is_alnum(s.p[0]) && s.p[0] != '/' && s.p[0] != '_') ||
	    osh_is_digit(s.p[0]) || s.p[s.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!osh_is_alnum(s.p[i]) && !strchr("/_.-+ ", s.p[i]))
			return false;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(words); i++)
		if (osh_str_ieq(s, osh_str(words[i])))
			return false;
	return true;
}

static int put_yaml_scalar(const struct osh_jval *v, struct osh_buf *out)
{
	struct osh_str s = osh_jval_str(v);
	struct osh_json j;

	if (s.p && yaml_is_plain(s))
		return osh_buf_add_str(out, s);
	if (!s.p)
		return v ? osh_jval_dump(v, out) : osh_buf_add(out, "null", 4);
	osh_json_init(&j, out, 0); /* a JSON string is a YAML double-quoted one */
	osh_json_str(&j, s);
	return j.err;
}

static int put_yaml(const struct osh_jval *v, struct osh_buf *out, int depth, bool after_dash)
{
	const struct osh_jval *one;
	const char *key;
	void *iter = NULL;
	bool first = true;
	int r = 0;

	if (osh_jval_type(v) == OSH_JSON_OBJ && osh_jval_len(v)) {
		while (r == 0 && osh_jval_next(v, &iter, &key, &one)) {
			bool nested = (osh_jval_type(one) == OSH_JSON_OBJ ||
				       osh_jval_type(one) == OSH_JSON_ARR) &&
				      osh_jval_len(one);

			r = osh_buf_printf(out, "%*s", first && after_dash ? 0 : depth * 2, "");
			if (r == 0 && yaml_is_plain(osh_str(key)))
				r = osh_buf_printf(out, "%s:%s", key, nested ? "\n" : " ");
			else if (r == 0)
				r = osh_buf_printf(out, "%s:%s", OSH_Q(key), nested ? "\n" : " ");
			if (r == 0)
				r = put_yaml(one, out, depth + 1, false);
			first = false;
		}
		return r;
	}
	if (osh_jval_type(v) == OSH_JSON_ARR && osh_jval_len(v)) {
		for (size_t i = 0; r == 0 && i < osh_jval_len(v); i++) {
			int at = depth ? depth - 1 : 0;

			r = osh_buf_printf(out, "%*s- ", at * 2, "");
			if (r == 0)
				r = put_yaml(osh_jval_at(v, i), out, at + 1, true);
		}
		return r;
	}
	r = put_yaml_scalar(v, out);
	return r < 0 ? r : osh_buf_add_c(out, '\n');
}

int osh_out_value(struct osh_cli *cli, enum osh_out_format format, const struct osh_jval *value)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_json j;
	int r;

	osh_buf_init(&text, 64 << 20, 0);
	if (format == OSH_OUT_YAML) {
		r = put_yaml(value, &text, 0, false);
	} else {
		osh_json_init(&j, &text, 2);
		copy_json(&j, value);
		r = j.err ? j.err : osh_buf_add_c(&text, '\n');
	}
	if (r < 0)
		return osh_cli_fail(cli, "print the answer", NULL, "%s", strerror(-r));
	fwrite(text.data, 1, text.len, cli->out);
	return OSH_EXIT_OK;
}

int osh_out_data(struct osh_cli *cli, enum osh_out_format format, struct osh_str json)
{
	osh_auto_jval struct osh_jval *v = NULL;
	int r = osh_json_parse(json, &v, NULL, 0);

	if (r < 0)
		return osh_cli_fail(cli, "print the answer", NULL, "%s", strerror(-r));
	return osh_out_value(cli, format, v);
}

/* ---- text ---- */

void osh_out_text(FILE *to, struct osh_str text)
{
	for (size_t i = 0; i < text.n;) {
		unsigned char c = (unsigned char)text.p[i];
		size_t n = 1;

		while (c >= 0x80 && n < 4 && i + n < text.n &&
		       !osh_utf8_is_valid(osh_str_sub(text, i, n)))
			n++;
		/* C1 controls are two bytes of UTF-8 and as bad as C0 */
		if (c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0)
			fprintf(to, "\\u%04x", (unsigned char)text.p[i + 1]);
		else if (c < 0x20 || c == 0x7f || !osh_utf8_is_valid(osh_str_sub(text, i, n)))
			fprintf(to, "\\x%02x", c), n = 1;
		else
			fwrite(text.p + i, 1, n, to);
		i += n;
	}
}

void osh_out_indented(FILE *to, struct osh_str text, unsigned int blanks)
{
	struct osh_str line;

	if (text.n && text.p[text.n - 1] == '\n')
		text.n--;
	while (osh_str_split(&text, '\n', &line)) {
		if (line.n)
			fprintf(to, "%*s", (int)blanks, "");
		osh_out_text(to, line);
		fputc('\n', to);
	}
}

const char *osh_out_time(char dst[20], uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(dst, 20, "%Y-%m-%d %H:%M:%S", &tm))
		(void)osh_strlcpy(dst, "-", 20);
	return dst;
}

int osh_table_row(struct osh_table *t, const char *const *cells)
{
	if (t->n_rows == t->cap) {
		const char **more = reallocarray(t->cells, (t->cap + 64) * t->n_columns,
						 sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->cells = more;
		t->cap += 64;
	}
	memcpy(t->cells + t->n_rows * t->n_columns, cells, t->n_columns * sizeof(*cells));
	t->n_rows++;
	return 0;
}

static size_t width_of(const struct osh_table *t, size_t col)
{
	size_t w = strlen(t->columns[col]);

	for (size_t r = 0; r < t->n_rows; r++)
		w = OSH_MAX(w, strlen(t->cells[r * t->n_columns + col]));
	return w;
}

void osh_table_print(struct osh_cli *cli, struct osh_table *t)
{
	if (cli->out_color)
		fputs("\033[1m", cli->out);
	for (size_t r = 0; r <= t->n_rows; r++) {
		for (size_t c = 0; c < t->n_columns; c++) {
			const char *text = r ? t->cells[(r - 1) * t->n_columns + c] : t->columns[c];
			size_t pad = width_of(t, c) - strlen(text);

			osh_out_text(cli->out, osh_str(text));
			if (c + 1 < t->n_columns)
				fprintf(cli->out, "%*s", (int)pad + 2, "");
		}
		if (!r && cli->out_color)
			fputs("\033[0m", cli->out);
		fputc('\n', cli->out);
	}
	free(t->cells);
	t->cells = NULL;
	t->n_rows = t->cap = 0;
}

int osh_out_confirm(struct osh_cli *cli, const char *question)
{
	char answer[16];

	if (!isatty(STDIN_FILENO) || !cli->err_tty)
		return -ENOTTY;
	fprintf(cli->err, "%s [y/N] ", question);
	fflush(cli->err);
	if (!fgets(answer, sizeof(answer), stdin))
		return 0;
	return osh_lower(answer[0]) == 'y';
}
