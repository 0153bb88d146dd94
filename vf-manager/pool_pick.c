// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pool_pick.h"

#include "vf-manager/leasepark.h"

#include <errno.h>
#include <stdio.h>

int pool_vf_find(const struct daemon *d, const char *text, const struct pci_fn **out, struct err *e)
{
	const struct vf_row *row = NULL;
	int r;

	if (d->ledger != NULL)
		row = ledger_vf_by_lease(d->ledger, text);
	if (row != NULL && strcmp(row->boot_id, d->boot_id) == 0) {
		const struct pci_fn *vf = inventory_find(d->inv, &row->addr);

		if (vf != NULL && vf->is_vf) {
			*out = vf;
			return 0;
		}
	}
	if (lease_waits(d, text, e))
		return -EBUSY;
	r = inventory_find_vf(d->inv, text, out, e);
	if (r == 0)
		return 0;
	if (e->code[0] == '\0')
		err_code(e, "no-such-vf");
	return e->hint[0] == '\0' ? err_hint(e, "viaduct vf list") : r;
}

int pool_pf_find(const struct daemon *d, const char *text, const struct pci_fn **out, struct err *e)
{
	int r = inventory_find_pf(d->inv, text, out, e);

	if (r == 0)
		return 0;
	if (e->code[0] == '\0')
		err_code(e, "no-such-pf");
	return e->hint[0] == '\0' ? err_hint(e, "viaduct pf list") : r;
}

int pool_vf_refuse(struct daemon *d, const struct pci_fn *vf, struct err *e)
{
	char why[128], id[VF_ID_TEXT];
	enum vf_state state = pool_vf_state(d, vf, why);
	const struct vf_row *row = NULL;
	const char *slash;

	vf_id_text(vf, id);
	if (d->ledger != NULL)
		row = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);
	if (state == VF_FOREIGN) {
		err_set(e, EBUSY, "VF %s (%s) is foreign: %s", id, vf->name, why);
		err_code(e, "vf-foreign");
		return pool_foreign_hint(d, vf, e);
	}
	if (state == VF_QUARANTINED) {
		err_set(e, EBUSY, "VF %s (%s) is quarantined: %s", id, vf->name,
			row != NULL ? row->note : "");
		err_code(e, "vf-quarantined");
		return err_hint(e, "viaduct vf scrub %s   tries to wipe it again", id);
	}
	slash = row != NULL ? strchr(row->owner, '/') : NULL;
	if (slash != NULL) {
		err_set(e, EBUSY, "VF %s (%s) is %s: %s has it", id, vf->name, vf_state_text(state),
			row->owner);
		err_code(e, "vf-in-use");
		return pool_owner_lives(d, row->owner)
			       ? err_hint(e, "viaduct vm stop %.*s", (int)(slash - row->owner),
					  row->owner)
			       : err_hint(e, "viaduct vf release %s", id);
	}
	if (row == NULL || row->lease[0] == '\0') {
		err_set(e, EBUSY, "VF %s (%s) is %s", id, vf->name, vf_state_text(state));
		err_code(e, "vf-in-use");
		return err_hint(e, "viaduct vf release %s", id);
	}
	err_set(e, EBUSY, "VF %s (%s) is %s as '%s'", id, vf->name, vf_state_text(state),
		row->lease);
	err_code(e, "vf-in-use");
	return err_hint(e, "viaduct vf release %s", row->lease);
}

/* A VF named by itself: free, or leased by `vf alloc` and not yet in a VM. */
static int pick_named(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
		      struct err *e)
{
	const struct vf_row *row;
	const struct pci_fn *vf;
	enum vf_state state;
	int r = pool_vf_find(d, want->target, &vf, e);

	if (r < 0)
		return r;
	state = pool_vf_state(d, vf, NULL);
	if (state != VF_FREE) {
		row = d->ledger != NULL ? ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index)
					: NULL;
		if (state != VF_LEASED || want->lease != NULL || row == NULL ||
		    row->owner[0] != '\0')
			return pool_vf_refuse(d, vf, e);
	}
	*out = vf;
	return 0;
}

/* The rows of a PF lie side by side: one look-up, then a walk beside its VFs. */
static const struct pci_fn *pf_free_vf(const struct daemon *d, const struct pci_fn *pf,
				       int numa_node)
{
	size_t at = d->ledger != NULL ? ledger_vf_place(d->ledger, &pf->addr, 0) : 0;
	size_t rows = d->ledger != NULL ? ledger_vf_count(d->ledger) : 0;

	for (unsigned int i = 0; i < pf->num_vfs; i++) {
		const struct pci_fn *vf = pf->vfs[i];
		const struct vf_row *row = at < rows ? ledger_vf_at(d->ledger, at) : NULL;
		bool is_its = row != NULL && row->index == i &&
			      pci_addr_cmp(&row->pf, &pf->addr) == 0;

		at += is_its;
		/* Plainly somebody's; all else is asked for properly. */
		if (vf == NULL || (is_its && row->state != VF_FREE && row->birth == vf->birth &&
				   strcmp(row->boot_id, d->boot_id) == 0))
			continue;
		if ((numa_node < 0 || vf->numa_node == numa_node) &&
		    pool_vf_state(d, vf, NULL) == VF_FREE)
			return vf;
	}
	return NULL;
}

/* "PF enp1s0 has no free VF on NUMA node 1 (the PF is on 0) (2 VFs, 2 free)" */
static int none_free(const struct daemon *d, const struct pci_fn *pf, int numa_node, struct err *e)
{
	const char *name = pf->dev_name[0] != '\0' ? pf->dev_name : pf->name;
	unsigned int counts[VF_STATES] = { 0 };
	char text[200] = "", where[64] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < pf->num_vfs; i++)
		if (pf->vfs[i] != NULL)
			counts[pool_vf_state(d, pf->vfs[i], NULL)]++;
	for (unsigned int s = 0; s < VF_STATES; s++)
		if (counts[s] > 0 && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, ", %u %s",
						counts[s], vf_state_text((enum vf_state)s));
	if (numa_node >= 0)
		snprintf(where, sizeof(where), " on NUMA node %d (the PF is on %d)", numa_node,
			 pf->numa_node);
	err_set(e, EBUSY, "PF %s has no free VF%s (%u VFs%s)", name, where, pf->num_vfs, text);
	err_code(e, "no-free-vf");
	return pf->num_vfs == 0 ? err_hint(e, "viaduct pf apply %s --vfs N", name)
				: err_hint(e, "viaduct vf list   shows who has them");
}

static int pick_of_pf(struct daemon *d, const struct vf_want *want, const char *name,
		      const struct pci_fn **out, struct err *e)
{
	const struct pci_fn *pf;
	int r = pool_pf_find(d, name, &pf, e);

	if (r < 0)
		return r;
	*out = pf_free_vf(d, pf, want->numa_node);
	return *out != NULL ? 0 : none_free(d, pf, want->numa_node, e);
}

static int pick_of_network(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
			   struct err *e)
{
	const struct config_network *net = config_network_find(&d->config, want->target);
	int r = -ENOENT;

	if (net == NULL) {
		err_set(e, ENOENT, "there is no network '%.64s'", want->target);
		err_code(e, "no-such-network");
		return err_hint(e, "`networks` in %s names them", d->opt->config);
	}
	for (unsigned int i = 0; r < 0 && i < net->uplink_count; i++)
		r = pick_of_pf(d, want, net->uplinks[i], out, e);
	return r < 0 ? err_wrap(e, "network %s", net->name) : 0;
}

static int pick_any(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
		    struct err *e)
{
	for (size_t i = 0; i < inventory_count(d->inv); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);

		if (!pf->is_pf || pf->kind == FN_NVME)
			continue;
		*out = pf_free_vf(d, pf, want->numa_node);
		if (*out != NULL)
			return 0;
	}
	err_set(e, EBUSY, "no PF of this host has a free VF%s",
		want->numa_node >= 0 ? " on that NUMA node" : "");
	err_code(e, "no-free-vf");
	return err_hint(e, "viaduct pf list   shows PFs and counts; viaduct pf apply PF --vfs N");
}

int pool_pick(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
	      struct err *e)
{
	if (want->lease != NULL && ledger_vf_by_lease(d->ledger, want->lease) != NULL) {
		err_set(e, EEXIST, "the lease '%s' exists", want->lease);
		err_code(e, "lease-exists");
		return err_hint(e, "viaduct vf show %s", want->lease);
	}
	if (want->lease != NULL && lease_waits(d, want->lease, e))
		return -EBUSY;
	if (want->target == NULL)
		return pick_any(d, want, out, e);
	switch (want->source) {
	case PORT_FROM_NETWORK:
		return pick_of_network(d, want, out, e);
	case PORT_FROM_PF:
		return pick_of_pf(d, want, want->target, out, e);
	case PORT_FROM_VF:
		return pick_named(d, want, out, e);
	}
	return err_set(e, EINVAL, "no kind of request");
}
