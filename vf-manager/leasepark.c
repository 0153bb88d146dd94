// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/leasepark.h"

#include "vf-manager/pool.h"

#include <errno.h>
#include <stdio.h>

void pf_identity(const struct daemon *d, const struct pci_addr *pf, char out[PF_IDENT_TEXT])
{
	const struct pci_fn *fn = inventory_find(d->inv, pf);
	struct pf_ident id;

	out[0] = '\0';
	if (fn == NULL || !fn->is_pf)
		return;
	pf_ident_read(inventory_sysfs(d->inv), fn, &id);
	pf_ident_text(&id, out);
}

int lease_park(struct daemon *d, const struct vf_row *row, const char *why, struct err *e)
{
	const struct pf_row *pf = ledger_pf_find(d->ledger, &row->pf);
	struct parked_row parked = { .pf = row->pf,
				     .index = row->index,
				     .generation = row->generation,
				     .attrs = row->attrs };
	struct vf_row vf = *row;

	snprintf(parked.lease, sizeof(parked.lease), "%s", row->lease);
	snprintf(parked.identity, sizeof(parked.identity), "%s", pf != NULL ? pf->identity : "");
	snprintf(parked.why, sizeof(parked.why), "%s", why);
	vf.state = VF_FREE;
	vf.lease[0] = vf.owner[0] = vf.note[0] = '\0';
	vf.attrs = vf.in_force = (struct vf_attrs){ 0 };
	return ledger_park(d->ledger, &parked, &vf, e);
}

/* State locked. The one PF that the lease was made on, or NULL and why not. Of several alike the one in the same
 * slot, if that is one. */
static const struct pci_fn *pf_of(const struct daemon *d, const struct parked_row *row,
				  char why[LEDGER_NOTE])
{
	const struct pci_fn *found[2] = { NULL, NULL };
	unsigned int alike[2] = { 0, 0 }; /* in any slot, in the same */
	struct pf_ident wanted, id;

	if (pf_ident_parse(row->identity, &wanted) < 0) {
		snprintf(why, LEDGER_NOTE, "it is not known which card it was made on");
		return NULL;
	}
	for (size_t i = 0; i < inventory_count(d->inv); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);

		if (!pf->is_pf)
			continue;
		pf_ident_read(inventory_sysfs(d->inv), pf, &id);
		if (!pf_ident_matches(&wanted, &id))
			continue;
		found[0] = pf;
		alike[0]++;
		if (strcmp(wanted.slot, id.slot) != 0)
			continue;
		found[1] = pf;
		alike[1]++;
	}
	if (alike[0] == 1 || alike[1] == 1)
		return alike[0] == 1 ? found[0] : found[1];
	if (alike[0] == 0)
		snprintf(why, LEDGER_NOTE, "the card it was made on is not there: %.180s",
			 row->identity);
	else
		snprintf(why, LEDGER_NOTE, "%u PFs could be the one it was made on: %.180s",
			 alike[0], row->identity);
	return NULL;
}

/* State locked, just scanned. The VF that is the lease's, or NULL and why not. */
static const struct pci_fn *vf_of(const struct daemon *d, const struct parked_row *row,
				  char why[LEDGER_NOTE])
{
	const struct pci_fn *pf = pf_of(d, row, why), *vf;
	enum vf_state state;
	char reason[128];

	if (pf == NULL)
		return NULL;
	vf = row->index < pf->num_vfs ? pf->vfs[row->index] : NULL;
	if (vf == NULL) {
		snprintf(why, LEDGER_NOTE, "PF %s (%s) has no VF %u: viaduct pf apply %s --vfs %u",
			 pci_fn_label(pf), pf->name, row->index, pci_fn_label(pf), row->index + 1U);
		return NULL;
	}
	state = pool_vf_state(d, vf, reason);
	if (state == VF_FREE)
		return vf;
	snprintf(why, LEDGER_NOTE, "VF %u of PF %s (%s) is %s%s%s", row->index, pci_fn_label(pf),
		 pf->name, vf_state_text(state), reason[0] != '\0' ? ": " : "", reason);
	return NULL;
}

/* State locked. *ref: to be wiped, which makes it the lease's; false: it waits on. */
static bool unpark(struct daemon *d, const struct parked_row *row, struct vf_ref *ref)
{
	struct parked_row next = *row;
	struct err e = { 0 };
	const struct pci_fn *vf = vf_of(d, row, next.why);
	const struct vf_row *was;
	struct vf_row now;
	int r;

	if (vf == NULL) {
		if (strcmp(next.why, row->why) != 0 && ledger_parked_put(d->ledger, &next, &e) < 0)
			log_err(&e, next.lease);
		return false;
	}
	was = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);
	/* As a VF that comes back from a VM: what a crash leaves is wiped by the next daemon. */
	now = (struct vf_row){ .pf = vf->pf->addr,
			       .index = vf->vf_index,
			       .addr = vf->addr,
			       .state = VF_SCRUBBING,
			       .birth = vf->birth,
			       .attrs = row->attrs };
	now.generation = u64_max(row->generation, was != NULL ? was->generation : 0) + 1;
	memcpy(now.lease, row->lease, sizeof(now.lease));
	memcpy(now.boot_id, d->boot_id, sizeof(now.boot_id));
	*ref = (struct vf_ref){ .pf = now.pf, .index = now.index };
	r = ledger_unpark(d->ledger, row, &now, &e);
	if (r < 0)
		log_err(&e, next.lease);
	else
		log_info("lease %s: on VF %s again", next.lease, vf->name);
	return r == 0;
}

void leases_unpark(struct daemon *d)
{
	size_t i = 0;

	for (;;) {
		struct err e = { 0 };
		struct vf_ref ref;
		bool is_back, is_end;

		state_lock(d);
		is_end = i >= ledger_parked_count(d->ledger) || daemon_scan(d, &e) < 0;
		is_back = !is_end && unpark(d, ledger_parked_at(d->ledger, i), &ref);
		state_unlock(d);
		if (is_end)
			return;
		i += !is_back; /* else its row is gone */
		if (is_back && pool_release(d, &ref, true, &e) < 0)
			log_err(&e, "a lease that comes back");
	}
}

bool lease_waits(const struct daemon *d, const char *lease, struct err *e)
{
	const struct parked_row *row = d->ledger != NULL ? ledger_parked_find(d->ledger, lease)
							 : NULL;

	if (row == NULL)
		return false;
	err_set(e, EBUSY, "the lease %s waits for its VF: %s", lease, row->why);
	err_code(e, "lease-parked");
	err_hint(e, "viaduct alarms; viaduct vf release %s   ends it", lease);
	return true;
}

json_t *leases_parked_json(const struct daemon *d)
{
	json_t *list = json_array();

	for (size_t i = 0; d->ledger != NULL && i < ledger_parked_count(d->ledger); i++) {
		const struct parked_row *row = ledger_parked_at(d->ledger, i);
		char pf[PCI_ADDR_TEXT];

		json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:s, s:s}", "lease",
						      row->lease, "pf", pci_addr_text(&row->pf, pf),
						      "index", (int)row->index, "identity",
						      row->identity, "why", row->why));
	}
	return list;
}
