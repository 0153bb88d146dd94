/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Images made: by converting another that nobody vouches for, or from nothing. All or nothing; what is made is raw, of
 * mode 0600, and overwrites nothing.
 */
#ifndef VIADUCT_IMAGE_IMAGE_IMPORT_H
#define VIADUCT_IMAGE_IMAGE_IMPORT_H

#include "image/image_file.h"
#include "image/qemu_img.h"

#define IMAGE_SECTOR 512 /* sizes of disks are whole multiples */

struct image_wish {
	const char *from; /* "": from nothing, of `bytes` */
	const char *to;
	bool has_format;
	enum image_format format; /* what the operator says that it is */
	uint64_t bytes; /* that the disk shall have; 0: what the image says. Never less */
	bool verify; /* compare it with what it was made of */
	bool preallocate; /* all of its blocks are taken now */
	struct image_watch watch;
};

struct image_made {
	enum image_format format; /* that it had */
	uint64_t from_bytes; /* of the file given */
	uint64_t bytes, allocated; /* of the new one */
};

int image_import(const struct image_wish *wish, struct image_made *out, struct err *e);
int image_create(const struct image_wish *wish, struct image_made *out, struct err *e);

/* What there is to know of an image that is there. */
struct image_look {
	enum image_format format;
	uint64_t file_bytes, allocated, virtual_bytes; /* virtual_bytes 0: not known */
	enum image_use use;
	struct err unfit; /* why it would not be imported; errnum 0: it would */
};
int image_look(const char *path, struct image_look *out, struct err *e);

#endif
