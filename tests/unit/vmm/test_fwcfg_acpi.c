// SPDX-License-Identifier: BSD-3-Clause
/*
 * The ACPI files are linked here as OVMF does it: blobs placed, pointers added up, checksums made; then the tables are
 * followed from the RSDP. The root complex has what a firmware programmed.
 */
#include "fake_kvm.h"

#include "vmm/fwcfg_acpi.h"
#include "vmm/pci_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define TABLES_AT 0x7E000000ULL
#define RSDP_AT	  0xF5A00ULL

struct fixture {
	pthread_mutex_t lock;
	struct bus pio, mmio;
	struct irq_router *irq;
	struct pci_host *pci;
	struct gmem gm;
	struct fwcfg *fw;
	struct fwcfg_acpi acpi;
};

static int setup(void **state)
{
	static struct fixture f;
	struct pci_host_env env = { .pio = &f.pio,
				    .mmio = &f.mmio,
				    .mmio64_base = GIB(512),
				    .mmio64_size = GIB(128),
				    .low_ram_end = MIB(512) };

	memset(&f, 0, sizeof(f));
	pthread_mutex_init(&f.lock, NULL);
	assert_int_equal(bus_init(&f.pio, &f.lock), 0);
	assert_int_equal(bus_init(&f.mmio, &f.lock), 0);
	assert_int_equal(irq_router_create(3, &f.irq, NULL), 0);
	env.irq = f.irq;
	assert_int_equal(pci_host_create(&env, &f.pci, NULL), 0);
	assert_int_equal(pci_host_add_ports(f.pci, 2, NULL), 0);
	assert_int_equal(gmem_create(&f.gm, MIB(64), 0, 0, NULL), 0);
	assert_int_equal(fwcfg_create(&f.gm, &f.pio, &f.fw, NULL), 0);
	assert_int_equal(fwcfg_acpi_init(&f.acpi, f.pci, 3, f.fw), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fwcfg_destroy(f->fw);
	gmem_destroy(&f->gm);
	pci_host_destroy(f->pci);
	irq_router_destroy(f->irq);
	bus_fini(&f->mmio);
	bus_fini(&f->pio);
	pthread_mutex_destroy(&f->lock);
	return 0;
}

static void cfg_write(struct fixture *f, unsigned int devfn, unsigned int off, unsigned int len,
		      uint32_t value)
{
	struct pci_dev *dev = f->pci->root.devs[devfn];

	dev->ops->cfg_write(dev, off, len, value);
}

static void firmware_programs(struct fixture *f, uint32_t ecam, uint32_t mem, uint64_t pref)
{
	cfg_write(f, 0, MCH_PCIEXBAR, 4, 0);
	cfg_write(f, 0, MCH_PCIEXBAR, 4, ecam | 1);
	for (unsigned int i = 1; i <= 2; i++) {
		cfg_write(f, i << 3, PCI_BRIDGE_SECONDARY, 1, i);
		cfg_write(f, i << 3, PCI_BRIDGE_SUBORDINATE, 1, i);
		cfg_write(f, i << 3, PCI_BRIDGE_MEM_BASE, 2, (mem + i * MIB(2)) >> 16);
		cfg_write(f, i << 3, PCI_BRIDGE_MEM_LIMIT, 2, (mem + i * MIB(2) + MIB(1)) >> 16);
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_BASE, 2, (uint32_t)(pref >> 16) & 0xFFF0);
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_LIMIT, 2, (uint32_t)(pref >> 16) & 0xFFF0);
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_BASE_HI, 4, (uint32_t)(pref >> 32));
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_LIMIT_HI, 4, (uint32_t)(pref >> 32));
		pref += MIB(1);
	}
}

static uint8_t in(struct fixture *f, uint16_t port)
{
	uint8_t value;

	bus_read(&f->pio, 0, port, &value, 1);
	return value;
}

/* A file by its name, through the directory, as a guest reads it. */
static uint8_t *file_read(struct fixture *f, const char *name, uint32_t *size)
{
	uint8_t dir[4 + 8 * 64];
	uint16_t key = FWCFG_DIRECTORY;

	bus_write(&f->pio, 0, FWCFG_PORT, &key, 2);
	for (size_t i = 0; i < sizeof(dir); i++)
		dir[i] = in(f, FWCFG_PORT + 1);
	for (unsigned int i = 0; i < dir[3]; i++) {
		const uint8_t *p = dir + 4 + 64 * (size_t)i;
		uint8_t *data;

		if (strcmp((const char *)p + 8, name) != 0)
			continue;
		*size = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
		key = (uint16_t)(p[4] << 8 | p[5]);
		bus_write(&f->pio, 0, FWCFG_PORT, &key, 2);
		data = malloc(*size);
		for (uint32_t k = 0; k < *size; k++)
			data[k] = in(f, FWCFG_PORT + 1);
		return data;
	}
	fail_msg("no file %s", name);
	return NULL;
}

struct blobs {
	uint8_t *rsdp, *tables;
	uint32_t rsdp_size, tables_size;
	uint64_t rsdp_at, tables_at;
	unsigned int pointers, checksums;
};

static uint8_t *blob(struct blobs *b, const uint8_t *name, uint32_t *size, uint64_t *at)
{
	bool is_rsdp = strcmp((const char *)name, LOADER_RSDP) == 0;

	assert_true(is_rsdp || strcmp((const char *)name, LOADER_TABLES) == 0);
	*size = is_rsdp ? b->rsdp_size : b->tables_size;
	*at = is_rsdp ? b->rsdp_at : b->tables_at;
	assert_int_not_equal(*at, 0); /* allocated before it is used */
	return is_rsdp ? b->rsdp : b->tables;
}

static void entry_do(struct blobs *b, const uint8_t *p)
{
	uint32_t size, other_size, off, start, len;
	uint64_t at, other_at, value = 0;
	uint8_t *data, sum = 0;

	switch (get_le32(p)) {
	case LOADER_ALLOCATE:
		if (strcmp((const char *)p + 4, LOADER_RSDP) == 0)
			b->rsdp_at = RSDP_AT;
		else
			b->tables_at = TABLES_AT;
		assert_true(is_pow2(get_le32(p + 60)) && get_le32(p + 60) <= 4096);
		break;
	case LOADER_ADD_POINTER:
		data = blob(b, p + 4, &size, &at);
		(void)blob(b, p + 60, &other_size, &other_at);
		off = get_le32(p + 116);
		assert_true(range_fits(off, p[120], size));
		memcpy(&value, data + off, p[120]);
		assert_true(value < other_size);
		value += other_at;
		memcpy(data + off, &value, p[120]);
		b->pointers++;
		break;
	case LOADER_ADD_CHECKSUM:
		data = blob(b, p + 4, &size, &at);
		off = get_le32(p + 60);
		start = get_le32(p + 64);
		len = get_le32(p + 68);
		assert_true(range_fits(start, len, size) && off - start < len);
		for (uint32_t i = 0; i < len; i++)
			sum = (uint8_t)(sum + data[start + i]);
		data[off] = (uint8_t)(0 - sum);
		b->checksums++;
		break;
	default:
		assert_int_equal(get_le32(p), 0);
	}
}

static void link_all(struct fixture *f, struct blobs *b)
{
	uint32_t size;
	uint8_t *loader = file_read(f, LOADER_FILE, &size);

	*b = (struct blobs){ 0 };
	b->rsdp = file_read(f, LOADER_RSDP, &b->rsdp_size);
	b->tables = file_read(f, LOADER_TABLES, &b->tables_size);
	assert_int_equal(size % LOADER_ENTRY, 0);
	for (uint32_t i = 0; i < size; i += LOADER_ENTRY)
		entry_do(b, loader + i);
	free(loader);
}

static void blobs_free(struct blobs *b)
{
	free(b->rsdp);
	free(b->tables);
}

/* The table at an address that an ADD_POINTER made. */
static const uint8_t *table_at(const struct blobs *b, uint64_t gpa)
{
	const uint8_t *p;
	uint8_t sum = 0;

	assert_true(gpa >= TABLES_AT && gpa - TABLES_AT < b->tables_size - 36);
	p = b->tables + (gpa - TABLES_AT);
	for (uint32_t i = 0; i < get_le32(p + 4) && memcmp(p, "FACS", 4) != 0; i++)
		sum = (uint8_t)(sum + p[i]);
	assert_int_equal(sum, 0);
	return p;
}

static const uint8_t *table_find(const struct blobs *b, const char *sig)
{
	const uint8_t *xsdt = table_at(b, get_le64(b->rsdp + 24));
	uint8_t sum = 0;

	for (unsigned int i = 0; i < 36; i++)
		sum = (uint8_t)(sum + b->rsdp[i]);
	assert_int_equal(sum, 0);
	assert_memory_equal(b->rsdp, "RSD PTR ", 8);
	assert_memory_equal(xsdt, "XSDT", 4);
	for (uint32_t off = 36; off < get_le32(xsdt + 4); off += 8) {
		const uint8_t *p = table_at(b, get_le64(xsdt + off));

		if (memcmp(p, sig, 4) == 0)
			return p;
	}
	fail_msg("no %s", sig);
	return NULL;
}

static void tables_hang_together(void **state)
{
	struct fixture *f = *state;
	const uint8_t *fadt, *madt;
	struct blobs b;

	firmware_programs(f, 0xE0000000, 0x80000000, GIB(800));
	link_all(f, &b);
	fadt = table_find(&b, "FACP");
	assert_memory_equal(table_at(&b, get_le32(fadt + 36)), "FACS", 4);
	assert_memory_equal(table_at(&b, get_le32(fadt + 40)), "DSDT", 4);
	assert_int_equal(get_le64(fadt + 140), get_le32(fadt + 40));
	madt = table_find(&b, "APIC");
	assert_int_equal(get_le32(madt + 4), 44 + 3 * 8 + 12 + 20 + 6);
	assert_true(b.pointers >= 8 && b.checksums >= 6);
	blobs_free(&b);
}

/* Where ECAM is moves with the firmware, and after a reset another may come. */
static void ecam_is_where_the_firmware_put_it(void **state)
{
	struct fixture *f = *state;
	struct blobs b;

	firmware_programs(f, 0xE0000000, 0x80000000, GIB(800));
	link_all(f, &b);
	assert_int_equal(get_le64(table_find(&b, "MCFG") + 44), 0xE0000000);
	assert_int_equal(table_find(&b, "MCFG")[55], 2);
	blobs_free(&b);
	firmware_programs(f, 0xB0000000, 0xC0000000, GIB(800));
	link_all(f, &b); /* the guest's own doing now: what it was told stays */
	assert_int_equal(get_le64(table_find(&b, "MCFG") + 44), 0xE0000000);
	blobs_free(&b);
	pci_host_reset(f->pci);
	fwcfg_reset(f->fw);
	fwcfg_acpi_reset(&f->acpi);
	firmware_programs(f, 0xB0000000, 0xC0000000, GIB(800));
	link_all(f, &b);
	assert_int_equal(get_le64(table_find(&b, "MCFG") + 44), 0xB0000000);
	blobs_free(&b);
}

static void windows_are_what_the_firmware_uses(void **state)
{
	struct fixture *f = *state;
	struct pci_windows w;

	/* OVMF 2025.02: resources below ECAM, down to where memory becomes uncacheable. */
	firmware_programs(f, 0xE0000000, 0x80000000, GIB(800));
	pci_host_windows(f->pci, &w);
	assert_int_equal(w.mmio32_base, 0x80000000);
	assert_int_equal(w.mmio32_size, 0x60000000);
	assert_int_equal(w.mmio64_base, GIB(800));
	assert_int_equal(w.mmio64_size, GIB(8));
	/* OVMF 2022.11: above it. */
	firmware_programs(f, 0xB0000000, 0xC0000000, GIB(1000) + MIB(4));
	pci_host_windows(f->pci, &w);
	assert_int_equal(w.mmio32_base, 0xC0000000);
	assert_int_equal(w.mmio32_size, 0x3C000000);
	assert_int_equal(w.mmio64_base, GIB(1000));
	/* Nothing above 4 GiB: the room that the machine has anyway. */
	for (unsigned int i = 1; i <= 2; i++) {
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_BASE, 2, 0xFFF0);
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_LIMIT, 2, 0);
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_BASE_HI, 4, 0xFFFFFFFF);
		cfg_write(f, i << 3, PCI_BRIDGE_PREF_LIMIT_HI, 4, 0);
	}
	pci_host_windows(f->pci, &w);
	assert_int_equal(w.mmio64_base, GIB(512));
	assert_int_equal(w.mmio64_size, GIB(128));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tables_hang_together, setup, teardown),
		cmocka_unit_test_setup_teardown(ecam_is_where_the_firmware_put_it, setup, teardown),
		cmocka_unit_test_setup_teardown(windows_are_what_the_firmware_uses, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("vmm-fwcfg-acpi", tests, NULL, NULL);
}
