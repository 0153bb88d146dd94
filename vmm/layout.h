/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's physical address map at direct boot (q35 layout). RAM below 4 GiB ends at or under
 * LAYOUT_LOW_RAM_MAX; what does not fit there starts at 4 GiB. The 64-bit MMIO window is computed
 * from the guest's physical address width (layout_mmio64).
 */
#ifndef VIADUCT_VMM_LAYOUT_H
#define VIADUCT_VMM_LAYOUT_H

#include "vmm/vmm_msg.h"

#include "base/util.h"

#include <assert.h>

#define LAYOUT_LOW_RAM_MAX   VMM_LOW_RAM_MAX
#define LAYOUT_LOW_RAM_SPLIT VMM_LOW_RAM_SPLIT
#define LAYOUT_HIGH_RAM	     VMM_HIGH_RAM
#define LAYOUT_MMIO32	     0xC0000000ULL
#define LAYOUT_MMIO32_SIZE   0x20000000ULL
#define LAYOUT_ECAM	     0xE0000000ULL
#define LAYOUT_ECAM_SIZE     0x10000000ULL
#define LAYOUT_IOAPIC	     0xFEC00000ULL
#define LAYOUT_RCBA	     0xFED1C000ULL /* 16 KiB of the ICH9's own registers */
#define LAYOUT_LAPIC \
	0xFEE00000ULL /* 1 MiB behind it is the MSI window: never RAM, never a DMA target */
#define LAYOUT_KVM_IDENTITY 0xFEFFC000ULL
#define LAYOUT_KVM_TSS	    0xFEFFD000ULL

/* Loaded by the VMM at direct boot, all below 640 KiB or in the BIOS hole. */
#define LAYOUT_GDT	    0x1000ULL
#define LAYOUT_PVH_INFO	    0x6000ULL
#define LAYOUT_BOOT_PARAMS  0x7000ULL
#define LAYOUT_PAGE_TABLES  0x9000ULL /* 6 pages: identity map of 4 GiB */
#define LAYOUT_CMDLINE	    0x20000ULL
#define LAYOUT_ACPI	    0xE0000ULL /* RSDP first; up to LAYOUT_ACPI_END */
#define LAYOUT_ACPI_END	    0xFFFF0ULL
#define LAYOUT_RESET_VECTOR 0xFFFF0ULL
#define LAYOUT_BIOS_END	    0x100000ULL
#define LAYOUT_KERNEL	    0x1000000ULL

/* I/O ports */
#define LAYOUT_PORT_PM	    0x600
#define LAYOUT_PORT_COM1    0x3F8
#define LAYOUT_PORT_PVPANIC 0x505
#define LAYOUT_IRQ_COM1	    4
#define LAYOUT_IRQ_RTC	    8
#define LAYOUT_IRQ_SCI	    9

/* AMD hosts: HyperTransport's hole, where the IOMMU maps nothing: no RAM (VMM_FAR_RAM), no BARs. */
#define LAYOUT_HT_HOLE	   0xFD00000000ULL
#define LAYOUT_HT_HOLE_END 0x10000000000ULL
static_assert(VMM_HIGH_RAM + VMM_HIGH_RAM_ROOM == LAYOUT_HT_HOLE &&
		      VMM_FAR_RAM == LAYOUT_HT_HOLE_END,
	      "RAM ends before the hole, or begins behind it");

/* The 64-bit MMIO window: the top eighth of the guest's physical address space, moved down where it
 * would meet the HyperTransport hole. ram_end is the end of RAM above 4 GiB (0: none). -ERANGE if RAM
 * reaches into it. */
int layout_mmio64(unsigned int phys_bits, uint64_t ram_end, uint64_t *base, uint64_t *size);

#endif
