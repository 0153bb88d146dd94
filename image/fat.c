// SPDX-License-Identifier: BSD-3-Clause
#include "image/fat.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* Layout, in sectors. */
#define SECTOR	       512U
#define SECTORS	       (FAT_BYTES / SECTOR)
#define OF_CLUSTER     4U
#define CLUSTER	       (OF_CLUSTER * SECTOR)
#define TABLE_AT       1U
#define TABLE_SECTORS  6U
#define TABLES	       2U
#define ROOT_AT	       (TABLE_AT + TABLES * TABLE_SECTORS)
#define ENTRY	       32U
#define ROOT_ENTRIES   64U
#define DATA_AT	       (ROOT_AT + ROOT_ENTRIES * ENTRY / SECTOR)
#define CLUSTERS       ((SECTORS - DATA_AT) / OF_CLUSTER)
#define FIRST_CLUSTER  2U
#define FAT12_CLUSTERS 4085U /* as many are FAT16 */
#define END_OF_CHAIN   0xfffU
#define MEDIA_FIXED    0xf8U
#define CHARS_OF_ENTRY 13U
#define DATE_1980      0x0021U /* the first day that there is: nobody asks when it was made */
#define SERIAL	       0x64636976U

#define ATTR_READ_ONLY 0x01U
#define ATTR_LABEL     0x08U
#define ATTR_LONG_NAME 0x0fU
#define LAST_OF_NAME   0x40U

static_assert(CLUSTERS < FAT12_CLUSTERS, "the number of clusters says which FAT it is");
static_assert(TABLE_SECTORS * SECTOR * 2 / 3 >= CLUSTERS + FIRST_CLUSTER, "an entry a cluster");
static_assert(1 + FAT_FILES * (1 + FAT_NAME / CHARS_OF_ENTRY) <= ROOT_ENTRIES, "all names fit");

static void padded(uint8_t *out, size_t len, const char *text)
{
	size_t n = strlen(text);

	memset(out, ' ', len);
	memcpy(out, text, n < len ? n : len);
}

/* 3.1 and 3.2 of it: the parameter block, then that of FAT12. */
static void boot_sector_write(uint8_t *s, const char *label)
{
	static const uint8_t jump[] = { 0xeb, 0x3c, 0x90 };

	memcpy(s, jump, sizeof(jump));
	padded(s + 3, 8, "VIADUCT");
	put_le16(s + 11, SECTOR);
	s[13] = OF_CLUSTER;
	put_le16(s + 14, TABLE_AT);
	s[16] = TABLES;
	put_le16(s + 17, ROOT_ENTRIES);
	put_le16(s + 19, SECTORS);
	s[21] = MEDIA_FIXED;
	put_le16(s + 22, TABLE_SECTORS);
	put_le16(s + 24, 32); /* sectors of a track and heads: somebody may divide by them */
	put_le16(s + 26, 2);
	s[36] = 0x80; /* a fixed disk */
	s[38] = 0x29; /* the three that follow are there */
	put_le32(s + 39, SERIAL);
	padded(s + 43, 11, label);
	padded(s + 54, 8, "FAT12");
	s[510] = 0x55;
	s[511] = 0xaa;
}

/* Two entries of 12 bits in three bytes, in both tables. */
static void table_set(uint8_t *image, uint32_t cluster, uint32_t value)
{
	for (uint32_t i = 0; i < TABLES; i++) {
		uint8_t *at = image + (TABLE_AT + i * TABLE_SECTORS) * SECTOR + cluster * 3 / 2;
		uint16_t pair = get_le16(at);

		pair = cluster % 2 == 0 ? (uint16_t)((pair & 0xf000U) | value)
					: (uint16_t)((pair & 0x000fU) | value << 4);
		put_le16(at, pair);
	}
}

/* 7.2: ties the entries of the long name to the short one. */
static uint8_t short_name_sum(const uint8_t name[11])
{
	unsigned int sum = 0;

	for (int i = 0; i < 11; i++)
		sum = (((sum & 1U) << 7 | sum >> 1) + name[i]) & 0xffU;
	return (uint8_t)sum;
}

/* What nobody looks at who knows long names; different for each file. */
static void short_name(uint8_t out[11], size_t index)
{
	char text[sizeof("FILE") + 20];

	snprintf(text, sizeof(text), "FILE%zu", index);
	padded(out, 11, text);
}

/* The n-th part of a long name, from 1; UTF-16, a 0 behind the end, then all ones. */
static void name_part_write(uint8_t *entry, const char *name, uint32_t n, const uint8_t sum)
{
	static const uint8_t at[CHARS_OF_ENTRY] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
	size_t len = strlen(name), from = (n - 1) * CHARS_OF_ENTRY;

	entry[0] = (uint8_t)(n | (len <= from + CHARS_OF_ENTRY ? LAST_OF_NAME : 0));
	entry[11] = ATTR_LONG_NAME;
	entry[13] = sum;
	for (size_t i = 0; i < CHARS_OF_ENTRY; i++)
		put_le16(entry + at[i], from + i < len	  ? (uint16_t)(unsigned char)name[from + i]
					: from + i == len ? 0
							  : 0xffff);
}

static void file_entry_write(uint8_t *entry, const uint8_t name[11], uint32_t cluster, size_t len)
{
	memcpy(entry, name, 11);
	entry[11] = ATTR_READ_ONLY;
	put_le16(entry + 16, DATE_1980);
	put_le16(entry + 18, DATE_1980);
	put_le16(entry + 24, DATE_1980);
	put_le16(entry + 26, (uint16_t)cluster);
	put_le32(entry + 28, (uint32_t)len);
}

/* Its data from that cluster on; returns the next that is free. */
static uint32_t data_write(uint8_t *image, uint32_t cluster, const struct fat_file *file)
{
	uint32_t n = (uint32_t)((file->len + CLUSTER - 1) / CLUSTER);

	if (n == 0)
		return cluster;
	memcpy(image + DATA_AT * SECTOR + (size_t)(cluster - FIRST_CLUSTER) * CLUSTER, file->data,
	       file->len);
	for (uint32_t i = 0; i < n; i++)
		table_set(image, cluster + i, i + 1 == n ? END_OF_CHAIN : cluster + i + 1);
	return cluster + n;
}

static int volume_check(const struct fat_volume *v, struct err *e)
{
	size_t clusters = 0;

	if (v->count > FAT_FILES)
		return err_set(e, EFBIG, "%zu files: %d at most", v->count, FAT_FILES);
	for (size_t i = 0; i < v->count; i++) {
		if (strlen(v->files[i].name) > FAT_NAME || v->files[i].len > FAT_BYTES)
			return err_set(e, EFBIG, "%.32s does not fit", v->files[i].name);
		clusters += (v->files[i].len + CLUSTER - 1) / CLUSTER;
	}
	return clusters <= CLUSTERS ? 0 : err_set(e, EFBIG, "the files do not fit");
}

int fat_make(const struct fat_volume *v, uint8_t *image, size_t *used, struct err *e)
{
	uint8_t *entry = image + ROOT_AT * SECTOR, name[11];
	uint32_t cluster = FIRST_CLUSTER;
	int r = volume_check(v, e);

	if (r < 0)
		return r;
	boot_sector_write(image, v->label);
	table_set(image, 0, 0xf00U | MEDIA_FIXED);
	table_set(image, 1, END_OF_CHAIN);
	padded(entry, 11, v->label);
	entry[11] = ATTR_LABEL;
	put_le16(entry + 24, DATE_1980);
	entry += ENTRY;
	for (size_t i = 0; i < v->count; i++) {
		const struct fat_file *file = &v->files[i];
		uint32_t parts =
			(uint32_t)((strlen(file->name) + CHARS_OF_ENTRY - 1) / CHARS_OF_ENTRY);

		short_name(name, i);
		for (uint32_t n = parts; n > 0; n--, entry += ENTRY)
			name_part_write(entry, file->name, n, short_name_sum(name));
		file_entry_write(entry, name, file->len > 0 ? cluster : 0, file->len);
		entry += ENTRY;
		cluster = data_write(image, cluster, file);
	}
	*used = DATA_AT * SECTOR + (size_t)(cluster - FIRST_CLUSTER) * CLUSTER;
	return 0;
}
