/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The image of a disk: a regular file or a block device, opened by the daemon. What it can do is found out once.
 *
 * Two locks keep one image to one VM (fcntl(2), open file description locks, which do not end with a process that has the
 * description too, and go with its last user):
 *  - PMD_LOCK_OWNER and PMD_LOCK_OWNER_BYTES of the description that the daemon opens, locks and gives to viaduct-vmm, which has it as long
 *    as the VM runs. It outlives any backend and any daemon. The bytes include those by which QEMU locks images, so that neither takes
 *    the other's.
 *  - PMD_LOCK_BUSY of the description that each backend process gets for itself. The kernel holds it until the last
 *    I/O of a process that was killed has ended, so that no write of a dead backend's comes after its successor's.
 * A disk that is only read has both shared. By a third, shared on the same description, its VMM sees whose I/O has not ended:
 *  - PMD_LOCK_PROCESS + the backend's pid. What a dead reader has under way still lands in the guest's memory, which is not
 *    the guest's again, nor its successor's, before.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_FILE_H
#define VIADUCT_PMD_BACKENDS_BLOCK_FILE_H

#include "pmd-backends/pmd_msg.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct block_file {
	int fd; /* owned; -1: none */
	uint64_t size; /* bytes, whole sectors of 512 */
	uint32_t block_size; /* bytes: what reads and writes are whole multiples of */
	uint32_t align; /* of memory, bytes; 1: any */
	bool is_readonly, is_direct, is_device;
	bool can_discard; /* once block_file_probe() has looked */
	bool is_memory; /* of a file system in memory: nothing is waited for */
	bool always_waits; /* its file system knows no way to begin a read or write without waiting */
	dev_t device; /* with `inode`: which it is, whatever its name; inode 0: a block device */
	ino_t inode;
};

/* Takes *fd. -EINVAL: neither a file nor a block device, not to be written, of no whole sector. */
int block_file_take(struct block_file *f, int *fd, bool readonly, struct err *e);
void block_file_close(struct block_file *f); /* never taken (fd -1): fine */

/* -EAGAIN: another description has it. Had already: 0. */
int block_file_busy(const struct block_file *f);

/* Looks whether it can discard, which asks the file system to do it: with the lock of block_file_busy() only. */
void block_file_probe(struct block_file *f);

/* How large it is now, bytes. */
int block_file_size(const struct block_file *f, uint64_t *size, struct err *e);

bool block_file_is_same(const struct block_file *a, const struct block_file *b);

#endif
