// SPDX-License-Identifier: BSD-3-Clause
/*
 * The life of a switch and changes of its ports. All of it happens while the lcore that polls is elsewhere; each change
 * is complete or has changed nothing.
 */
#include "lane.h"
#include "switch_core.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int switch_create(const struct switch_config *cfg, struct l2_switch **out, struct err *e)
{
	struct l2_switch *sw = calloc(1, sizeof(*sw));
	int r;

	if (!sw)
		return err_set(e, ENOMEM, "network %s: no memory", cfg->name);
	snprintf(sw->name, sizeof(sw->name), "%s", cfg->name);
	sw->hz = cfg->hz;
	sw->pool = cfg->pool;
	sw->lane = lane_create();
	r = sw->lane != NULL ? fdb_create(&sw->fdb) : -ENOMEM;
	if (r < 0) {
		switch_destroy(sw);
		return err_set(e, r, "network %s: no memory for its tables", cfg->name);
	}
	*out = sw;
	return 0;
}

void switch_destroy(struct l2_switch *sw)
{
	if (!sw)
		return;
	for (uint32_t i = 0; i < PMD_MAX_PORTS; i++)
		if (sw->ports[i])
			switch_port_remove(sw->ports[i]);
	while (sw->uplink_count != 0)
		switch_uplink_remove(sw->uplinks[0]);
	fdb_destroy(sw->fdb);
	lane_destroy(sw->lane);
	free(sw);
}

/* The n-th address of a policy: each MAC in each VLAN. */
struct address {
	const uint8_t *mac;
	uint16_t vlan;
};

static unsigned int addresses_list(const struct policy *policy, struct address *out)
{
	uint16_t keys[PMD_MAX_VLANS];
	unsigned int key_count = vlan_keys(policy, keys), n = 0;

	for (unsigned int i = 0; i < policy->mac_count; i++)
		for (unsigned int k = 0; k < key_count; k++)
			out[n++] = (struct address){ .mac = policy->macs[i], .vlan = keys[k] };
	return n;
}

#define MAX_ADDRESSES ((1 + PMD_MAX_MACS) * PMD_MAX_VLANS)

static void addresses_unfix(struct switch_port *port, const struct policy *policy)
{
	struct address list[MAX_ADDRESSES];
	unsigned int n = addresses_list(policy, list);

	for (unsigned int i = 0; i < n; i++)
		fdb_unfix(port->sw->fdb, list[i].mac, list[i].vlan, port->owner);
}

static int address_refused(const struct switch_port *port, const struct address *a, int errnum,
			   struct err *e)
{
	const struct l2_switch *sw = port->sw;
	uint16_t owner = fdb_find(sw->fdb, a->mac, a->vlan);
	char text[MAC_TEXT];

	if (errnum == -EEXIST && owner < FDB_WIRE) {
		err_set(e, EEXIST, "network %s: %s is the address of %s already", sw->name,
			mac_text(a->mac, text), sw->ports[owner]->name);
		err_code(e, "mac-in-use");
		return -EEXIST;
	}
	err_set(e, ENOSPC, "network %s: no room for more addresses of ports", sw->name);
	err_code(e, "network-full");
	return -ENOSPC;
}

/* All of them or none. */
static int addresses_fix(struct switch_port *port, const struct policy *policy, struct err *e)
{
	struct address list[MAX_ADDRESSES];
	unsigned int n = addresses_list(policy, list);

	for (unsigned int i = 0; i < n; i++) {
		int r = fdb_fix(port->sw->fdb, list[i].mac, list[i].vlan, port->owner);

		if (r < 0) {
			r = address_refused(port, &list[i], r, e);
			while (i-- > 0)
				fdb_unfix(port->sw->fdb, list[i].mac, list[i].vlan, port->owner);
			return r;
		}
	}
	return 0;
}

static void policy_take(struct switch_port *port, const struct policy *policy)
{
	struct l2_switch *sw = port->sw;

	port->policy = *policy;
	sw->changes++;
	vlan_port_init(&port->vlan, policy);
	bucket_init(&port->rate_from, policy->rate_bps / 8, sw->hz, sw->now);
	bucket_init(&port->rate_to, policy->rate_bps / 8, sw->hz, sw->now);
	bucket_init(&port->min_rate, policy->min_rate_bps / 8, sw->hz, sw->now);
	bucket_init(&port->storm, policy->storm_fps, sw->hz, sw->now);
}

static int place_find(const struct l2_switch *sw, uint32_t *out, struct err *e)
{
	for (uint32_t i = 0; i < PMD_MAX_PORTS; i++)
		if (!sw->ports[i]) {
			*out = i;
			return 0;
		}
	err_set(e, ENOSPC, "network %s has %d ports, more are not possible", sw->name,
		PMD_MAX_PORTS);
	return err_code(e, "network-full");
}

int switch_port_add(struct l2_switch *sw, const struct switch_port_config *cfg,
		    struct switch_port **out, struct err *e)
{
	struct switch_port *port;
	uint32_t place = 0;
	int r = place_find(sw, &place, e);

	if (r < 0)
		return r;
	port = calloc(1, sizeof(*port));
	if (!port)
		return err_set(e, ENOMEM, "port %s: no memory", cfg->name);
	port->sw = sw;
	port->ep = cfg->ep;
	port->owner = (uint16_t)place;
	port->lane_to = FDB_NOBODY;
	snprintf(port->name, sizeof(port->name), "%s", cfg->name);
	r = addresses_fix(port, cfg->policy, e);
	if (r < 0) {
		free(port);
		return r;
	}
	policy_take(port, cfg->policy);
	sw->ports[place] = port;
	if (sw->port_end <= place)
		sw->port_end = place + 1;
	*out = port;
	return 0;
}

static void batch_drop(struct switch_port *port)
{
	while (port->batch_count != 0)
		rte_pktmbuf_free(port->batch[--port->batch_count]);
	(void)uplink_queue_clear(&port->queue);
}

void switch_port_remove(struct switch_port *port)
{
	struct l2_switch *sw = port->sw;

	batch_drop(port);
	addresses_unfix(port, &port->policy);
	fdb_flush(sw->fdb, port->owner);
	sw->changes++;
	sw->ports[port->owner] = NULL;
	while (sw->port_end != 0 && !sw->ports[sw->port_end - 1])
		sw->port_end--;
	free(port);
}

int switch_port_set_policy(struct switch_port *port, const struct policy *policy, struct err *e)
{
	int r;

	addresses_unfix(port, &port->policy);
	r = addresses_fix(port, policy, e);
	if (r < 0) {
		/* Cannot fail: they had this place a moment ago. */
		(void)addresses_fix(port, &port->policy, NULL);
		return r;
	}
	/* What was learned under the old policy may be in a VLAN that is no longer the port's. */
	fdb_flush(port->sw->fdb, port->owner);
	policy_take(port, policy);
	return 0;
}

void switch_port_mirror(struct switch_port *port, struct mirror *mirror)
{
	port->mirror = mirror;
	port->sw->changes++;
}

int switch_uplink_add(struct l2_switch *sw, const char *name, struct endpoint *ep,
		      struct switch_uplink **out, struct err *e)
{
	struct switch_uplink *uplink;

	if (sw->uplink_count == SWITCH_MAX_UPLINKS)
		return err_set(e, ENOSPC, "network %s has %d uplinks, more are not possible",
			       sw->name, SWITCH_MAX_UPLINKS);
	uplink = calloc(1, sizeof(*uplink));
	if (!uplink)
		return err_set(e, ENOMEM, "uplink %s: no memory", name);
	uplink->sw = sw;
	uplink->ep = ep;
	snprintf(uplink->name, sizeof(uplink->name), "%s", name);
	sw->uplinks[sw->uplink_count++] = uplink;
	*out = uplink;
	return 0;
}

void switch_uplink_remove(struct switch_uplink *uplink)
{
	struct l2_switch *sw = uplink->sw;
	uint32_t at = 0;

	while (sw->uplinks[at] != uplink)
		at++;
	sw->uplink_count--;
	for (; at < sw->uplink_count; at++)
		sw->uplinks[at] = sw->uplinks[at + 1];
	sw->uplinks[sw->uplink_count] = NULL;
	if (sw->active == uplink)
		__atomic_store_n(&sw->active, NULL, __ATOMIC_RELEASE);
	if (sw->uplink_count == 0)
		fdb_flush(sw->fdb, FDB_WIRE);
	free(uplink);
}

const char *switch_uplink_active(const struct l2_switch *sw)
{
	/* Acquire: pairs with the release in active_pick(). */
	const struct switch_uplink *active = __atomic_load_n(&sw->active, __ATOMIC_ACQUIRE);

	return active ? active->name : NULL;
}

static void counters_read(const struct switch_counters *in, struct switch_counters *out)
{
	out->from.packets = counter_get(&in->from.packets);
	out->from.bytes = counter_get(&in->from.bytes);
	out->to.packets = counter_get(&in->to.packets);
	out->to.bytes = counter_get(&in->to.bytes);
	for (unsigned int i = 0; i < PMD_DROPS; i++)
		out->drops[i] = counter_get(&in->drops[i]);
}

void switch_port_counters(const struct switch_port *port, struct switch_counters *out)
{
	counters_read(&port->counters, out);
}

void switch_uplink_counters(const struct switch_uplink *uplink, struct switch_counters *out)
{
	counters_read(&uplink->counters, out);
}

size_t switch_fdb_list(const struct l2_switch *sw, uint32_t *cursor, struct switch_address *out,
		       size_t cap)
{
	const struct fdb_entry *entry;
	const char *at;
	size_t n = 0;

	while (n < cap && (entry = fdb_next(sw->fdb, cursor)) != NULL) {
		struct frame_tag tag = vlan_key_tag(entry->vlan);
		bool wire = entry->owner >= FDB_WIRE;

		out[n] = (struct switch_address){
			.vlan = frame_tag_id(tag),
			.tpid = tag.tpid,
			.fixed = entry->fixed,
			.at_uplink = wire,
			.age_s = entry->fixed ? 0 : sw->now_s - entry->seen_s,
		};
		memcpy(out[n].mac, entry->mac, 6);
		if (wire)
			at = sw->active ? sw->active->name : "";
		else
			at = sw->ports[entry->owner]->name;
		snprintf(out[n].at, sizeof(out[n].at), "%s", at);
		n++;
	}
	return n;
}

void switch_fdb_facts(const struct l2_switch *sw, struct switch_fdb_facts *out)
{
	const struct fdb_facts *facts = fdb_facts(sw->fdb);

	*out = (struct switch_fdb_facts){
		.moves = facts->moves,
		.full = facts->full,
		.fixed = facts->fixed,
		.learned = facts->learned,
	};
}
