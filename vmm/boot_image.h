/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside direct boot: what boot.c gives the loaders of each kernel format and what they share.
 */
#ifndef VIADUCT_VMM_BOOT_IMAGE_H
#define VIADUCT_VMM_BOOT_IMAGE_H

#include "vmm/boot.h"

#define BOOT_HEAD_BYTES	  4096
#define BOOT_MEM_RAM	  1U /* E820 types; PVH uses the same numbers */
#define BOOT_MEM_RESERVED 2U
#define BOOT_MEM_ACPI	  3U
#define BOOT_MEM_MAX	  8

struct boot_file {
	const char *what; /* "kernel" or "initrd", for errors */
	int fd;
	uint64_t size;
};

struct boot_mem {
	uint64_t start;
	uint64_t size;
	uint32_t type;
};

/* A kernel on its way into RAM. boot.c fills the upper part, the loader the lower. */
struct boot_image {
	const struct gmem *gm;
	struct boot_file kernel;
	uint8_t head[BOOT_HEAD_BYTES]; /* start of the file, zeros behind its end; read once */
	struct boot_mem map[BOOT_MEM_MAX];
	uint32_t map_count;
	uint64_t rsdp;
	uint64_t initrd_gpa, initrd_size; /* 0: none */

	uint64_t kernel_end; /* GPA: what the kernel needs before it knows its memory map */
	uint64_t initrd_limit; /* GPA: the initrd must end at or below it */
	uint64_t cmdline_max; /* characters the kernel takes */
	uint64_t entry;
};

/* One kernel format: load puts the file into RAM, params writes the structure that the kernel gets
 * (after the initrd has been placed) and returns its GPA through the entry. */
struct boot_format {
	const char *name;
	bool (*probe)(const struct boot_image *im);
	int (*load)(struct boot_image *im, struct err *e);
	int (*params)(const struct boot_image *im, struct boot_entry *out, struct err *e);
};

extern const struct boot_format boot_format_bzimage;
extern const struct boot_format boot_format_elf;

/* Reads exactly len bytes at off; an error names the file. */
int boot_file_read(const struct boot_file *file, uint64_t off, void *buf, uint64_t len,
		   struct err *e);
/* The same into RAM at gpa. */
int boot_file_load(const struct boot_image *im, uint64_t off, uint64_t gpa, uint64_t len,
		   struct err *e);

/* End of RAM below 4 GiB. */
uint64_t boot_low_end(const struct boot_image *im);

#endif
