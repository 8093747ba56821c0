/* SPDX-License-Identifier: MIT */
#include "base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MSGS = 200 };

void osh_diag_init(struct osh_diag *diag, const char *file)
{
	*diag = (struct osh_diag){ .file = file };
}

void osh_diag_fini(struct osh_diag *diag)
{
	for (size_t i = 0; i < diag->count; i++)
		free(diag->msgs[i].text);
	free(diag->msgs);
	*diag = (struct osh_diag){ .file = diag->file };
}

/* Make room for an error: a flood of warnings must not hide why something was refused. */
static bool drop_warning(struct osh_diag *diag)
{
	for (size_t i = diag->count; i-- > 0;) {
		if (diag->msgs[i].level != OSH_DIAG_WARNING)
			continue;
		free(diag->msgs[i].text);
		memmove(&diag->msgs[i], &diag->msgs[i + 1],
			(diag->count - i - 1) * sizeof(*diag->msgs));
		diag->count--;
		return true;
	}
	return false;
}

static void add(struct osh_diag *diag, enum osh_diag_level level, unsigned int line,
		unsigned int col, const char *fmt, va_list ap)
{
	char *text = NULL;

	if (level == OSH_DIAG_ERROR)
		diag->errors++;
	else
		diag->warnings++;
	if (diag->count == MAX_MSGS) {
		diag->lost++;
		if (level != OSH_DIAG_ERROR || !drop_warning(diag))
			return;
	}
	if (diag->count == diag->cap) {
		size_t cap = diag->cap ? 2 * diag->cap : 8;
		struct osh_diag_msg *msgs = realloc(diag->msgs, cap * sizeof(*msgs));

		if (!msgs) {
			diag->lost++;
			return;
		}
		diag->msgs = msgs;
		diag->cap = cap;
	}
	if (vasprintf(&text, fmt, ap) < 0) {
		diag->lost++;
		return;
	}
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	diag->msgs[diag->count++] = (struct osh_diag_msg){ level, line, col, text };
}

void osh_diag_err(struct osh_diag *diag, unsigned int line, unsigned int col, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(diag, OSH_DIAG_ERROR, line, col, fmt, ap);
	va_end(ap);
}

void osh_diag_warn(struct osh_diag *diag, unsigned int line, unsigned int col, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(diag, OSH_DIAG_WARNING, line, col, fmt, ap);
	va_end(ap);
}

int osh_diag_render(const struct osh_diag *diag, struct osh_buf *ret_text)
{
	int r = 0;

	for (size_t i = 0; i < diag->count && r == 0; i++) {
		const struct osh_diag_msg *m = &diag->msgs[i];

		if (diag->file)
			r = osh_buf_printf(ret_text, "%s:", diag->file);
		if (r == 0 && m->line)
			r = osh_buf_printf(ret_text, "%u:%u:", m->line, m->col);
		if (r == 0 && (diag->file || m->line))
			r = osh_buf_add_c(ret_text, ' ');
		if (r == 0)
			r = osh_buf_printf(ret_text, "%s%s\n",
					   m->level == OSH_DIAG_WARNING ? "warning: " : "",
					   m->text);
	}
	if (r == 0 && diag->lost)
		r = osh_buf_printf(ret_text, "(%u further messages not kept)\n", diag->lost);
	return r;
}

int osh_diag_join(const struct osh_diag *diag, enum osh_diag_level level, struct osh_buf *ret_text)
{
	bool first = true;

	for (size_t i = 0; i < diag->count; i++) {
		int r;

		if (diag->msgs[i].level != level)
			continue;
		r = osh_buf_printf(ret_text, "%s%s", first ? "" : "; ", diag->msgs[i].text);
		if (r < 0)
			return r;
		first = false;
	}
	return 0;
}
