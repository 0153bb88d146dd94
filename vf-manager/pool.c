// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pool.h"

#include "vf-manager/pool_pick.h"
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"

#include "sriov/bind.h"

#include <errno.h>
#include <stdio.h>

static bool pf_is_ours(const struct daemon *d, const struct pci_fn *pf)
{
	const struct pf_row *row = d->ledger != NULL ? ledger_pf_find(d->ledger, &pf->addr) : NULL;

	return row != NULL && row->vfs == pf->num_vfs && strcmp(row->boot_id, d->boot_id) == 0;
}

enum vf_state pool_vf_state(const struct daemon *d, const struct pci_fn *vf, char why[128])
{
	const struct vf_row *row = NULL;
	char unused[128];

	why = why != NULL ? why : unused;
	why[0] = '\0';
	if (d->ledger != NULL)
		row = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);
	if (row != NULL && row->state != VF_FREE && strcmp(row->boot_id, d->boot_id) == 0)
		return row->state;
	if (vf->driver[0] != '\0') {
		snprintf(why, 128, "in use by the driver %s", vf->driver);
		return VF_FOREIGN;
	}
	if (d->ledger != NULL && !pf_is_ours(d, vf->pf)) {
		snprintf(why, 128, "not created by viaduct");
		return VF_FOREIGN;
	}
	return VF_FREE;
}

int pool_foreign_hint(const struct daemon *d, const struct pci_fn *vf, struct err *e)
{
	const struct pci_fn *pf = vf->pf;

	if (pf_is_ours(d, pf))
		return err_hint(e,
				"echo %s > /sys/bus/pci/drivers/%s/unbind   takes it from the host",
				vf->name, vf->driver);
	/* `pf apply` alone would refuse to destroy what is not ours. */
	return err_hint(
		e,
		"echo 0 > /sys/bus/pci/devices/%s/sriov_numvfs   removes all VFs of the PF, "
		"which viaduct did not create; then viaduct pf apply %s --vfs N",
		pf->name, pf->dev_name[0] != '\0' ? pf->dev_name : pf->name);
}

bool pool_owner_lives(struct daemon *d, const char *owner)
{
	char name[64];
	const struct vm *vm;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(owner, "/"), owner);
	vm = vm_find(d, name);
	return vm != NULL && (vm->pid != 0 || vm_state_is_live(vm->state));
}

unsigned int pool_pf_free(const struct daemon *d, const struct pci_fn *pf)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < pf->num_vfs; i++)
		n += pf->vfs[i] != NULL && pool_vf_state(d, pf->vfs[i], NULL) == VF_FREE;
	return n;
}

static void hold_fill(const struct pci_fn *vf, struct vf_hold *out)
{
	*out = (struct vf_hold){ .pf = vf->pf->addr,
				 .addr = vf->addr,
				 .index = vf->vf_index,
				 .group = vf->iommu_group,
				 .numa_node = vf->numa_node,
				 .kind = vf->kind,
				 .pf_mtu = vf->pf->ifindex != 0 ? vf->pf->net.mtu : 0 };
	vf_id_text(vf, out->id);
	snprintf(out->pf_name, sizeof(out->pf_name), "%s", vf->pf->name);
	snprintf(out->pf_dev, sizeof(out->pf_dev), "%s", vf->pf->dev_name);
}

/* The row as it is, or that of a VF that was never leased. */
static struct vf_row row_now(const struct daemon *d, const struct vf_hold *hold)
{
	const struct vf_row *row = ledger_vf_find(d->ledger, &hold->pf, hold->index);
	struct vf_row now = { .pf = hold->pf, .index = hold->index, .state = VF_FREE };

	if (row != NULL)
		now = *row;
	/* VFs of an earlier boot are gone, whoever had them. */
	if (strcmp(now.boot_id, d->boot_id) != 0) {
		now.state = VF_FREE;
		now.lease[0] = now.owner[0] = now.note[0] = '\0';
	}
	now.addr = hold->addr;
	memcpy(now.boot_id, d->boot_id, sizeof(now.boot_id));
	return now;
}

int pool_lease(struct daemon *d, const struct vf_want *want, struct vf_hold *out, struct err *e)
{
	const struct pci_fn *vf;
	struct vf_row row;
	int r;

	state_lock(d);
	r = daemon_scan(d, e);
	if (r == 0)
		r = pool_pick(d, want, &vf, e);
	if (r < 0)
		goto out;
	hold_fill(vf, out);
	row = row_now(d, out);
	if (row.state == VF_FREE)
		row.generation++;
	row.state = VF_LEASED;
	if (want->lease != NULL)
		snprintf(row.lease, sizeof(row.lease), "%s", want->lease);
	if (want->owner != NULL)
		snprintf(row.owner, sizeof(row.owner), "%s", want->owner);
	out->generation = row.generation;
	r = ledger_vf_force(d->ledger, &row, e);
out:
	state_unlock(d);
	return r;
}

/* The arc is checked by the ledger; a hold of an older generation is refused. */
static int hold_move(struct daemon *d, const struct vf_hold *hold, enum vf_state to, struct err *e)
{
	struct vf_row row;
	int r;

	state_lock(d);
	row = row_now(d, hold);
	if (row.generation != hold->generation) {
		r = err_set(e, ESTALE, "VF %s has another owner by now", hold->id);
	} else {
		row.state = to;
		r = ledger_vf_put(d->ledger, &row, e);
		if (r < 0)
			err_wrap(e, "VF %s", hold->id);
	}
	state_unlock(d);
	return r;
}

int pool_bind(struct daemon *d, struct vf_hold *hold, const struct vf_attrs *attrs, struct err *e)
{
	int r = hold_move(d, hold, VF_BOUND, e);

	if (r < 0)
		return r;
	r = priv_pf_up(d, &hold->addr, e);
	hold->attrs = *attrs;
	if (r == 0 && attrs->mask != 0)
		r = priv_vf_attrs_set(d, &hold->addr, &hold->attrs, e);
	if (r == 0)
		r = priv_vf_bind(d, &hold->addr, e);
	hold->is_bound = r == 0;
	return r < 0 ? err_wrap(e, "VF %s", hold->id) : 0;
}

int pool_assign(struct daemon *d, const struct vf_hold *hold, struct err *e)
{
	return hold_move(d, hold, VF_ASSIGNED, e);
}

/* Op locked. The wiping itself, between two writes of the ledger. */
static int row_scrub(struct daemon *d, struct vf_row row, bool keep_lease, struct err *e)
{
	struct err why = { 0 };
	int r;

	row.state = VF_SCRUBBING;
	row.owner[0] = '\0';
	if (!keep_lease)
		row.lease[0] = '\0';
	state_lock(d);
	r = ledger_vf_put(d->ledger, &row, e);
	state_unlock(d);
	if (r < 0)
		return r;
	r = priv_vf_scrub(d, &row.addr, &why);
	state_lock(d);
	row.note[0] = '\0';
	row.state = row.lease[0] != '\0' ? VF_LEASED : VF_FREE;
	if (r < 0) {
		row.state = VF_QUARANTINED;
		row.lease[0] = '\0';
		snprintf(row.note, sizeof(row.note), "%.*s", (int)sizeof(row.note) - 1, why.text);
	}
	if (ledger_vf_put(d->ledger, &row, e) < 0)
		r = -EIO;
	else if (r < 0)
		err_set(e, r, "quarantined: %s", row.note);
	state_unlock(d);
	return r;
}

int pool_release(struct daemon *d, const struct pci_addr *pf, uint16_t index, bool keep_lease,
		 struct err *e)
{
	const struct vf_row *found;
	struct vf_row row = { 0 };
	char text[PCI_ADDR_TEXT];
	int r;

	state_lock(d);
	found = ledger_vf_find(d->ledger, pf, index);
	if (found != NULL)
		row = *found;
	state_unlock(d);
	if (found == NULL || row.state == VF_FREE)
		return 0;
	r = row_scrub(d, row, keep_lease, e);
	return r < 0 ? err_wrap(e, "VF %s", pci_addr_text(&row.addr, text)) : 0;
}

void pool_release_vm(struct daemon *d, const char *vm)
{
	size_t len = strlen(vm);

	/* Releasing changes no row's place, and `op` keeps others from adding any. */
	for (size_t i = 0;; i++) {
		struct err e = { 0 };
		struct vf_row row;

		state_lock(d);
		if (i >= ledger_vf_count(d->ledger)) {
			state_unlock(d);
			return;
		}
		row = *ledger_vf_at(d->ledger, i);
		state_unlock(d);
		if (strncmp(row.owner, vm, len) != 0 || row.owner[len] != '/')
			continue;
		if (pool_release(d, &row.pf, row.index, true, &e) < 0)
			log_err(&e, vm);
	}
}

int pool_pf_is_idle(struct daemon *d, const struct pci_addr *pf, struct err *e)
{
	const struct pci_fn *fn;
	char why[128], id[VF_ID_TEXT];
	int r = 0;

	state_lock(d);
	fn = inventory_find(d->inv, pf);
	for (unsigned int i = 0; fn != NULL && r == 0 && i < fn->num_vfs; i++) {
		const struct pci_fn *vf = fn->vfs[i];
		const struct vf_row *row;
		enum vf_state state;

		if (vf == NULL)
			continue;
		state = pool_vf_state(d, vf, why);
		if (state == VF_FREE || state == VF_QUARANTINED)
			continue;
		row = ledger_vf_find(d->ledger, pf, (uint16_t)i);
		if (state == VF_FOREIGN) {
			err_set(e, EBUSY, "VF %s (%s) is foreign: %s", vf_id_text(vf, id), vf->name,
				why);
			err_code(e, "vf-foreign");
			r = pool_foreign_hint(d, vf, e);
			continue;
		}
		err_set(e, EBUSY, "VF %s (%s) is %s by %s", vf_id_text(vf, id), vf->name,
			vf_state_text(state),
			row->owner[0] != '\0'	? row->owner
			: row->lease[0] != '\0' ? row->lease
						: "nobody");
		err_code(e, "vf-in-use");
		r = err_hint(e, "viaduct vf list   shows all: free them first, a change of the VF "
				"count destroys all VFs of the PF");
	}
	state_unlock(d);
	return r;
}
