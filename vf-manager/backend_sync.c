// SPDX-License-Identifier: BSD-3-Clause
/* From what should be, and what viaduct-pmd says that there is, to what it must be asked. Nothing is done here. */
#include "vf-manager/backend_core.h"

static void ask_name(json_t *list, const char *op, const char *key, const char *name)
{
	json_array_append_new(list, json_pack("{s:s, s:s}", "op", op, key, name));
}

static const struct wish_port *port_wished(const struct sync_wish *w, const char *name)
{
	for (unsigned int i = 0; i < w->port_count; i++)
		if (strcmp(w->ports[i].name, name) == 0)
			return &w->ports[i];
	return NULL;
}

/* What this daemon has asked this process for is there as well as it can be. */
static bool uplink_is_right(const struct sync_wish *w, const struct pmd_uplink *have)
{
	const struct config_uplink *up = config_uplink_find(w->config, have->name);
	const struct wish_uplink *wish;

	if (up == NULL)
		return false;
	wish = &w->uplinks[up - w->config->uplinks];
	/* After a restart of the daemon: which function it is, the ledger has yet to say. Once it could not, what the process
	 * has is of an earlier configuration. */
	if (uplink_is_taken(up->kind) && wish->device[0] == '\0')
		return wish->why.errnum == 0 &&
		       strcmp(have->kind, config_uplink_kind_text(up->kind)) == 0;
	return wish->is_asked || (strcmp(have->kind, config_uplink_kind_text(up->kind)) == 0 &&
				  strcmp(have->device, wish->device) == 0 && have->mtu == up->mtu);
}

/* As many of the network's uplinks as there are. */
static unsigned int network_uplinks(const struct config_network *net, const struct pmd_status *s,
				    const char *out[CONFIG_UPLINKS])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < net->polled_count; i++)
		if (pmd_uplink_find(s, net->polled[i]) != NULL)
			out[n++] = net->polled[i];
	return n;
}

static enum pmd_bond network_bond(const struct config_network *net, unsigned int uplinks)
{
	return uplinks > 1 ? net->bond : PMD_BOND_NONE;
}

static bool network_is_right(const struct sync_wish *w, const struct pmd_network *have,
			     const struct pmd_status *s)
{
	const struct config_network *net = config_network_find(w->config, have->name);
	const char *uplinks[CONFIG_UPLINKS];
	unsigned int n;

	if (net == NULL || !config_network_is_polled(net))
		return false;
	n = network_uplinks(net, s, uplinks);
	if (n != have->uplink_count || (n == 0 && net->polled_count > 0))
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (strcmp(uplinks[i], have->uplinks[i]) != 0)
			return false;
	return n < 2 || strcmp(have->bond, config_bond_text(net->bond)) == 0;
}

static bool network_hangs_on_wrong(const struct sync_wish *w, const struct pmd_network *have,
				   const struct pmd_status *s)
{
	for (unsigned int i = 0; i < have->uplink_count; i++) {
		const struct pmd_uplink *up = pmd_uplink_find(s, have->uplinks[i]);

		if (up != NULL && !uplink_is_right(w, up))
			return true;
	}
	return config_network_find(w->config, have->name) == NULL;
}

static void ports_clear(const struct pmd_status *s, const char *network, json_t *out)
{
	for (unsigned int i = 0; i < s->port_count; i++)
		if (strcmp(s->ports[i].network, network) == 0)
			ask_name(out, "port-remove", "port", s->ports[i].name);
}

json_t *sync_clear(const struct sync_wish *w, const struct pmd_status *s)
{
	json_t *out = json_array();
	bool goes[PMD_MAX_NETWORKS];

	for (unsigned int i = 0; i < s->network_count; i++)
		goes[i] = network_hangs_on_wrong(w, &s->networks[i], s);
	for (unsigned int i = 0; i < s->port_count; i++) {
		const struct wish_port *wish = port_wished(w, s->ports[i].name);
		const struct pmd_network *net = pmd_network_find(s, s->ports[i].network);

		if (wish == NULL || strcmp(wish->network, s->ports[i].network) != 0 ||
		    (net != NULL && goes[net - s->networks]))
			ask_name(out, "port-remove", "port", s->ports[i].name);
	}
	for (unsigned int i = 0; i < s->network_count; i++)
		if (goes[i])
			ask_name(out, "network-remove", "name", s->networks[i].name);
	for (unsigned int i = 0; i < s->uplink_count; i++)
		if (!uplink_is_right(w, &s->uplinks[i]))
			ask_name(out, "uplink-remove", "name", s->uplinks[i].name);
	return out;
}

json_t *sync_uplinks(const struct sync_wish *w, const struct pmd_status *s, uint64_t now)
{
	json_t *out = json_array();

	for (unsigned int i = 0; i < w->config->uplink_count; i++) {
		const struct config_uplink *up = &w->config->uplinks[i];
		const struct wish_uplink *wish = &w->uplinks[i];

		if (pmd_uplink_find(s, up->name) != NULL || now < wish->retry_ns ||
		    (uplink_is_taken(up->kind) && wish->device[0] == '\0'))
			continue;
		json_array_append_new(out, json_pack("{s:s, s:s, s:s, s:s, s:i}", "op",
						     "uplink-add", "name", up->name, "kind",
						     config_uplink_kind_text(up->kind), "device",
						     wish->device, "mtu", (int)up->mtu));
	}
	return out;
}

static void network_add(const struct config_network *net, const struct pmd_status *s, json_t *out)
{
	const char *uplinks[CONFIG_UPLINKS];
	unsigned int n = network_uplinks(net, s, uplinks);
	json_t *list;

	if (n == 0 && net->polled_count > 0)
		return;
	list = json_array();
	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, json_string(uplinks[i]));
	json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:s}", "op", "network-add", "name",
					     net->name, "uplinks", list, "bond",
					     config_bond_text(network_bond(net, n))));
}

json_t *sync_networks(const struct sync_wish *w, const struct pmd_status *s)
{
	json_t *out = json_array();

	for (unsigned int i = 0; i < s->network_count; i++) {
		if (network_is_right(w, &s->networks[i], s))
			continue;
		ports_clear(s, s->networks[i].name, out);
		ask_name(out, "network-remove", "name", s->networks[i].name);
	}
	for (unsigned int i = 0; i < w->config->network_count; i++) {
		const struct config_network *net = &w->config->networks[i];
		const struct pmd_network *have = pmd_network_find(s, net->name);

		if (config_network_is_polled(net) &&
		    (have == NULL || !network_is_right(w, have, s)))
			network_add(net, s, out);
	}
	return out;
}

json_t *sync_port_add(const struct wish_port *p)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:O}", "op", "port-add", "port", p->name, "network",
			 p->network, "socket", p->socket, "policy", p->policy);
}

static json_t *port_set(const struct wish_port *p)
{
	return json_pack("{s:s, s:s, s:O}", "op", "port-set", "port", p->name, "policy", p->policy);
}

json_t *sync_ports(const struct sync_wish *w, const struct pmd_status *s)
{
	json_t *out = json_array();

	for (unsigned int i = 0; i < w->port_count; i++) {
		const struct wish_port *p = &w->ports[i];

		if (pmd_port_find(s, p->name) != NULL) {
			if (p->is_stale)
				json_array_append_new(out, port_set(p));
		} else if (pmd_network_find(s, p->network) != NULL) {
			json_array_append_new(out, sync_port_add(p));
		}
	}
	return out;
}
