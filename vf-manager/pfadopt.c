// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pfadopt.h"

#include "vf-manager/leasepark.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include "sriov/fnuse.h"

#include <errno.h>
#include <stdlib.h>

/* What is to be taken in, copied: a scan ends the functions. */
struct adoption {
	struct pci_addr pf;
	uint16_t vfs; /* of the PF */
	uint64_t birth;
	struct vf_row *rows;
	size_t count;
	char identity[PF_IDENT_TEXT];
};

/* State locked. */
static int use_check(struct daemon *d, const struct pci_fn *vf, struct err *e)
{
	char id[VF_ID_TEXT];
	struct fn_use use;

	vf_id_text(vf, id);
	fn_use_look(inventory_sysfs(d->inv), vf, false, &use);
	if (use.kind != FN_IDLE) {
		err_set(e, EBUSY, "VF %s is in use: %s", id, use.why);
		err_code(e, "adopt-in-use");
		return use.remedy[0] != '\0'
			       ? err_hint(e, "%s", use.remedy)
			       : err_hint(e,
					  "echo %s > /sys/bus/pci/drivers/%s/unbind   if the host "
					  "can do without it",
					  vf->name, vf->driver);
	}
	if (strcmp(vf->driver, "vfio-pci") != 0 || priv_fn_is_idle(d, &vf->addr, NULL) == 0)
		return 0;
	err_set(e, EBUSY, "VF %s is in use: its VFIO group does not open, so somebody holds it",
		id);
	err_code(e, "adopt-in-use");
	return err_hint(e, "lsof /dev/vfio/%d /dev/vfio/devices/*   says who", vf->iommu_group);
}

/* State locked. */
static int one_add(struct daemon *d, const struct pci_fn *vf, struct adoption *out, struct err *e)
{
	const struct vf_row *was = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);
	struct vf_row *row = &out->rows[out->count];
	int r = use_check(d, vf, e);

	if (r < 0)
		return r;
	*row = (struct vf_row){ .pf = vf->pf->addr,
				.index = vf->vf_index,
				.addr = vf->addr,
				.state = VF_SCRUBBING,
				.birth = vf->birth,
				.generation = was != NULL ? was->generation + 1 : 1 };
	memcpy(row->boot_id, d->boot_id, sizeof(row->boot_id));
	out->count++;
	return 0;
}

/* State locked, just scanned. */
static int adoption_find(struct daemon *d, const struct pci_fn *pf, struct adoption *out,
			 struct err *e)
{
	const struct fn_row *fn = ledger_fn_find(d->ledger, &pf->addr);
	int r = 0;

	if (fn != NULL) {
		err_set(e, EBUSY, "it is %s as a whole function", fn_state_text(fn->state));
		err_code(e, "function-in-use");
		return err_hint(e, "viaduct function show %s", pf->name);
	}
	out->pf = pf->addr;
	out->vfs = pf->num_vfs;
	out->birth = pool_pf_birth(pf);
	out->rows = calloc(pf->num_vfs + 1U, sizeof(*out->rows));
	if (out->rows == NULL)
		return err_set(e, ENOMEM, "no memory");
	for (unsigned int i = 0; r == 0 && i < pf->num_vfs; i++)
		if (pf->vfs[i] != NULL && pool_vf_state(d, pf->vfs[i], NULL) == VF_FOREIGN)
			r = one_add(d, pf->vfs[i], out, e);
	if (r < 0 || out->count > 0)
		return r;
	err_set(e, EBUSY, "it has no foreign VF");
	err_code(e, "nothing-to-adopt");
	return err_hint(e, "viaduct vf list   says whose they are");
}

/* Op locked. None of them has a driver of the host then; they are foreign still. */
static int drivers_leave(struct daemon *d, const struct adoption *a, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->count; i++)
		r = priv_vf_leave_host(d, &a->rows[i].addr, e);
	return r;
}

/* Op locked. First as VFs that were given back, then as viaduct's: so none of them is ever free before it is wiped. */
static int ledger_take(struct daemon *d, const struct adoption *a, struct err *e)
{
	struct pf_row pf = { .pf = a->pf, .vfs = a->vfs, .birth = a->birth };
	int r = 0;

	memcpy(pf.boot_id, d->boot_id, sizeof(pf.boot_id));
	memcpy(pf.identity, a->identity, sizeof(pf.identity));
	state_lock(d);
	for (size_t i = 0; r == 0 && i < a->count; i++)
		r = ledger_vf_force(d->ledger, &a->rows[i], e);
	if (r == 0)
		r = ledger_pf_put(d->ledger, &pf, e);
	state_unlock(d);
	return r;
}

/* Op locked. Those that fail are quarantined; the first is the error. */
static int all_wipe(struct daemon *d, const struct adoption *a, struct err *e)
{
	int first = 0;

	for (size_t i = 0; i < a->count; i++) {
		const struct vf_ref ref = { .pf = a->pf, .index = a->rows[i].index };
		struct err why = { 0 };
		int r = pool_release(d, &ref, false, &why);

		if (r < 0 && first == 0 && e != NULL)
			*e = why;
		first = first == 0 ? r : first;
	}
	return first;
}

int pf_adopt(struct daemon *d, const char *name, uid_t uid, struct err *e)
{
	struct adoption a = { 0 };
	const struct pci_fn *pf;
	int r;

	pool_forget_gone(d);
	state_lock(d);
	r = daemon_scan(d, e);
	if (r == 0)
		r = pool_pf_find(d, name, &pf, e);
	if (r == 0)
		r = adoption_find(d, pf, &a, e);
	if (r == 0)
		pf_identity(d, &pf->addr, a.identity);
	state_unlock(d);
	if (r == 0) {
		log_info("PF %s: %zu foreign VFs are taken in, asked for by uid %u", name, a.count,
			 uid);
		r = drivers_leave(d, &a, e);
	}
	if (r == 0)
		r = ledger_take(d, &a, e);
	if (r == 0)
		r = all_wipe(d, &a, e);
	free(a.rows);
	return r < 0 ? err_wrap(e, "PF %s", name) : 0;
}
