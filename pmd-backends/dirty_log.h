/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log by which a VMM learns what of its guest's memory the backend has written, for a migration (Vhost-user protocol,
 * "Migration"): one bit for each page of 4096 bytes, from guest address 0 on, in a file of the VMM's.
 *
 * The VMM takes a bit away and then copies the page. So a page is marked when what was written to it is there, never
 * before: a mark that comes too early can be taken, and the page copied, before the write. And it is marked whether the bit
 * is there or not: one that was seen may be taken already.
 */
#ifndef VIADUCT_PMD_BACKENDS_DIRTY_LOG_H
#define VIADUCT_PMD_BACKENDS_DIRTY_LOG_H

#include "pmd-backends/guest_memory.h"

#define DIRTY_PAGE 4096U

/* All zero: there is none. May be moved while nobody marks. */
struct dirty_log {
	struct guest_memory memory; /* one region, at 0 */
};

/* `size` bytes at `offset` of fd, which stays the caller's; both have been checked (vhost_check.h). */
int dirty_log_map(struct dirty_log *l, int fd, uint64_t offset, uint64_t size, struct err *e);
void dirty_log_unmap(struct dirty_log *l); /* all zero is fine */

/* Has it a bit for each page of these bytes? */
bool dirty_log_covers(const struct dirty_log *l, uint64_t gpa, uint64_t len);

/* How far all of a guest's memory has been marked. */
struct dirty_fill {
	bool is_due;
	unsigned int region;
	uint64_t page; /* of the region, the next */
};

#define DIRTY_FILL_START ((struct dirty_fill){ .is_due = true })

/*
 * Marks a part of all of the guest's memory, as far as the log goes, and sets f->is_due to whether there is more. A part is
 * quick (256 KiB of the log): a log of terabytes is as many pages to be found as a small guest has.
 */
void dirty_log_fill(const struct dirty_log *l, const struct guest_memory *guest,
		    struct dirty_fill *f);

/* These bytes (at least one) have been written. Pages behind the log's end are left out. */
void dirty_log_mark(const struct dirty_log *l, uint64_t gpa, uint64_t len);

#endif
