/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small FAT12 file system with a label and a few files in its root folder, made in memory and never read: enough for
 * what a guest reads once. Long names as they are (VFAT). Microsoft, FAT: General Overview of On-Disk Format, 1.03.
 */
#ifndef VIADUCT_IMAGE_FAT_H
#define VIADUCT_IMAGE_FAT_H

#include "base/err.h"

#define FAT_BYTES (4U << 20) /* of the whole file system */
#define FAT_FILES 8
#define FAT_NAME  26 /* characters of a name, in two entries beside its short one */

struct fat_file {
	const char *name; /* ASCII: letters, digits, '-', '.', '_' */
	const void *data;
	size_t len;
};

struct fat_volume {
	const char *label; /* up to 11 characters */
	const struct fat_file *files;
	size_t count;
};

/* Into `image`, FAT_BYTES that are all 0; *used: bytes up to the last that is not. -EFBIG: the files do not fit. */
int fat_make(const struct fat_volume *volume, uint8_t *image, size_t *used, struct err *e);

#endif
