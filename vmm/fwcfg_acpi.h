/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ACPI tables for firmware, as three files of fw_cfg: tables, RSDP, and the commands by which the firmware places
 * and links them (QEMU's "linker/loader": hw/acpi/bios-linker-loader; OvmfPkg/AcpiPlatformDxe/QemuLoader.h). They are
 * made when the guest first asks after a reset, because only then its firmware has decided where ECAM and BARs are.
 */
#ifndef VIADUCT_VMM_FWCFG_ACPI_H
#define VIADUCT_VMM_FWCFG_ACPI_H

#include "vmm/acpi.h"
#include "vmm/fwcfg.h"

#define LOADER_TABLES "etc/acpi/tables"
#define LOADER_RSDP   "etc/acpi/rsdp"
#define LOADER_FILE   "etc/table-loader"

/* An entry: command, then its fields, little-endian */
#define LOADER_ENTRY	    128
#define LOADER_ALLOCATE	    1
#define LOADER_ADD_POINTER  2
#define LOADER_ADD_CHECKSUM 3
#define LOADER_ENTRIES	    (2 + 2 * ACPI_FIXUPS_MAX)

struct fwcfg_acpi {
	const struct pci_host *pci; /* borrowed */
	unsigned int cpu_count;
	bool is_made;
	uint8_t rsdp[ACPI_RSDP_SIZE];
	uint8_t tables[ACPI_TABLES_BYTES];
	uint8_t loader[LOADER_ENTRIES * LOADER_ENTRY];
};

/* Adds the files; a is the caller's and lives as long as fw. */
int fwcfg_acpi_init(struct fwcfg_acpi *a, const struct pci_host *pci, unsigned int cpu_count,
		    struct fwcfg *fw);

/* The next firmware decides anew. */
void fwcfg_acpi_reset(struct fwcfg_acpi *a);

#endif
