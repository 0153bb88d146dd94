// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/request.h"

#include "pmd-backends/bucket.h"
#include "pmd-backends/launch.h"

#include "base/control.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"

#include <errno.h>

#define MIN_MTU 68 /* RFC 791: what every link carries */

/* A name of one part; a port has two: "VM/PORT". */
static int name_get(const json_t *obj, const char *key, char *buf, size_t cap, struct err *e)
{
	int r = json_get_str(obj, key, buf, cap, e);

	if (r == 0 && parse_name(buf) < 0)
		r = err_set(e, EINVAL, "%s: \"%s\" is no name", key, buf);
	return r;
}

static int part_get(const json_t *obj, const char *key, char buf[PMD_PORT_TEXT], struct err *e)
{
	char vm[PMD_PORT_TEXT];
	char *slash;
	int r = json_get_str(obj, key, buf, PMD_PORT_TEXT, e);

	if (r < 0)
		return r;
	strcpy(vm, buf);
	slash = strchr(vm, '/');
	if (slash != NULL)
		*slash = '\0';
	if (slash == NULL || parse_name(vm) < 0 || parse_name(slash + 1) < 0)
		return err_set(e, EINVAL, "%s: \"%s\" is not of the form VM/%s", key, buf,
			       strcmp(key, "port") == 0 ? "PORT" : "DISK");
	return 0;
}

static int port_get(const json_t *obj, char buf[PMD_PORT_TEXT], struct err *e)
{
	return part_get(obj, "port", buf, e);
}

static int name_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	return name_get(body, "name", out->name, PMD_NAME_TEXT, e);
}

static int port_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	return port_get(body, out->name, e);
}

static int device_check(const struct pmd_uplink_wish *u, struct err *e)
{
	struct pci_addr addr;
	char text[PCI_ADDR_TEXT];
	bool good = false;

	switch (u->kind) {
	case PMD_UPLINK_PCI:
	case PMD_UPLINK_VF:
		good = parse_pci_addr(u->device, &addr) == 0 &&
		       strcmp(pci_addr_text(&addr, text), u->device) == 0;
		break;
	case PMD_UPLINK_AF_XDP:
	case PMD_UPLINK_AF_PACKET:
	case PMD_UPLINK_TAP:
		good = parse_netdev(u->device) == 0;
		break;
	case PMD_UPLINK_NULL:
		good = u->device[0] == '\0';
		break;
	case PMD_UPLINK_KINDS:
		break;
	}
	return good ? 0
		    : err_set(e, EINVAL, "device: \"%s\" cannot be one of that kind", u->device);
}

static int uplink_add_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	static const char *const kinds[] = PMD_UPLINK_WORDS;
	struct pmd_uplink_wish *u = &out->uplink;
	char kind[16];
	uint64_t mtu = 1500;
	int r = name_parse(body, out, e);

	if (r == 0)
		r = json_get_str(body, "kind", kind, sizeof(kind), e);
	if (r == 0)
		r = pmd_word_find(kinds, ARRAY_SIZE(kinds), "kind", kind, e);
	if (r < 0)
		return r;
	u->kind = (enum pmd_uplink_kind)r;
	r = json_get_str_opt(body, "device", u->device, sizeof(u->device), e);
	if (r == 0)
		r = device_check(u, e);
	if (r == 0)
		r = json_get_u64_opt(body, "mtu", PMD_MAX_MTU, &mtu, e);
	if (r == 0 && mtu < MIN_MTU)
		r = err_set(e, EINVAL, "mtu: %d to %d", MIN_MTU, PMD_MAX_MTU);
	u->mtu = (uint16_t)mtu;
	return r;
}

static int uplink_macs_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	static const uint8_t none[6];
	json_t *list = NULL, *item;
	size_t i;
	int r = name_parse(body, out, e);

	if (r == 0)
		r = json_get_array(body, "macs", PMD_MAX_UPLINK_MACS, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);
		uint8_t *mac = out->macs[out->mac_count];

		if (text == NULL || parse_mac(text, mac) < 0 || (mac[0] & 1) != 0 ||
		    memcmp(mac, none, sizeof(none)) == 0)
			return err_set(e, EINVAL, "macs: item %zu is no station's address", i);
		for (unsigned int k = 0; k < out->mac_count; k++)
			if (memcmp(out->macs[k], mac, sizeof(none)) == 0)
				return err_set(e, EINVAL, "macs: %s is there twice", text);
		out->mac_count++;
	}
	return 0;
}

static int uplinks_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	json_t *list = NULL, *item;
	size_t i;
	int r = json_get_array(body, "uplinks", PMD_MAX_NETWORK_UPLINKS, &list, e);

	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);

		if (text == NULL || strlen(text) >= PMD_NAME_TEXT || parse_name(text) < 0)
			return err_set(e, EINVAL, "uplinks: item %zu is no name", i);
		for (unsigned int k = 0; k < out->uplink_count; k++)
			if (strcmp(out->uplinks[k], text) == 0)
				return err_set(e, EINVAL, "uplinks: %s is there twice", text);
		strcpy(out->uplinks[out->uplink_count++], text);
	}
	return 0;
}

static int network_add_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	static const char *const bonds[] = PMD_BOND_WORDS;
	char bond[16] = "none";
	int r = name_parse(body, out, e);

	if (r == 0)
		r = uplinks_parse(body, out, e);
	if (r == 0)
		r = json_get_str_opt(body, "bond", bond, sizeof(bond), e);
	if (r == 0)
		r = pmd_word_find(bonds, ARRAY_SIZE(bonds), "bond", bond, e);
	if (r < 0)
		return r;
	out->bond = (enum pmd_bond)r;
	if (out->bond == PMD_BOND_NONE && out->uplink_count > 1)
		return err_set(e, EINVAL, "uplinks: %u without a bond", out->uplink_count);
	if (out->bond != PMD_BOND_NONE && out->uplink_count == 0)
		return err_set(e, EINVAL, "bond: %s needs uplinks", bond);
	return 0;
}

static int policy_get(const json_t *body, struct policy *out, struct err *e)
{
	json_t *policy = NULL;
	int r = json_get_obj(body, "policy", &policy, e);

	return r < 0 ? r : policy_parse(policy, out, e);
}

static int port_set_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	int r = port_get(body, out->name, e);

	return r < 0 ? r : policy_get(body, &out->policy, e);
}

static int socket_get(const json_t *body, struct pmd_request *out, struct err *e)
{
	int r = json_get_str(body, "socket", out->socket, sizeof(out->socket), e);

	if (r == 0 && (out->socket[0] != '/' || out->socket[1] == '\0'))
		r = err_set(e, EINVAL, "socket: \"%s\" is no absolute path", out->socket);
	return r;
}

static int port_add_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	int r = port_get(body, out->name, e);

	if (r == 0)
		r = name_get(body, "network", out->network, sizeof(out->network), e);
	if (r == 0)
		r = socket_get(body, out, e);
	return r < 0 ? r : policy_get(body, &out->policy, e);
}

static int stats_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	return json_object_get(body, "port") == NULL ? 0 : port_get(body, out->name, e);
}

static int fdb_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	return name_get(body, "network", out->network, sizeof(out->network), e);
}

/* The one fd that goes with the message must be what the handler takes it for. */
static int fd_word_check(const json_t *body, const char *wanted, struct err *e)
{
	json_t *fds = NULL;
	const char *word;
	int r = json_get_array(body, "fds", 1, &fds, e);

	if (r < 0)
		return r;
	word = json_string_value(json_array_get(fds, 0));
	return word != NULL && strcmp(word, wanted) == 0
		       ? 0
		       : err_set(e, EINVAL, "fds: one, \"%s\"", wanted);
}

static int mirror_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	int r = port_get(body, out->name, e);

	if (r == 0)
		r = fd_word_check(body, "file", e);
	return r < 0 ? r : json_get_u64(body, "limit_bytes", INT64_MAX, &out->limit_bytes, e);
}

static int disk_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	return part_get(body, "disk", out->name, e);
}

static int limits_get(const json_t *body, struct pmd_disk_wish *d, struct err *e)
{
	int r = json_get_u64_opt(body, "iops", PMD_MAX_IOPS, &d->iops, e);

	return r < 0 ? r : json_get_u64_opt(body, "bandwidth", BUCKET_MAX_RATE, &d->bandwidth, e);
}

static int disk_set_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	int r = disk_parse(body, out, e);

	return r < 0 ? r : limits_get(body, &out->disk, e);
}

static int disk_add_parse(const json_t *body, struct pmd_request *out, struct err *e)
{
	struct pmd_disk_wish *d = &out->disk;
	uint64_t queues = 1;
	int r = disk_parse(body, out, e);

	if (r == 0)
		r = socket_get(body, out, e);
	if (r == 0)
		r = fd_word_check(body, "image", e);
	if (r == 0)
		r = json_get_bool_opt(body, "readonly", &d->readonly, e);
	if (r == 0)
		r = json_get_bool_opt(body, "flush_failed", &d->flush_failed, e);
	if (r == 0)
		r = json_get_str_opt(body, "serial", d->serial, sizeof(d->serial), e);
	if (r == 0)
		r = json_get_u64_opt(body, "queues", PMD_MAX_QUEUES, &queues, e);
	if (r == 0 && queues == 0)
		r = err_set(e, EINVAL, "queues: 1 to %d", PMD_MAX_QUEUES);
	d->queues = (unsigned int)queues;
	return r < 0 ? r : limits_get(body, d, e);
}

/* In the order of enum pmd_op. */
static const struct op_row {
	const char *name;
	int (*parse)(const json_t *body, struct pmd_request *out,
		     struct err *e); /* NULL: no members */
	const char *keys[9]; /* beside "v" and "op" */
	size_t fds;
} op_rows[PMD_OPS] = {
	[PMD_OP_STATUS] = { "status", NULL, { NULL } },
	[PMD_OP_UPLINK_ADD] = { "uplink-add",
				uplink_add_parse,
				{ "name", "kind", "device", "mtu", NULL } },
	[PMD_OP_UPLINK_MACS] = { "uplink-macs", uplink_macs_parse, { "name", "macs", NULL } },
	[PMD_OP_UPLINK_REMOVE] = { "uplink-remove", name_parse, { "name", NULL } },
	[PMD_OP_NETWORK_ADD] = { "network-add",
				 network_add_parse,
				 { "name", "uplinks", "bond", NULL } },
	[PMD_OP_NETWORK_REMOVE] = { "network-remove", name_parse, { "name", NULL } },
	[PMD_OP_PORT_ADD] = { "port-add",
			      port_add_parse,
			      { "port", "network", "socket", "policy", NULL } },
	[PMD_OP_PORT_SET] = { "port-set", port_set_parse, { "port", "policy", NULL } },
	[PMD_OP_PORT_REMOVE] = { "port-remove", port_parse, { "port", NULL } },
	[PMD_OP_STATS] = { "stats", stats_parse, { "port", NULL } },
	[PMD_OP_FDB] = { "fdb", fdb_parse, { "network", NULL } },
	[PMD_OP_MIRROR] = { "mirror", mirror_parse, { "port", "fds", "limit_bytes", NULL }, 1 },
	[PMD_OP_MIRROR_STOP] = { "mirror-stop", port_parse, { "port", NULL } },
	[PMD_OP_DISK_ADD] = { "disk-add",
			      disk_add_parse,
			      { "disk", "socket", "fds", "readonly", "serial", "queues", "iops",
				"bandwidth", "flush_failed" },
			      1 },
	[PMD_OP_DISK_REMOVE] = { "disk-remove", disk_parse, { "disk", NULL } },
	[PMD_OP_DISK_RESIZE] = { "disk-resize", disk_parse, { "disk", NULL } },
	[PMD_OP_DISK_SET] = { "disk-set", disk_set_parse, { "disk", "iops", "bandwidth", NULL } },
	[PMD_OP_QUIT] = { "quit", NULL, { NULL } },
};

static int keys_check(const json_t *body, const struct op_row *row, struct err *e)
{
	const char *keys[ARRAY_SIZE(row->keys) + 3] = { "v", "op" };
	size_t n = 2;

	for (size_t i = 0; i < ARRAY_SIZE(row->keys) && row->keys[i] != NULL; i++)
		keys[n++] = row->keys[i];
	return json_check_keys(body, keys, e);
}

static int row_parse(const struct op_row *row, struct seqmsg *m, struct pmd_request *out,
		     struct err *e)
{
	int r = keys_check(m->body, row, e);

	if (r == 0 && m->fd_count != row->fds)
		r = err_set(e, EINVAL, "\"%s\" takes %zu fds, %zu came", row->name, row->fds,
			    m->fd_count);
	if (r == 0 && row->parse != NULL)
		r = row->parse(m->body, out, e);
	if (r == 0 && row->fds > 0)
		out->file = fd_take(&m->fds[0]);
	return r;
}

int pmd_request_parse(struct seqmsg *m, struct pmd_request *out, struct err *e)
{
	char op[CONTROL_OP_TEXT];
	int r;

	memset(out, 0, sizeof(*out));
	out->file = -1;
	r = control_head_parse(m->body, PMD_MSG_VERSION, op, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(op_rows); i++) {
		if (strcmp(op_rows[i].name, op) != 0)
			continue;
		out->op = (enum pmd_op)i;
		return row_parse(&op_rows[i], m, out, e);
	}
	err_set(e, EOPNOTSUPP, "unknown request \"%s\"", op);
	return err_code(e, "unknown-request");
}

void pmd_request_fini(struct pmd_request *request)
{
	fd_close(&request->file);
}
