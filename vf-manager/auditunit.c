// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/auditunit.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/posture.h"

#include "base/fd.h"
#include "sriov/sysfs.h"

#include <errno.h>
#include <stdio.h>

static int no_vtd(struct err *e, const char *text)
{
	err_set(e, ENODEV, "%s", text);
	err_code(e, "no-vtd");
	return err_hint(
		e,
		"viaduct host check   says which IOMMU the host has; tables of AMD-Vi and others are not decoded");
}

int audit_units_read(struct daemon *d, struct audit_units *out, struct err *e)
{
	auto_fd int root = host_root_open(d);
	int r;

	*out = (struct audit_units){ .d = d };
	r = dmar_read(root, &out->dmar, e);
	return r == -ENOENT ? no_vtd(e, "the firmware has no DMAR table: the host has no VT-d") : r;
}

void audit_units_fini(struct audit_units *u)
{
	dmar_fini(&u->dmar);
}

/* A VF has no scope in the table: its PF's counts (VT-d 8.3.1). */
static struct pci_addr scope_of(const struct daemon *d, const struct pci_addr *fn)
{
	char path[80], addr[PCI_ADDR_TEXT], name[64];
	struct pci_addr pf;

	snprintf(path, sizeof(path), "bus/pci/devices/%s/physfn", pci_addr_text(fn, addr));
	if (link_base_at(inventory_sysfs(d->inv)->root_fd, path, name, sizeof(name)) < 0 ||
	    parse_pci_addr(name, &pf) < 0)
		return *fn;
	return pf;
}

int audit_units_find(const struct audit_units *u, struct audit_wish_function *fn, struct err *e)
{
	const struct dmar_pci pci = posture_pci(u->d);
	const struct pci_addr scope = scope_of(u->d, &fn->address);
	const struct dmar_entry *unit;
	const struct pci_fn *known;

	state_lock(u->d);
	unit = dmar_unit_of(&u->dmar, &pci, &scope);
	known = inventory_find(u->d->inv, &fn->address);
	fn->has_aliases = known == NULL || posture_has_aliases(u->d, known);
	state_unlock(u->d);

	if (unit == NULL)
		return no_vtd(e, "the DMAR table names no unit for the function");
	fn->registers = unit->base;
	return 0;
}
