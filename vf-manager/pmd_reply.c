// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pmd_reply.h"

#include "base/json.h"

#include <errno.h>

#define COUNT_MOST INT64_MAX /* JSON has no more */
#define SPEED_MOST 10000000U /* Mbit/s */

const char *const pmd_drop_words[PMD_DROPS] = PMD_DROP_WORDS;

/* What is wrong with one member of it is a bad message, whatever the number says. */
static int bad(struct err *e, const char *what)
{
	if (e != NULL)
		e->errnum = EBADMSG;
	return err_wrap(e, "viaduct-pmd: %s", what);
}

static int text_read(const json_t *obj, const char *key, char *buf, size_t cap, struct err *e)
{
	return json_get_str(obj, key, buf, cap, e);
}

/* A text that may be missing or null: then it is "". */
static int text_opt(const json_t *obj, const char *key, char *buf, size_t cap, struct err *e)
{
	buf[0] = '\0';
	return json_is_null(json_object_get(obj, key)) ? 0
						       : json_get_str_opt(obj, key, buf, cap, e);
}

static int number(const json_t *obj, const char *key, unsigned int max, unsigned int *out,
		  struct err *e)
{
	uint64_t n = 0;
	int r = json_get_u64(obj, key, max, &n, e);

	if (r == 0)
		*out = (unsigned int)n;
	return r;
}

static int number_opt(const json_t *obj, const char *key, unsigned int max, unsigned int *out,
		      struct err *e)
{
	uint64_t n = 0;
	int r = json_get_u64_opt(obj, key, max, &n, e);

	*out = (unsigned int)n;
	return r;
}

static int lcore_read(const json_t *obj, struct pmd_lcore *out, struct err *e)
{
	const json_t *busy = json_object_get(obj, "busy"), *cpu = json_object_get(obj, "cpu");
	int r = number(obj, "lcore", UINT16_MAX, &out->lcore, e);

	/* A thread that is on no CPU of its own says -1. */
	out->cpu = -1;
	if (json_is_integer(cpu) && json_integer_value(cpu) >= 0 &&
	    json_integer_value(cpu) <= UINT16_MAX)
		out->cpu = (int)json_integer_value(cpu);
	out->busy = json_is_number(busy) ? json_number_value(busy) : 0;
	/* Not a number fails every comparison. */
	if (r == 0 && !(out->busy >= 0 && out->busy <= 1))
		r = err_set(e, EBADMSG, "busy is not from 0 to 1");
	return r;
}

static int uplink_macs_read(const json_t *obj, struct pmd_uplink *out, struct err *e)
{
	json_t *list = NULL;
	int r = json_get_bool_opt(obj, "promisc", &out->promisc, e);

	if (r == 0)
		r = number_opt(obj, "mac_room", UINT16_MAX, &out->mac_room, e);
	if (r < 0 || json_object_get(obj, "macs") == NULL)
		return r;
	r = json_get_array(obj, "macs", PMD_MAX_UPLINK_MACS, &list, e);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text == NULL || parse_mac(text, out->macs[out->mac_count++]) < 0)
			return err_set(e, EBADMSG, "an address of an uplink is none");
	}
	return r;
}

static int uplink_read(const json_t *obj, struct pmd_uplink *out, struct err *e)
{
	int r = text_read(obj, "name", out->name, sizeof(out->name), e);

	if (r == 0 && parse_name(out->name) < 0)
		r = err_set(e, EBADMSG, "an uplink's name is none");
	if (r == 0)
		r = text_read(obj, "kind", out->kind, sizeof(out->kind), e);
	if (r == 0)
		r = text_opt(obj, "device", out->device, sizeof(out->device), e);
	if (r == 0)
		r = text_opt(obj, "driver", out->driver, sizeof(out->driver), e);
	if (r == 0)
		r = text_opt(obj, "mac", out->mac, sizeof(out->mac), e);
	if (r == 0)
		r = text_opt(obj, "note", out->note, sizeof(out->note), e);
	if (r == 0)
		r = number(obj, "mtu", UINT16_MAX, &out->mtu, e);
	if (r == 0)
		r = number_opt(obj, "queues", UINT16_MAX, &out->queues, e);
	if (r == 0)
		r = uplink_macs_read(obj, out, e);
	if (r == 0)
		r = json_get_bool_opt(obj, "link", &out->has_link, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "speed", UINT32_MAX, &out->speed_mbps, e);
	/* DPDK's "not known" is the largest number. */
	if (r == 0 && out->speed_mbps > SPEED_MOST)
		out->speed_mbps = 0;
	return r;
}

int pmd_uplink_macs_read(const json_t *uplink, struct pmd_uplink *out, struct err *e)
{
	memset(out, 0, sizeof(*out));
	return uplink_macs_read(uplink, out, e);
}

static int network_read(const json_t *obj, struct pmd_network *out, struct err *e)
{
	json_t *list = NULL;
	int r = text_read(obj, "name", out->name, sizeof(out->name), e);

	if (r == 0 && parse_name(out->name) < 0)
		r = err_set(e, EBADMSG, "a network's name is none");
	if (r == 0)
		r = text_opt(obj, "bond", out->bond, sizeof(out->bond), e);
	if (r == 0)
		r = text_opt(obj, "active", out->active, sizeof(out->active), e);
	if (r == 0)
		r = json_get_array(obj, "uplinks", CONFIG_UPLINKS, &list, e);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name == NULL || parse_name(name) < 0)
			return err_set(e, EBADMSG, "an uplink of a network is no name");
		memcpy(out->uplinks[out->uplink_count++], name, strlen(name) + 1);
	}
	return r;
}

static int port_read(const json_t *obj, struct pmd_port *out, struct err *e)
{
	int r = text_read(obj, "port", out->name, sizeof(out->name), e);

	if (r == 0)
		r = text_read(obj, "network", out->network, sizeof(out->network), e);
	if (r == 0)
		r = text_read(obj, "state", out->state, sizeof(out->state), e);
	if (r == 0)
		r = text_opt(obj, "features", out->features, sizeof(out->features), e);
	if (r == 0)
		r = text_opt(obj, "ring", out->ring, sizeof(out->ring), e);
	if (r == 0)
		r = text_opt(obj, "error", out->error, sizeof(out->error), e);
	if (r == 0)
		r = number_opt(obj, "lcore", UINT16_MAX, &out->lcore, e);
	if (r == 0)
		r = number_opt(obj, "queues", PMD_MAX_PAIRS, &out->queues, e);
	return r;
}

static const json_t *item(const json_t *list, size_t i)
{
	return json_array_get(list, i);
}

int pmd_status_read(const json_t *result, struct pmd_status *out, struct err *e)
{
	json_t *list = NULL;
	unsigned int pid = 0;
	int r;

	memset(out, 0, sizeof(*out));
	r = number(result, "pid", INT32_MAX, &pid, e);
	out->pid = (pid_t)pid;
	if (r == 0)
		r = text_opt(result, "dpdk", out->dpdk, sizeof(out->dpdk), e);
	if (r == 0)
		r = json_get_u64_opt(result, "uptime_ns", COUNT_MOST, &out->uptime_ns, e);
	if (r == 0)
		r = json_get_array(result, "lcores", PMD_MAX_LCORES, &list, e);
	for (; r == 0 && out->lcore_count < json_array_size(list); out->lcore_count++)
		r = lcore_read(item(list, out->lcore_count), &out->lcores[out->lcore_count], e);
	if (r == 0)
		r = json_get_array(result, "uplinks", PMD_MAX_UPLINKS, &list, e);
	for (; r == 0 && out->uplink_count < json_array_size(list); out->uplink_count++)
		r = uplink_read(item(list, out->uplink_count), &out->uplinks[out->uplink_count], e);
	if (r == 0)
		r = json_get_array(result, "networks", PMD_MAX_NETWORKS, &list, e);
	for (; r == 0 && out->network_count < json_array_size(list); out->network_count++)
		r = network_read(item(list, out->network_count), &out->networks[out->network_count],
				 e);
	if (r == 0)
		r = json_get_array(result, "ports", PMD_MAX_PORTS, &list, e);
	for (; r == 0 && out->port_count < json_array_size(list); out->port_count++)
		r = port_read(item(list, out->port_count), &out->ports[out->port_count], e);
	return r < 0 ? bad(e, "status") : 0;
}

static int counts_read(const json_t *obj, const char *key, struct pmd_counts *out, struct err *e)
{
	json_t *part = NULL;
	int r = json_get_obj(obj, key, &part, e);

	if (r == 0)
		r = json_get_u64(part, "packets", COUNT_MOST, &out->packets, e);
	if (r == 0)
		r = json_get_u64(part, "bytes", COUNT_MOST, &out->bytes, e);
	if (r == 0)
		r = json_get_u64_opt(part, "drops", COUNT_MOST, &out->drops, e);
	return r;
}

static int rings_read(const json_t *obj, struct pmd_port_stats *out, struct err *e)
{
	json_t *list = NULL;
	int r = 0;

	if (json_object_get(obj, "queues") == NULL)
		return 0;
	r = json_get_array(obj, "queues", PMD_MAX_PAIRS, &list, e);
	for (; r == 0 && out->ring_count < json_array_size(list); out->ring_count++) {
		const json_t *one = item(list, out->ring_count);
		unsigned int i = out->ring_count;

		r = json_get_u64_opt(one, "rx_free", UINT16_MAX + 1, &out->rings[i].rx_free, e);
		if (r == 0)
			r = json_get_u64_opt(one, "tx_ready", UINT16_MAX + 1,
					     &out->rings[i].tx_ready, e);
	}
	return r;
}

static int port_stats_read(const json_t *obj, struct pmd_port_stats *out, struct err *e)
{
	json_t *drops = NULL;
	int r = text_read(obj, "port", out->name, sizeof(out->name), e);

	if (r == 0)
		r = counts_read(obj, "from_guest", &out->from_guest, e);
	if (r == 0)
		r = counts_read(obj, "to_guest", &out->to_guest, e);
	if (r == 0)
		r = json_get_obj(obj, "drops", &drops, e);
	/* A reason that this version does not know is not an error, nor is one that the other does not know. */
	for (unsigned int i = 0; r == 0 && i < PMD_DROPS; i++)
		r = json_get_u64_opt(drops, pmd_drop_words[i], COUNT_MOST, &out->drops[i], e);
	if (r == 0)
		r = json_get_u64_opt(obj, "kicks", COUNT_MOST, &out->kicks, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "calls", COUNT_MOST, &out->calls, e);
	return r == 0 ? rings_read(obj, out, e) : r;
}

static int uplink_stats_read(const json_t *obj, struct pmd_uplink_stats *out, struct err *e)
{
	int r = text_read(obj, "name", out->name, sizeof(out->name), e);

	if (r == 0 && parse_name(out->name) < 0)
		r = err_set(e, EBADMSG, "an uplink's name is none");
	if (r == 0)
		r = counts_read(obj, "rx", &out->rx, e);
	return r == 0 ? counts_read(obj, "tx", &out->tx, e) : r;
}

static int lcore_stats_read(const json_t *obj, struct pmd_lcore_stats *out, struct err *e)
{
	int r = number(obj, "lcore", UINT16_MAX, &out->lcore, e);

	if (r == 0)
		r = json_get_u64(obj, "busy_cycles", COUNT_MOST, &out->busy_cycles, e);
	if (r == 0)
		r = json_get_u64(obj, "idle_cycles", COUNT_MOST, &out->idle_cycles, e);
	return r == 0 ? json_get_u64_opt(obj, "packets", COUNT_MOST, &out->packets, e) : r;
}

/* -ENOENT of a part is no error: of one port there are no uplinks. */
static int part_read(const json_t *result, const char *key, size_t most, json_t **list,
		     struct err *e)
{
	*list = NULL;
	return json_object_get(result, key) == NULL ? 0
						    : json_get_array(result, key, most, list, e);
}

int pmd_stats_read(const json_t *result, struct pmd_stats *out, struct err *e)
{
	json_t *list = NULL;
	int r;

	memset(out, 0, sizeof(*out));
	r = json_get_array(result, "ports", PMD_MAX_PORTS, &list, e);
	for (; r == 0 && out->port_count < json_array_size(list); out->port_count++)
		r = port_stats_read(item(list, out->port_count), &out->ports[out->port_count], e);
	if (r == 0)
		r = part_read(result, "uplinks", PMD_MAX_UPLINKS, &list, e);
	for (; r == 0 && out->uplink_count < json_array_size(list); out->uplink_count++)
		r = uplink_stats_read(item(list, out->uplink_count),
				      &out->uplinks[out->uplink_count], e);
	if (r == 0)
		r = part_read(result, "lcores", PMD_MAX_LCORES, &list, e);
	for (; r == 0 && out->lcore_count < json_array_size(list); out->lcore_count++)
		r = lcore_stats_read(item(list, out->lcore_count), &out->lcores[out->lcore_count],
				     e);
	return r < 0 ? bad(e, "stats") : 0;
}

static int fdb_entry(const json_t *obj, json_t *out, struct err *e)
{
	char at[PMD_PORT_TEXT + 8], mac[MAC_TEXT];
	unsigned int vlan = 0;
	uint64_t age = 0;
	uint8_t bytes[6];
	bool fixed = false;
	int r = text_read(obj, "mac", mac, sizeof(mac), e);

	if (r == 0 && parse_mac(mac, bytes) < 0)
		r = err_set(e, EBADMSG, "a MAC is none");
	if (r == 0)
		r = text_read(obj, "at", at, sizeof(at), e);
	if (r == 0)
		r = number_opt(obj, "vlan", 4095, &vlan, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "age_s", UINT32_MAX, &age, e);
	if (r == 0)
		r = json_get_bool_opt(obj, "fixed", &fixed, e);
	if (r < 0)
		return r;
	json_array_append_new(out,
			      json_pack("{s:s, s:i, s:s, s:I, s:b}", "mac", mac, "vlan", (int)vlan,
					"at", at, "age_s", (json_int_t)age, "fixed", (int)fixed));
	return 0;
}

int pmd_fdb_read(const json_t *result, json_t **entries, bool *is_cut, struct err *e)
{
	auto_json json_t *out = json_array();
	json_t *list = NULL;
	int r = json_get_array(result, "entries", PMD_FDB_MOST, &list, e);

	*is_cut = false;
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
		r = fdb_entry(item(list, i), out, e);
	if (r == 0)
		r = json_get_bool_opt(result, "more", is_cut, e);
	if (r < 0)
		return bad(e, "fdb");
	*entries = json_incref(out);
	return 0;
}

const struct pmd_uplink *pmd_uplink_find(const struct pmd_status *s, const char *name)
{
	for (unsigned int i = 0; i < s->uplink_count; i++)
		if (strcmp(s->uplinks[i].name, name) == 0)
			return &s->uplinks[i];
	return NULL;
}

const struct pmd_network *pmd_network_find(const struct pmd_status *s, const char *name)
{
	for (unsigned int i = 0; i < s->network_count; i++)
		if (strcmp(s->networks[i].name, name) == 0)
			return &s->networks[i];
	return NULL;
}

const struct pmd_port *pmd_port_find(const struct pmd_status *s, const char *name)
{
	for (unsigned int i = 0; i < s->port_count; i++)
		if (strcmp(s->ports[i].name, name) == 0)
			return &s->ports[i];
	return NULL;
}
