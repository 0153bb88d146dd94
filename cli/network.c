// SPDX-License-Identifier: BSD-3-Clause
/* network list, network show, uplink list, uplink show: who is joined to whom, and by what. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/view.h"

#include "base/json.h"

static void text_uplinks(const json_t *net, char *buf, size_t cap)
{
	const json_t *uplink, *uplinks = text_member(net, "uplinks");
	char cell[TEXT_CELL];
	size_t i, len = 0;

	buf[0] = '\0';
	json_array_foreach((json_t *)uplinks, i, uplink) {
		text_value(text_member(uplink, "name"), cell, sizeof(cell));
		len += (size_t)snprintf(buf + len, cap - len, "%s%s%s", i > 0 ? ", " : "", cell,
					json_is_string(text_member(uplink, "problem")) ? " (!)"
										       : "");
		if (len >= cap)
			return;
	}
}

static void text_count(const json_t *list, char *buf, size_t cap)
{
	if (json_is_array(list))
		snprintf(buf, cap, "%zu", json_array_size(list));
	else
		snprintf(buf, cap, "-");
}

static const struct field network_columns[] = {
	{ "NETWORK", "name", text_value },	{ "UPLINKS", "", text_uplinks, true },
	{ "VFS FREE", "vfs_free", text_value }, { "PLACEMENT", "placement", text_value },
	{ "POLLED", "polled", text_value },	{ "BOND", "bond", text_value },
	{ "PORTS", "ports", text_count },
};

static const struct field network_fields[] = {
	{ "network", "name", text_value },	  { "VFs free", "vfs_free", text_value },
	{ "placement", "placement", text_value }, { "polled ports", "polled", text_value },
	{ "bond", "bond", text_value },		  { "active uplink", "active", text_value },
	{ "problem", "problem", text_value },	  { "remedy", "hint", text_value },
};

static const struct field member_columns[] = {
	{ "UPLINK", "name", text_value },
	{ "KIND", "kind", text_value },
	{ "PF", "pf", text_value },
	{ "CARRIER", "carrier", text_value },
	{ "VFS", "num_vfs", text_value },
	{ "FREE", "vfs_free", text_value },
	{ "PROBLEM", "problem", text_value, true },
};

static const struct field port_columns[] = {
	{ "PORT", "port", text_value },
	{ "ENGINE", "engine", text_value },
	{ "VF", "vf", text_value },
	{ "STATE", "state", text_value },
};

static const struct field mac_columns[] = {
	{ "MAC", "mac", text_value },	  { "VLAN", "vlan", text_value },
	{ "AT", "at", text_value },	  { "AGE", "age_s", text_seconds },
	{ "FIXED", "fixed", text_value },
};

static const struct field uplink_columns[] = {
	{ "UPLINK", "name", text_value },	  { "KIND", "kind", text_value },
	{ "DEVICE", "device", text_value, true }, { "NETWORK", "network", text_value },
	{ "STATE", "state", text_value },	  { "MBIT/S", "speed_mbps", text_value },
	{ "DRIVER", "driver", text_value },	  { "PROBLEM", "problem", text_value, true },
};

static const struct field uplink_fields[] = {
	{ "uplink", "name", text_value },
	{ "kind", "kind", text_value },
	{ "device", "device", text_value },
	{ "address", "address", text_value },
	{ "network", "network", text_value },
	{ "state", "state", text_value },
	{ "speed (Mbit/s)", "speed_mbps", text_value },
	{ "MTU", "mtu", text_value },
	{ "MAC", "mac", text_value },
	{ "driver", "driver", text_value },
	{ "queues", "queues", text_value },
	{ "note", "note", text_value },
	{ "problem", "problem", text_value },
	{ "remedy", "hint", text_value },
	{ "received packets", "rx.packets", text_value },
	{ "received bytes", "rx.bytes", text_bytes },
	{ "received, dropped", "rx.drops", text_value },
	{ "sent packets", "tx.packets", text_value },
	{ "sent bytes", "tx.bytes", text_bytes },
	{ "sent, dropped", "tx.drops", text_value },
};

static const struct field reach_columns[] = {
	{ "MAC", "mac", text_value },
	{ "PORT", "port", text_value },
	{ "IN THE FILTER BY", "by", text_value },
};

static const struct field reach_fields[] = {
	{ "for VFs of", "device", text_value },	    { "by", "way", text_value },
	{ "addresses in use", "used", text_value }, { "room for", "limit", text_value },
	{ "problem", "problem", text_value },
};

static const struct field backend_fields[] = {
	{ "viaduct-pmd", "state", text_value }, { "process", "pid", text_value },
	{ "DPDK", "dpdk", text_value },		{ "restarts", "restarts", text_value },
	{ "problem", "problem", text_value },
};

static void text_percent(const json_t *v, char *buf, size_t cap)
{
	if (json_is_number(v))
		snprintf(buf, cap, "%.0f%%", 100 * json_number_value(v));
	else
		snprintf(buf, cap, "-");
}

static const struct field lcore_columns[] = {
	{ "LCORE", "lcore", text_value },
	{ "CPU", "cpu", text_number },
	{ "BUSY", "busy", text_percent },
};

/* A list that may be missing, and is not shown if it is empty. */
static int part_view(FILE *out, const struct field *columns, size_t count, const json_t *rows,
		     struct err *e)
{
	if (!json_is_array(rows) || json_array_size(rows) == 0)
		return 0;
	fputc('\n', out);
	return view_table(out, columns, count, rows, e);
}

/* Which MACs of polled ports the card of an uplink delivers from its VFs. */
static int reach_view(FILE *out, const json_t *uplink, struct err *e)
{
	const json_t *reach = text_member(uplink, "reach");

	if (!json_is_object(reach))
		return 0;
	fputc('\n', out);
	view_block(out, reach_fields, ARRAY_SIZE(reach_fields), reach);
	return part_view(out, reach_columns, ARRAY_SIZE(reach_columns), text_member(reach, "macs"),
			 e);
}

static int reaches_view(FILE *out, const json_t *uplinks, struct err *e)
{
	const json_t *uplink;
	size_t i;
	int r = 0;

	json_array_foreach((json_t *)uplinks, i, uplink)
		r = r == 0 ? reach_view(out, uplink, e) : r;
	return r;
}

int render_network_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "networks", &rows, e);

	return r < 0 ? r : view_table(out, network_columns, ARRAY_SIZE(network_columns), rows, e);
}

int render_network(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "uplinks", &rows, e);

	if (r < 0)
		return r;
	view_block(out, network_fields, ARRAY_SIZE(network_fields), reply);
	r = part_view(out, member_columns, ARRAY_SIZE(member_columns), rows, e);
	if (r == 0)
		r = part_view(out, port_columns, ARRAY_SIZE(port_columns),
			      text_member(reply, "ports"), e);
	if (r == 0)
		r = reaches_view(out, rows, e);
	if (r == 0)
		r = part_view(out, mac_columns, ARRAY_SIZE(mac_columns), text_member(reply, "macs"),
			      e);
	if (r == 0 && json_is_true(text_member(reply, "macs_cut")))
		fputs("there are more MACs than are shown\n", out);
	return r;
}

static int backend_view(FILE *out, const json_t *backend, struct err *e)
{
	if (!json_is_object(backend))
		return 0;
	fputc('\n', out);
	view_block(out, backend_fields, ARRAY_SIZE(backend_fields), backend);
	return part_view(out, lcore_columns, ARRAY_SIZE(lcore_columns),
			 text_member(backend, "lcores"), e);
}

int render_uplink_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "uplinks", &rows, e);

	if (r == 0)
		r = view_table(out, uplink_columns, ARRAY_SIZE(uplink_columns), rows, e);
	return r < 0 ? r : backend_view(out, text_member(reply, "backend"), e);
}

int render_uplink(FILE *out, const json_t *reply, struct err *e)
{
	int r;

	view_block(out, uplink_fields, ARRAY_SIZE(uplink_fields), reply);
	r = reach_view(out, reply, e);
	return r < 0 ? r : backend_view(out, text_member(reply, "backend"), e);
}

int network_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/networks",
				    .read_only = true };

	return cli_call_show(cli, &rq, render_network_list, e);
}

int network_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/networks",
				    .item = a->words[0],
				    .read_only = true };

	return cli_call_show(cli, &rq, render_network, e);
}

int uplink_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/uplinks",
				    .read_only = true };

	return cli_call_show(cli, &rq, render_uplink_list, e);
}

int uplink_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = {
		.method = "GET", .collection = "/v1/uplinks", .item = a->words[0], .read_only = true
	};

	return cli_call_show(cli, &rq, render_uplink, e);
}
