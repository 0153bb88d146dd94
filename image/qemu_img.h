/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu-img, locked in (helper.h), with what it is asked: never to guess a format, never another file than the one that
 * is open, and what it says is checked.
 */
#ifndef VIADUCT_IMAGE_QEMU_IMG_H
#define VIADUCT_IMAGE_QEMU_IMG_H

#include "image/image_format.h"

/* Of what takes long; each may be NULL. */
struct image_watch {
	void (*progress)(void *arg, const char *doing, unsigned int percent);
	bool (*is_cancelled)(void *arg);
	void *arg;
};

struct qemu_img {
	int in; /* the image */
	enum image_format format;
	struct image_watch watch;
	const char *doing; /* for its progress */
};

/* The size that a guest would see. All errors of image_facts_check(); "image-broken" for what qemu-img cannot read,
 * "no-qemu-img", "image-sandbox". */
int qemu_img_info(const struct qemu_img *q, uint64_t *virtual_bytes, struct err *e);

/* Are its tables whole? What is cut short would be read as zeroes. "image-broken". */
int qemu_img_check(const struct qemu_img *q, struct err *e);

/* All of it into `out`, which is empty and has `bytes`; zeroes become holes. "image-convert"; "image-no-space". */
int qemu_img_convert(const struct qemu_img *q, int out, uint64_t bytes, struct err *e);

/* -EIO code "image-differs" unless `out`, a raw image, holds the same. */
int qemu_img_compare(const struct qemu_img *q, int out, uint64_t bytes, struct err *e);

#endif
