// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/fwcfg.h"

#include "base/fd.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define OFF_SELECTOR 0
#define OFF_DATA     1
#define OFF_DMA	     4

#define DMA_SIGNATURE "QEMU CFG" /* reads of the DMA address */
#define FEATURES      3 /* port and DMA */
#define CHUNK	      65536U

/* struct FWCfgFile and struct FWCfgDmaAccess of the specification: big-endian */
#define DIR_ENTRY   64
#define DIR_SIZE    0
#define DIR_KEY	    4
#define DIR_NAME    8
#define DMA_REQUEST 16

static_assert(DIR_NAME + FWCFG_NAME == DIR_ENTRY, "fw_cfg file entry");

struct fwcfg {
	const struct gmem *gm;
	struct bus *pio;
	struct io_region region;
	struct fwcfg_item items[FWCFG_ITEMS_MAX];
	void *copies[FWCFG_ITEMS_MAX];
	unsigned int count, copy_count;
	uint16_t next_key;
	uint8_t directory[4 + FWCFG_ITEMS_MAX * DIR_ENTRY];

	const struct fwcfg_item *item; /* selected; NULL: a key without an item */
	uint64_t offset; /* never above item->size */
	uint8_t dma_addr[8]; /* as written, big-endian */
	uint8_t chunk[CHUNK];
};

static const struct fwcfg_item *item_find(const struct fwcfg *fw, uint16_t key)
{
	for (unsigned int i = 0; i < fw->count; i++)
		if (fw->items[i].key == key)
			return &fw->items[i];
	return NULL;
}

static void item_select(struct fwcfg *fw, uint16_t key)
{
	fw->item = item_find(fw, key);
	fw->offset = 0;
	if (fw->item != NULL && fw->item->refresh != NULL)
		fw->item->refresh(fw->item->arg);
}

/* The file may have become shorter since it was measured: what is missing reads as zeros. */
static void file_read(const struct fwcfg_item *item, uint64_t off, uint8_t *out, size_t len)
{
	while (len > 0) {
		ssize_t n = pread(item->fd, out, len, (off_t)(item->fd_off + off));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			memset(out, 0, len);
			return;
		}
		out += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
}

/* The selected item's next bytes; zeros behind its end. */
static void item_read(struct fwcfg *fw, uint8_t *out, size_t len)
{
	uint64_t left = fw->item != NULL ? fw->item->size - fw->offset : 0;
	size_t n = (size_t)u64_min(left, len);

	if (n > 0 && fw->item->data != NULL)
		memcpy(out, fw->item->data + fw->offset, n);
	else if (n > 0)
		file_read(fw->item, fw->offset, out, n);
	memset(out + n, 0, len - n);
	fw->offset += n;
}

static bool dma_read(struct fwcfg *fw, uint64_t addr, uint32_t len)
{
	uint64_t left = fw->item != NULL ? fw->item->size - fw->offset : 0;

	if (len > left + FWCFG_SLACK)
		return false;
	while (len > 0) {
		uint32_t n = (uint32_t)u64_min(len, CHUNK);

		item_read(fw, fw->chunk, n);
		if (gmem_write(fw->gm, addr, fw->chunk, n) < 0)
			return false;
		addr += n; /* of RAM, so far from the end of 64 bits */
		len -= n;
	}
	return true;
}

static bool dma_do(struct fwcfg *fw, uint32_t control, uint64_t addr, uint32_t len)
{
	if ((control & FWCFG_DMA_SELECT) != 0)
		item_select(fw, (uint16_t)(control >> 16));
	if ((control & FWCFG_DMA_READ) != 0)
		return dma_read(fw, addr, len);
	if ((control & FWCFG_DMA_WRITE) != 0)
		return false;
	if ((control & FWCFG_DMA_SKIP) != 0 && fw->item != NULL)
		fw->offset += u64_min(len, fw->item->size - fw->offset);
	return true;
}

/* A request that is not in RAM cannot even be answered. */
static void dma_start(struct fwcfg *fw)
{
	uint8_t request[DMA_REQUEST], answer[4] = { 0 };
	uint64_t gpa, addr;
	uint32_t control, len;

	memcpy(&gpa, fw->dma_addr, sizeof(gpa));
	gpa = be64toh(gpa);
	memset(fw->dma_addr, 0, sizeof(fw->dma_addr));
	if (gmem_read(fw->gm, gpa, request, sizeof(request)) < 0)
		return;
	memcpy(&control, request, 4);
	memcpy(&len, request + 4, 4);
	memcpy(&addr, request + 8, 8);
	if (!dma_do(fw, be32toh(control), be64toh(addr), be32toh(len)))
		answer[3] = FWCFG_DMA_ERROR;
	(void)gmem_write(fw->gm, gpa, answer, sizeof(answer));
}

static uint64_t fwcfg_read(void *owner, uint64_t off, unsigned int len)
{
	struct fwcfg *fw = owner;
	uint8_t bytes[8] = { 0 };

	if (off == OFF_DATA && len == 1) {
		item_read(fw, bytes, 1);
		return bytes[0];
	}
	if (off < OFF_DMA)
		return UINT64_MAX;
	memcpy(bytes, &DMA_SIGNATURE[off - OFF_DMA], len);
	return get_le64(bytes);
}

static void fwcfg_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct fwcfg *fw = owner;
	uint8_t bytes[8];

	if (off == OFF_SELECTOR && len == 2)
		item_select(fw, (uint16_t)value);
	if (off < OFF_DMA)
		return;
	put_le64(bytes, value);
	memcpy(fw->dma_addr + (off - OFF_DMA), bytes, len);
	if (off + len == FWCFG_SIZE)
		dma_start(fw);
}

static const struct io_ops fwcfg_ops = { .read = fwcfg_read, .write = fwcfg_write };

static int standard_add(struct fwcfg *fw)
{
	const struct fwcfg_item directory = { .key = FWCFG_DIRECTORY,
					      .size = sizeof(fw->directory),
					      .data = fw->directory };
	int r = fwcfg_add_bytes(fw, FWCFG_SIGNATURE, "", "QEMU", 4);

	if (r == 0)
		r = fwcfg_add_le(fw, FWCFG_ID, 4, FEATURES);
	return r == 0 ? fwcfg_add(fw, &directory) : r;
}

int fwcfg_create(const struct gmem *gm, struct bus *pio, struct fwcfg **out, struct err *e)
{
	struct fwcfg *fw = calloc(1, sizeof(*fw));
	int r;

	if (fw == NULL)
		return err_set(e, ENOMEM, "fw_cfg: out of memory");
	fw->gm = gm;
	fw->pio = pio;
	fw->next_key = FWCFG_FILE_FIRST;
	r = standard_add(fw);
	fw->region = (struct io_region){ .name = "fw_cfg",
					 .base = FWCFG_PORT,
					 .size = FWCFG_SIZE,
					 .ops = &fwcfg_ops,
					 .owner = fw };
	if (r == 0)
		r = bus_add(pio, &fw->region);
	if (r < 0) {
		fw->region.size = 0;
		fwcfg_destroy(fw);
		return err_set(e, r, "fw_cfg: %s", strerror(-r));
	}
	*out = fw;
	return 0;
}

void fwcfg_destroy(struct fwcfg *fw)
{
	if (fw == NULL)
		return;
	if (fw->region.size != 0)
		bus_del(fw->pio, &fw->region);
	for (unsigned int i = 0; i < fw->copy_count; i++)
		free(fw->copies[i]);
	free(fw);
}

void fwcfg_reset(struct fwcfg *fw)
{
	fw->item = NULL;
	fw->offset = 0;
	memset(fw->dma_addr, 0, sizeof(fw->dma_addr));
}

static void directory_add(struct fwcfg *fw, const struct fwcfg_item *item)
{
	uint32_t count, size = htobe32(item->size);
	uint16_t key = htobe16(item->key);
	uint8_t *p;

	memcpy(&count, fw->directory, 4);
	count = be32toh(count);
	p = fw->directory + 4 + (size_t)count * DIR_ENTRY;
	memcpy(p + DIR_SIZE, &size, 4);
	memcpy(p + DIR_KEY, &key, 2);
	memcpy(p + DIR_NAME, item->name, FWCFG_NAME);
	count = htobe32(count + 1);
	memcpy(fw->directory, &count, 4);
}

int fwcfg_add(struct fwcfg *fw, const struct fwcfg_item *item)
{
	struct fwcfg_item *slot = &fw->items[fw->count];

	if (fw->count == FWCFG_ITEMS_MAX)
		return -ENOSPC;
	*slot = *item;
	fw->count++;
	if (item->name[0] == '\0')
		return 0;
	slot->key = fw->next_key++;
	directory_add(fw, slot);
	return 0;
}

int fwcfg_add_bytes(struct fwcfg *fw, uint16_t key, const char *name, const void *data, size_t len)
{
	struct fwcfg_item item = { .key = key, .size = (uint32_t)len, .fd = -1 };
	uint8_t *copy = malloc(len + 1); /* an empty one has an address, too */
	int r;

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, data, len);
	strncpy(item.name, name, sizeof(item.name) - 1);
	item.data = copy;
	r = fwcfg_add(fw, &item);
	if (r < 0)
		free(copy);
	else
		fw->copies[fw->copy_count++] = copy;
	return r;
}

int fwcfg_add_le(struct fwcfg *fw, uint16_t key, unsigned int len, uint64_t value)
{
	uint8_t bytes[8];

	put_le64(bytes, value);
	return fwcfg_add_bytes(fw, key, "", bytes, len);
}
