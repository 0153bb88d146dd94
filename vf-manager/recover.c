// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/recover.h"

#include "vf-manager/fnpool.h"
#include "vf-manager/leasepark.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include <errno.h>

/* State locked. A VF that somebody has taken since the crash, or NULL. */
static const struct pci_fn *vf_in_use(const struct daemon *d, const struct pci_fn *pf)
{
	for (unsigned int i = 0; pf != NULL && i < pf->num_vfs; i++)
		if (pf->vfs[i] != NULL && pf->vfs[i]->driver[0] != '\0' &&
		    pool_vf_state(d, pf->vfs[i], NULL) != VF_QUARANTINED)
			return pf->vfs[i];
	return NULL;
}

/* None of the PF's VFs was in use when the intent was written. */
static int pf_recover(struct daemon *d, const struct intent_row *intent, struct err *e)
{
	const struct pci_fn *vf;
	char text[PCI_ADDR_TEXT];
	int r;

	state_lock(d);
	r = daemon_scan(d, e);
	vf = r == 0 ? vf_in_use(d, inventory_find(d->inv, &intent->pf)) : NULL;
	if (vf != NULL) {
		log_warn(
			"PF %s: the change to %u VFs is not finished: VF %s is in use by the driver %s",
			pci_addr_text(&intent->pf, text), intent->vfs, vf->name, vf->driver);
		r = pf_intent_drop(d, intent, e);
	}
	state_unlock(d);
	if (r < 0 || vf != NULL)
		return r;
	log_info("PF %s: the change to %u VFs, asked for by uid %u, goes on",
		 pci_addr_text(&intent->pf, text), intent->vfs, intent->uid);
	return pf_intent_finish(d, intent, e);
}

static int attrs_recover(struct daemon *d, const struct intent_row *intent, struct err *e)
{
	const struct vf_row *row;
	struct pci_addr addr = { 0 };
	bool is_same;
	int r = 0;

	state_lock(d);
	row = ledger_vf_find(d->ledger, &intent->pf, intent->index);
	is_same = row != NULL && row->generation == intent->generation &&
		  (row->state == VF_LEASED || row->state == VF_BOUND || row->state == VF_ASSIGNED);
	if (is_same)
		addr = row->addr;
	state_unlock(d);
	if (is_same)
		r = priv_vf_attrs_restore(d, &addr, &intent->before, e);
	/* What cannot be put back is wiped with the VF, and said. */
	if (r < 0)
		log_err(e, "attributes that were being set");
	state_lock(d);
	r = ledger_intent_del(d->ledger, intent, e);
	state_unlock(d);
	return r;
}

typedef int intent_fn(struct daemon *d, const struct intent_row *intent, struct err *e);
static intent_fn *const recoveries[INTENT_KINDS] = {
	[INTENT_PF_VFS] = pf_recover,
	[INTENT_VF_ATTRS] = attrs_recover,
};

void recover_intents(struct daemon *d)
{
	/* From the end: each that is done leaves the table. */
	for (size_t i = ledger_intent_count(d->ledger); i-- > 0;) {
		const struct intent_row intent = *ledger_intent_at(d->ledger, i);
		struct err e = { 0 };
		int r;

		if (strcmp(intent.boot_id, d->boot_id) == 0) {
			r = recoveries[intent.kind](d, &intent, &e);
		} else {
			/* The boot has ended it. */
			state_lock(d);
			r = ledger_intent_del(d->ledger, &intent, &e);
			state_unlock(d);
		}
		if (r < 0)
			log_err(&e, "recovery");
	}
}

/* VFs and all they had went with the boot; a lease of `vf alloc` waits for its VF to be made again. */
static int vf_of_another_boot(struct daemon *d, struct vf_row row, struct err *e)
{
	int r;

	state_lock(d);
	if (row.lease[0] != '\0') {
		r = lease_park(d, &row, "the host was started again", e);
	} else {
		row.state = VF_FREE;
		row.lease[0] = row.owner[0] = row.note[0] = '\0';
		row.attrs = row.in_force = (struct vf_attrs){ 0 };
		r = ledger_vf_force(d->ledger, &row, e);
	}
	state_unlock(d);
	return r;
}

/* Of a ledger that had none, while the address still names the same PF. */
static void identities_fill(struct daemon *d)
{
	struct err e = { 0 };
	int r;

	state_lock(d);
	r = daemon_scan(d, &e);
	for (size_t i = 0; r == 0 && i < inventory_count(d->inv); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);
		const struct pf_row *found = pf->is_pf ? ledger_pf_find(d->ledger, &pf->addr)
						       : NULL;
		struct pf_row row;

		if (found == NULL || found->identity[0] != '\0' ||
		    strcmp(found->boot_id, d->boot_id) != 0)
			continue;
		row = *found;
		pf_identity(d, &pf->addr, row.identity);
		r = ledger_pf_put(d->ledger, &row, &e);
	}
	state_unlock(d);
	if (r < 0)
		log_err(&e, "identities of PFs");
}

/* On its way to viaduct-pmd, which was not told of it: the uplink gets one anew. */
static bool uplink_is_half(const struct vf_row *row)
{
	return pool_owner_is_uplink(row->owner) &&
	       (row->state == VF_LEASED || row->state == VF_BOUND);
}

/* State locked. With `op` locked nothing is under way: whose owner is gone, or what is in the middle of its wiping, was left by a
 * crash, or by a ledger that could not be written. */
static bool vf_is_left(struct daemon *d, const struct vf_row *row)
{
	if (row->state == VF_FREE || row->state == VF_QUARANTINED || row->state == VF_FOREIGN ||
	    strcmp(row->boot_id, d->boot_id) != 0)
		return false;
	return row->state == VF_SCRUBBING ||
	       (row->owner[0] != '\0' && !pool_owner_lives(d, row->owner));
}

/* A VF that is neither free nor in a VM: leased for its own sake, or left by a crash. */
static void vf_reconcile(struct daemon *d, struct vf_row row)
{
	const struct vf_ref ref = { .pf = row.pf, .index = row.index };
	struct err e = { 0 };
	bool is_left;
	int r = 0;

	if (row.state == VF_FREE || row.state == VF_FOREIGN)
		return;
	if (strcmp(row.boot_id, d->boot_id) != 0) {
		r = vf_of_another_boot(d, row, &e);
	} else {
		state_lock(d);
		is_left = vf_is_left(d, &row) || uplink_is_half(&row);
		state_unlock(d);
		if (is_left)
			r = pool_release(d, &ref, row.lease[0] != '\0', &e);
	}
	if (r < 0)
		log_err(&e, "recovery");
}

void recover_vfs(struct daemon *d)
{
	pool_forget_gone(d);
	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++)
		vf_reconcile(d, *ledger_vf_at(d->ledger, i));
	identities_fill(d);
	leases_unpark(d);
}

bool recover_is_due(struct daemon *d)
{
	bool is_due;

	state_lock(d);
	is_due = fnpool_has_left(d);
	for (size_t i = 0; !is_due && i < ledger_vf_count(d->ledger); i++)
		is_due = vf_is_left(d, ledger_vf_at(d->ledger, i));
	state_unlock(d);
	return is_due;
}

void recover_left(struct daemon *d)
{
	struct vf_row row = { 0 };
	bool is_left, is_end = false;

	for (size_t i = 0; !is_end; i++) {
		struct err e = { 0 };
		struct vf_ref ref;

		state_lock(d);
		is_end = i >= ledger_vf_count(d->ledger);
		is_left = !is_end && vf_is_left(d, ledger_vf_at(d->ledger, i));
		if (is_left)
			row = *ledger_vf_at(d->ledger, i);
		state_unlock(d);
		if (!is_left)
			continue;
		ref = (struct vf_ref){ .pf = row.pf, .index = row.index };
		if (pool_release(d, &ref, row.lease[0] != '\0', &e) < 0)
			log_err(&e, "a VF that was left");
	}
	fnpool_reconcile(d);
}
