/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that puts what the guest writes to its variable flash on the disk, so that no vCPU and no request waits
 * for a slow disk. It commits whenever the guest has finished a write and again until nothing is left; a disk that
 * refuses is asked again every few seconds, and what waits is told in STATUS.
 */
#ifndef VIADUCT_VMM_FLASH_WRITER_H
#define VIADUCT_VMM_FLASH_WRITER_H

#include "vmm/flash_store.h"

#define FLASH_RETRY_NS 5000000000ULL
#define FLASH_PAUSE_NS 100000000ULL /* between two commits: a guest may write without end */

struct flash_writer;

/* What STATUS says of it. */
struct flash_writer_facts {
	uint64_t commits; /* done */
	bool is_waiting; /* something is not on the disk yet */
	int error; /* of the last attempt, positive; 0: it went well */
};

/* flash and store are borrowed and are the thread's until flash_writer_destroy(). Returns when the thread has made
 * the system calls that only a new thread makes. */
int flash_writer_create(struct flash *flash, struct flash_store *store, struct flash_writer **out,
			struct err *e);

/* Writes what is left; a disk that refuses is asked once more and no longer. NULL-safe. */
void flash_writer_destroy(struct flash_writer *w);

/* The guest has finished a write. Any thread, never waits for the disk. */
void flash_writer_wake(struct flash_writer *w);

void flash_writer_facts(struct flash_writer *w, struct flash_writer_facts *out); /* any thread */

#endif
