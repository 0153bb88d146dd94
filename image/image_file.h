/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of images, opened by whoever asks, with his own rights and no others: one to read that is a regular file by a
 * path without symbolic links, and one to write that has no name before it is whole.
 */
#ifndef VIADUCT_IMAGE_IMAGE_FILE_H
#define VIADUCT_IMAGE_IMAGE_FILE_H

#include "base/err.h"

/* For reading. -ELOOP code "symlink", -EINVAL: no regular file. */
int image_open(const char *path, int *fd_out, struct err *e);

/* Has a VM, or another program that locks images as QEMU does, this one open? For reading and writing, or only reading; or has
 * its VM ended, and a write of the disk is still under way (pmd-backends/block_file.h). */
enum image_use { IMAGE_FREE, IMAGE_READ, IMAGE_WRITTEN, IMAGE_ENDING };
int image_use(int fd, enum image_use *out, struct err *e);

/* For reading, until fd is closed: no VM can begin to write to it. -EBUSY code "image-in-use": one does, or its last
 * write is not done. */
int image_hold(const char *path, int fd, struct err *e);

struct image_file {
	const char *path; /* borrowed */
	const char *name; /* in its folder; borrowed */
	char folder[4096];
	char temporary[64]; /* until it is whole; "": it has none, and goes with the last fd */
	int folder_fd, fd; /* -1: none */
	uint64_t free_bytes; /* of its file system, for this user */
};

/* Mode 0600. -EEXIST code "image-exists". */
int image_file_begin(struct image_file *f, const char *path, struct err *e);

/* Length, content and name are on the disk when it returns 0. -EEXIST if somebody else has taken the name. */
int image_file_publish(struct image_file *f, struct err *e);

/* What was not published goes without a trace. */
void image_file_end(struct image_file *f);

#endif
