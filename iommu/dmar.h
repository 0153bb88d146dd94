/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ACPI DMAR table: which remapping units the firmware says there are, which functions each is in charge of, and
 * which memory firmware keeps for devices. Intel VT-d specification, chapter 8 ("BIOS Considerations"). The table is
 * firmware's word and hostile until checked: one bounded accessor reads it, the struct owns a copy of its bytes,
 * structures of unknown type are skipped by their length, and what is malformed refuses the table as a whole.
 */
#ifndef VIADUCT_IOMMU_DMAR_H
#define VIADUCT_IOMMU_DMAR_H

#include "base/err.h"
#include "base/parse.h"

#define DMAR_BYTES_MAX 65536

/* Header, flags (8.1). */
#define DMAR_INTR_REMAP	    0x01 /* the platform supports interrupt remapping */
#define DMAR_X2APIC_OPT_OUT 0x02 /* firmware asks the system not to use x2APIC */
#define DMAR_DMA_CTRL_PLATFORM_OPT_IN \
	0x04 /* firmware keeps DMA blocked until the system takes over */

#define DRHD_INCLUDE_PCI_ALL 0x01 /* all functions of the segment that no other unit names (8.3) */
#define ATSR_ALL_PORTS	     0x01 /* every root port of the segment supports ATS (8.5) */
#define SATC_ATC_REQUIRED    0x01 /* the devices work only with ATS (8.8) */

/* Remapping structure types (8.2). */
enum dmar_type {
	DMAR_DRHD, /* DMA Remapping Hardware Unit Definition, 8.3 */
	DMAR_RMRR, /* Reserved Memory Region Reporting, 8.4 */
	DMAR_ATSR, /* Root Port ATS Capability Reporting, 8.5 */
	DMAR_RHSA, /* Remapping Hardware Static Affinity, 8.6 */
	DMAR_ANDD, /* ACPI Name-space Device Declaration, 8.7 */
	DMAR_SATC, /* SoC Integrated Address Translation Cache, 8.8 */
	DMAR_SIDP, /* SoC Integrated Device Property, 8.9 */
	DMAR_TYPES
};

/* Device scope entry types (8.3.1); others may come. */
enum dmar_scope_type {
	DMAR_SCOPE_ENDPOINT = 1, /* one function */
	DMAR_SCOPE_HIERARCHY, /* a bridge and all below it */
	DMAR_SCOPE_IOAPIC,
	DMAR_SCOPE_HPET,
	DMAR_SCOPE_NAMESPACE /* enumeration_id: the device number of an ANDD */
};

/* One device scope entry (8.3.1). path: hops pairs of device and function, from start_bus down; it points into the
 * struct dmar. Of an unknown type only type and offset hold. */
struct dmar_scope {
	uint8_t type, flags, enumeration_id, start_bus;
	uint16_t hops;
	uint32_t offset; /* in the table */
	const uint8_t *path;
};

/* One remapping structure; members that its type does not have are 0. */
struct dmar_entry {
	enum dmar_type type;
	uint32_t offset; /* in the table */
	uint8_t flags; /* DRHD, ATSR, SATC */
	uint8_t acpi_device; /* ANDD: ACPI device number */
	uint16_t segment;
	uint64_t base; /* DRHD, RHSA: register base address; RMRR: first byte */
	uint64_t limit; /* RMRR: last byte */
	uint64_t size_bytes; /* DRHD: of the register set */
	uint32_t proximity; /* RHSA: proximity domain */
	const char *name; /* ANDD: object name; points into the struct dmar */
	const char *odd; /* NULL, or what firmware got wrong without breaking the table */
	size_t scope_first, scope_count; /* in dmar.scopes */
};

struct dmar {
	uint8_t revision, flags;
	unsigned int address_bits; /* Host Address Width: physical addresses that DMA can reach */
	char oem_id[7], oem_table_id[9];
	size_t bytes_len, entry_count, scope_count, unknown_count /* structures skipped */;
	struct dmar_entry *entries;
	struct dmar_scope *scopes;
	uint8_t *bytes;
};

/* Parses a table; out owns copies (dmar_fini). -EBADMSG, code "dmar-malformed", names the offset of what is wrong;
 * out is then empty. */
int dmar_parse(const void *bytes, size_t len, struct dmar *out, struct err *e);

/* The host's table, /sys/firmware/acpi/tables/DMAR. root_fd: as in iommu/host.h. -ENOENT: the firmware has none;
 * -EACCES: only root may read it. */
int dmar_read(int root_fd, struct dmar *out, struct err *e);

/* NULL-safe; leaves an empty table. */
void dmar_fini(struct dmar *d);

/* What the paths of scopes are resolved with: the numbers of the buses right below a bridge and last below it, as
 * the bridge's own configuration space (or sysfs) has them. False: there is no such bridge. */
struct dmar_pci {
	bool (*bridge)(void *arg, const struct pci_addr *bridge, uint8_t *secondary,
		       uint8_t *subordinate);
	void *arg;
};

/* The function at the end of a scope's path. -ENOENT: a bridge on it is not there; -ELOOP: a bridge's secondary bus
 * is not above its own; -EINVAL: no path of PCI functions (unknown type). */
int dmar_scope_resolve(const struct dmar_entry *entry, const struct dmar_scope *scope,
		       const struct dmar_pci *pci, struct pci_addr *out);

/* Whether an entry's scopes name the function, itself or a bridge above it. A VF has no scope of its own: its PF's
 * counts (8.3.1), and the caller passes the PF. INCLUDE_PCI_ALL and ALL_PORTS are not looked at. */
bool dmar_entry_names(const struct dmar *d, const struct dmar_entry *entry,
		      const struct dmar_pci *pci, const struct pci_addr *fn);

/* The DRHD in charge of a function: the first that names it, else the segment's INCLUDE_PCI_ALL. NULL: none is. */
const struct dmar_entry *dmar_unit_of(const struct dmar *d, const struct dmar_pci *pci,
				      const struct pci_addr *fn);

/* The entries of a type that name a function: how many there are, and the first of them. */
#define DMAR_FOUND 8
struct dmar_found {
	size_t count;
	const struct dmar_entry *first[DMAR_FOUND];
};

/* Fills *out; returns its count. */
size_t dmar_entries_of(const struct dmar *d, enum dmar_type type, const struct dmar_pci *pci,
		       const struct pci_addr *fn, struct dmar_found *out);

/* "DRHD" and so on; "?" for an unknown number. */
const char *dmar_type_name(unsigned int type);
const char *dmar_scope_type_name(unsigned int type);

#endif
