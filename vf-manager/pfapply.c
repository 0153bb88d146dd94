// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pfapply.h"

#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include <errno.h>

static int pf_record(struct daemon *d, const struct pci_addr *pf, uint16_t vfs, struct err *e)
{
	struct pf_row row = { .pf = *pf, .vfs = vfs };
	int r;

	memcpy(row.boot_id, d->boot_id, sizeof(row.boot_id));
	state_lock(d);
	r = ledger_pf_put(d->ledger, &row, e);
	state_unlock(d);
	return r;
}

int pf_apply(struct daemon *d, const char *name, uint16_t vfs, struct err *e)
{
	const struct pci_fn *pf = NULL;
	const struct pf_row *row;
	struct pci_addr addr;
	bool is_done = false;
	int r;

	state_lock(d);
	r = daemon_scan(d, e);
	if (r == 0)
		r = pool_pf_find(d, name, &pf, e);
	if (r == 0 && vfs > pf->total_vfs) {
		r = err_set(e, ERANGE, "PF %s has %u VFs at most, not %u", name, pf->total_vfs,
			    vfs);
		err_code(e, "too-many-vfs");
	}
	if (r == 0 && ledger_fn_find(d->ledger, &pf->addr) != NULL) {
		const struct fn_row *fn = ledger_fn_find(d->ledger, &pf->addr);

		r = err_set(e, EBUSY, "PF %s is %s as a whole function: %s has it", name,
			    fn_state_text(fn->state), fn->owner[0] != '\0' ? fn->owner : "nobody");
		err_code(e, "function-in-use");
		err_hint(e, "viaduct function show %s", pf->name);
	}
	if (r == 0) {
		addr = pf->addr;
		row = ledger_pf_find(d->ledger, &addr);
		is_done = pf->num_vfs == vfs && row != NULL && row->vfs == vfs &&
			  strcmp(row->boot_id, d->boot_id) == 0;
	}
	state_unlock(d);
	if (r < 0 || is_done)
		return r;
	r = pool_pf_is_idle(d, &addr, e);
	/* Until the count is right none of them is ours. */
	if (r == 0)
		r = pf_record(d, &addr, 0, e);
	if (r == 0)
		r = priv_pf_vfs_set(d, &addr, vfs, e);
	if (r == 0)
		r = pf_record(d, &addr, vfs, e);
	return r < 0 ? err_wrap(e, "PF %s", name) : 0;
}

void pf_apply_wanted(struct daemon *d)
{
	if (!d->config.apply_pfs_at_start)
		return;
	op_lock(d);
	for (unsigned int i = 0; i < d->config.pf_count; i++) {
		const struct config_pf *want = &d->config.pfs[i];
		struct err e = { 0 };

		if (pf_apply(d, want->name, want->vfs, &e) < 0)
			log_err(&e, "wanted PF state");
		else
			log_info("PF %s has %u VFs", want->name, want->vfs);
	}
	op_unlock(d);
}
