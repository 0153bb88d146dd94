/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file behind a VM's variable flash, which no crash leaves half written. The image lies at its start, a journal
 * behind it:
 *
 *   0                     FLASH_IMAGE bytes, as the firmware package has them
 *   FLASH_IMAGE           journal: a block with magic, count, block numbers and a checksum ...
 *   FLASH_IMAGE + 4096    ... and the new contents of these blocks
 *
 * A commit writes the journal, waits for the disk, writes the image, waits for the disk, and voids the journal. What
 * is read back is therefore the flash between two commands of the guest: a state that a power cut could have left a
 * real chip in, which the firmware's own fault-tolerant writes (UEFI PI, volume 3, 3.5) are made for. A journal that
 * is whole is applied once more, one that is torn is ignored.
 */
#ifndef VIADUCT_VMM_FLASH_STORE_H
#define VIADUCT_VMM_FLASH_STORE_H

#include "vmm/flash.h"
#include "vmm/vmm_msg.h"

#define FLASH_IMAGE VMM_VARS_IMAGE

struct flash_store {
	int fd; /* borrowed */
	uint64_t sequence;
	uint8_t *journal; /* one block of head, then room for every block of the image */
	unsigned int count; /* blocks in it */
	bool is_logged; /* the journal is on the disk, the image is not yet: it must not be overwritten */
};

/* Reads the file into image (FLASH_IMAGE bytes), after it has finished what was cut off. -EINVAL if it
 * has another size or holds no variable store. */
int flash_store_open(struct flash_store *s, int fd, uint8_t *image, struct err *e);
void flash_store_close(struct flash_store *s); /* NULL-safe parts; commits nothing */

/* Puts on the disk what f has changed since the last call. On failure nothing is lost: the next call goes on where this
 * one stopped. 0 or -errno. */
int flash_store_commit(struct flash_store *s, struct flash *f);

#endif
