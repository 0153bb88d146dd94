/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults of devices as far as the kernel tells of them: one entry for each function and owner, bounded, and what is
 * known to be missing. The kernel limits what it says and its log forgets, so every count is a lower bound once
 * anything was left out, whoever's it was. Not thread-safe; time comes from the caller.
 */
#ifndef VIADUCT_VF_MANAGER_FAULTLOG_H
#define VIADUCT_VF_MANAGER_FAULTLOG_H

#include "vf-manager/ledger.h"

#include "base/log.h"
#include "iommu/kmsg_fault.h"

#define FAULT_ENTRIES 256 /* functions and owners; of the oldest only the count stays */
#define FAULT_RECENT  8 /* faults of one entry that are kept one by one */

/* Beside the kinds of the kernel's log. */
enum { FAULT_VFIO_ERROR = KMSG_FAULT_KINDS, FAULT_KINDS };

const char *fault_kind_word(unsigned int kind);

struct fault_record {
	int64_t at_ms; /* since the epoch */
	unsigned int kind;
	struct kmsg_fault what; /* of FAULT_VFIO_ERROR nothing */
};

struct fault_owner {
	char name[OWNER_TEXT]; /* "VM/PORT"; "": nobody's */
	uint64_t start_ticks; /* of that VM's process */
};

struct fault_entry {
	struct pci_addr function;
	bool is_ambiguous; /* several functions of the host have this bus, device and number */
	struct fault_owner owner;
	uint64_t counts[FAULT_KINDS];
	int64_t first_ms, last_ms, last_bad_ms; /* bad: not harmless; 0: none was */
	struct fault_record first_bad;
	struct fault_record recent[FAULT_RECENT]; /* a ring; `total` says where it is */
	uint64_t total;
	uint64_t told; /* of them when the last event was written */
	struct log_limit events; /* of this entry */
	bool is_acted; /* what on_fault asks for was asked for */
};

struct fault_log {
	struct fault_entry entries[FAULT_ENTRIES];
	size_t count;
	uint64_t forgotten; /* faults of entries that had to make room */
	uint64_t records; /* of the kernel's log that were read */
	/* What is missing: */
	uint64_t suppressed; /* words that the kernel says it left out */
	uint64_t overflows; /* times that a unit had no free recording register */
	uint64_t lost; /* records of the log that were overwritten before they were read */
	uint64_t limits; /* times that the kernel's limit was reached, so that what came next may be missing */
	int64_t last_loss_ms; /* 0: nothing is known to be missing */
	/* The kernel's limit as seen from here. */
	uint64_t window_us;
	unsigned int window_asks;
	uint64_t next_seq;
	int64_t since_ms; /* of the first record read; 0: none */
};

/* One record of the log. NULL: it tells of no function, or is not the kernel's; what it says of losses is noted all
 * the same. Else what it says, for fault_log_note(). */
const struct kmsg_fault *fault_log_record(struct fault_log *l, const struct kmsg_record *rec,
					  int64_t at_ms, struct kmsg_fault *buf);

/* `n` records of the log could not be read. */
void fault_log_lost(struct fault_log *l, uint64_t n, int64_t at_ms);

/* The entry that it belongs to; it may have taken the place of an older one. */
struct fault_entry *fault_log_note(struct fault_log *l, const struct pci_addr *function,
				   const struct fault_owner *owner,
				   const struct fault_record *record);

/* Counts are lower bounds. */
bool fault_log_is_short(const struct fault_log *l);

/* "DMA write to 0x1000 (reason 0x05: the page may not be written)". Returns buf. */
#define FAULT_TEXT 192
char *fault_text(const struct fault_record *record, char buf[FAULT_TEXT]);

#endif
