// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/fncheck.h"

#include "vf-manager/backend.h"
#include "vf-manager/posture.h"

#include "sriov/reset.h"

#include <errno.h>
#include <stdio.h>

#define CLASS_BRIDGE 0x06 /* base class */

struct ask {
	const struct daemon *d;
	const struct pci_fn *fn;
	const struct fn_want *want;
	struct fn_use *use; /* NULL: look only */
};

static int check_owner(const struct ask *a, struct err *e)
{
	const struct fn_row *row = a->d->ledger != NULL ? ledger_fn_find(a->d->ledger, &a->fn->addr)
							: NULL;

	if (row == NULL || strcmp(row->boot_id, a->d->boot_id) != 0)
		return 0;
	if (row->state == FN_QUARANTINED) {
		err_set(e, EBUSY, "it is quarantined: %s", row->note);
		err_code(e, "function-quarantined");
		return err_hint(e, "viaduct function release %s   tries again to give it back",
				a->fn->name);
	}
	err_set(e, EBUSY, "it is %s: %s has it", fn_state_text(row->state), row->owner);
	err_code(e, "function-in-use");
	if (strcmp(row->owner, BACKEND_OWNER) == 0)
		return err_hint(e, "take it out of `uplinks` of viaductd.yaml");
	return err_hint(e, "viaduct vm stop %.*s", (int)strcspn(row->owner, "/"), row->owner);
}

static int check_kind(const struct ask *a, struct err *e)
{
	char id[VF_ID_TEXT];

	if (a->fn->class_code >> 16 == CLASS_BRIDGE) {
		err_set(e, EINVAL, "it is a bridge");
		err_hint(e, "viaduct function list   shows what can be assigned");
		return err_code(e, "is-bridge");
	}
	if (!a->fn->is_vf)
		return 0;
	vf_id_text(a->fn, id);
	err_set(e, EINVAL, "it is the VF %s, not a whole function", id);
	if (a->fn->kind == FN_NVME)
		err_hint(e,
			 "VFs of NVMe controllers are not available yet; give the whole "
			 "controller: address: \"%s\"",
			 a->fn->pf->name);
	else
		err_hint(e, "write it as a port: ports: [{name: NAME, vf: \"%s\"}]", id);
	return err_code(e, "is-vf");
}

static int check_vfs(const struct ask *a, struct err *e)
{
	if (!a->fn->is_pf || a->fn->num_vfs == 0)
		return 0;
	err_set(e, EBUSY, "it is a PF with %u VFs, which would be at the VM's mercy",
		a->fn->num_vfs);
	err_hint(e, "viaduct pf apply %s --vfs 0   removes them, or take one of the VFs",
		 a->fn->name);
	return err_code(e, "pf-has-vfs");
}

static int check_group(const struct ask *a, struct err *e)
{
	if (a->fn->iommu_group < 0) {
		err_set(e, ENOTSUP, "it is in no IOMMU group");
		err_hint(e, "viaduct host check   says whether the IOMMU is on");
		return err_code(e, "no-iommu-group");
	}
	return posture_alone_check(a->d, a->fn, e);
}

static int check_reset(const struct ask *a, struct err *e)
{
	if (fn_can_reset_alone(inventory_sysfs(a->d->inv), &a->fn->addr))
		return 0;
	err_set(e, ENOTSUP,
		"the kernel has no reset for it, so it would keep its last owner's state");
	err_hint(e, "cat /sys/bus/pci/devices/%s/reset_method   shows what the kernel has",
		 a->fn->name);
	return err_code(e, "no-reset");
}

static int check_interrupts(const struct ask *a, struct err *e)
{
	const struct pci_caps *caps = &a->fn->caps;

	if (caps->needs_root || caps->msix_vectors != 0 || caps->msi)
		return 0;
	err_set(e, ENOTSUP, "it has legacy interrupts (INTx) only");
	err_hint(e, "take a function with MSI or MSI-X: viaduct function list");
	return err_code(e, "intx-only");
}

static int check_use(const struct ask *a, struct err *e)
{
	struct fn_use look, *use = a->use != NULL ? a->use : &look;

	fn_use_look(inventory_sysfs(a->d->inv), a->fn, a->use != NULL, use);
	switch (use->kind) {
	case FN_IDLE:
		return 0;
	case FN_USED:
		if (a->want->take)
			return 0;
		err_set(e, EBUSY, "the host uses it: %s", use->why);
		err_hint(e, "%s%stake: %s takes it all the same", use->remedy,
			 use->remedy[0] != '\0' ? "   gives it up; " : "",
			 a->want->owner != NULL && strcmp(a->want->owner, BACKEND_OWNER) == 0
				 ? "on   of the uplink in viaductd.yaml"
				 : "true   in the VM file");
		return err_code(e, "host-uses-it");
	case FN_BUSY:
		err_set(e, EBUSY, "the host needs it: %s", use->why);
		err_hint(e, "%s", use->remedy);
		return err_code(e, "host-needs-it");
	}
	return 0;
}

/* What it is before what it does: the first reason is the one that stays. */
static int (*const checks[])(const struct ask *a, struct err *e) = {
	check_owner, check_kind, check_vfs, check_group, check_reset, check_interrupts, check_use,
};

int fncheck_all(const struct daemon *d, const struct pci_fn *fn, const struct fn_want *want,
		struct fn_use *use, struct err *e)
{
	const struct ask ask = { d, fn, want, use };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(checks); i++)
		r = checks[i](&ask, e);
	return r < 0 ? err_wrap(e, "%s", fn->name) : 0;
}

int fnpool_check(const struct daemon *d, const struct pci_fn *fn, const struct fn_want *want,
		 struct err *e)
{
	return fncheck_all(d, fn, want, NULL, e);
}
