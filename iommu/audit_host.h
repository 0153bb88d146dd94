/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The real machine for iommu/audit.h: registers through /dev/mem, structures through /proc/kcore, the VM's memory
 * through its VMM's /proc/PID/maps and pagemap, interrupts through /sys and /proc/irq. Opens everything first;
 * afterwards only reads what is open, so that whoever audits can give up every privilege in between. The IOMMU's driver
 * is never asked.
 */
#ifndef VIADUCT_IOMMU_AUDIT_HOST_H
#define VIADUCT_IOMMU_AUDIT_HOST_H

#include "iommu/audit.h"
#include "iommu/kcore.h"

#include "base/parse.h"

#include <sys/types.h>

#define AUDIT_FUNCTIONS 64

/* What is to be audited. */
struct audit_wish {
	pid_t pid; /* the VMM */
	struct audit_ram ram[AUDIT_RAM_SLOTS]; /* hva is found */
	size_t ram_count;
	struct audit_wish_function {
		struct pci_addr address;
		uint64_t registers; /* base address of the unit in charge */
		bool has_aliases; /* a bridge may put another requester id on what it does */
	} functions[AUDIT_FUNCTIONS];
	size_t function_count;
};

struct audit_host_unit {
	uint64_t base;
	const volatile uint8_t *registers; /* NULL: not mapped */
};

struct audit_host_line {
	uint32_t irq;
	size_t function; /* of the wish */
	int fd; /* effective_affinity_list */
};

struct audit_host {
	struct audit_machine machine;
	struct kcore kcore;
	int kcore_fd, pagemap_fd;
	struct audit_host_unit units[AUDIT_FUNCTIONS];
	size_t unit_count;
	struct audit_host_line *lines; /* AUDIT_LINES of them, of all functions */
	size_t line_count;
	size_t function; /* of the wish: the one that is looked at, set by the caller */
	uint16_t sids[AUDIT_FUNCTIONS];
};

/* What cannot be opened is an error whose code says why an audit is not possible here: "no-kcore", "registers-closed",
 * "kernel-locked-down", "no-privilege", "guest-ram-unknown", "frames-hidden", "kcore-unknown", "too-many-interrupts"; its hint is the boot option that would
 * allow it, and what that costs. Everything that was opened is closed again. */
int audit_host_open(struct audit_host *h, const struct audit_wish *wish, struct err *e);
void audit_host_close(struct audit_host *h);

/* The registers as they are now. -ENOENT: no unit of this base was opened. */
int audit_host_unit(const struct audit_host *h, uint64_t base, struct audit_unit *out);

#endif
