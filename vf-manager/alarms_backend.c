// SPDX-License-Identifier: BSD-3-Clause
/* Alarms of the polled engine: its process, and its uplinks. */
#include "vf-manager/alarms_found.h"
#include "vf-manager/backend_core.h"

#include <stdio.h>

#define LINK_GRACE_NS 10000000000ULL /* a link that is coming up for the first time */

void alarms_backend_down(struct alarms *a, struct daemon *d)
{
	struct backend *b = d->backend;
	struct err why = { 0 };
	struct alarm *one;
	unsigned int ports;
	bool is_down;

	if (b == NULL)
		return;
	look_lock(b);
	is_down = b->p.state == BACKEND_DOWN;
	why = b->p.why;
	ports = b->port_count;
	look_unlock(b);
	one = is_down ? alarm_found(a, BACKEND_NAME) : NULL;
	if (one == NULL)
		return;
	alarm_text_set(one->text, "viaduct-pmd is not up (%u ports): %.160s", ports, why.text);
	if (why.hint[0] != '\0')
		alarm_text_set(one->hint, "%.200s", why.hint);
	else
		alarm_text_set(one->hint, "it is started again; %s/pmd/" BACKEND_NAME "/pmd.log",
			       d->opt->run_dir);
}

/* Look locked. "" : it is well. */
static void uplink_trouble(const struct backend *b, unsigned int i, char text[ALARM_TEXT])
{
	const struct config_uplink *up = &b->d->config.uplinks[i];
	const struct wish_uplink *wish = &b->uplinks[i];

	text[0] = '\0';
	if (wish->why.errnum != 0)
		alarm_text_set(text, "uplink %s does not work: %.160s", up->name, wish->why.text);
	else if (b->p.has_status && wish->down_ns != 0 &&
		 (wish->had_link || now_ns() - wish->down_ns >= LINK_GRACE_NS))
		alarm_text_set(text, "uplink %s has no link", up->name);
}

void alarms_uplink_down(struct alarms *a, struct daemon *d)
{
	struct backend *b = d->backend;

	for (unsigned int i = 0; b != NULL && i < d->config.uplink_count; i++) {
		char text[ALARM_TEXT], hint[sizeof(b->uplinks[i].why.hint)];
		struct alarm *one;

		look_lock(b);
		text[0] = '\0';
		if (b->p.state != BACKEND_DOWN) /* that is an alarm of its own */
			uplink_trouble(b, i, text);
		memcpy(hint, b->uplinks[i].why.hint, sizeof(hint));
		look_unlock(b);
		one = text[0] != '\0' ? alarm_found(a, d->config.uplinks[i].name) : NULL;
		if (one == NULL)
			continue;
		memcpy(one->text, text, sizeof(text));
		if (hint[0] != '\0')
			alarm_text_set(one->hint, "%.200s", hint);
		else
			alarm_text_set(
				one->hint,
				"look at the cable and its other end; viaduct uplink show %s",
				d->config.uplinks[i].name);
	}
}

/* NULL: no room, or the condition has it already. */
static struct alarm *port_found(struct alarms *a, const char *port)
{
	return alarm_is_found(a, port) ? NULL : alarm_found(a, port);
}

/* Look locked. True: viaduct-pmd does not have it and will not get it. */
static bool is_absent(const struct backend *b, const struct wish_port *p, char text[ALARM_TEXT])
{
	const struct config_network *net = config_network_find(&b->d->config, p->network);

	if (net == NULL)
		alarm_text_set(text,
			       "the port is served by nobody: there is no network %s any more",
			       p->network);
	else if (!config_network_is_polled(net))
		alarm_text_set(text,
			       "the port is served by nobody: network %s has no uplink for polled "
			       "ports any more",
			       p->network);
	else if (b->p.has_status && p->why.errnum != 0 &&
		 pmd_port_find(&b->status, p->name) == NULL)
		alarm_text_set(text, "the port is served by nobody: %.200s", p->why.text);
	else
		return false;
	return true;
}

void alarms_port_absent(struct alarms *a, struct daemon *d)
{
	struct backend *b = d->backend;

	if (b == NULL)
		return;
	look_lock(b);
	for (unsigned int i = 0; i < b->port_count; i++) {
		const struct wish_port *p = &b->ports[i];
		char text[ALARM_TEXT];
		struct alarm *one = is_absent(b, p, text) ? port_found(a, p->name) : NULL;

		if (one == NULL)
			continue;
		memcpy(one->text, text, sizeof(text));
		alarm_text_set(
			one->hint,
			"put network %s into viaductd.yaml and restart viaductd, or stop the VM",
			p->network);
	}
	look_unlock(b);
}

/* Not known yet, or frames to any address come in. */
static bool is_open(const struct reach_uplink *up)
{
	return up->way == REACH_UNKNOWN || (up->way == REACH_DRIVER && up->promisc);
}

/* Look locked. One port may have several: the first speaks for all. */
static void unreachable_found(struct alarms *a, const struct backend *b, const struct reach_mac *m)
{
	const struct reach_uplink *up = backend_reach_uplink(b, m->uplink);
	struct alarm *one = port_found(a, m->port);
	const char *name = b->d->config.uplinks[m->uplink].name;
	char mac[MAC_TEXT];

	if (one == NULL)
		return;
	if (up->way == REACH_VF_MAC) {
		alarm_text_set(
			one->text,
			"the VF %s of uplink %s takes frames to one address alone, and that is not %s: neither VFs nor the cable reach the port%s%.120s",
			up->device, name, mac_text(m->mac, mac), up->why.errnum != 0 ? ": " : "",
			up->why.errnum != 0 ? up->why.text : "");
		alarm_text_set(
			one->hint,
			"one port and one MAC on this uplink; for more: kind af-packet on %s, "
			"or another card",
			b->d->config.uplinks[m->uplink].device);
		return;
	}
	if (up->way == REACH_DRIVER) {
		alarm_text_set(
			one->text,
			"the VF %s of uplink %s does not take %s (it has room for %u)%s%.120s",
			up->device, name, mac_text(m->mac, mac), up->limit,
			up->why.errnum != 0 ? ": " : "", up->why.errnum != 0 ? up->why.text : "");
		alarm_text_set(one->hint,
			       "fewer ports or macs on this uplink, or one more uplink; viaduct "
			       "uplink show %s",
			       name);
		return;
	}
	alarm_text_set(one->text, "%s does not deliver %s from its VFs to the port: %.160s",
		       up->device, mac_text(m->mac, mac),
		       up->why.errnum != 0 ? up->why.text : "its filter does not keep it");
	if (up->is_full)
		alarm_text_set(
			one->hint,
			"its filter has %u addresses, anybody's: bridge fdb show dev %s; fewer ports "
			"or macs on this uplink, or another one",
			up->used, up->device);
	else
		alarm_text_set(one->hint, "bridge fdb show dev %s   shows its filter; dmesg",
			       up->device);
}

void alarms_port_unreachable(struct alarms *a, struct daemon *d)
{
	struct backend *b = d->backend;
	const struct reach_mac *m;

	if (b == NULL)
		return;
	look_lock(b);
	for (size_t at = 0; (m = backend_reach_next(b, &at)) != NULL;)
		if (m->state == REACH_OUT && !is_open(backend_reach_uplink(b, m->uplink)))
			unreachable_found(a, b, m);
	look_unlock(b);
}
