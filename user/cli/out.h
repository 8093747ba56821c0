/* SPDX-License-Identifier: MIT */
/* Output: tables, JSON and YAML on stdout. */
#ifndef OSH_CLI_OUT_H
#define OSH_CLI_OUT_H

#include "base/json.h"
#include "cli/cmd.h"

enum osh_out_format {
	OSH_OUT_TABLE = 0,
	OSH_OUT_JSON,
	OSH_OUT_YAML,
};

/* "-o" of a command; -EINVAL after a usage error. */
int osh_out_format(struct osh_cli *cli, const struct osh_args *args,
		   enum osh_out_format *ret_format) OSH_MUST_CHECK;
#define OSH_OUT_OPT                                                                          \
	{                                                                                    \
		"output", 'o', "FORMAT", "Output: table, yaml or json", 0, "table yaml json" \
	}

/* Compact JSON text as pretty JSON (2 blanks) or YAML, with a trailing newline. Exit code. */
int osh_out_data(struct osh_cli *cli, enum osh_out_format format, struct osh_str json);
/* The same for a part of a reply. */
int osh_out_value(struct osh_cli *cli, enum osh_out_format format, const struct osh_jval *value);

/* Outside text on a terminal or in a table: printable, one line. */
void osh_out_text(FILE *to, struct osh_str text);
/* The policy text, each line indented. */
void osh_out_indented(FILE *to, struct osh_str text, unsigned int blanks);
/* "YYYY-MM-DD HH:MM:SS" UTC; @dst has 20 bytes. */
const char *osh_out_time(char dst[20], uint64_t ms);

/* Bold header, columns as wide as their widest value, two blanks between. */
struct osh_table {
	const char *const *columns;
	size_t n_columns;
	const char **cells; /* n_rows * n_columns, borrowed texts */
	size_t n_rows, cap;
};
int osh_table_row(struct osh_table *table, const char *const *cells) OSH_MUST_CHECK;
void osh_table_print(struct osh_cli *cli, struct osh_table *table); /* and frees it */

/* Ask on the terminal; @question ends without blank. 1 yes, 0 no, -ENOTTY. */
int osh_out_confirm(struct osh_cli *cli, const char *question);

#endif
