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
	if (row != NULL && pool_owner_is_uplink(row->owner)) {
		err_set(e, EBUSY, "VF %s (%s) is reserved for the %s", id, vf->name, row->owner);
		err_code(e, "vf-in-use");
		return err_hint(e, "viaduct uplink show %s   shows what it carries",
				row->owner + strlen(POOL_UPLINK));
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

int pool_pick_named(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
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

static bool is_in(const struct pci_addr *addr, const struct pci_addr *list, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (pci_addr_cmp(&list[i], addr) == 0)
			return true;
	return false;
}

/* The rows of a PF lie side by side: one look-up, then a walk beside its VFs. */
const struct pci_fn *pool_pf_free_vf(const struct daemon *d, const struct pci_fn *pf,
				     const struct pci_addr *skip, unsigned int skip_count)
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
		if (!is_in(&vf->addr, skip, skip_count) && pool_vf_state(d, vf, NULL) == VF_FREE)
			return vf;
	}
	return NULL;
}

/* "PF enp1s0 has no free VF on NUMA node 1 (the PF is on 0) (2 VFs, 2 free)" */
static int none_free(const struct pci_fn *pf, const struct place_pf *facts, int numa_node,
		     struct err *e)
{
	char text[200] = "", where[64] = "";
	size_t len = 0;

	for (unsigned int s = 0; s < VF_STATES; s++)
		if (facts->vfs[s] > 0 && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, ", %u %s",
						facts->vfs[s], vf_state_text((enum vf_state)s));
	if (facts->promised > 0 && len < sizeof(text))
		snprintf(text + len, sizeof(text) - len, ", %u of them for other ports of the VM",
			 facts->promised);
	if (numa_node >= 0)
		snprintf(where, sizeof(where), " on NUMA node %d (the PF is on %d)", numa_node,
			 pf->numa_node);
	err_set(e, EBUSY, "PF %s has no free VF%s (%u VFs%s)", facts->name, where, pf->num_vfs,
		text);
	err_code(e, "no-free-vf");
	return pf->num_vfs == 0 ? err_hint(e, "viaduct pf apply %s --vfs N", facts->name)
				: err_hint(e, "viaduct vf list   shows who has them");
}

static int one_refuse(struct daemon *d, const struct vf_want *want, const struct candidates *c,
		      struct err *e)
{
	const struct place_pf *pf = &c->pfs[0];
	const struct pci_fn *unseen;
	char why[PLACE_WHY_TEXT];

	if (pf->verdict == PLACE_OUT_MISSING)
		return pool_pf_find(d, pf->name, &unseen, e);
	if (pf->verdict != PLACE_OUT_WORD)
		return none_free(c->fns[0], pf, want->numa_node, e);
	err_set(e, EBUSY, "PF %s %s", pf->name, placement_why(&c->want, c->pfs, c->count, 0, why));
	err_code(e, "anti-affinity");
	return err_hint(e, "viaduct vf list   shows who is where; name a network of more PFs");
}

static void refuse_hint(const struct vf_want *want, struct err *e)
{
	if (want->kin != NULL)
		err_hint(
			e,
			"viaduct vm check FILE --explain   shows each PF; viaduct vf list   who has its VFs");
	else if (want->target != NULL)
		err_hint(
			e,
			"viaduct vf alloc --network %s --explain   shows each PF; viaduct vf list   who has its VFs",
			want->target);
	else
		err_hint(e,
			 "viaduct vf alloc --explain   shows each PF; viaduct pf apply PF --vfs N");
}

int pool_pick_refuse(struct daemon *d, const struct vf_want *want, const struct candidates *c,
		     struct err *e)
{
	bool is_network = want->target != NULL && want->source == PORT_FROM_NETWORK;
	bool is_by_word = false, is_all_missing = c->count > 0;
	char reasons[400];
	int r;

	for (size_t i = 0; i < c->count; i++) {
		is_by_word |= c->pfs[i].verdict == PLACE_OUT_WORD;
		is_all_missing &= c->pfs[i].verdict == PLACE_OUT_MISSING;
	}
	if ((c->count == 1 && want->target != NULL) || is_all_missing) {
		r = one_refuse(d, want, c, e);
		return is_network ? err_wrap(e, "network %s", want->target) : r;
	}
	candidates_reasons(c, reasons, sizeof(reasons));
	err_set(e, EBUSY, "%s%.63s: no PF has a free VF%s%s%s",
		is_network ? "network " : "this host", is_network ? want->target : "",
		is_by_word ? " that may be taken" : "", c->count > 0 ? ": " : "", reasons);
	err_code(e, is_by_word ? "anti-affinity" : "no-free-vf");
	refuse_hint(want, e);
	return -EBUSY;
}

/* Not of a VM. Without anybody who wants to know why, no further than needed. */
static int pick_of_pfs(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
		       struct err *e)
{
	struct candidates c = { .want = { .node = want->numa_node,
					  .is_strict = want->numa_node >= 0 },
				.is_lazy = want->explain == NULL };
	int winner, r = candidates_find(&c, d, want, e);

	if (r < 0)
		goto out;
	winner = placement_rank(&c.want, c.pfs, c.count);
	*out = winner >= 0 ? pool_pf_free_vf(d, c.fns[winner], NULL, 0) : NULL;
	if (want->explain != NULL)
		candidates_explain(&c, *out, want->explain);
	if (*out == NULL)
		r = pool_pick_refuse(d, want, &c, e);
out:
	candidates_fini(&c);
	return r;
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
	if (want->explain != NULL)
		json_array_clear(want->explain);
	if (want->kin != NULL)
		return pool_pick_port(d, want, out, e);
	if (want->target != NULL && want->source == PORT_FROM_VF)
		return pool_pick_named(d, want, out, e);
	return pick_of_pfs(d, want, out, e);
}
