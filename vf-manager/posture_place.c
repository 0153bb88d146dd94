// SPDX-License-Identifier: BSD-3-Clause
/*
 * Checks of where a function sits: who shares its group, the bridges above it, memory that firmware keeps for it, its
 * own translations. PCIe Base 6.0, 6.12 (ACS) and 10 (ATS).
 */
#include "vf-manager/hostcheck.h"
#include "vf-manager/posture_checks.h"

#include "base/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define CLASS_BRIDGE	 0x06 /* base class */
#define CLASS_PCI_BRIDGE 0x0604
#define PATH_BRIDGES	 16

/* What keeps peers behind a port apart: source-ids are checked, and requests and completions go up to the IOMMU. */
#define ACS_NEEDED                                                                        \
	(ACS_SOURCE_VALIDATION | ACS_P2P_REQUEST_REDIRECT | ACS_P2P_COMPLETION_REDIRECT | \
	 ACS_UPSTREAM_FORWARDING)

/* Device/port types (PCIe Base 7.5.3.2). */
enum { PORT_ROOT = 4, PORT_UPSTREAM, PORT_DOWNSTREAM, PORT_TO_PCI, PORT_FROM_PCI };

struct bridge_row {
	const struct pci_fn *fn;
	uint8_t secondary, subordinate;
};

static bool bridge_buses(const struct daemon *d, const struct pci_addr *at, uint8_t *secondary,
			 uint8_t *subordinate)
{
	const struct sysfs *sys = inventory_sysfs(d->inv);
	uint64_t first, last;

	if (sysfs_fn_read_u64(sys, at, "secondary_bus_number", 255, &first) < 0 ||
	    sysfs_fn_read_u64(sys, at, "subordinate_bus_number", 255, &last) < 0)
		return false;
	*secondary = (uint8_t)first;
	*subordinate = (uint8_t)last;
	return true;
}

static bool pci_bridge(void *arg, const struct pci_addr *at, uint8_t *secondary,
		       uint8_t *subordinate)
{
	return bridge_buses(arg, at, secondary, subordinate);
}

struct dmar_pci posture_pci(const struct daemon *d)
{
	return (struct dmar_pci){ pci_bridge, (void *)d }; /* only read */
}

/* The bridges above fn, the root port first: secondary buses grow downwards. */
static size_t path_read(const struct daemon *d, const struct pci_fn *fn,
			struct bridge_row path[PATH_BRIDGES])
{
	size_t n = 0, k;

	for (size_t i = 0; i < inventory_count(d->inv) && n < PATH_BRIDGES; i++) {
		struct bridge_row row = { .fn = inventory_at(d->inv, i) };

		if (row.fn->class_code >> 8 != CLASS_PCI_BRIDGE ||
		    row.fn->addr.domain != fn->addr.domain ||
		    !bridge_buses(d, &row.fn->addr, &row.secondary, &row.subordinate) ||
		    fn->addr.bus < row.secondary || fn->addr.bus > row.subordinate)
			continue;
		for (k = n++; k > 0 && path[k - 1].secondary > row.secondary; k--)
			path[k] = path[k - 1];
		path[k] = row;
	}
	return n;
}

bool posture_has_aliases(const struct daemon *d, const struct pci_fn *fn)
{
	struct bridge_row path[PATH_BRIDGES];
	size_t n = path_read(d, fn, path);

	for (size_t i = 0; i < n; i++) {
		const struct pcie_cap *cap = &path[i].fn->caps.pcie;

		if (!cap->present || cap->type < PORT_ROOT || cap->type > PORT_DOWNSTREAM)
			return true;
	}
	return n > 0 && !fn->caps.pcie.present && !fn->is_vf;
}

/* Other members of the group that are no bridges; the first of them in *first. */
static size_t group_others(const struct daemon *d, const struct pci_fn *fn,
			   const struct pci_fn **first)
{
	size_t n = 0;

	*first = NULL;
	for (size_t i = 0; fn->iommu_group >= 0 && i < inventory_count(d->inv); i++) {
		const struct pci_fn *other = inventory_at(d->inv, i);

		if (other == fn || other->iommu_group != fn->iommu_group ||
		    other->class_code >> 16 == CLASS_BRIDGE)
			continue;
		if (n++ == 0)
			*first = other;
	}
	return n;
}

void posture_group(const struct posture_ask *a, struct posture_result *out)
{
	const struct pci_fn *first;
	size_t n = group_others(a->host->d, a->fn, &first);

	POSTURE_FROM(out, "/sys/kernel/iommu_groups/%d/devices", a->fn->iommu_group);
	if (a->fn->iommu_group < 0) {
		POSTURE_FROM(out, "/sys/bus/pci/devices/%s/iommu_group", a->fn->name);
		POSTURE_SAY(out, "in no group");
		posture_set(out, POSTURE_FAIL, "no-iommu-group");
	} else if (n == 0) {
		POSTURE_SAY(out, "alone in group %d", a->fn->iommu_group);
	} else {
		POSTURE_SAY(out, "in group %d with %s%s%s%s", a->fn->iommu_group, first->name,
			    first->dev_name[0] != '\0' ? " " : "", first->dev_name,
			    n > 1 ? " and others" : "");
		posture_set(out, POSTURE_FAIL, "group-shared");
	}
}

/* "0000:00:02.0 lacks SrcValid ReqRedir"; nothing if the port has all that it needs. Returns the length. */
static size_t port_missing(const struct pci_fn *port, char *buf, size_t cap)
{
	uint16_t missing = ACS_NEEDED &
			   (uint16_t) ~(port->caps.acs.present ? port->caps.acs.ctl : 0);
	size_t n;

	if (missing == 0)
		return 0;
	n = (size_t)snprintf(buf, cap, "%s %s", port->name,
			     port->caps.acs.present ? "lacks" : "has no ACS:");
	for (size_t i = 0; i < ACS_BIT_COUNT && n < cap; i++)
		if ((missing & acs_bit_names[i].bit) != 0)
			n += (size_t)snprintf(buf + n, cap - n, " %s", acs_bit_names[i].abbrev);
	return n < cap ? n : cap - 1;
}

/* What each bridge of the path lacks, in one text; its length. */
static size_t path_missing(const struct bridge_row *path, size_t count, char *buf, size_t cap)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < count && len + 3 < cap; i++) {
		const struct pci_fn *port = path[i].fn;
		size_t sep = len > 0 ? 2 : 0, n = 0;

		if (port->caps.pcie.type == PORT_UPSTREAM)
			continue; /* has no peers of its own (6.12.1) */
		if (port->caps.pcie.type == PORT_ROOT || port->caps.pcie.type == PORT_DOWNSTREAM)
			n = port_missing(port, buf + len + sep, cap - len - sep);
		else
			n = (size_t)snprintf(buf + len + sep, cap - len - sep,
					     "%s is a bridge without ACS", port->name);
		if (n > 0 && sep > 0)
			memcpy(buf + len, "; ", sep);
		len += n > 0 ? n + sep : 0;
	}
	return len;
}

void posture_acs(const struct posture_ask *a, struct posture_result *out)
{
	struct bridge_row path[PATH_BRIDGES];
	size_t count = path_read(a->host->d, a->fn, path), n = 0;
	const struct pci_fn *first;
	char missing[300];

	POSTURE_FROM(out, "configuration space of");
	for (size_t i = 0; i < count; i++) {
		n = strlen(out->source);
		snprintf(out->source + n, sizeof(out->source) - n, " %s", path[i].fn->name);
		if (path[i].fn->caps.needs_root) {
			POSTURE_SAY(out, "ACS of %s: needs root", path[i].fn->name);
			posture_set(out, POSTURE_UNKNOWN, "acs-missing");
			return;
		}
	}
	if (count == 0) {
		POSTURE_FROM(out, "/sys/bus/pci/devices/*/secondary_bus_number");
		POSTURE_SAY(out, "no bridge above it: integrated into the root complex");
		return;
	}
	if (path_missing(path, count, missing, sizeof(missing)) == 0) {
		POSTURE_SAY(out,
			    "on at every bridge of the path (%zu): SrcValid ReqRedir CmpltRedir "
			    "UpstreamFwd",
			    count);
		return;
	}
	/* The kernel knows of ports that keep peers apart without ACS, and groups accordingly. */
	if (a->fn->iommu_group >= 0 && group_others(a->host->d, a->fn, &first) == 0) {
		POSTURE_SAY(out, "%s; the kernel counts it as isolated all the same", missing);
		posture_set(out, POSTURE_WARN, "acs-missing");
	} else {
		POSTURE_SAY(out, "%s", missing);
		posture_set(out, POSTURE_FAIL, "acs-missing");
	}
}

/* The first RMRR that names the function itself or a bridge above it. NULL: none. That of a PF is not its VFs': the
 * kernel maps the memory for the function that is named, and firmware knows of no VF. */
static const struct dmar_entry *rmrr_of(const struct dmar *dmar, const struct daemon *d,
					const struct pci_fn *fn)
{
	struct dmar_pci pci = posture_pci(d);
	struct dmar_found found;

	if (dmar_entries_of(dmar, DMAR_RMRR, &pci, &fn->addr, &found) == 0)
		return NULL;
	return found.first[0];
}

/* The kernel lets such memory go where only graphics or USB before the boot used it. */
static bool is_relaxable(int root, const struct pci_fn *fn)
{
	return fn->iommu_group >= 0 &&
	       iommu_group_has_relaxable_region(root, (uint32_t)fn->iommu_group);
}

void posture_rmrr(const struct posture_ask *a, struct posture_result *out)
{
	const struct posture_host *host = a->host;
	const struct dmar_entry *rmrr = host->has_dmar ? rmrr_of(&host->dmar, host->d, a->fn)
						       : NULL;
	const struct dmar_entry *of_pf =
		host->has_dmar && a->fn->is_vf ? rmrr_of(&host->dmar, host->d, a->fn->pf) : NULL;

	POSTURE_FROM(out, "/sys/kernel/iommu_groups/%d/reserved_regions%s", a->fn->iommu_group,
		     host->has_dmar ? ", ACPI DMAR" : "");
	if (a->fn->iommu_group >= 0 &&
	    iommu_group_has_direct_region(host->root, (uint32_t)a->fn->iommu_group)) {
		POSTURE_SAY(out,
			    "the kernel must always map memory for its group (type \"direct\")");
		posture_set(out, POSTURE_FAIL, "firmware-memory");
	} else if (rmrr != NULL) {
		bool is_soft = is_relaxable(host->root, a->fn);

		POSTURE_SAY(out,
			    "the RMRR at offset 0x%x keeps 0x%" PRIx64 "-0x%" PRIx64 " for it%s",
			    rmrr->offset, rmrr->base, rmrr->limit,
			    is_soft ? "; the kernel may give that up (\"direct-relaxable\")" : "");
		posture_set(out, is_soft ? POSTURE_WARN : POSTURE_FAIL, "firmware-memory");
	} else if (of_pf != NULL) {
		POSTURE_SAY(out, "the RMRR at offset 0x%x keeps memory for its PF, not for it",
			    of_pf->offset);
		posture_set(out, POSTURE_WARN, NULL);
	} else if (!host->has_dmar && host->dmar_errno == EBADMSG) {
		POSTURE_SAY(out, "%s", host->dmar_why);
		posture_set(out, POSTURE_UNKNOWN, "dmar-malformed");
	} else {
		POSTURE_SAY(out, "none%s", host->has_dmar ? "" : " by the kernel's word");
	}
}

void posture_ats(const struct posture_ask *a, struct posture_result *out)
{
	const struct pci_caps *caps = &a->fn->caps;

	POSTURE_FROM(out, "configuration space of %s", a->fn->name);
	if (caps->needs_root) {
		POSTURE_SAY(out, "needs root");
		posture_set(out, POSTURE_UNKNOWN, NULL);
	} else if (!caps->ats.present) {
		POSTURE_SAY(out, "the function has no ATS");
	} else if (!caps->ats.enabled) {
		POSTURE_SAY(out, "off");
	} else {
		POSTURE_SAY(out, "on: the function keeps translations of its own, which no look at "
				 "tables can prove");
		posture_set(out, POSTURE_WARN, NULL);
	}
}

static int refuse_group(const struct daemon *d, const struct pci_fn *fn, struct err *e)
{
	const struct pci_fn *other;

	if (group_others(d, fn, &other) == 0)
		return 0;
	err_set(e, EBUSY, "its IOMMU group %d holds %s%s%s, too: they cannot be kept apart",
		fn->iommu_group, other->name, other->dev_name[0] != '\0' ? " " : "",
		other->dev_name);
	err_hint(e,
		 "viaduct iommu group %s   says which bridge lacks ACS; use a slot whose root port "
		 "has it",
		 fn->name);
	return err_code(e, "group-shared");
}

static int refuse_memory(struct err *e)
{
	err_hint(e, "switch its legacy support off in the firmware set-up");
	return err_code(e, "firmware-memory");
}

int posture_alone_check(const struct daemon *d, const struct pci_fn *fn, struct err *e)
{
	auto_fd int root = host_root_open(d);
	const struct dmar_entry *rmrr;
	struct dmar dmar;
	int r = refuse_group(d, fn, e);

	if (r < 0)
		return r;
	/* Without a group there is nothing to open, which the start says. */
	if (fn->iommu_group >= 0 &&
	    iommu_group_has_direct_region(root, (uint32_t)fn->iommu_group)) {
		err_set(e, ENOTSUP, "firmware reserves memory that it must always reach (RMRR)");
		return refuse_memory(e);
	}
	r = dmar_read(root, &dmar, e);
	if (r == -ENOENT || r == -EACCES)
		return 0; /* none, or not for us to read: the kernel's word counts */
	if (r < 0)
		return r;
	rmrr = rmrr_of(&dmar, d, fn);
	if (rmrr != NULL && !is_relaxable(root, fn)) {
		err_set(e, ENOTSUP,
			"firmware reserves 0x%" PRIx64 "-0x%" PRIx64
			" that it must always reach (RMRR at offset 0x%x of the DMAR table)",
			rmrr->base, rmrr->limit, rmrr->offset);
		r = refuse_memory(e);
	} else {
		r = 0;
	}
	dmar_fini(&dmar);
	return r;
}
