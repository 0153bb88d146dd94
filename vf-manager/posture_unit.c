// SPDX-License-Identifier: BSD-3-Clause
/* Checks of the remapping unit in charge, of the host and of its CPU. */
#include "vf-manager/posture_checks.h"

#include "iommu/vtd_regs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* A VF has no scope in the DMAR table: its PF's counts (VT-d 8.3.1). */
static const struct dmar_entry *dmar_unit(const struct posture_ask *a)
{
	struct dmar_pci pci = posture_pci(a->host->d);
	const struct pci_fn *fn = a->fn->is_vf ? a->fn->pf : a->fn;

	return a->host->has_dmar ? dmar_unit_of(&a->host->dmar, &pci, &fn->addr) : NULL;
}

void posture_unit(const struct posture_ask *a, struct posture_result *out)
{
	const struct dmar_entry *entry = dmar_unit(a);

	POSTURE_FROM(out, "/sys/bus/pci/devices/%s/iommu%s%s", a->fn->name,
		     a->host->has_dmar ? ", ACPI DMAR" : "",
		     a->host->dmar_errno == EACCES ? " (DMAR needs root)" : "");
	if (a->unit_name[0] == '\0') {
		POSTURE_SAY(out, "no remapping unit is in charge of it");
		posture_set(out, POSTURE_FAIL, "no-iommu");
	} else if (!a->host->has_dmar && a->host->dmar_errno == EBADMSG) {
		POSTURE_SAY(out, "%s by the kernel's word; the DMAR table cannot be read: %s",
			    a->unit_name, a->host->dmar_why);
		posture_set(out, POSTURE_UNKNOWN, "dmar-malformed");
	} else if (a->unit == NULL || !a->unit->has_registers || !a->host->has_dmar) {
		POSTURE_SAY(out, "%s by the kernel's word%s%s", a->unit_name,
			    a->host->dmar_why[0] != '\0' ? "; " : "", a->host->dmar_why);
	} else if (entry == NULL || entry->base != a->unit->address) {
		POSTURE_SAY(out,
			    "the kernel says %s at 0x%" PRIx64 ", the DMAR table %s 0x%" PRIx64,
			    a->unit_name, a->unit->address,
			    entry == NULL ? "names no unit:" : "names the unit at",
			    entry == NULL ? 0 : entry->base);
		posture_set(out, POSTURE_FAIL, "unit-mismatch");
	} else {
		POSTURE_SAY(out, "%s at 0x%" PRIx64 ", as the DMAR table has it (offset 0x%x)",
			    a->unit_name, a->unit->address, entry->offset);
	}
}

void posture_translation(const struct posture_ask *a, struct posture_result *out)
{
	bool is_on = a->host->has_iommu && a->host->iommu.dma_remapping == IOMMU_ON;

	POSTURE_FROM(out, "/sys/kernel/iommu_groups");
	if (is_on && a->fn->iommu_group >= 0) {
		POSTURE_SAY(out, "on: the function has an IOMMU group, VFIO gives it tables of its "
				 "own (GSTS.TES itself: iommu audit)");
		return;
	}
	POSTURE_SAY(out, is_on ? "the function has no IOMMU group"
			       : "off: the kernel has made no IOMMU groups");
	posture_set(out, POSTURE_FAIL, is_on ? "no-iommu-group" : "no-iommu");
}

void posture_intremap(const struct posture_ask *a, struct posture_result *out)
{
	enum iommu_tristate on = a->host->has_iommu ? a->host->iommu.interrupt_remapping
						    : IOMMU_UNKNOWN;

	POSTURE_FROM(out, "%s", a->host->iommu.evidence);
	switch (on) {
	case IOMMU_ON:
		POSTURE_SAY(out, "on");
		return;
	case IOMMU_OFF:
		POSTURE_SAY(out, "off: the function could forge any interrupt of the host");
		posture_set(out, POSTURE_FAIL, "no-interrupt-remapping");
		return;
	case IOMMU_UNKNOWN:
		POSTURE_SAY(out, "not to be seen");
		posture_set(out, POSTURE_UNKNOWN, "no-interrupt-remapping");
		return;
	}
}

/* False: the registers are not told, and *out says so. */
static bool registers(const struct posture_ask *a, struct posture_result *out, const char *reg)
{
	if (a->unit != NULL && a->unit->has_registers) {
		POSTURE_FROM(out, "/sys/class/iommu/%s/intel-iommu/%s: 0x%" PRIx64, a->unit->name,
			     reg, reg[0] == 'c' ? a->unit->cap : a->unit->ecap);
		return true;
	}
	POSTURE_FROM(out, "/sys/class/iommu/%s", a->unit_name);
	POSTURE_SAY(out, "the kernel shows no VT-d register of this unit");
	posture_set(out, POSTURE_UNKNOWN, NULL);
	return false;
}

void posture_eim(const struct posture_ask *a, struct posture_result *out)
{
	if (!registers(a, out, "ecap"))
		return;
	if (VTD_ECAP_EIM(a->unit->ecap)) {
		POSTURE_SAY(out,
			    "ECAP.EIM: APIC ids of 32 bits (whether used, IRTA.EIME: iommu audit)");
		return;
	}
	POSTURE_SAY(out, "not ECAP.EIM: APIC ids of 8 bits, interrupts reach 255 CPUs at most");
	posture_set(out, POSTURE_WARN, NULL);
}

void posture_posted(const struct posture_ask *a, struct posture_result *out)
{
	bool unit, cpu = a->host->cpu.has_posted;

	if (!registers(a, out, "cap"))
		return;
	unit = VTD_CAP_PI(a->unit->cap);
	if (unit && cpu) {
		POSTURE_SAY(out, "CAP.PI, and the CPU takes them: no exit for an interrupt");
		return;
	}
	POSTURE_SAY(out, "%s, %s: each interrupt passes the host", unit ? "CAP.PI" : "not CAP.PI",
		    cpu ? "CPU ready" : "not by the CPU or not by KVM");
	posture_set(out, POSTURE_WARN, NULL);
}

void posture_snoop(const struct posture_ask *a, struct posture_result *out)
{
	if (!registers(a, out, "ecap"))
		return;
	if (VTD_ECAP_SC(a->unit->ecap)) {
		POSTURE_SAY(out, "ECAP.SC: all DMA can be made to snoop the caches");
		return;
	}
	POSTURE_SAY(out, "not ECAP.SC: the function may write past the caches (no-snoop)");
	posture_set(out, POSTURE_WARN, NULL);
}

void posture_width(const struct posture_ask *a, struct posture_result *out)
{
	unsigned int bits, levels;

	if (!registers(a, out, "cap"))
		return;
	bits = vtd_address_bits(a->unit->cap);
	levels = vtd_levels(a->unit->cap);
	if (bits == 0) {
		POSTURE_SAY(out, "CAP.SAGAW 0x%x names no table depth",
			    VTD_CAP_SAGAW(a->unit->cap));
		posture_set(out, POSTURE_FAIL, "no-iommu");
		return;
	}
	POSTURE_SAY(out, "%u bits (CAP.MGAW %u, SAGAW:%s%s%s levels)", bits,
		    VTD_CAP_MGAW(a->unit->cap), (levels >> 3 & 1) != 0 ? " 3" : "",
		    (levels >> 4 & 1) != 0 ? " 4" : "", (levels >> 5 & 1) != 0 ? " 5" : "");
}

void posture_pages(const struct posture_ask *a, struct posture_result *out)
{
	unsigned int large;

	if (!registers(a, out, "cap"))
		return;
	large = VTD_CAP_SSLPS(a->unit->cap);
	POSTURE_SAY(out, "4 KiB%s%s (CAP.SSLPS 0x%x)", (large & 1) != 0 ? ", 2 MiB" : "",
		    (large & 2) != 0 ? ", 1 GiB" : "", large);
	if ((large & 1) == 0)
		posture_set(out, POSTURE_WARN, NULL);
}

void posture_cpu(const struct posture_ask *a, struct posture_result *out)
{
	const struct posture_cpu *c = &a->host->cpu;

	POSTURE_FROM(out, "/proc/cpuinfo, parameters of kvm_intel or kvm_amd");
	POSTURE_SAY(out, "%s", c->text);
	if (c->kind[0] == '\0' || !c->has_nested_paging)
		posture_set(out, POSTURE_WARN, NULL);
}

void posture_unsafe(const struct posture_ask *a, struct posture_result *out)
{
	const struct iommu_host *host = &a->host->iommu;
	bool of_iommufd = host->iommufd_unsafe_allowed && !host->unsafe_interrupts_allowed;
	bool is_set = a->host->has_iommu && (of_iommufd || host->unsafe_interrupts_allowed);

	POSTURE_FROM(out, "/sys/module/%s/parameters/allow_unsafe_interrupts",
		     of_iommufd ? "iommufd" : "vfio_iommu_type1");
	POSTURE_SAY(out,
		    is_set ? "set: the kernel would let functions out without interrupt remapping"
			   : "not set");
	if (!is_set)
		return;
	if (a->host->iommu.interrupt_remapping == IOMMU_ON)
		posture_set(out, POSTURE_WARN, "unsafe-interrupts");
	else
		posture_set(out, POSTURE_FAIL, "unsafe-interrupts");
}
