// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/status.h"

#include "base/parse.h"

#include <rte_cycles.h>
#include <rte_version.h>

#include <stdio.h>
#include <unistd.h>

#define FDB_MAX_ENTRIES 400 /* what fits into one message */

json_t *status_uplink(struct uplink *u)
{
	json_t *macs = json_array();
	struct uplink_facts f;
	char mac[MAC_TEXT];

	uplink_facts(u, &f);
	for (unsigned int i = 0; i < f.mac_count; i++)
		json_array_append_new(macs, json_string(mac_text(f.macs[i], mac)));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:I, s:i, s:b, s:i, s:o, s:s}",
			 "name", f.name, "kind", f.kind, "device", f.device, "driver", f.driver,
			 "mac", mac_text(f.mac, mac), "mtu", f.mtu, "link", f.link, "speed",
			 (json_int_t)f.speed, "queues", 1, "promisc", f.promisc, "mac_room",
			 (int)f.mac_room, "macs", macs, "note", f.note);
}

static json_t *status_lcores(struct backend *b)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < lcores_count(b->lcores); i++) {
		const struct lcore *l = lcores_at(b->lcores, i);

		json_array_append_new(list,
				      json_pack("{s:i, s:i, s:f, s:I}", "lcore", (int)lcore_id(l),
						"cpu", lcore_cpu(l), "busy", b->busy[i].share,
						"cycles_hz", (json_int_t)rte_get_tsc_hz()));
	}
	return list;
}

static json_t *status_networks(struct backend *b)
{
	static const char *const bonds[] = PMD_BOND_WORDS;
	json_t *list = json_array();

	for (unsigned int i = 0; i < b->network_count; i++) {
		const struct network *n = b->networks[i];
		const char *active = switch_uplink_active(n->sw);
		json_t *uplinks = json_array();

		for (unsigned int k = 0; k < n->uplink_count; k++)
			json_array_append_new(uplinks,
					      json_string(uplink_name(n->uplinks[k].uplink)));
		json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s, s:i}", "name", n->name,
						      "uplinks", uplinks, "bond", bonds[n->bond],
						      "active", active == NULL ? "" : active,
						      "ports", (int)n->port_count));
	}
	return list;
}

static uint64_t drops_sum(const struct switch_counters *c)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < PMD_DROPS; i++)
		sum += c->drops[i];
	return sum;
}

/* What is dropped in the rings already is the port's, too. */
static void port_read(struct port *port, struct vhost_port_facts *f, struct switch_counters *c)
{
	vhost_port_facts(port->vhost, f);
	switch_port_counters(port->sw, c);
	c->drops[PMD_DROP_MALFORMED] += f->malformed;
	c->drops[PMD_DROP_NO_MEMORY] += f->no_memory;
	c->drops[PMD_DROP_OVERSIZE] += f->oversize;
}

static json_t *status_port(struct port *port)
{
	static const char *const states[] = { "waiting", "connected", "running" };
	struct vhost_port_facts f;
	struct switch_counters c;
	char features[24];

	port_read(port, &f, &c);
	snprintf(features, sizeof(features), "0x%llx", (unsigned long long)f.features);
	return json_pack("{s:s, s:s, s:i, s:s, s:i, s:i, s:s, s:s, s:s, s:I}", "port", port->name,
			 "network", port->network->name, "lcore",
			 (int)lcore_id(port->network->lcore), "state", states[f.state], "pid",
			 f.pid, "queues", (int)f.pairs, "features", features, "ring",
			 f.is_packed ? "packed" : "split", "error", f.error, "drops",
			 (json_int_t)drops_sum(&c));
}

json_t *status_json(struct backend *b)
{
	json_t *uplinks = json_array(), *ports = json_array();

	for (unsigned int i = 0; i < b->uplink_count; i++)
		json_array_append_new(uplinks, status_uplink(b->uplinks[i]));
	for (unsigned int i = 0; i < b->port_count; i++)
		json_array_append_new(ports, status_port(b->ports[i]));
	return json_pack("{s:s, s:i, s:s, s:I, s:o, s:o, s:o, s:o}", "name", b->launch->name, "pid",
			 (int)getpid(), "dpdk", rte_version() + sizeof("DPDK"), "uptime_ns",
			 (json_int_t)(now_ns() - b->start_ns), "lcores", status_lcores(b),
			 "uplinks", uplinks, "networks", status_networks(b), "ports", ports);
}

static json_t *flow_json(const struct switch_flow *f)
{
	return json_pack("{s:I, s:I}", "packets", (json_int_t)f->packets, "bytes",
			 (json_int_t)f->bytes);
}

static json_t *stats_port(struct port *port)
{
	static const char *const reasons[] = PMD_DROP_WORDS;
	struct vhost_port_facts f;
	struct switch_counters c;
	json_t *drops = json_object(), *queues = json_array();

	port_read(port, &f, &c);
	for (unsigned int i = 0; i < PMD_DROPS; i++)
		json_object_set_new(drops, reasons[i], json_integer((json_int_t)c.drops[i]));
	for (unsigned int i = 0; i < f.ring_count; i++)
		json_array_append_new(queues,
				      json_pack("{s:i, s:i}", "rx_free", (int)f.rings[i].rx_free,
						"tx_ready", (int)f.rings[i].tx_ready));
	return json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:o}", "port", port->name, "from_guest",
			 flow_json(&c.from), "to_guest", flow_json(&c.to), "drops", drops, "kicks",
			 (json_int_t)f.kicks, "calls", (json_int_t)f.calls, "queues", queues);
}

static json_t *way_json(const struct switch_flow *f, uint64_t drops)
{
	return json_pack("{s:I, s:I, s:I}", "packets", (json_int_t)f->packets, "bytes",
			 (json_int_t)f->bytes, "drops", (json_int_t)drops);
}

static json_t *stats_uplink(struct uplink *u, const struct switch_uplink *sw)
{
	struct switch_counters c = { 0 };
	struct uplink_facts f;

	uplink_facts(u, &f);
	if (sw != NULL)
		switch_uplink_counters(sw, &c);
	return json_pack("{s:s, s:o, s:o}", "name", f.name, "rx",
			 way_json(&c.from,
				  drops_sum(&c) - c.drops[PMD_DROP_UPLINK_FULL] + f.rx_missed),
			 "tx", way_json(&c.to, c.drops[PMD_DROP_UPLINK_FULL] + f.tx_errors));
}

static json_t *stats_uplinks(struct backend *b)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < b->uplink_count; i++) {
		const struct switch_uplink *sw = NULL;

		for (unsigned int k = 0; k < b->network_count; k++)
			for (unsigned int j = 0; j < b->networks[k]->uplink_count; j++)
				if (b->networks[k]->uplinks[j].uplink == b->uplinks[i])
					sw = b->networks[k]->uplinks[j].sw;
		json_array_append_new(list, stats_uplink(b->uplinks[i], sw));
	}
	return list;
}

static json_t *stats_lcores(struct backend *b)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < lcores_count(b->lcores); i++) {
		struct lcore_counters c;

		lcore_counters(lcores_at(b->lcores, i), &c);
		json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:I}", "lcore",
						      (int)lcore_id(lcores_at(b->lcores, i)),
						      "busy_cycles", (json_int_t)c.busy_cycles,
						      "idle_cycles", (json_int_t)c.idle_cycles,
						      "packets", (json_int_t)c.packets));
	}
	return list;
}

json_t *stats_json(struct backend *b, struct port *only)
{
	json_t *ports = json_array();

	for (unsigned int i = 0; i < b->port_count; i++)
		if (only == NULL || only == b->ports[i])
			json_array_append_new(ports, stats_port(b->ports[i]));
	if (only != NULL)
		return json_pack("{s:o}", "ports", ports);
	return json_pack("{s:o, s:o, s:o}", "ports", ports, "uplinks", stats_uplinks(b), "lcores",
			 stats_lcores(b));
}

struct fdb_work {
	const struct l2_switch *sw;
	struct switch_address entries[FDB_MAX_ENTRIES + 1];
	size_t count;
};

static void fdb_read(void *arg)
{
	struct fdb_work *w = arg;
	uint32_t cursor = 0;

	w->count = switch_fdb_list(w->sw, &cursor, w->entries, ARRAY_SIZE(w->entries));
}

static json_t *fdb_entry(const struct switch_address *a)
{
	char mac[MAC_TEXT], at[PMD_PORT_TEXT + 8];

	snprintf(at, sizeof(at), "%s%s", a->at_uplink ? "uplink:" : "", a->at);
	return json_pack("{s:s, s:i, s:s, s:I, s:b}", "mac", mac_text(a->mac, mac), "vlan",
			 (int)a->vlan, "at", at, "age_s", (json_int_t)a->age_s, "fixed", a->fixed);
}

json_t *fdb_json(struct network *n)
{
	struct fdb_work *w = calloc(1, sizeof(*w));
	json_t *list = json_array();
	bool more;

	if (w == NULL || list == NULL) {
		free(w);
		json_decref(list);
		return NULL;
	}
	w->sw = n->sw;
	lcore_call(n->lcore, fdb_read, w);
	more = w->count > FDB_MAX_ENTRIES;
	for (size_t i = 0; i < w->count && i < FDB_MAX_ENTRIES; i++)
		json_array_append_new(list, fdb_entry(&w->entries[i]));
	free(w);
	return json_pack("{s:o, s:b}", "entries", list, "more", more);
}
