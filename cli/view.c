// SPDX-License-Identifier: BSD-3-Clause
#include "cli/view.h"

#include <errno.h>
#include <libsmartcols.h>

static int table_fill(struct libscols_table *tb, const struct field *fields, size_t count,
		      const json_t *rows)
{
	char cell[TEXT_CELL];
	const json_t *row;
	size_t i;

	for (size_t c = 0; c < count; c++)
		if (scols_table_new_column(tb, fields[c].title, 0,
					   fields[c].may_shrink ? SCOLS_FL_TRUNC : 0) == NULL)
			return -ENOMEM;
	json_array_foreach((json_t *)rows, i, row) {
		struct libscols_line *line = scols_table_new_line(tb, NULL);

		if (line == NULL)
			return -ENOMEM;
		for (size_t c = 0; c < count; c++) {
			fields[c].format(text_member(row, fields[c].path), cell, sizeof(cell));
			if (scols_line_set_data(line, c, cell) != 0)
				return -ENOMEM;
		}
	}
	return 0;
}

int view_table(FILE *out, const struct field *fields, size_t count, const json_t *rows,
	       struct err *e)
{
	struct libscols_table *tb = scols_new_table();
	int r;

	if (tb == NULL)
		return err_set(e, ENOMEM, "out of memory");
	scols_table_set_stream(tb, out);
	scols_table_set_column_separator(tb, "  ");
	r = table_fill(tb, fields, count, rows);
	if (r == 0 && scols_print_table(tb) != 0)
		r = -EIO;
	scols_unref_table(tb);
	return r < 0 ? err_set(e, r, "cannot print the table: %s", strerror(-r)) : 0;
}

void view_block(FILE *out, const struct field *fields, size_t count, const json_t *obj)
{
	char cell[TEXT_CELL];
	int width = 0;

	for (size_t i = 0; i < count; i++)
		if ((int)strlen(fields[i].title) > width)
			width = (int)strlen(fields[i].title);
	for (size_t i = 0; i < count; i++) {
		fields[i].format(text_member(obj, fields[i].path), cell, sizeof(cell));
		fprintf(out, "%s:%*s%s\n", fields[i].title,
			width + 2 - (int)strlen(fields[i].title), "", cell);
	}
}
