// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/fwcfg_acpi.h"

#include "base/log.h"

#include <assert.h>

/* Fields of an entry */
#define ALLOC_NAME	4
#define ALLOC_ALIGN	60
#define ALLOC_ZONE	64
#define POINTER_FILE	4
#define POINTER_TARGET	60
#define POINTER_OFFSET	116
#define POINTER_SIZE	120
#define CHECKSUM_NAME	4
#define CHECKSUM_RESULT 60
#define CHECKSUM_START	64
#define CHECKSUM_LEN	68

#define ZONE_HIGH 1
#define ZONE_FSEG 2 /* below 1 MiB, where the RSDP is looked for */

#define TABLES_ALIGN 64 /* what FACS needs */
#define RSDP_ALIGN   16

static_assert(POINTER_SIZE < LOADER_ENTRY, "an entry holds its fields");

static void name_put(uint8_t *p, const char *name)
{
	memcpy(p, name, strlen(name));
}

/* The RSDP is a file of its own: what lies below its end in the buffer is in that. */
static const char *file_of(uint32_t offset)
{
	return offset < ACPI_RSDP_SIZE ? LOADER_RSDP : LOADER_TABLES;
}

static uint8_t *allocate_put(uint8_t *p, const char *name, uint32_t align, uint8_t zone)
{
	put_le32(p, LOADER_ALLOCATE);
	name_put(p + ALLOC_NAME, name);
	put_le32(p + ALLOC_ALIGN, align);
	p[ALLOC_ZONE] = zone;
	return p + LOADER_ENTRY;
}

static uint8_t *pointer_put(uint8_t *p, const struct acpi_pointer *pointer)
{
	put_le32(p, LOADER_ADD_POINTER);
	name_put(p + POINTER_FILE, file_of(pointer->at));
	name_put(p + POINTER_TARGET, file_of(pointer->target));
	put_le32(p + POINTER_OFFSET, pointer->at);
	p[POINTER_SIZE] = (uint8_t)pointer->size;
	return p + LOADER_ENTRY;
}

static uint8_t *checksum_put(uint8_t *p, const struct acpi_checksum *checksum)
{
	put_le32(p, LOADER_ADD_CHECKSUM);
	name_put(p + CHECKSUM_NAME, file_of(checksum->at));
	put_le32(p + CHECKSUM_RESULT, checksum->at);
	put_le32(p + CHECKSUM_START, checksum->start);
	put_le32(p + CHECKSUM_LEN, checksum->len);
	return p + LOADER_ENTRY;
}

static void loader_make(uint8_t *p, const struct acpi_tables *t)
{
	p = allocate_put(p, LOADER_RSDP, RSDP_ALIGN, ZONE_FSEG);
	p = allocate_put(p, LOADER_TABLES, TABLES_ALIGN, ZONE_HIGH);
	for (uint32_t i = 0; i < t->pointer_count; i++)
		p = pointer_put(p, &t->pointers[i]);
	for (uint32_t i = 0; i < t->checksum_count; i++)
		p = checksum_put(p, &t->checksums[i]);
}

static void files_make(struct fwcfg_acpi *a)
{
	struct acpi_config cfg;
	struct acpi_tables t;
	struct err e = { 0 };

	memset(a->rsdp, 0, sizeof(a->rsdp));
	memset(a->tables, 0, sizeof(a->tables));
	memset(a->loader, 0, sizeof(a->loader));
	acpi_config_init(&cfg, a->pci, a->cpu_count);
	if (acpi_tables_build(&t, &cfg, &e) < 0) {
		log_err(&e, "the guest's firmware gets no ACPI tables");
		return;
	}
	/* The firmware adds its address to offsets, and sums up bytes among which the sum itself must be 0. */
	acpi_tables_place(&t, 0);
	for (uint32_t i = 0; i < t.checksum_count; i++)
		t.data[t.checksums[i].at] = 0;
	memcpy(a->rsdp, t.data, sizeof(a->rsdp));
	memcpy(a->tables, t.data, t.len);
	loader_make(a->loader, &t);
	acpi_tables_fini(&t);
}

static void refresh(void *arg)
{
	struct fwcfg_acpi *a = arg;

	if (!a->is_made)
		files_make(a);
	a->is_made = true;
}

int fwcfg_acpi_init(struct fwcfg_acpi *a, const struct pci_host *pci, unsigned int cpu_count,
		    struct fwcfg *fw)
{
	const struct fwcfg_item files[] = {
		{ .name = LOADER_RSDP, .size = sizeof(a->rsdp), .data = a->rsdp },
		{ .name = LOADER_TABLES, .size = sizeof(a->tables), .data = a->tables },
		{ .name = LOADER_FILE, .size = sizeof(a->loader), .data = a->loader },
	};
	int r = 0;

	a->pci = pci;
	a->cpu_count = cpu_count;
	a->is_made = false;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
		struct fwcfg_item item = files[i];

		item.refresh = refresh;
		item.arg = a;
		r = fwcfg_add(fw, &item);
	}
	return r;
}

void fwcfg_acpi_reset(struct fwcfg_acpi *a)
{
	a->is_made = false;
}
