/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What format an image has, by its first bytes and its last sector, and whether it may be taken at all: an image
 * that names further files, or that is encrypted, is refused here, before any other program has seen it. Every byte
 * is hostile; nothing is read but what is given. Formats: QEMU's docs/interop/qcow2.txt, the VMDK 5.0 technical
 * note, MS-VHDX 2.2, the VHD specification 1.0, VirtualBox's VDI header.
 */
#ifndef VIADUCT_IMAGE_IMAGE_FORMAT_H
#define VIADUCT_IMAGE_IMAGE_FORMAT_H

#include "base/err.h"

enum image_format {
	IMAGE_RAW,
	IMAGE_QCOW2,
	IMAGE_VMDK,
	IMAGE_VHDX,
	IMAGE_VDI,
	IMAGE_VPC, /* VHD, the older of Microsoft's */
	IMAGE_FORMATS
};

/* As QEMU calls them. */
const char *image_format_word(enum image_format format);

/* -EINVAL. */
int image_format_parse(const char *word, enum image_format *out);

#define IMAGE_HEAD 1024 /* bytes that are looked at from the start */
#define IMAGE_TAIL 512 /* and of the end */

struct image_ends {
	uint8_t head[IMAGE_HEAD], tail[IMAGE_TAIL];
	size_t head_bytes, tail_bytes; /* as many as the file has */
	uint64_t file_bytes;
};

/* 0 or a negative errno; fd: a regular file. */
int image_ends_read(int fd, struct image_ends *out, struct err *e);

/* The format that the bytes tell of; IMAGE_RAW where they tell of none. -EOPNOTSUPP code "image-format": one that is not
 * taken (compressed archives, older formats), with what to do. */
int image_format_probe(const struct image_ends *ends, enum image_format *out, struct err *e);

/* May this image of that format be read? -EINVAL code "image-format": it is none of that format; "image-names-files",
 * "image-encrypted". What is raw is never looked at. */
int image_format_check(const struct image_ends *ends, enum image_format format, struct err *e);

/* The size that the guest would see, bytes; 0: the header does not say. */
uint64_t image_virtual_bytes(const struct image_ends *ends, enum image_format format);

#endif
