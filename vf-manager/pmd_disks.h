/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a viaduct-pmd of role "block" says of its disks, out of JSON into structures: as pmd_reply.h, every number, text and count
 * is bounded here.
 */
#ifndef VIADUCT_VF_MANAGER_PMD_DISKS_H
#define VIADUCT_VF_MANAGER_PMD_DISKS_H

#include "base/err.h"
#include "pmd-backends/pmd_msg.h"

#include <jansson.h>

#define PMD_DISK_WORD 32
#define PMD_DISK_NOTE 256

enum pmd_disk_count {
	PMD_DISK_IN_FLIGHT,
	PMD_DISK_KICKS,
	PMD_DISK_CALLS,
	PMD_DISK_BAD_CHAINS,
	PMD_DISK_ERRORS,
	PMD_DISK_NO_SPACE,
	PMD_DISK_READS,
	PMD_DISK_WRITES,
	PMD_DISK_FLUSHES,
	PMD_DISK_DISCARDS,
	PMD_DISK_ZEROES,
	PMD_DISK_READ_BYTES,
	PMD_DISK_WRITTEN_BYTES,
	PMD_DISK_COUNTS
};
extern const char *const pmd_disk_count_words[PMD_DISK_COUNTS];

struct pmd_disk {
	char name[PMD_PORT_TEXT];
	enum pmd_disk_state state;
	unsigned int pid, queues;
	uint64_t size, block_size; /* bytes */
	bool is_readonly, is_direct;
	bool flush_failed; /* its page cache has lost what was written: no flush of it succeeds any more */
	char features[PMD_DISK_WORD], error[PMD_DISK_NOTE], io_error[PMD_DISK_NOTE];
	uint64_t counts[PMD_DISK_COUNTS]; /* since the disk was added */
};

struct pmd_disks {
	struct pmd_disk disks[PMD_MAX_DISKS];
	unsigned int count;
};

/* STATUS and STATS of the same process. *out is all written, or of no use. -EBADMSG names the member. */
int pmd_disks_read(const json_t *status, const json_t *stats, struct pmd_disks *out, struct err *e);

/* NULL: there is none. */
const struct pmd_disk *pmd_disk_find(const struct pmd_disks *s, const char *name);

const char *pmd_disk_state_text(enum pmd_disk_state state);

#endif
