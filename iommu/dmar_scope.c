// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which functions a DMAR structure speaks of. A scope's path goes from a bus through bridges down to one function
 * (VT-d 8.3.1); bus numbers below a bridge are the system's, so each hop asks for them. A secondary bus is always
 * above the primary one: a path ends after its hops, and bridges that point back are refused.
 */
#include "iommu/dmar.h"

#include <errno.h>

int dmar_scope_resolve(const struct dmar_entry *entry, const struct dmar_scope *scope,
		       const struct dmar_pci *pci, struct pci_addr *out)
{
	struct pci_addr at = { .domain = entry->segment, .bus = scope->start_bus };

	if (scope->hops == 0)
		return -EINVAL;
	for (unsigned int i = 0; i < scope->hops; i++) {
		uint8_t secondary = 0, subordinate = 0;

		at.dev = scope->path[2 * i];
		at.fn = scope->path[2 * i + 1];
		if (i + 1 == scope->hops)
			break;
		if (!pci->bridge(pci->arg, &at, &secondary, &subordinate))
			return -ENOENT;
		if (secondary <= at.bus)
			return -ELOOP;
		at.bus = secondary;
	}
	*out = at;
	return 0;
}

static bool scope_names(const struct dmar_entry *entry, const struct dmar_scope *scope,
			const struct dmar_pci *pci, const struct pci_addr *fn)
{
	uint8_t secondary = 0, subordinate = 0;
	struct pci_addr at;

	if (scope->type != DMAR_SCOPE_ENDPOINT && scope->type != DMAR_SCOPE_HIERARCHY &&
	    scope->type != DMAR_SCOPE_NAMESPACE)
		return false; /* an I/O APIC's or HPET's source-id is no function that anyone assigns */
	if (dmar_scope_resolve(entry, scope, pci, &at) < 0)
		return false;
	if (pci_addr_cmp(&at, fn) == 0)
		return true;
	return scope->type == DMAR_SCOPE_HIERARCHY &&
	       pci->bridge(pci->arg, &at, &secondary, &subordinate) && secondary > at.bus &&
	       fn->bus >= secondary && fn->bus <= subordinate;
}

bool dmar_entry_names(const struct dmar *d, const struct dmar_entry *entry,
		      const struct dmar_pci *pci, const struct pci_addr *fn)
{
	if (entry->segment != fn->domain)
		return false;
	for (size_t i = 0; i < entry->scope_count; i++)
		if (scope_names(entry, &d->scopes[entry->scope_first + i], pci, fn))
			return true;
	return false;
}

const struct dmar_entry *dmar_unit_of(const struct dmar *d, const struct dmar_pci *pci,
				      const struct pci_addr *fn)
{
	const struct dmar_entry *rest = NULL;

	for (size_t i = 0; i < d->entry_count; i++) {
		const struct dmar_entry *entry = &d->entries[i];

		if (entry->type != DMAR_DRHD || entry->segment != fn->domain)
			continue;
		if (dmar_entry_names(d, entry, pci, fn))
			return entry;
		if (rest == NULL && (entry->flags & DRHD_INCLUDE_PCI_ALL) != 0)
			rest = entry;
	}
	return rest;
}

size_t dmar_entries_of(const struct dmar *d, enum dmar_type type, const struct dmar_pci *pci,
		       const struct pci_addr *fn, struct dmar_found *out)
{
	*out = (struct dmar_found){ 0 };
	for (size_t i = 0; i < d->entry_count; i++) {
		const struct dmar_entry *entry = &d->entries[i];

		if (entry->type != type || !dmar_entry_names(d, entry, pci, fn))
			continue;
		if (out->count < DMAR_FOUND)
			out->first[out->count] = entry;
		out->count++;
	}
	return out->count;
}
