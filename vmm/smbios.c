// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/smbios.h"

/* Entry point (DSP0134, 5.2.1) */
#define ANCHOR_CHECKSUM	    0x04
#define ANCHOR_LENGTH	    0x05
#define ANCHOR_MAJOR	    0x06
#define ANCHOR_MINOR	    0x07
#define ANCHOR_LARGEST	    0x08
#define ANCHOR_DMI	    0x10
#define ANCHOR_DMI_CHECKSUM 0x15
#define ANCHOR_TABLES_LEN   0x16
#define ANCHOR_COUNT	    0x1C
#define ANCHOR_BCD	    0x1E

#define KIB_32BIT 0x80000000ULL /* from here on sizes and addresses have fields of their own */

struct tables {
	uint8_t *data;
	size_t len;
	uint8_t *open; /* the structure whose strings are being added */
	unsigned int strings;
	uint16_t count, largest;
};

/* Formatted part of a structure of `len` bytes, zeros but for the header. Room is that of all structures below. */
static uint8_t *table_begin(struct tables *t, uint8_t type, uint8_t len)
{
	t->open = t->data + t->len;
	t->strings = 0;
	memset(t->open, 0, len);
	t->open[0] = type;
	t->open[1] = len;
	put_le16(t->open + 2, (uint16_t)(0x100 * type + t->count));
	t->len += len;
	return t->open;
}

/* The string's number, for the field that refers to it. */
static uint8_t string_add(struct tables *t, const char *text)
{
	size_t len = strnlen(text, 63);

	memcpy(t->data + t->len, text, len);
	t->data[t->len + len] = '\0';
	t->len += len + 1;
	return (uint8_t)++t->strings;
}

static void table_end(struct tables *t)
{
	if (t->strings == 0)
		t->data[t->len++] = '\0';
	t->data[t->len++] = '\0';
	t->count++;
	t->largest = (uint16_t)u64_max(t->largest, (uint64_t)(t->data + t->len - t->open));
}

/* Type 1; the first three fields of the UUID are little-endian (7.2.1). */
static void system_add(struct tables *t, const struct smbios_facts *f)
{
	uint8_t *p = table_begin(t, 1, 27);
	const uint8_t *u = f->uuid;
	const uint8_t head[8] = { u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6] };

	memcpy(p + 8, head, sizeof(head));
	memcpy(p + 16, u + 8, 8);
	p[24] = 6; /* woken by the power switch */
	p[4] = string_add(t, "viaduct");
	p[5] = string_add(t, "virtual machine");
	p[6] = string_add(t, VIADUCT_VERSION);
	p[7] = string_add(t, f->name);
	table_end(t);
}

static void chassis_add(struct tables *t)
{
	uint8_t *p = table_begin(t, 3, 22);

	p[5] = 1; /* other */
	memset(p + 9, 3, 3); /* states: safe */
	p[12] = 2; /* security: unknown */
	p[4] = string_add(t, "viaduct");
	table_end(t);
}

static void processors_add(struct tables *t, unsigned int cpus)
{
	uint8_t *p = table_begin(t, 4, 48);

	p[5] = 3; /* central processor */
	p[6] = 2; /* family: unknown */
	p[24] = 0x41; /* populated, enabled */
	p[25] = 1;
	memset(p + 26, 0xFF, 6); /* no cache structures */
	p[35] = p[36] = p[37] = (uint8_t)u64_min(cpus, 0xFF);
	put_le16(p + 38, 0x0004); /* 64-bit */
	put_le16(p + 40, 2);
	put_le16(p + 42, (uint16_t)cpus);
	put_le16(p + 44, (uint16_t)cpus);
	put_le16(p + 46, (uint16_t)cpus);
	p[4] = string_add(t, "CPU 0");
	p[7] = string_add(t, "viaduct");
	table_end(t);
}

static uint16_t memory_array_add(struct tables *t, uint64_t kib)
{
	uint8_t *p = table_begin(t, 16, 23);
	uint16_t handle = get_le16(p + 2);

	p[4] = 1; /* other */
	p[5] = 3; /* system memory */
	p[6] = 6; /* multi-bit ECC */
	put_le32(p + 7, kib < KIB_32BIT ? (uint32_t)kib : (uint32_t)KIB_32BIT);
	put_le16(p + 11, 0xFFFE); /* no errors to tell of */
	put_le16(p + 13, 1);
	if (kib >= KIB_32BIT)
		put_le64(p + 15, kib << 10);
	table_end(t);
	return handle;
}

static void memory_device_add(struct tables *t, uint16_t array, uint64_t mib)
{
	uint8_t *p = table_begin(t, 17, 40);

	put_le16(p + 4, array);
	put_le16(p + 6, 0xFFFE);
	put_le16(p + 8, 0xFFFF); /* widths: unknown */
	put_le16(p + 10, 0xFFFF);
	put_le16(p + 12, mib < 0x7FFF ? (uint16_t)mib : 0x7FFF);
	if (mib >= 0x7FFF)
		put_le32(p + 28, (uint32_t)mib);
	p[14] = 9; /* DIMM */
	p[18] = 7; /* RAM */
	put_le16(p + 19, 0x0002);
	p[16] = string_add(t, "DIMM 0");
	p[23] = string_add(t, "viaduct");
	table_end(t);
}

static void memory_range_add(struct tables *t, uint16_t array, uint64_t start_kib, uint64_t kib)
{
	uint64_t last = start_kib + kib - 1;
	uint8_t *p = table_begin(t, 19, 31);

	if (last < UINT32_MAX) {
		put_le32(p + 4, (uint32_t)start_kib);
		put_le32(p + 8, (uint32_t)last);
	} else {
		memset(p + 4, 0xFF, 8);
		put_le64(p + 15, start_kib << 10);
		put_le64(p + 23, ((last + 1) << 10) - 1);
	}
	put_le16(p + 12, array);
	p[14] = 1;
	table_end(t);
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return (uint8_t)(0 - sum);
}

static void anchor_make(const struct tables *t, uint8_t *p)
{
	memset(p, 0, SMBIOS_ANCHOR);
	memcpy(p, "_SM_", 4);
	p[ANCHOR_LENGTH] = SMBIOS_ANCHOR;
	p[ANCHOR_MAJOR] = 2;
	p[ANCHOR_MINOR] = 8;
	put_le16(p + ANCHOR_LARGEST, t->largest);
	memcpy(p + ANCHOR_DMI, "_DMI_", 5);
	put_le16(p + ANCHOR_TABLES_LEN, (uint16_t)t->len);
	put_le16(p + ANCHOR_COUNT, t->count);
	p[ANCHOR_BCD] = 0x28;
	p[ANCHOR_DMI_CHECKSUM] = checksum(p + ANCHOR_DMI, SMBIOS_ANCHOR - ANCHOR_DMI);
	p[ANCHOR_CHECKSUM] = checksum(p, SMBIOS_ANCHOR);
}

size_t smbios_make(const struct smbios_facts *f, uint8_t anchor[SMBIOS_ANCHOR],
		   uint8_t tables[SMBIOS_TABLES])
{
	struct tables t = { .data = tables };
	uint16_t array;

	system_add(&t, f);
	chassis_add(&t);
	processors_add(&t, f->cpu_count);
	array = memory_array_add(&t, f->memory >> 10);
	memory_device_add(&t, array, f->memory >> 20);
	memory_range_add(&t, array, 0, f->low_ram >> 10);
	if (f->memory > f->low_ram)
		memory_range_add(&t, array, f->high_start >> 10, (f->memory - f->low_ram) >> 10);
	table_begin(&t, 127, 4);
	table_end(&t);
	anchor_make(&t, anchor);
	return t.len;
}
