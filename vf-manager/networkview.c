// SPDX-License-Identifier: BSD-3-Clause
/* A network as the API shows it: PFs and polled uplinks, and who is on it. */
#include "vf-manager/backend_view.h"
#include "vf-manager/configview.h"
#include "vf-manager/pool.h"

#include "base/json.h"

#include <stdio.h>

static json_t *pf_missing(const char *name, const char *why)
{
	return json_pack("{s:s, s:s, s:n, s:n, s:i, s:i, s:n, s:s}", "name", name, "kind", "pf",
			 "pf", "carrier", "num_vfs", 0, "vfs_free", 0, "reach", "problem", why);
}

/* State locked. VFs of the PF that somebody has. */
static void vf_ports_add(struct daemon *d, const struct pci_fn *pf, json_t *ports)
{
	for (unsigned int i = 0; d->ledger != NULL && i < pf->num_vfs; i++) {
		const struct vf_row *row = ledger_vf_find(d->ledger, &pf->addr, (uint16_t)i);
		char addr[PCI_ADDR_TEXT];

		if (row == NULL || row->owner[0] == '\0' || pool_owner_is_uplink(row->owner) ||
		    row->state == VF_FREE || strcmp(row->boot_id, d->boot_id) != 0)
			continue;
		json_array_append_new(ports, json_pack("{s:s, s:s, s:s, s:s}", "port", row->owner,
						       "engine", "vf", "vf",
						       pci_addr_text(&row->addr, addr), "state",
						       vf_state_text(row->state)));
	}
}

static void pfs_add(struct daemon *d, const struct config_network *net, json_t *uplinks,
		    json_t *ports, unsigned int *all_free)
{
	for (unsigned int i = 0; i < net->uplink_count; i++) {
		const struct pci_fn *pf;
		struct err e = { 0 };
		unsigned int vfs_free;

		if (pool_pf_find(d, net->uplinks[i], &pf, &e) < 0) {
			json_array_append_new(uplinks, pf_missing(net->uplinks[i], e.text));
			continue;
		}
		vfs_free = pool_pf_free(d, pf);
		*all_free += vfs_free;
		json_array_append_new(
			uplinks,
			json_pack("{s:s, s:s, s:s, s:o, s:i, s:i, s:n, s:s?}", "name",
				  net->uplinks[i], "kind", "pf", "pf", pf->name, "carrier",
				  pf->ifindex != 0 && pf->net.has_carrier
					  ? json_boolean(pf->net.carrier)
					  : json_null(),
				  "num_vfs", (int)pf->num_vfs, "vfs_free", (int)vfs_free, "reach",
				  "problem", pf->num_vfs == 0 ? "it has no VFs" : NULL));
		vf_ports_add(d, pf, ports);
	}
}

static void polled_add(struct daemon *d, const struct config_network *net, json_t *uplinks)
{
	auto_json json_t *all = backend_uplinks_view(d);
	const json_t *up;
	size_t i;

	for (unsigned int k = 0; k < net->polled_count; k++)
		json_array_foreach(all, i, up) {
			if (strcmp(json_string_value(json_object_get(up, "name")),
				   net->polled[k]) != 0)
				continue;
			json_array_append_new(uplinks,
					      json_pack("{s:O, s:O, s:n, s:O, s:i, s:i, s:O, s:O}",
							"name", json_object_get(up, "name"), "kind",
							json_object_get(up, "kind"), "pf",
							"carrier", json_object_get(up, "link"),
							"num_vfs", 0, "vfs_free", 0, "reach",
							json_object_get(up, "reach"), "problem",
							json_object_get(up, "problem")));
		}
}

json_t *config_network_view(struct daemon *d, const struct config_network *net)
{
	json_t *uplinks = json_array(), *ports = json_array();
	const bool is_polled = config_network_is_polled(net);
	char active[PMD_NAME_TEXT];
	unsigned int all_free = 0;
	struct err why = { 0 };

	pfs_add(d, net, uplinks, ports, &all_free);
	polled_add(d, net, uplinks);
	backend_network_ports(d, net->name, ports);
	if (is_polled)
		(void)backend_ready(d, net->name, &why);
	return json_pack("{s:s, s:s, s:o, s:i, s:b, s:s, s:s?, s:o, s:s?, s:s?}", "name", net->name,
			 "placement", placement_policy_text(net->placement), "uplinks", uplinks,
			 "vfs_free", (int)all_free, "polled", (int)is_polled, "bond",
			 config_bond_text(net->bond), "active",
			 backend_network_active(d, net->name, active), "ports", ports, "problem",
			 why.errnum != 0 ? why.text : NULL, "hint",
			 why.hint[0] != '\0' ? why.hint : NULL);
}
