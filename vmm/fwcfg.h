/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fw_cfg: what the VMM tells the guest's firmware (QEMU's docs/specs/fw_cfg): numbered items, some of them named
 * files, read byte by byte at port 0x511 or by DMA into guest RAM. Nothing can be written. The guest chooses item,
 * offset, length and address; all are checked against the item and go through gmem.
 */
#ifndef VIADUCT_VMM_FWCFG_H
#define VIADUCT_VMM_FWCFG_H

#include "vmm/bus.h"
#include "vmm/gmem.h"

#define FWCFG_PORT 0x510
#define FWCFG_SIZE 12 /* selector, data, and the DMA address at + 4 */

/* Items without a name */
#define FWCFG_SIGNATURE	   0x00
#define FWCFG_ID	   0x01
#define FWCFG_UUID	   0x02
#define FWCFG_CPUS	   0x05
#define FWCFG_KERNEL_SIZE  0x08
#define FWCFG_INITRD_SIZE  0x0B
#define FWCFG_CPUS_MAX	   0x0F
#define FWCFG_KERNEL	   0x11
#define FWCFG_INITRD	   0x12
#define FWCFG_CMDLINE_SIZE 0x14
#define FWCFG_CMDLINE	   0x15
#define FWCFG_SETUP_SIZE   0x17
#define FWCFG_SETUP	   0x18
#define FWCFG_DIRECTORY	   0x19
#define FWCFG_FILE_FIRST   0x20

/* Control word of a DMA request */
#define FWCFG_DMA_ERROR	 0x01
#define FWCFG_DMA_READ	 0x02
#define FWCFG_DMA_SKIP	 0x04
#define FWCFG_DMA_SELECT 0x08
#define FWCFG_DMA_WRITE	 0x10

#define FWCFG_NAME	56
#define FWCFG_ITEMS_MAX 32
/* A read past an item's end gives zeros, so many at most: a longer one is an error. */
#define FWCFG_SLACK 4096U

struct fwcfg_item {
	uint16_t key;
	char name[FWCFG_NAME]; /* "": not in the directory */
	uint32_t size;
	const uint8_t *data; /* the bytes, borrowed; or NULL: */
	int fd; /* a file, borrowed, and where the item starts in it */
	uint64_t fd_off;
	void (*refresh)(void *arg); /* before it is read from its start; may be NULL */
	void *arg;
};

struct fwcfg;

/* Takes the ports. gm and pio are borrowed. */
int fwcfg_create(const struct gmem *gm, struct bus *pio, struct fwcfg **out, struct err *e);
void fwcfg_destroy(struct fwcfg *fw); /* NULL-safe */
void fwcfg_reset(struct fwcfg *fw);

/* A named item gets the next key of files, whatever it says; names come in the order of the directory. -ENOSPC. */
int fwcfg_add(struct fwcfg *fw, const struct fwcfg_item *item);

/* The same of bytes that are copied. */
int fwcfg_add_bytes(struct fwcfg *fw, uint16_t key, const char *name, const void *data, size_t len);
int fwcfg_add_le(struct fwcfg *fw, uint16_t key, unsigned int len, uint64_t value);

#endif
