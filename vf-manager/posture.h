/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posture: how well one function is isolated, as a list of checks with what was found and where it was read. Registers
 * that never change come from sysfs; what only /dev/mem would show is not claimed. What cannot be read is "unknown",
 * and a verdict that rests on it is "not-known", never "isolated".
 */
#ifndef VIADUCT_VF_MANAGER_POSTURE_H
#define VIADUCT_VF_MANAGER_POSTURE_H

#include "vf-manager/daemon.h"

#include "iommu/dmar.h"
#include "iommu/host.h"
#include "iommu/units.h"

#include <jansson.h>

enum posture_status { POSTURE_PASS, POSTURE_WARN, POSTURE_FAIL, POSTURE_UNKNOWN };

/* What the CPU does for guests. */
struct posture_cpu {
	const char *kind; /* "VT-x", "SVM" or "" */
	bool has_nested_paging; /* EPT, NPT */
	bool has_tags; /* VPID, ASIDs: no flush at each exit */
	bool has_posted; /* APICv with posted interrupts, AVIC; and KVM uses it */
	char text[128];
};

void posture_cpu_read(int root, struct posture_cpu *out);

/* What all functions share, read once. */
struct posture_host {
	struct daemon *d;
	int root; /* stands for "/"; -1: the real one */
	bool has_iommu; /* iommu could be read */
	struct iommu_host iommu;
	struct iommu_units units;
	bool has_dmar; /* else why not: dmar_errno, dmar_why */
	struct dmar dmar;
	int dmar_errno; /* ENOENT: the firmware has none */
	char dmar_why[256];
	struct posture_cpu cpu;
};

/* No lock held. NULL: no memory. */
struct posture_host *posture_host_read(struct daemon *d);
void posture_host_free(struct posture_host *host); /* NULL-safe */

/* The bridges that the paths of DMAR scopes lead through; state locked while it is used. */
struct dmar_pci posture_pci(const struct daemon *d);

/* State locked. A bridge above the function is no PCI Express port, or the function no PCI Express function below one: its
 * requests may carry the bridge's requester id (PCI Express to PCI/PCI-X Bridge 1.0, 2.3). */
bool posture_has_aliases(const struct daemon *d, const struct pci_fn *fn);

/* State locked. The reply of GET /v1/iommu/functions/FUNCTION; a new reference. */
json_t *posture_json(const struct posture_host *host, const struct pci_fn *fn);

/* State locked. {"verdict","code","unit","warnings"}: a line of `vm show`; a new reference. */
json_t *posture_short(const struct posture_host *host, const struct pci_fn *fn);

/* State locked. What refuses a start beside remapping as such: who else is in the group (code "group-shared"), memory
 * that firmware keeps for the function (code "firmware-memory") by the kernel's word or by the DMAR table's. */
int posture_alone_check(const struct daemon *d, const struct pci_fn *fn, struct err *e);

#endif
