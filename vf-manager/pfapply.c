// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pfapply.h"

#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include <errno.h>

static int pf_check(struct daemon *d, const struct pci_fn *pf, uint16_t vfs, struct err *e)
{
	const struct fn_row *fn = ledger_fn_find(d->ledger, &pf->addr);

	if (vfs > pf->total_vfs) {
		err_set(e, ERANGE, "has %u VFs at most, not %u", pf->total_vfs, vfs);
		return err_code(e, "too-many-vfs");
	}
	if (fn == NULL)
		return 0;
	err_set(e, EBUSY, "is %s as a whole function: %s has it", fn_state_text(fn->state),
		fn->owner[0] != '\0' ? fn->owner : "nobody");
	err_code(e, "function-in-use");
	return err_hint(e, "viaduct function show %s", pf->name);
}

/* State locked. What is there now, and whether we made it: `made` VFs, if the change got so far. */
static int count_record(struct daemon *d, const struct pci_addr *addr, int made, struct err *e)
{
	const struct pf_row *was = ledger_pf_find(d->ledger, addr);
	const struct pci_fn *pf = inventory_find(d->inv, addr);
	struct pf_row row = { .pf = *addr };

	memcpy(row.boot_id, d->boot_id, sizeof(row.boot_id));
	if (pf != NULL && pf->num_vfs == made) {
		row.vfs = pf->num_vfs;
		row.birth = pool_pf_birth(pf);
	} else if (pf != NULL && was != NULL && was->vfs == pf->num_vfs &&
		   (was->birth == 0 || was->birth == pool_pf_birth(pf)) &&
		   strcmp(was->boot_id, d->boot_id) == 0) {
		return 0; /* the kernel kept those that were there */
	}
	return ledger_pf_put(d->ledger, &row, e);
}

int pf_intent_drop(struct daemon *d, const struct intent_row *intent, struct err *e)
{
	int r = count_record(d, &intent->pf, -1, e);

	return r == 0 ? ledger_intent_del(d->ledger, intent, e) : r;
}

int pf_intent_finish(struct daemon *d, const struct intent_row *intent, struct err *e)
{
	int written, r = priv_pf_vfs_set(d, &intent->pf, intent->vfs, e);

	state_lock(d);
	/* As many as wanted are ours, even if what came after them failed. */
	written = count_record(d, &intent->pf, intent->vfs, r < 0 ? NULL : e);
	if (written == 0)
		written = ledger_intent_del(d->ledger, intent, r < 0 ? NULL : e);
	state_unlock(d);
	return r < 0 ? r : written;
}

int pf_apply(struct daemon *d, const char *name, const struct pf_wish *wish, struct err *e)
{
	struct intent_row intent = { .kind = INTENT_PF_VFS, .vfs = wish->vfs, .uid = wish->uid };
	const struct pci_fn *pf = NULL;
	bool is_done = false;
	int r;

	pool_forget_gone(d);
	memcpy(intent.boot_id, d->boot_id, sizeof(intent.boot_id));
	state_lock(d);
	r = daemon_scan(d, e);
	if (r == 0)
		r = pool_pf_find(d, name, &pf, e);
	if (r == 0) {
		r = pf_check(d, pf, wish->vfs, e);
		if (r < 0)
			err_wrap(e, "PF %s", name);
	}
	if (r == 0) {
		intent.pf = pf->addr;
		is_done = pf->num_vfs == wish->vfs && pool_pf_is_ours(d, pf);
	}
	state_unlock(d);
	if (r < 0 || is_done)
		return r;
	r = pool_pf_is_idle(d, &intent.pf, e);
	if (r == 0) {
		state_lock(d);
		r = ledger_intent_put(d->ledger, &intent, e);
		state_unlock(d);
	}
	if (r == 0)
		r = pf_intent_finish(d, &intent, e);
	return r < 0 ? err_wrap(e, "PF %s", name) : 0;
}

void pf_apply_wanted(struct daemon *d)
{
	if (!d->config.apply_pfs_at_start)
		return;
	op_lock(d);
	for (unsigned int i = 0; i < d->config.pf_count; i++) {
		const struct config_pf *want = &d->config.pfs[i];
		const struct pf_wish wish = { .vfs = want->vfs };
		struct err e = { 0 };

		if (pf_apply(d, want->name, &wish, &e) < 0)
			log_err(&e, "wanted PF state");
		else
			log_info("PF %s has %u VFs", want->name, want->vfs);
	}
	op_unlock(d);
}
