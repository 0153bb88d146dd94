// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/macuse.h"

#include "vf-manager/pool.h"
#include "vf-manager/portpolled.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_uplink(const struct daemon *d, const struct config_network *net,
		      const struct pci_fn *pf)
{
	for (unsigned int i = 0; i < net->uplink_count; i++) {
		const struct pci_fn *found;
		struct err e = { 0 };

		if (pool_pf_find(d, net->uplinks[i], &found, &e) == 0 &&
		    pci_addr_cmp(&found->addr, &pf->addr) == 0)
			return true;
	}
	return false;
}

/* Both are the same PF, or uplinks of one network. */
static bool pfs_share_network(const struct daemon *d, const struct pci_fn *a,
			      const struct pci_fn *b)
{
	bool is_shared = pci_addr_cmp(&a->addr, &b->addr) == 0;

	for (unsigned int i = 0; !is_shared && i < d->config.network_count; i++)
		is_shared = is_uplink(d, &d->config.networks[i], a) &&
			    is_uplink(d, &d->config.networks[i], b);
	return is_shared;
}

/* The PF is the wish's own, or they may hear each other. */
static bool is_near(const struct daemon *d, const struct mac_wish *wish, const struct pci_fn *pf)
{
	const struct config_network *net;

	if (wish->vf != NULL)
		return pfs_share_network(d, pf, wish->vf->pf);
	net = config_network_find(&d->config, wish->network);
	return net != NULL && is_uplink(d, net, pf);
}

static int in_use(const struct mac_wish *wish, const char *who, struct err *e)
{
	char text[MAC_TEXT];

	err_set(e, EEXIST, "mac: %s has %s", who, mac_text(wish->mac, text));
	err_code(e, "mac-in-use");
	return err_hint(e, "viaduct vf list   shows the MACs; choose another");
}

/* On one card a MAC is one station's, whatever the VLAN; between cards the VLAN tells them apart. */
static bool meets(const struct mac_wish *wish, const struct pci_fn *pf, uint16_t vlan)
{
	return wish->vf == NULL || pci_addr_cmp(&pf->addr, &wish->vf->pf->addr) == 0 ||
	       vlan == wish->vlan;
}

static int vf_in_use(const struct daemon *d, const struct mac_wish *wish, const struct pci_fn *vf,
		     struct err *e)
{
	const struct vf_row *row =
		d->ledger != NULL ? ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index) : NULL;
	const bool is_its = pool_vf_state(d, vf, NULL) != VF_FREE && row != NULL;
	const char *whose = !is_its ? "" : row->owner[0] != '\0' ? row->owner : row->lease;
	char who[256];

	/* An uplink's VF has the MAC of the polled port that it stands for, which is looked at for itself. */
	if ((wish->owner != NULL && strcmp(whose, wish->owner) == 0) || pool_owner_is_uplink(whose))
		return 0;
	snprintf(who, sizeof(who), "VF %u of PF %s%s%s%s", vf->vf_index, pci_fn_label(vf->pf),
		 *whose != '\0' ? " (" : "", whose, *whose != '\0' ? ")" : "");
	return in_use(wish, who, e);
}

static int vfs_check(struct daemon *d, const struct mac_wish *wish, const struct pci_fn *pf,
		     struct err *e)
{
	auto_free struct vf_attrs *all = NULL;
	int r;

	if (pf->num_vfs == 0)
		return 0;
	all = calloc(pf->num_vfs, sizeof(*all));
	if (all == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = vf_attrs_get_all(d->nl, pf, all, pf->num_vfs, e);
	/* Of another card's VFs what is told must do. */
	if (wish->vf == NULL || pf != wish->vf->pf)
		r = 0;
	for (unsigned int i = 0; r == 0 && i < pf->num_vfs; i++) {
		const struct pci_fn *vf = pf->vfs[i];

		if (vf != NULL && vf != wish->vf && (all[i].mask & BIT(VF_ATTR_MAC)) != 0 &&
		    memcmp(all[i].mac, wish->mac, 6) == 0 && meets(wish, pf, all[i].vlan))
			r = vf_in_use(d, wish, vf, e);
	}
	return r;
}

static int pf_check(struct daemon *d, const struct mac_wish *wish, const struct pci_fn *pf,
		    struct err *e)
{
	char who[128];

	if (pf->ifindex == 0)
		return 0;
	snprintf(who, sizeof(who), "the PF %s itself", pci_fn_label(pf));
	if (memcmp(pf->net.mac, wish->mac, 6) == 0 && meets(wish, pf, 0))
		return in_use(wish, who, e);
	return vfs_check(d, wish, pf, e);
}

static int parked_check(const struct daemon *d, const struct mac_wish *wish, struct err *e)
{
	for (size_t i = 0; d->ledger != NULL && i < ledger_parked_count(d->ledger); i++) {
		const struct parked_row *row = ledger_parked_at(d->ledger, i);
		const struct pci_fn *pf = inventory_find(d->inv, &row->pf);
		char who[128];

		if (pf == NULL || (row->attrs.mask & BIT(VF_ATTR_MAC)) == 0 ||
		    memcmp(row->attrs.mac, wish->mac, 6) != 0 ||
		    !meets(wish, pf, row->attrs.vlan) || !is_near(d, wish, pf))
			continue;
		snprintf(who, sizeof(who), "the lease %s, which waits for its VF,", row->lease);
		return in_use(wish, who, e);
	}
	return 0;
}

static bool is_on_network(const struct daemon *d, const struct mac_wish *wish, const char *name)
{
	const struct config_network *net = config_network_find(&d->config, name);

	if (wish->vf == NULL)
		return strcmp(name, wish->network) == 0;
	return net != NULL && is_uplink(d, net, wish->vf->pf);
}

static bool port_has(const json_t *port, const uint8_t *mac)
{
	const char *text = json_string_value(json_object_get(port, "mac"));
	uint8_t has[6];

	return text != NULL && parse_mac(text, has) == 0 && memcmp(has, mac, 6) == 0;
}

/* Of VMs that start or run. */
static int polled_check(const struct daemon *d, const struct mac_wish *wish, struct err *e)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		json_t *port;
		size_t k;

		if (!vm_state_is_live(vm->state) && vm->pid == 0)
			continue;
		json_array_foreach(json_object_get(vm->facts, "ports"), k, port) {
			const char *net = json_string_value(json_object_get(port, "network"));
			const char *name = json_string_value(json_object_get(port, "name"));
			char who[OWNER_TEXT];

			if (!port_is_polled(port) || net == NULL || name == NULL ||
			    !port_has(port, wish->mac) || !is_on_network(d, wish, net))
				continue;
			snprintf(who, sizeof(who), "%s/%s", vm->name, name);
			if (wish->owner == NULL || strcmp(who, wish->owner) != 0)
				return in_use(wish, who, e);
		}
	}
	return 0;
}

static bool is_for_uplink(const struct daemon *d, const struct mac_wish *wish)
{
	const struct vf_row *row =
		d->ledger != NULL && wish->vf != NULL
			? ledger_vf_find(d->ledger, &wish->vf->pf->addr, wish->vf->vf_index)
			: NULL;

	return row != NULL && pool_owner_is_uplink(row->owner);
}

int mac_use_check(struct daemon *d, const struct mac_wish *wish, struct err *e)
{
	static const uint8_t none[6];
	int r = 0;

	if (memcmp(wish->mac, none, 6) == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < inventory_count(d->inv); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);

		if (pf->is_pf && pf->kind == FN_NETWORK && is_near(d, wish, pf))
			r = pf_check(d, wish, pf, e);
	}
	if (r == 0)
		r = parked_check(d, wish, e);
	return r == 0 && !is_for_uplink(d, wish) ? polled_check(d, wish, e) : r;
}
