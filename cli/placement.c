// SPDX-License-Identifier: BSD-3-Clause
/* Why a VF is taken of this PF and not of another, as `--explain` shows it. */
#include "cli/render.h"
#include "cli/view.h"

#define PORTS_MAX 64

static const struct field columns[] = {
	{ "PF", "name", text_value },		{ "NUMA", "numa_node", text_number },
	{ "LINK", "link", text_value },		{ "MBIT/S", "speed_mbps", text_value },
	{ "VFS", "num_vfs", text_value },	{ "FREE", "vfs_free", text_value },
	{ "VERDICT", "why", text_value, true },
};

static bool is_of(const json_t *row, const json_t *port)
{
	const json_t *own = json_object_get(row, "port");

	return port == NULL ? own == NULL : json_equal(own, port) != 0;
}

static int print_port(FILE *out, const json_t *rows, const json_t *port, struct err *e)
{
	json_t *own = json_array(), *row;
	char name[TEXT_CELL];
	size_t i;
	int r;

	json_array_foreach((json_t *)rows, i, row)
		if (is_of(row, port))
			json_array_append(own, row);
	if (port != NULL) {
		text_value(port, name, sizeof(name));
		fprintf(out, "port %s\n", name);
	}
	r = view_table(out, columns, ARRAY_SIZE(columns), own, e);
	json_decref(own);
	fputc('\n', out);
	return r;
}

int render_placement(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *before = NULL;
	json_t *rows, *row;
	unsigned int ports = 0;
	size_t i;
	int r = 0;

	if (json_object_get(reply, "placement") == NULL)
		return 0;
	r = render_rows(reply, "placement", &rows, e);
	if (r < 0)
		return r;
	/* The rows of a port lie side by side. */
	json_array_foreach(rows, i, row) {
		const json_t *port = json_object_get(row, "port");

		if (i > 0 && (port == before || json_equal(port, before) != 0))
			continue;
		before = port;
		if (r == 0 && ports++ < PORTS_MAX)
			r = print_port(out, rows, port, e);
	}
	return r;
}
