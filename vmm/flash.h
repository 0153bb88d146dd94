/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's flash for firmware variables: a parallel NOR chip with the part of Intel's command set (CFI 0001) that
 * OVMF uses, one byte wide, erased in blocks of 4 KiB. While it is in array mode the guest reads it as a read-only
 * memory slot and only writes are trapped; after "read status" and an erase the slot is away until "read array".
 *
 * Contents are shared with flash_store's thread: every change is made, and every copy taken, under `lock`, so a copy
 * is what a real chip would hold if its power had been cut between two commands.
 */
#ifndef VIADUCT_VMM_FLASH_H
#define VIADUCT_VMM_FLASH_H

#include "vmm/bus.h"

#include <pthread.h>

#define FLASH_BLOCK  4096U
#define FLASH_BLOCKS 132U /* of the largest chip */

/* Commands and status bits (CFI publication 100; Intel StrataFlash, 9.0) */
#define FLASH_PROGRAM_ALT   0x10
#define FLASH_ERASE	    0x20
#define FLASH_PROGRAM	    0x40
#define FLASH_CLEAR_STATUS  0x50
#define FLASH_READ_STATUS   0x70
#define FLASH_ERASE_CONFIRM 0xD0
#define FLASH_READ_ARRAY    0xFF

#define FLASH_STATUS_READY 0x80

enum flash_state { FLASH_COMMAND, FLASH_PROGRAM_DATA, FLASH_ERASE_WAITS };

struct flash {
	pthread_mutex_t lock; /* guards image and dirty; innermost */
	uint8_t *image; /* borrowed; size bytes */
	uint32_t size; /* a multiple of FLASH_BLOCK */
	bool dirty[FLASH_BLOCKS];

	/* Machine's lock */
	enum flash_state state;
	uint8_t status;
	bool shows_array; /* else reads give the status */
	void (*show)(void *arg, bool array); /* the memory slot comes or goes; may be NULL */
	void (*settled)(
		void *arg); /* "read array" after a change: what the guest waited for is done; may be NULL */
	void *arg;
	bool changed; /* since settled() */
};

/* Owner: struct flash. Machine's lock held. */
extern const struct io_ops flash_ops;

/* In array mode, without telling show(). -EINVAL: no size for this chip. */
int flash_init(struct flash *f, uint8_t *image, uint32_t size);
void flash_fini(struct flash *f);

/* System reset: array mode, contents stay. Machine's lock held. */
void flash_reset(struct flash *f);

/* Copies the blocks that changed since the last call to out, one behind the other, and their numbers to blocks; how
 * many. Any thread. */
unsigned int flash_changes_take(struct flash *f, uint8_t *out, uint16_t *blocks);

/* These blocks (16-bit numbers, checked by the caller) count as changed again. Any thread. */
void flash_changes_add(struct flash *f, const uint8_t *blocks, unsigned int count);

bool flash_is_changed(struct flash *f); /* any thread */

#endif
