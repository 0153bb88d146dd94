// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/flash_store.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(FLASH_IMAGE == FLASH_BLOCKS * FLASH_BLOCK, "OVMF_VARS_4M.fd");
static_assert(VMM_VARS_FILE == 2 * FLASH_IMAGE + FLASH_BLOCK, "image, head, journal");

/* Head of the journal */
#define HEAD_MAGIC    0x00
#define HEAD_SEQUENCE 0x10
#define HEAD_COUNT    0x18
#define HEAD_CHECKSUM 0x20 /* over all of head and blocks but itself */
#define HEAD_BLOCKS   0x40 /* 16 bits each */

static const uint8_t journal_magic[16] = "viaduct-vars-1\n";

/* Firmware volume header (UEFI PI, volume 3, 3.2.1.1) */
#define FV_GUID	     0x10
#define FV_LENGTH    0x20
#define FV_SIGNATURE 0x28
#define FV_SPARE     0x42000 /* where OVMF's 4M build keeps a copy while it rewrites the store */

/* EFI_SYSTEM_NV_DATA_FV_GUID: fff12b8d-7696-4c8b-a985-2747075b4f50 */
static const uint8_t nv_data_guid[16] = { 0x8D, 0x2B, 0xF1, 0xFF, 0x96, 0x76, 0x8B, 0x4C,
					  0xA9, 0x85, 0x27, 0x47, 0x07, 0x5B, 0x4F, 0x50 };

static bool volume_is_there(const uint8_t *p)
{
	return memcmp(p + FV_GUID, nv_data_guid, sizeof(nv_data_guid)) == 0 &&
	       memcmp(p + FV_SIGNATURE, "_FVH", 4) == 0 && get_le64(p + FV_LENGTH) == FLASH_IMAGE;
}

/* True if image (FLASH_IMAGE bytes) has a variable store, or the copy that the firmware makes before it rewrites it. */
static bool flash_store_is_vars(const uint8_t *image)
{
	return volume_is_there(image) || volume_is_there(image + FV_SPARE);
}

/* FNV-1a, 64 bits: against torn writes, not against forgers. */
static uint64_t checksum_add(uint64_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001B3ULL;
	return sum;
}

static uint64_t journal_checksum(const uint8_t *journal, unsigned int count)
{
	uint64_t sum = checksum_add(0xCBF29CE484222325ULL, journal, HEAD_CHECKSUM);

	return checksum_add(sum, journal + HEAD_CHECKSUM + 8,
			    FLASH_BLOCK - HEAD_CHECKSUM - 8 + (size_t)count * FLASH_BLOCK);
}

static size_t journal_len(unsigned int count)
{
	return FLASH_BLOCK + (size_t)count * FLASH_BLOCK;
}

static int disk_wait(int fd)
{
	int r;

	do {
		r = fdatasync(fd) < 0 ? -errno : 0;
	} while (r == -EINTR);
	return r;
}

/* The head is from the disk, so it may be anything: 0 if the journal is not whole. */
static unsigned int journal_count(const uint8_t *journal)
{
	uint64_t count = get_le64(journal + HEAD_COUNT);

	if (memcmp(journal + HEAD_MAGIC, journal_magic, sizeof(journal_magic)) != 0 || count == 0 ||
	    count > FLASH_BLOCKS)
		return 0;
	for (unsigned int i = 0; i < count; i++)
		if (get_le16(journal + HEAD_BLOCKS + 2 * (size_t)i) >= FLASH_BLOCKS)
			return 0;
	if (journal_checksum(journal, (unsigned int)count) != get_le64(journal + HEAD_CHECKSUM))
		return 0;
	return (unsigned int)count;
}

/* From the journal to the image. */
static int journal_apply(struct flash_store *s)
{
	static const uint8_t none[sizeof(journal_magic)] = { 0 };
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < s->count; i++)
		r = fd_pwrite_all(s->fd, s->journal + journal_len(i), FLASH_BLOCK,
				  (uint64_t)get_le16(s->journal + HEAD_BLOCKS + 2 * (size_t)i) *
					  FLASH_BLOCK);
	if (r == 0)
		r = disk_wait(s->fd);
	if (r < 0)
		return r;
	/* Only so that it does not meet an image that somebody puts there by hand: nothing depends on it. */
	(void)fd_pwrite_all(s->fd, none, sizeof(none), FLASH_IMAGE);
	s->count = 0;
	s->is_logged = false;
	return 0;
}

static int file_check(int fd, struct err *e)
{
	struct stat st;
	int r = fd_stat(fd, &st);

	if (r < 0)
		return err_set(e, r, "firmware variables: %s", strerror(-r));
	if ((uint64_t)st.st_size != VMM_VARS_FILE) {
		err_set(e, EINVAL, "firmware variables: the file has %llu bytes, not %llu",
			(unsigned long long)st.st_size, (unsigned long long)VMM_VARS_FILE);
		return err_code(e, "firmware-vars-broken");
	}
	return 0;
}

static int store_read(struct flash_store *s, uint8_t *image, struct err *e)
{
	int r = fd_pread_all(s->fd, s->journal, journal_len(FLASH_BLOCKS), FLASH_IMAGE);

	if (r == 0) {
		s->count = journal_count(s->journal);
		s->sequence = get_le64(s->journal + HEAD_SEQUENCE);
	}
	if (r == 0 && s->count != 0)
		r = journal_apply(s);
	if (r == 0)
		r = fd_pread_all(s->fd, image, FLASH_IMAGE, 0);
	if (r < 0)
		return err_set(e, r, "firmware variables: %s", strerror(-r));
	if (!flash_store_is_vars(image)) {
		err_set(e, EINVAL, "firmware variables: the file holds no variable store");
		return err_code(e, "firmware-vars-broken");
	}
	return 0;
}

int flash_store_open(struct flash_store *s, int fd, uint8_t *image, struct err *e)
{
	int r = file_check(fd, e);

	*s = (struct flash_store){ .fd = fd };
	if (r < 0)
		return r;
	s->journal = calloc(1, journal_len(FLASH_BLOCKS));
	if (s->journal == NULL)
		return err_set(e, ENOMEM, "firmware variables: out of memory");
	r = store_read(s, image, e);
	if (r < 0)
		flash_store_close(s);
	return r;
}

void flash_store_close(struct flash_store *s)
{
	free(s->journal);
	s->journal = NULL;
}

/* The next journal: what changed since, and what the last attempt took and did not get onto the disk. */
static void journal_fill(struct flash_store *s, struct flash *f)
{
	uint16_t blocks[FLASH_BLOCKS];

	if (s->count != 0)
		flash_changes_add(f, s->journal + HEAD_BLOCKS, s->count);
	s->count = flash_changes_take(f, s->journal + FLASH_BLOCK, blocks);
	memset(s->journal, 0, FLASH_BLOCK);
	memcpy(s->journal + HEAD_MAGIC, journal_magic, sizeof(journal_magic));
	put_le64(s->journal + HEAD_SEQUENCE, ++s->sequence);
	put_le64(s->journal + HEAD_COUNT, s->count);
	for (unsigned int i = 0; i < s->count; i++)
		put_le16(s->journal + HEAD_BLOCKS + 2 * (size_t)i, blocks[i]);
	put_le64(s->journal + HEAD_CHECKSUM, journal_checksum(s->journal, s->count));
}

int flash_store_commit(struct flash_store *s, struct flash *f)
{
	int r;

	if (s->is_logged) {
		r = journal_apply(s);
		if (r < 0)
			return r;
	}
	journal_fill(s, f);
	if (s->count == 0)
		return 0;
	r = fd_pwrite_all(s->fd, s->journal, journal_len(s->count), FLASH_IMAGE);
	if (r == 0)
		r = disk_wait(s->fd);
	if (r < 0)
		return r;
	s->is_logged = true;
	return journal_apply(s);
}
