/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host's kernel log says of devices that did what they may not: records of /dev/kmsg (the
 * kernel's Documentation/ABI/testing/dev-kmsg), and in them the lines of the drivers of VT-d (fault
 * recording registers: VT-d specification, 11.4.14; status: 11.4.9), of AMD's IOMMU and of PCI Express
 * error reporting (PCIe Base, 6.2), as Linux has worded them since 2.6. Pure functions; any bytes may
 * be handed in.
 */
#ifndef VIADUCT_IOMMU_KMSG_FAULT_H
#define VIADUCT_IOMMU_KMSG_FAULT_H

#include "base/parse.h"

#define KMSG_RECORD 8192 /* bytes of one record, at most */
#define KMSG_TEXT   512 /* of its first line; what is longer is cut */

struct kmsg_record {
	uint64_t seq;
	uint64_t at_us; /* of the kernel's log clock, since its boot */
	bool is_kernel; /* no process wrote it: processes may, too */
	char text[KMSG_TEXT]; /* printable */
};

/* "PRIORITY,SEQUENCE,TIME,FLAGS[,...];TEXT", as one read of /dev/kmsg gives it. -EBADMSG. */
int kmsg_record_parse(const char *bytes, size_t len, struct kmsg_record *out);

enum kmsg_fault_kind {
	KMSG_DMA_READ,
	KMSG_DMA_WRITE,
	KMSG_INTERRUPT,
	KMSG_AER_CORRECTED,
	KMSG_AER_NONFATAL,
	KMSG_AER_FATAL,
	KMSG_FAULT_KINDS,
	/* Not of one function: */
	KMSG_STATUS = KMSG_FAULT_KINDS, /* of a unit, once for each time that it is looked at */
	KMSG_SUPPRESSED, /* `count` words were left out, for there were too many */
};

/* Of FSTS: a fault found no free recording register and is lost; there are faults in the registers. */
#define KMSG_STATUS_OVERFLOW 0x1
#define KMSG_STATUS_PENDING  0x2

/* The VT-d driver asks its rate limit once for the status, for each fault, and once more behind the last of them; so
 * often in so long it says yes (Linux, dmar_fault()). Of what comes then only the next word tells, and only how much. */
#define KMSG_LIMIT_ASKS 10
#define KMSG_LIMIT_US	5000000ULL

struct kmsg_fault {
	enum kmsg_fault_kind kind;
	struct pci_addr source;
	bool has_domain; /* else source.domain is 0: VT-d's driver does not name it */
	bool is_vtd;
	bool has_address, has_reason, has_pasid;
	uint64_t address; /* of memory; of an interrupt its index */
	uint8_t reason; /* fault_reason.h */
	uint32_t pasid;
	uint32_t status; /* KMSG_STATUS: FSTS */
	uint64_t count; /* KMSG_SUPPRESSED */
};

/* False: the line is about something else. */
bool kmsg_fault_parse(const char *text, struct kmsg_fault *out);

/* "dma-read", and so on; of a function's kinds. */
const char *kmsg_fault_word(enum kmsg_fault_kind kind);

#endif
