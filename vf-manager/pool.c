// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pool.h"

#include "vf-manager/backend.h"
#include "vf-manager/leasepark.h"
#include "vf-manager/pool_pick.h"
#include "vf-manager/portloss.h"
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"

#include "sriov/bind.h"

#include <errno.h>
#include <stdio.h>

/* Of an older ledger, or not told by the machine: taken for the same. */
static bool birth_fits(uint64_t ledger, uint64_t machine)
{
	return ledger == 0 || machine == 0 || ledger == machine;
}

bool pool_pf_is_ours(const struct daemon *d, const struct pci_fn *pf)
{
	const struct pf_row *row = d->ledger != NULL ? ledger_pf_find(d->ledger, &pf->addr) : NULL;

	return row != NULL && row->vfs == pf->num_vfs && strcmp(row->boot_id, d->boot_id) == 0 &&
	       birth_fits(row->birth, pool_pf_birth(pf)) &&
	       ledger_intent_find(d->ledger, INTENT_PF_VFS, &pf->addr, 0) == NULL;
}

uint64_t pool_pf_birth(const struct pci_fn *pf)
{
	return pf->num_vfs > 0 && pf->vfs[0] != NULL ? pf->vfs[0]->birth : 0;
}

/* The row is about this VF: not of an earlier boot, nor of one that was destroyed. What could not be wiped
 * stays away, whatever became of it. */
static bool row_fits(const struct daemon *d, const struct vf_row *row, uint64_t birth)
{
	return strcmp(row->boot_id, d->boot_id) == 0 &&
	       (row->state == VF_QUARANTINED || birth_fits(row->birth, birth));
}

enum vf_state pool_vf_state(const struct daemon *d, const struct pci_fn *vf, char why[128])
{
	const struct vf_row *row = NULL;
	char unused[128];

	why = why != NULL ? why : unused;
	why[0] = '\0';
	if (d->ledger != NULL)
		row = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);
	if (row != NULL && row->state != VF_FREE && row_fits(d, row, vf->birth))
		return row->state;
	if (vf->driver[0] != '\0') {
		snprintf(why, 128, "in use by the driver %s", vf->driver);
		return VF_FOREIGN;
	}
	if (d->ledger != NULL && !pool_pf_is_ours(d, vf->pf)) {
		snprintf(why, 128, "not created by viaduct");
		return VF_FOREIGN;
	}
	return VF_FREE;
}

int pool_foreign_hint(const struct daemon *d, const struct pci_fn *vf, struct err *e)
{
	const struct pci_fn *pf = vf->pf;

	if (pool_pf_is_ours(d, pf))
		return err_hint(e,
				"echo %s > /sys/bus/pci/drivers/%s/unbind   takes it from the host",
				vf->name, vf->driver);
	/* `pf apply` alone would refuse to destroy what is not ours. */
	return err_hint(
		e,
		"viaduct pf apply %s --adopt   takes in what the host does not use; or echo 0 > "
		"/sys/bus/pci/devices/%s/sriov_numvfs   removes all VFs of the PF",
		pci_fn_label(pf), pf->name);
}

bool pool_owner_lives(struct daemon *d, const char *owner)
{
	char name[64];
	const struct vm *vm;

	/* No VM is called so; what it has goes back when the configuration does not want it (backend_fn.c, backend_vf.c). */
	if (strcmp(owner, BACKEND_OWNER) == 0 || pool_owner_is_uplink(owner))
		return true;
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
				 .birth = vf->birth,
				 .addr = vf->addr,
				 .index = vf->vf_index,
				 .group = vf->iommu_group,
				 .numa_node = vf->numa_node,
				 .kind = vf->kind,
				 .pf_mtu = vf->pf->ifindex != 0 ? vf->pf->net.mtu : 0 };
	vf_id_text(vf, out->id);
	snprintf(out->pf_name, sizeof(out->pf_name), "%s", vf->pf->name);
	snprintf(out->pf_dev, sizeof(out->pf_dev), "%s", vf->pf->dev_name);
	snprintf(out->pf_driver, sizeof(out->pf_driver), "%s", vf->pf->driver);
}

/* Nobody's. The generation goes on. */
static void row_clear(struct vf_row *row)
{
	row->state = VF_FREE;
	row->lease[0] = row->owner[0] = row->note[0] = '\0';
	row->attrs = row->in_force = (struct vf_attrs){ 0 };
}

/* The row as it is, or that of a VF that was never leased. */
static struct vf_row row_now(const struct daemon *d, const struct vf_hold *hold)
{
	const struct vf_row *row = ledger_vf_find(d->ledger, &hold->pf, hold->index);
	struct vf_row now = { .pf = hold->pf, .index = hold->index, .state = VF_FREE };

	if (row != NULL)
		now = *row;
	if (!row_fits(d, &now, hold->birth))
		row_clear(&now);
	now.addr = hold->addr;
	now.birth = hold->birth;
	memcpy(now.boot_id, d->boot_id, sizeof(now.boot_id));
	return now;
}

/* State locked. */
static bool row_is_gone(struct daemon *d, const struct vf_row *row)
{
	uint64_t birth = 0;
	int r;

	if (row->state == VF_FREE || row->state == VF_QUARANTINED ||
	    strcmp(row->boot_id, d->boot_id) != 0)
		return false;
	r = sysfs_fn_birth(inventory_sysfs(d->inv), &row->addr, &birth);
	return r == -ENOENT || (r == 0 && !birth_fits(row->birth, birth));
}

/* State locked. A name that is taken is so whatever the rest of the machine looks like. */
static bool name_is_taken(struct daemon *d, const struct vf_want *want)
{
	const struct vf_row *row = want->lease != NULL ? ledger_vf_by_lease(d->ledger, want->lease)
						       : NULL;

	return row != NULL && !row_is_gone(d, row);
}

/* State locked. Chooses by what was last seen, and looks again only at what it chose; where that is not as
 * it was, or nothing fits, at everything. `op` keeps others from choosing meanwhile. */
static int pick_now(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
		    struct err *e)
{
	struct err unseen = { 0 };
	struct pci_addr addr;
	uint64_t birth;
	int r = pool_pick(d, want, out, &unseen);

	if ((r < 0 && want->is_looked) || (r == -EEXIST && name_is_taken(d, want))) {
		if (e != NULL)
			*e = unseen;
		return r;
	}
	if (r == 0) {
		enum vf_state state = pool_vf_state(d, *out, NULL);

		addr = (*out)->addr;
		birth = (*out)->birth;
		r = daemon_scan_vf(d, &addr, e);
		*out = inventory_find(d->inv, &addr);
		if (r == 0 && birth != 0 && *out != NULL && (*out)->birth == birth &&
		    pool_vf_state(d, *out, NULL) == state)
			return 0;
	}
	state_unlock(d);
	pool_forget_gone(d);
	state_lock(d);
	r = daemon_scan_deep(d, e);
	return r < 0 ? r : pool_pick(d, want, out, e);
}

int pool_lease_join(struct daemon *d, const struct vf_want *want, struct vf_hold *out,
		    uint64_t *batch, struct err *e)
{
	const struct pci_fn *vf;
	struct vf_row row;
	int r = pick_now(d, want, &vf, e);

	if (r < 0)
		return r;
	hold_fill(vf, out);
	row = row_now(d, out);
	/* Also where a VM takes a lease of `vf alloc`: what the one before it still does is late. */
	row.generation++;
	row.state = VF_LEASED;
	if (want->lease != NULL)
		snprintf(row.lease, sizeof(row.lease), "%s", want->lease);
	if (want->owner != NULL)
		snprintf(row.owner, sizeof(row.owner), "%s", want->owner);
	out->generation = row.generation;
	out->lease_attrs = row.attrs;
	return batch != NULL ? ledger_vf_join(d->ledger, &row, batch, e)
			     : ledger_vf_force(d->ledger, &row, e);
}

int pool_lease(struct daemon *d, const struct vf_want *want, struct vf_hold *out, struct err *e)
{
	int r;

	state_lock(d);
	r = pool_lease_join(d, want, out, NULL, e);
	state_unlock(d);
	return r;
}

/* What the VF got when it was bound, and over it what `vf set` has changed while the VM came up. */
static void attrs_take(struct vf_row *row, const struct vf_hold *hold)
{
	const struct vf_attrs later = row->in_force;

	row->in_force = hold->attrs;
	vf_attrs_overlay(&row->in_force, &later);
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
		if (to == VF_ASSIGNED)
			attrs_take(&row, hold);
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
	bool has_mac;

	if (r < 0)
		return r;
	r = priv_pf_up(d, &hold->addr, e);
	hold->attrs = hold->lease_attrs;
	vf_attrs_overlay(&hold->attrs, attrs);
	/* A MAC that nobody has set is the guest's business. */
	has_mac = (hold->attrs.mask & BIT(VF_ATTR_MAC)) != 0;
	if (r == 0 && hold->attrs.mask != 0)
		r = priv_vf_attrs_set(d, &hold->addr, &hold->attrs, e);
	if (!has_mac)
		hold->attrs.mask &= ~(uint32_t)BIT(VF_ATTR_MAC);
	if (r == 0)
		r = priv_vf_bind(d, &hold->addr, e);
	hold->is_bound = r == 0;
	return r < 0 ? err_wrap(e, "VF %s", hold->id) : 0;
}

int pool_assign(struct daemon *d, const struct vf_hold *hold, struct err *e)
{
	return hold_move(d, hold, VF_ASSIGNED, e);
}

void pool_hold(const struct daemon *d, const struct pci_fn *vf, struct vf_hold *out)
{
	const struct vf_row *row = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);

	hold_fill(vf, out);
	if (row == NULL)
		return;
	out->generation = row->generation;
	out->lease_attrs = row->attrs;
}

struct attrs_change {
	const struct vf_hold *hold;
	struct vf_attrs *attrs; /* as pool_set() takes them */
	uid_t uid;
	bool is_for_lease; /* outlives the VM that has the VF now */
};

static int attrs_change(struct daemon *d, const struct attrs_change *c, struct err *e)
{
	struct intent_row intent = { .kind = INTENT_VF_ATTRS,
				     .pf = c->hold->pf,
				     .index = c->hold->index,
				     .generation = c->hold->generation,
				     .uid = c->uid };
	const struct vf_attrs wanted = *c->attrs;
	struct vf_row row;
	int r = priv_vf_attrs_get(d, &c->hold->addr, &intent.before, e);

	memcpy(intent.boot_id, d->boot_id, sizeof(intent.boot_id));
	state_lock(d);
	row = row_now(d, c->hold);
	if (r == 0)
		r = ledger_intent_put(d->ledger, &intent, e);
	state_unlock(d);
	if (r < 0)
		return r;
	r = priv_vf_attrs_set(d, &c->hold->addr, c->attrs, e);
	state_lock(d);
	if (r < 0) {
		/* They were put back already, as far as they could be. */
		(void)ledger_intent_del(d->ledger, &intent, NULL);
	} else {
		if (row.lease[0] != '\0' && c->is_for_lease)
			vf_attrs_overlay(&row.attrs, &wanted);
		if (row.in_force.mask != 0 || row.state == VF_BOUND)
			vf_attrs_overlay(&row.in_force, &wanted);
		r = ledger_intent_confirm(d->ledger, &intent, &row, e);
	}
	state_unlock(d);
	return r;
}

int pool_set(struct daemon *d, const struct vf_hold *hold, struct vf_attrs *attrs, uid_t uid,
	     struct err *e)
{
	return attrs_change(d, &(struct attrs_change){ hold, attrs, uid, true }, e);
}

int pool_set_for_now(struct daemon *d, const struct vf_hold *hold, struct vf_attrs *attrs,
		     struct err *e)
{
	return attrs_change(d, &(struct attrs_change){ hold, attrs, 0, false }, e);
}

/* State locked; the end of a wiping, which `r` and `why` tell of. */
static int row_scrubbed(struct daemon *d, struct vf_row *row, int r, const struct err *why,
			struct err *e)
{
	row->note[0] = '\0';
	row->state = row->lease[0] != '\0' ? VF_LEASED : VF_FREE;
	if (r < 0) {
		row_clear(row);
		row->state = VF_QUARANTINED;
		snprintf(row->note, sizeof(row->note), "%.*s", (int)sizeof(row->note) - 1,
			 why->text);
	}
	if (ledger_vf_put(d->ledger, row, e) < 0)
		return -EIO;
	return r < 0 ? err_set(e, r, "quarantined: %s", row->note) : 0;
}

/* Op locked. The wiping itself, between two writes of the ledger. */
static int row_scrub(struct daemon *d, struct vf_row row, bool keep_lease, struct err *e)
{
	struct ledger_scrub proof = { .pf = row.pf, .index = row.index, .birth = row.birth };
	struct err why = { 0 };
	int r;

	row.state = VF_SCRUBBING;
	row.owner[0] = '\0';
	row.in_force = (struct vf_attrs){ 0 };
	if (!keep_lease)
		row.lease[0] = '\0';
	if (row.lease[0] == '\0')
		row.attrs = (struct vf_attrs){ 0 };
	state_lock(d);
	r = ledger_vf_put(d->ledger, &row, e);
	state_unlock(d);
	if (r < 0)
		return r;
	proof.steps = json_array();
	r = priv_vf_scrub(d, &row.addr, proof.steps, &why);
	proof.is_clean = r == 0;
	/* The lease goes on without what cannot be set now; binding sets it again, and must. */
	if (r == 0 && row.attrs.mask != 0 &&
	    priv_vf_attrs_restore(d, &row.addr, &row.attrs, &why) < 0)
		log_err(&why, row.lease);
	state_lock(d);
	/* Before the state that it proves. */
	if (ledger_scrub_put(d->ledger, &proof, e) < 0)
		r = -EIO;
	else
		r = row_scrubbed(d, &row, r, &why, e);
	state_unlock(d);
	json_decref(proof.steps);
	return r;
}

/* State locked. A lease of `vf alloc` waits for a VF of viaduct's in the same place; a VM goes on without its. */
static int forget(struct daemon *d, struct vf_row *row, struct err *e)
{
	if (row->owner[0] != '\0')
		port_lost(d, row);
	if (row->lease[0] != '\0')
		return lease_park(d, row, "its VF was destroyed by somebody else", e);
	row_clear(row);
	return ledger_vf_force(d->ledger, row, e);
}

/* State locked. *out is the row; 1 if there is something to wipe. */
static int release_find(struct daemon *d, const struct vf_ref *vf, struct vf_row *out,
			struct err *e)
{
	const struct vf_row *found = ledger_vf_find(d->ledger, &vf->pf, vf->index);
	uint64_t birth = 0;

	if (found == NULL || found->state == VF_FREE)
		return 0;
	*out = *found;
	if (vf->generation != 0 && vf->generation != found->generation) {
		err_set(e, ESTALE, "it was given back before, and has another owner by now");
		return err_code(e, "vf-stale");
	}
	/* What is there now is not what was had, and is not touched. */
	(void)sysfs_fn_birth(inventory_sysfs(d->inv), &out->addr, &birth);
	if (row_fits(d, out, birth))
		return 1;
	return forget(d, out, e);
}

int pool_release(struct daemon *d, const struct vf_ref *vf, bool keep_lease, struct err *e)
{
	struct vf_row row = { 0 };
	char text[PCI_ADDR_TEXT];
	int r;

	state_lock(d);
	r = release_find(d, vf, &row, e);
	state_unlock(d);
	if (r > 0)
		r = row_scrub(d, row, keep_lease, e);
	return r < 0 ? err_wrap(e, "VF %s", pci_addr_text(&row.addr, text)) : 0;
}

void pool_forget_gone(struct daemon *d)
{
	char text[PCI_ADDR_TEXT];

	state_lock(d);
	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		struct vf_row row = *ledger_vf_at(d->ledger, i);
		struct err e = { 0 };

		if (!row_is_gone(d, &row))
			continue;
		log_warn("VF %s was destroyed by somebody else: '%s' has lost it",
			 pci_addr_text(&row.addr, text),
			 row.lease[0] != '\0' ? row.lease : row.owner);
		if (forget(d, &row, &e) < 0)
			log_err(&e, "a VF that is gone");
	}
	state_unlock(d);
}

void pool_release_vm(struct daemon *d, const char *vm)
{
	size_t len = strlen(vm);

	/* Releasing changes no row's place, and `op` keeps others from adding any. */
	for (size_t i = 0;; i++) {
		struct err e = { 0 };
		struct vf_ref ref;
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
		ref = (struct vf_ref){ .pf = row.pf, .index = row.index };
		if (pool_release(d, &ref, true, &e) < 0)
			log_err(&e, vm);
	}
}
