// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/flash.h"

#include <errno.h>

static void array_show(struct flash *f, bool array)
{
	if (f->shows_array == array)
		return;
	f->shows_array = array;
	if (f->show != NULL)
		f->show(f->arg, array);
}

static uint64_t flash_read(void *owner, uint64_t off, unsigned int len)
{
	struct flash *f = owner;
	uint64_t value = 0;

	/* The array is a slot; it is read here only if KVM would not take that back. */
	for (unsigned int i = 0; i < len; i++)
		value |= (uint64_t)(f->shows_array ? f->image[off + i] : f->status) << 8 * i;
	return value;
}

static void byte_program(struct flash *f, uint64_t off, uint8_t value)
{
	pthread_mutex_lock(&f->lock);
	f->image[off] = value;
	f->dirty[off / FLASH_BLOCK] = true;
	pthread_mutex_unlock(&f->lock);
	f->changed = true;
	f->status |= FLASH_STATUS_READY;
}

static void block_erase(struct flash *f, uint64_t off)
{
	uint64_t block = off / FLASH_BLOCK;

	pthread_mutex_lock(&f->lock);
	memset(f->image + block * FLASH_BLOCK, 0xFF, FLASH_BLOCK);
	f->dirty[block] = true;
	pthread_mutex_unlock(&f->lock);
	f->changed = true;
	f->status |= FLASH_STATUS_READY;
	array_show(f, false);
}

static void command(struct flash *f, uint8_t value)
{
	switch (value) {
	case FLASH_PROGRAM:
	case FLASH_PROGRAM_ALT:
		f->state = FLASH_PROGRAM_DATA;
		return;
	case FLASH_ERASE:
		f->state = FLASH_ERASE_WAITS;
		return;
	case FLASH_READ_STATUS:
		array_show(f, false);
		return;
	case FLASH_CLEAR_STATUS:
		f->status = 0;
		array_show(f, true);
		return;
	default: /* FLASH_READ_ARRAY, and what this chip does not know */
		array_show(f, true);
		if (f->changed && f->settled != NULL)
			f->settled(f->arg);
		f->changed = false;
	}
}

static void byte_write(struct flash *f, uint64_t off, uint8_t value)
{
	enum flash_state state = f->state;

	f->state = FLASH_COMMAND;
	switch (state) {
	case FLASH_COMMAND:
		command(f, value);
		return;
	case FLASH_PROGRAM_DATA:
		byte_program(f, off, value);
		return;
	case FLASH_ERASE_WAITS:
		if (value == FLASH_ERASE_CONFIRM)
			block_erase(f, off);
		else
			command(f, FLASH_READ_ARRAY);
		return;
	}
}

/* The chip is one byte wide: a wider access is several. */
static void flash_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	for (unsigned int i = 0; i < len; i++)
		byte_write(owner, off + i, (uint8_t)(value >> 8 * i));
}

const struct io_ops flash_ops = { .read = flash_read, .write = flash_write };

int flash_init(struct flash *f, uint8_t *image, uint32_t size)
{
	if (size == 0 || size % FLASH_BLOCK != 0 || size / FLASH_BLOCK > FLASH_BLOCKS)
		return -EINVAL;
	*f = (struct flash){ .image = image, .size = size, .shows_array = true };
	return -pthread_mutex_init(&f->lock, NULL);
}

void flash_fini(struct flash *f)
{
	if (f->image != NULL)
		pthread_mutex_destroy(&f->lock);
	f->image = NULL;
}

void flash_reset(struct flash *f)
{
	f->state = FLASH_COMMAND;
	f->status = 0;
	command(f, FLASH_READ_ARRAY);
}

unsigned int flash_changes_take(struct flash *f, uint8_t *out, uint16_t *blocks)
{
	unsigned int n = 0;

	pthread_mutex_lock(&f->lock);
	for (uint16_t b = 0; b < f->size / FLASH_BLOCK; b++) {
		if (!f->dirty[b])
			continue;
		memcpy(out + (size_t)n * FLASH_BLOCK, f->image + (size_t)b * FLASH_BLOCK,
		       FLASH_BLOCK);
		blocks[n++] = b;
		f->dirty[b] = false;
	}
	pthread_mutex_unlock(&f->lock);
	return n;
}

void flash_changes_add(struct flash *f, const uint8_t *blocks, unsigned int count)
{
	pthread_mutex_lock(&f->lock);
	for (unsigned int i = 0; i < count; i++)
		f->dirty[get_le16(blocks + 2 * (size_t)i)] = true;
	pthread_mutex_unlock(&f->lock);
}

bool flash_is_changed(struct flash *f)
{
	bool is_changed = false;

	pthread_mutex_lock(&f->lock);
	for (unsigned int b = 0; b < f->size / FLASH_BLOCK; b++)
		is_changed = is_changed || f->dirty[b];
	pthread_mutex_unlock(&f->lock);
	return is_changed;
}
