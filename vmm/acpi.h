/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ACPI tables of the guest (ACPI 6.4): RSDP, XSDT, FADT rev 6 in ICH9 style, FACS, MADT, MCFG,
 * SPCR and DSDT, in one buffer whose pointers and checksums are recorded. Direct boot places the
 * buffer at a fixed address; firmware is given the same records as table-loader commands.
 * The windows depend on where the guest's firmware puts ECAM: build when the guest asks, not before.
 */
#ifndef VIADUCT_VMM_ACPI_H
#define VIADUCT_VMM_ACPI_H

#include "base/err.h"

#define ACPI_TABLES_MAX	  16
#define ACPI_FIXUPS_MAX	  32
#define ACPI_RSDP_SIZE	  36
#define ACPI_TABLES_BYTES 65536 /* at most */

struct gmem;
struct pci_host;

struct acpi_config {
	unsigned int cpu_count; /* APIC ids are 0 .. cpu_count - 1 */
	uint64_t ecam_base, ecam_size;
	unsigned int bus_last; /* Linux probes each bus of ECAM: do not offer more than there are */
	uint64_t mmio32_base, mmio32_size;
	uint64_t mmio64_base, mmio64_size; /* size 0: none */
	bool serial_console; /* SPCR: COM1 is the console */
};

/* A place in the buffer that holds the address of another one. */
struct acpi_pointer {
	uint32_t at; /* offset of the pointer */
	uint32_t size; /* 4 or 8 bytes */
	uint32_t target; /* offset that it points to */
};

/* A byte that makes [start, start + len) sum up to 0. */
struct acpi_checksum {
	uint32_t at;
	uint32_t start;
	uint32_t len;
};

struct acpi_tables {
	uint8_t *data; /* RSDP at offset 0 */
	uint32_t len;
	uint32_t cap;
	uint32_t tables[ACPI_TABLES_MAX]; /* offsets of the tables that have a standard header */
	uint32_t table_count;
	struct acpi_pointer pointers[ACPI_FIXUPS_MAX];
	uint32_t pointer_count;
	struct acpi_checksum checksums[ACPI_FIXUPS_MAX];
	uint32_t checksum_count;
};

/* Windows and ECAM as they are now in the root complex. */
void acpi_config_init(struct acpi_config *cfg, const struct pci_host *pci, unsigned int cpu_count);

/* Builds all tables; pointers hold offsets and checksums are 0 until acpi_tables_place(). */
int acpi_tables_build(struct acpi_tables *t, const struct acpi_config *cfg, struct err *e);
void acpi_tables_fini(struct acpi_tables *t);

/* Resolves pointers and checksums for a buffer at gpa (a multiple of 64). */
void acpi_tables_place(struct acpi_tables *t, uint64_t gpa);

/* Direct boot, after pci_host_assign(): builds, places and copies the tables to [gpa, end) of guest
 * RAM; the RSDP is at gpa. -ENOSPC if they do not fit. */
int acpi_load(struct gmem *gm, const struct acpi_config *cfg, uint64_t gpa, uint64_t end,
	      struct err *e);

#endif
