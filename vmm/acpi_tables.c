// SPDX-License-Identifier: BSD-3-Clause
/* The fixed-form tables (ACPI 6.4, 5.2) and how they hang together. */
#include "vmm/acpi.h"
#include "vmm/acpi_dsdt.h"
#include "vmm/chipset_pm.h"
#include "vmm/layout.h"

#include <errno.h>
#include <stdlib.h>

#define TABLE_ALIGN	64 /* what FACS needs; enough for all */
#define HEADER		36
#define HEADER_LENGTH	4
#define HEADER_CHECKSUM 9

#define RSDP_CHECKSUM	  8
#define RSDP_CHECKED	  20 /* bytes that the first checksum covers */
#define RSDP_XSDT	  24
#define RSDP_EXT_CHECKSUM 32

#define FACS_SIZE 64

/* FADT rev 6 */
#define FADT_SIZE	  276
#define FADT_FACS	  36
#define FADT_DSDT	  40
#define FADT_SCI	  46
#define FADT_PM1A_EVT	  56
#define FADT_PM1A_CNT	  64
#define FADT_PM_TMR	  76
#define FADT_GPE0	  80
#define FADT_PM1_EVT_LEN  88
#define FADT_PM1_CNT_LEN  89
#define FADT_PM_TMR_LEN	  91
#define FADT_GPE0_LEN	  92
#define FADT_C2_LATENCY	  96
#define FADT_C3_LATENCY	  98
#define FADT_CENTURY	  108
#define FADT_BOOT_ARCH	  109
#define FADT_FLAGS	  112
#define FADT_RESET_REG	  116
#define FADT_RESET_VALUE  128
#define FADT_MINOR	  131
#define FADT_X_DSDT	  140
#define FADT_X_PM1A_EVT	  148
#define FADT_X_PM1A_CNT	  172
#define FADT_X_PM_TMR	  208
#define FADT_X_GPE0	  220
#define FADT_C2_NONE	  101
#define FADT_C3_NONE	  1001
#define FADT_CENTURY_CMOS 0x32
#define FADT_BOOT_LEGACY  0x01 /* COM1 is there ... */
#define FADT_BOOT_NO_VGA  0x04 /* ... a keyboard controller (bit 1) and VGA are not */

/* WBINVD works, C1 everywhere, no sleep button, no RTC wake, 32-bit timer, reset register. Bit 4
 * stays 0: the power button is the one of PM1. */
#define FADT_FLAGS_VALUE 0x00000565
#define RESET_PORT	 0xCF9
#define RESET_VALUE	 0x06

#define MADT_PCAT	  1
#define MADT_APIC_ID_8BIT 255 /* from here on an x2APIC entry is needed */
#define MADT_LEVEL_HIGH	  0x000D
#define MADT_ALL_CPUS	  0xFF
#define GSI_TIMER	  2

#define GAS_IO 1

static uint8_t *tables_alloc(struct acpi_tables *t, uint32_t size, uint32_t *off)
{
	uint32_t at = (uint32_t)align_up(t->len, TABLE_ALIGN);

	if (!range_fits(at, size, t->cap))
		return NULL;
	t->len = at + size;
	*off = at;
	return t->data + at;
}

static void pointer_add(struct acpi_tables *t, uint32_t at, uint32_t size, uint32_t target)
{
	t->pointers[t->pointer_count++] = (struct acpi_pointer){ at, size, target };
}

static void checksum_add(struct acpi_tables *t, uint32_t at, uint32_t start, uint32_t len)
{
	t->checksums[t->checksum_count++] = (struct acpi_checksum){ at, start, len };
}

/* A table with the standard header. */
static uint8_t *table_add(struct acpi_tables *t, const char sig[4], uint8_t revision, uint32_t size,
			  uint32_t *off)
{
	uint8_t *p = tables_alloc(t, size, off);

	if (p == NULL)
		return NULL;
	memcpy(p, sig, 4);
	put_le32(p + HEADER_LENGTH, size);
	p[8] = revision;
	memcpy(p + 10, "VIADUC", 6);
	memcpy(p + 16, "VIADUCT ", 8);
	put_le32(p + 24, 1);
	memcpy(p + 28, "VIAD", 4);
	put_le32(p + 32, 1);
	checksum_add(t, *off + HEADER_CHECKSUM, *off, size);
	t->tables[t->table_count++] = *off;
	return p;
}

/* Generic address of an I/O port; access_size: 1, 2, 3 for 8, 16, 32 bits. */
static void gas_put(uint8_t *p, uint8_t bits, uint8_t access_size, uint64_t port)
{
	p[0] = GAS_IO;
	p[1] = bits;
	p[2] = 0;
	p[3] = access_size;
	put_le64(p + 4, port);
}

static int dsdt_add(struct acpi_tables *t, const struct acpi_config *cfg, uint32_t *off)
{
	size_t len;
	uint8_t *body = acpi_dsdt_body(cfg, &len);
	uint8_t *p = NULL;

	if (body == NULL)
		return -ENOMEM;
	if (len <= ACPI_TABLES_BYTES)
		p = table_add(t, "DSDT", 2, HEADER + (uint32_t)len, off);
	if (p != NULL)
		memcpy(p + HEADER, body, len);
	free(body);
	return p != NULL ? 0 : -ENOSPC;
}

static int facs_add(struct acpi_tables *t, uint32_t *off)
{
	uint8_t *p = tables_alloc(t, FACS_SIZE, off);

	if (p == NULL)
		return -ENOSPC;
	memcpy(p, "FACS", 4);
	put_le32(p + HEADER_LENGTH, FACS_SIZE);
	p[32] = 2; /* version */
	return 0;
}

static void fadt_registers(uint8_t *p)
{
	put_le32(p + FADT_PM1A_EVT, LAYOUT_PORT_PM + PM1_STS);
	put_le32(p + FADT_PM1A_CNT, LAYOUT_PORT_PM + PM1_CNT);
	put_le32(p + FADT_PM_TMR, LAYOUT_PORT_PM + PM_TMR);
	put_le32(p + FADT_GPE0, LAYOUT_PORT_PM + GPE0_STS);
	p[FADT_PM1_EVT_LEN] = 4;
	p[FADT_PM1_CNT_LEN] = 2;
	p[FADT_PM_TMR_LEN] = 4;
	p[FADT_GPE0_LEN] = 16;
	gas_put(p + FADT_RESET_REG, 8, 1, RESET_PORT);
	p[FADT_RESET_VALUE] = RESET_VALUE;
	gas_put(p + FADT_X_PM1A_EVT, 32, 2, LAYOUT_PORT_PM + PM1_STS);
	gas_put(p + FADT_X_PM1A_CNT, 16, 2, LAYOUT_PORT_PM + PM1_CNT);
	gas_put(p + FADT_X_PM_TMR, 32, 3, LAYOUT_PORT_PM + PM_TMR);
	gas_put(p + FADT_X_GPE0, 128, 1, LAYOUT_PORT_PM + GPE0_STS);
}

static int fadt_add(struct acpi_tables *t, uint32_t facs, uint32_t dsdt, uint32_t *off)
{
	uint8_t *p = table_add(t, "FACP", 6, FADT_SIZE, off);

	if (p == NULL)
		return -ENOSPC;
	put_le16(p + FADT_SCI, LAYOUT_IRQ_SCI);
	put_le16(p + FADT_C2_LATENCY, FADT_C2_NONE);
	put_le16(p + FADT_C3_LATENCY, FADT_C3_NONE);
	p[FADT_CENTURY] = FADT_CENTURY_CMOS;
	put_le16(p + FADT_BOOT_ARCH, FADT_BOOT_LEGACY | FADT_BOOT_NO_VGA);
	put_le32(p + FADT_FLAGS, FADT_FLAGS_VALUE);
	p[FADT_MINOR] = 4;
	fadt_registers(p);
	pointer_add(t, *off + FADT_FACS, 4, facs);
	pointer_add(t, *off + FADT_DSDT, 4, dsdt);
	pointer_add(t, *off + FADT_X_DSDT, 8, dsdt);
	return 0;
}

static uint8_t *madt_cpu_put(uint8_t *p, uint32_t id)
{
	if (id < MADT_APIC_ID_8BIT) {
		p[0] = 0;
		p[1] = 8;
		p[2] = p[3] = (uint8_t)id;
		put_le32(p + 4, 1); /* enabled */
		return p + 8;
	}
	p[0] = 9;
	p[1] = 16;
	put_le32(p + 4, id);
	put_le32(p + 8, 1);
	put_le32(p + 12, id);
	return p + 16;
}

static uint8_t *madt_override_put(uint8_t *p, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	p[0] = 2;
	p[1] = 10;
	p[3] = irq;
	put_le32(p + 4, gsi);
	put_le16(p + 8, flags);
	return p + 10;
}

static int madt_add(struct acpi_tables *t, unsigned int cpus, uint32_t *off)
{
	uint32_t wide = cpus > MADT_APIC_ID_8BIT ? cpus - MADT_APIC_ID_8BIT : 0;
	uint32_t size = HEADER + 8 + (cpus - wide) * 8 + wide * 16 + 12 + 2 * 10 + 6;
	uint8_t *p = table_add(t, "APIC", 5, size, off);

	if (p == NULL)
		return -ENOSPC;
	put_le32(p + HEADER, (uint32_t)LAYOUT_LAPIC);
	put_le32(p + HEADER + 4, MADT_PCAT);
	p += HEADER + 8;
	for (uint32_t id = 0; id < cpus; id++)
		p = madt_cpu_put(p, id);
	p[0] = 1; /* IOAPIC, id 0, from GSI 0 */
	p[1] = 12;
	put_le32(p + 4, (uint32_t)LAYOUT_IOAPIC);
	p = madt_override_put(p + 12, 0, GSI_TIMER, 0);
	p = madt_override_put(p, LAYOUT_IRQ_SCI, LAYOUT_IRQ_SCI, MADT_LEVEL_HIGH);
	p[0] = 4; /* NMI on LINT1 */
	p[1] = 6;
	p[2] = MADT_ALL_CPUS;
	p[5] = 1;
	return 0;
}

static int mcfg_add(struct acpi_tables *t, const struct acpi_config *cfg, uint32_t *off)
{
	uint8_t *p = table_add(t, "MCFG", 1, HEADER + 8 + 16, off);

	if (p == NULL)
		return -ENOSPC;
	put_le64(p + 44, cfg->ecam_base);
	p[55] = (uint8_t)u64_min(cfg->bus_last, (cfg->ecam_size >> 20) - 1);
	return 0;
}

/* Serial Port Console Redirection, revision 2: a 16550 at 115200 8N1. */
static int spcr_add(struct acpi_tables *t, uint32_t *off)
{
	uint8_t *p = table_add(t, "SPCR", 2, 80, off);

	if (p == NULL)
		return -ENOSPC;
	gas_put(p + 40, 8, 1, LAYOUT_PORT_COM1);
	p[52] = 0x03; /* by PIC and IOAPIC */
	p[53] = LAYOUT_IRQ_COM1;
	put_le32(p + 54, LAYOUT_IRQ_COM1);
	p[58] = 7; /* 115200 */
	p[60] = 1; /* stop bits */
	p[62] = 3; /* ANSI */
	put_le32(p + 64, 0xFFFFFFFF); /* no PCI device */
	return 0;
}

static int xsdt_add(struct acpi_tables *t, const uint32_t *targets, uint32_t count, uint32_t *off)
{
	if (table_add(t, "XSDT", 1, HEADER + 8 * count, off) == NULL)
		return -ENOSPC;
	for (uint32_t i = 0; i < count; i++)
		pointer_add(t, *off + HEADER + 8 * i, 8, targets[i]);
	return 0;
}

static void rsdp_fill(struct acpi_tables *t, uint32_t xsdt)
{
	uint8_t *p = t->data;

	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, "VIADUC", 6);
	p[15] = 2;
	put_le32(p + 20, ACPI_RSDP_SIZE);
	pointer_add(t, RSDP_XSDT, 8, xsdt);
	checksum_add(t, RSDP_CHECKSUM, 0, RSDP_CHECKED);
	checksum_add(t, RSDP_EXT_CHECKSUM, 0, ACPI_RSDP_SIZE);
}

static int tables_add(struct acpi_tables *t, const struct acpi_config *cfg)
{
	uint32_t rsdp, facs, dsdt, xsdt, listed[4], count = 0;
	int r;

	if (tables_alloc(t, ACPI_RSDP_SIZE, &rsdp) == NULL)
		return -ENOSPC;
	r = facs_add(t, &facs);
	if (r == 0)
		r = dsdt_add(t, cfg, &dsdt);
	if (r == 0)
		r = fadt_add(t, facs, dsdt, &listed[count++]);
	if (r == 0)
		r = madt_add(t, cfg->cpu_count, &listed[count++]);
	if (r == 0 && cfg->ecam_size != 0)
		r = mcfg_add(t, cfg, &listed[count++]);
	if (r == 0 && cfg->serial_console)
		r = spcr_add(t, &listed[count++]);
	if (r == 0)
		r = xsdt_add(t, listed, count, &xsdt);
	if (r == 0)
		rsdp_fill(t, xsdt);
	return r;
}

int acpi_tables_build(struct acpi_tables *t, const struct acpi_config *cfg, struct err *e)
{
	int r = -ENOMEM;

	*t = (struct acpi_tables){ .cap = ACPI_TABLES_BYTES };
	if (cfg->cpu_count == 0 || cfg->cpu_count > 4096)
		return err_set(e, EINVAL, "ACPI tables: %u vCPUs", cfg->cpu_count);
	if (cfg->bus_last > 255)
		return err_set(e, EINVAL, "ACPI tables: PCI bus %u", cfg->bus_last);
	t->data = calloc(1, t->cap);
	if (t->data != NULL)
		r = tables_add(t, cfg);
	if (r < 0) {
		acpi_tables_fini(t);
		return err_set(e, r, "ACPI tables: %s", strerror(-r));
	}
	return 0;
}

void acpi_tables_fini(struct acpi_tables *t)
{
	free(t->data);
	*t = (struct acpi_tables){ 0 };
}

void acpi_tables_place(struct acpi_tables *t, uint64_t gpa)
{
	for (uint32_t i = 0; i < t->pointer_count; i++) {
		const struct acpi_pointer *p = &t->pointers[i];

		if (p->size == 4)
			put_le32(t->data + p->at, (uint32_t)(gpa + p->target));
		else
			put_le64(t->data + p->at, gpa + p->target);
	}
	for (uint32_t i = 0; i < t->checksum_count; i++) {
		const struct acpi_checksum *c = &t->checksums[i];
		uint8_t sum = 0;

		t->data[c->at] = 0;
		for (uint32_t b = 0; b < c->len; b++)
			sum = (uint8_t)(sum + t->data[c->start + b]);
		t->data[c->at] = (uint8_t)(0 - sum);
	}
}
