/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Images of disks: opened with the rights of whoever asks, known by device and inode whatever becomes of their names, and
 * locked for one VM (pmd-backends/block_file.h says which bytes and for how long).
 */
#ifndef VIADUCT_VF_MANAGER_VMIMAGE_H
#define VIADUCT_VF_MANAGER_VMIMAGE_H

#include "vf-manager/caller.h"
#include "vf-manager/vmspec.h"

/* Which it is. A block device by its number: nodes of it may be many. */
struct image_id {
	dev_t dev; /* of the file system, or the device's own */
	ino_t ino; /* 0: a block device */
};

static inline bool image_id_is(const struct image_id *a, const struct image_id *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

struct vm_image {
	int fd; /* -1: none */
	struct image_id id;
	uint64_t size; /* bytes */
	bool is_direct;
	bool has_no_direct; /* wanted, and the file system cannot */
	const char *format; /* whose first bytes it has; NULL: none's */
};

/*
 * As the caller: a regular file inside file_roots, without symbolic links, or a block device of block_devices. For reading and
 * writing unless the disk is read-only; a block device that is written, exclusively (nobody mounts it meanwhile). Codes:
 * "symlink", "image-kind" (no file and no device), "device-not-allowed", "device-busy".
 */
int vm_image_open(const struct caller *who, const struct config *config, const struct vm_disk *disk,
		  struct vm_image *out, struct err *e);

/* For whoever hands in a VM file: -EINVAL code "image-format" for qcow2 and its like, unless the disk says that it is raw. Never
 * asked when a VM that is defined starts: a guest writes what it likes, and its disk is served raw. */
int vm_image_format_check(const struct vm_disk *disk, const struct vm_image *image, struct err *e);

/* The owner's lock on this open file description: it lasts as long as that. -EAGAIN: another description has it;
 * -ETIMEDOUT: its storage does not answer. */
int vm_image_lock(int fd, bool readonly);

/* Would that lock be refused? Takes nothing. */
bool vm_image_is_locked(int fd, bool readonly);

/* What an fd is open on; -EINVAL: neither a regular file nor a block device. */
int image_id_read(int fd, struct image_id *out);

/* A handle (O_PATH) on that image, out of the descriptors of a process: `pid` is hostile, and only device and inode count.
 * -ENOENT: it has none. */
int image_find(pid_t pid, const struct image_id *id, int *fd_out);

/* A description of its own, with this process's rights, of what a handle names. Code "storage-hangs": not within seconds. */
struct image_open {
	bool is_readonly, is_direct;
};
int image_reopen(int handle, const struct image_id *id, const struct image_open *how, int *fd_out,
		 struct err *e);

#endif
