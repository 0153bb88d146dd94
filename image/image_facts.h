/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `qemu-img info --output=json` says of an image, checked: the word of a program that has read hostile bytes. The
 * second look at what image_format.h looks at in the header, and the only one at what stands deeper in the file.
 */
#ifndef VIADUCT_IMAGE_IMAGE_FACTS_H
#define VIADUCT_IMAGE_IMAGE_FACTS_H

#include "image/image_format.h"

#include <jansson.h>

#define IMAGE_MAX_BYTES (1ULL << 46) /* 64 TiB; no file system here takes a larger file */

/* *virtual_bytes: what the guest would see. -EBADMSG for what is no such object; codes "image-names-files",
 * "image-encrypted", "image-broken", "image-too-large" (above IMAGE_MAX_BYTES). */
int image_facts_check(const json_t *info, enum image_format format, uint64_t *virtual_bytes,
		      struct err *e);

/* "    (12.34/100%)\r" of `qemu-img -p`: the last whole one in the text, in percent; -1: there is none. */
int image_progress_parse(const char *text, size_t len);

#endif
