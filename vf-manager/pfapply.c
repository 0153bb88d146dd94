// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pfapply.h"

#include "vf-manager/leasepark.h"
#include "vf-manager/operations.h"
#include "vf-manager/pfconfirm.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"
#include "vf-manager/vmops.h"

#include <errno.h>

/* State locked. What is there now, and whether we made it: `made` VFs, if the change got so far. */
static int count_record(struct daemon *d, const struct pci_addr *addr, int made, struct err *e)
{
	const struct pf_row *was = ledger_pf_find(d->ledger, addr);
	const struct pci_fn *pf = inventory_find(d->inv, addr);
	struct pf_row row = { .pf = *addr };

	memcpy(row.boot_id, d->boot_id, sizeof(row.boot_id));
	pf_identity(d, addr, row.identity);
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

/* They wait before their VFs go, so that no crash loses one; those whose VF is made again come back to it. */
static int leases_park(struct daemon *d, const struct pci_addr *pf, struct err *e)
{
	int r = 0;

	state_lock(d);
	for (size_t i = 0; r == 0 && i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row row = *ledger_vf_at(d->ledger, i);

		if (pci_addr_cmp(&row.pf, pf) == 0 && row.state == VF_LEASED &&
		    row.lease[0] != '\0' && row.owner[0] == '\0')
			r = lease_park(d, &row, "its PF is being changed", e);
	}
	state_unlock(d);
	return r;
}

int pf_intent_finish(struct daemon *d, const struct intent_row *intent, struct err *e)
{
	int written, r = leases_park(d, &intent->pf, e);

	if (r == 0)
		r = priv_pf_vfs_set(d, &intent->pf, intent->vfs, e);

	state_lock(d);
	/* As many as wanted are ours, even if what came after them failed. */
	written = count_record(d, &intent->pf, intent->vfs, r < 0 ? NULL : e);
	if (written == 0)
		written = ledger_intent_del(d->ledger, intent, r < 0 ? NULL : e);
	state_unlock(d);
	leases_unpark(d);
	return r < 0 ? r : written;
}

/* Op locked, state not: the plan as it is now, if nobody objects. */
static int plan_agreed(struct daemon *d, const char *name, const struct pf_wish *wish,
		       struct pf_plan *plan, struct err *e)
{
	int r;

	*plan = (struct pf_plan){ 0 };
	pool_forget_gone(d);
	state_lock(d);
	r = daemon_scan(d, e);
	/* VMs were being stopped for it, which takes its time. */
	if (r == 0 && confirm_check(d, wish->trial, e) < 0)
		r = err_wrap(e, "PF %s", name);
	if (r == 0)
		r = pf_plan_make(d, name, wish, plan, e);
	if (r == 0) {
		r = confirm_forbids(d, plan, e) ? -EBUSY : pf_plan_check(d, plan, wish, e);
		if (r < 0)
			err_wrap(e, "PF %s", name);
	}
	state_unlock(d);
	return r;
}

/* Op locked. The plan is agreed on and there is something to do. */
static int plan_do(struct daemon *d, const struct pf_plan *plan, const struct pf_wish *wish,
		   struct err *e)
{
	struct intent_row intent = {
		.kind = INTENT_PF_VFS, .pf = plan->pf, .vfs = plan->to, .uid = wish->uid
	};
	int r;

	memcpy(intent.boot_id, d->boot_id, sizeof(intent.boot_id));
	operation_step(wish->op, "PF %s: %u VFs instead of %u", plan->name, plan->to, plan->from);
	state_lock(d);
	r = ledger_intent_put(d->ledger, &intent, e);
	state_unlock(d);
	return r == 0 ? pf_intent_finish(d, &intent, e) : r;
}

/* Op locked. The trial is in the ledger before the change, so that a crash between them leaves a way back that has
 * nothing to do, and never a change without one. */
static int plan_try(struct daemon *d, const struct pf_plan *plan, const struct pf_wish *wish,
		    struct err *e)
{
	struct pf_plan back = *plan;
	int r;

	state_lock(d);
	r = confirm_begin(d, plan, wish, e);
	state_unlock(d);
	if (r < 0)
		return r;
	r = plan_do(d, plan, wish, e);
	if (r == 0) {
		/* The time that it took is not the operator's. */
		state_lock(d);
		r = confirm_begin(d, plan, wish, e);
		state_unlock(d);
		return r;
	}
	back.to = plan->from;
	back.hurt_count = 0;
	if (plan_do(d, &back, wish, NULL) == 0) {
		state_lock(d);
		(void)confirm_over(d, &plan->pf, "the change failed, its former VFs are back",
				   NULL);
		state_unlock(d);
	}
	return r;
}

int pf_apply(struct daemon *d, const char *name, const struct pf_wish *wish, struct err *e)
{
	struct pf_plan plan;
	bool is_way_back;
	int r = plan_agreed(d, name, wish, &plan, e);

	if (r < 0)
		goto out;
	state_lock(d);
	is_way_back = ledger_confirm_find(d->ledger, &plan.pf) != NULL;
	state_unlock(d);
	if (!plan.is_done)
		r = wish->confirm_s != 0 && !is_way_back ? plan_try(d, &plan, wish, e)
							 : plan_do(d, &plan, wish, e);
	if (r == 0 && is_way_back) {
		state_lock(d);
		r = confirm_over(d, &plan.pf, "VFs on trial are undone", e);
		state_unlock(d);
	}
	if (r < 0)
		err_wrap(e, "PF %s", name);
out:
	pf_plan_fini(&plan);
	return r;
}

/* Op not locked: a VM's end takes it. */
static int vms_stop(struct daemon *d, const struct pf_plan *plan, const struct pf_wish *wish,
		    struct err *e)
{
	const struct vm_stop_wish stop = {
		.op = wish->op, .uid = wish->uid, .timeout_s = wish->timeout_s, .kill = true
	};

	for (size_t i = 0; i < plan->hurt_count; i++) {
		const char *vm = plan->hurt[i].vm;
		struct err why = { 0 };
		bool is_alive;
		int r = 0;

		/* It has several ports, or ended by itself. */
		state_lock(d);
		is_alive = vm[0] != '\0' && pool_owner_lives(d, vm);
		state_unlock(d);
		if (is_alive)
			r = vm_stop(d, vm, &stop, &why);
		if (r < 0) {
			*e = why;
			return err_wrap(e, "PF %s is unchanged", plan->name);
		}
	}
	return 0;
}

int pf_apply_disrupting(struct daemon *d, const char *name, const struct pf_wish *wish,
			struct err *e)
{
	struct pf_wish then = *wish;
	struct pf_plan plan;
	int r;

	op_lock(d);
	r = plan_agreed(d, name, wish, &plan, e);
	op_unlock(d);
	if (r == 0)
		r = vms_stop(d, &plan, wish, e);
	pf_plan_fini(&plan);
	if (r < 0)
		return r;
	then.are_stopped = true;
	op_lock(d);
	r = pf_apply(d, name, &then, e);
	op_unlock(d);
	return r;
}

/* Whoever has put it on trial does not want the configuration's count now. */
static bool is_on_trial(struct daemon *d, const char *name)
{
	const struct pci_fn *pf;
	struct err e = { 0 };
	bool r;

	state_lock(d);
	r = daemon_scan(d, &e) == 0 && pool_pf_find(d, name, &pf, &e) == 0 &&
	    ledger_confirm_find(d->ledger, &pf->addr) != NULL;
	state_unlock(d);
	return r;
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

		if (is_on_trial(d, want->name))
			log_info("PF %s: not touched, its VFs are on trial", want->name);
		else if (pf_apply(d, want->name, &wish, &e) < 0)
			log_err(&e, "wanted PF state");
		else
			log_info("PF %s has %u VFs", want->name, want->vfs);
	}
	op_unlock(d);
}
