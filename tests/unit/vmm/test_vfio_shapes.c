// SPDX-License-Identifier: BSD-3-Clause
/*
 * Functions of odd shapes: each row is a layout of BARs, MSI-X table and pending bits. For every byte of
 * every BAR the test knows whose it is: the device's, the table's, the pending bits', or nobody's.
 */
#include "tests/unit/vmm/vfio_cases.h"

#include "iommu/vfio_device.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>

#define PAGE	  4096U
#define MEM32	  0x0U
#define PREF32	  0x8U
#define MEM64	  0x4U
#define PREF64	  0xCU
#define PORTS	  0x1U
#define LOW	  0xD0000000ULL
#define HIGH	  0x4000000000ULL
#define MOVE_STEP 0x1000000ULL /* from one moved BAR to the next */

struct shape {
	const char *name;
	struct {
		uint32_t bytes, reg;
	} bar[6];
	uint32_t vectors, table, pba; /* as in the registers: offset with the BAR in the low bits */
	unsigned int sparse_bar; /* with areas below */
	struct vfio_area areas[FAKE_AREAS];
	bool no_mmap; /* of any BAR */
	unsigned int traps; /* ranges that leave the guest */
	const char *refused; /* instead of all that */
};

static const struct shape shapes[] = {
	{ "as on the 82576's VF",
	  { { 0x4000, PREF64 }, { 0 }, { 0 }, { 0x4000, PREF64 } },
	  3,
	  0x3,
	  0x2003,
	  .traps = 2 },
	{ "table and registers in one page, in the middle",
	  { { 0x4000, MEM64 } },
	  4,
	  0x1800,
	  0x3000,
	  .traps = 2 },
	{ "table, pending bits and registers in one page",
	  { { 0x4000, MEM32 } },
	  5,
	  0x1100,
	  0x1F00,
	  .traps = 1 },
	{ "pending bits right behind the table", { { 0x2000, MEM32 } }, 4, 0x0, 0x40, .traps = 1 },
	{ "pending bits before the table, table across a page's end",
	  { { 0x4000, MEM64 } },
	  32,
	  0x1F08,
	  0x1000,
	  .traps = 1 },
	{ "pending bits in a page with registers",
	  { { 0x4000, MEM32 } },
	  64,
	  0x0,
	  0x2010,
	  .traps = 2 },
	{ "pending bits in another BAR, small",
	  { { 0x4000, MEM32 }, { 0x10, MEM32 } },
	  64,
	  0x0,
	  0x1,
	  .traps = 2 },
	{ "table in a BAR of its own, exactly as large",
	  { { 0x2000, MEM32 }, { 0x1000, MEM32 }, { 0x100, MEM32 } },
	  256,
	  0x1,
	  0x2,
	  .traps = 2 },
	{ "table at its BAR's very end", { { 0x4000, PREF64 } }, 8, 0x3F80, 0x0, .traps = 2 },
	{ "table of 2048 vectors, not aligned",
	  { { 0x20000, PREF64 } },
	  2048,
	  0x7008,
	  0x18000,
	  .traps = 2 },
	{ "BARs of 16, 256 and 1024 bytes, with a gap",
	  { { 16, MEM32 }, { 256, PREF32 }, { 0 }, { 1024, MEM64 }, { 0 }, { 0x1000, MEM32 } },
	  2,
	  0x5,
	  0x805,
	  .traps = 4 },
	{ "table in a BAR smaller than a page",
	  { { 0x400, MEM32 }, { 0x2000, MEM32 } },
	  4,
	  0x100,
	  0x200,
	  .traps = 1 },
	{ "I/O ports beside memory, as on the 82574L",
	  { { 0x20000, MEM32 }, { 0x20000, MEM32 }, { 32, PORTS }, { 0x4000, MEM32 } },
	  5,
	  0x3,
	  0x2003,
	  .traps = 2 },
	{ "an NVMe controller", { { 0x4000, MEM64 } }, 57, 0x2000, 0x3000, .traps = 1 },
	{ "sparse areas",
	  { { 0x8000, PREF64 } },
	  3,
	  0x4000,
	  0x4800,
	  .sparse_bar = 0,
	  .areas = { { 0x1000, 0x2000 }, { 0x4000, 0x2000 }, { 0x7000, 0x1000 } },
	  .traps = 3 },
	{ "sparse areas that begin and end with the BAR",
	  { { 0x4000, MEM32 }, { 0x1000, MEM32 } },
	  3,
	  0x1,
	  0x801,
	  .areas = { { 0, 0x1000 }, { 0x3000, 0x1000 } },
	  .traps = 2 },
	{ "nothing can be mapped",
	  { { 0x4000, PREF64 }, { 0 }, { 0x1000, MEM32 } },
	  3,
	  0x0,
	  0x800,
	  .no_mmap = true,
	  .traps = 2 },
	{ "six BARs",
	  { { 0x1000, MEM32 },
	    { 0x2000, PREF32 },
	    { 0x1000, MEM32 },
	    { 0x80, MEM32 },
	    { 0x1000, PREF32 },
	    { 0x1000, MEM32 } },
	  1,
	  0x2,
	  0xFF8 | 4,
	  .traps = 3 },
	{ "table beyond its BAR's end",
	  { { 0x1000, MEM32 } },
	  8,
	  0xF88,
	  0x0,
	  .refused = "outside its BARs" },
	{ "pending bits beyond their BAR's end",
	  { { 0x1000, MEM32 } },
	  65,
	  0x0,
	  0xFF8,
	  .refused = "outside its BARs" },
	{ "table in BAR 6", { { 0x1000, MEM32 } }, 1, 0x6, 0x0, .refused = "outside its BARs" },
	{ "pending bits in BAR 7",
	  { { 0x1000, MEM32 } },
	  1,
	  0x0,
	  0x7,
	  .refused = "outside its BARs" },
	{ "table in the upper half of a 64-bit BAR",
	  { { 0x4000, MEM64 } },
	  1,
	  0x1,
	  0x0,
	  .refused = "outside its BARs" },
	{ "table in I/O ports",
	  { { 0x1000, MEM32 }, { 256, PORTS } },
	  1,
	  0x1,
	  0x0,
	  .refused = "outside its BARs" },
	{ "a 64-bit BAR without an upper half",
	  { { 0 }, { 0 }, { 0 }, { 0 }, { 0 }, { 0x1000, MEM64 } },
	  1,
	  0x5,
	  0x805,
	  .refused = "impossible size" },
	{ "a size that is no power of two",
	  { { 0x3000, MEM32 } },
	  1,
	  0x0,
	  0x800,
	  .refused = "impossible size" },
};

static void shape_load(const struct shape *s)
{
	fake_guest_init();
	for (unsigned int i = 0; i < 6; i++) {
		fake_bar_set(i, s->bar[i].bytes, s->bar[i].reg);
		fake_guest.no_mmap[i] = s->no_mmap;
	}
	memcpy(fake_guest.areas[s->sparse_bar], s->areas, sizeof(s->areas));
	while (s->areas[fake_guest.area_count[s->sparse_bar]].size != 0)
		fake_guest.area_count[s->sparse_bar]++;
	put_le16(&fake_guest.config[FAKE_MSIX + PCI_MSIX_FLAGS], (uint16_t)(s->vectors - 1));
	put_le32(&fake_guest.config[FAKE_MSIX + PCI_MSIX_TABLE], s->table);
	put_le32(&fake_guest.config[FAKE_MSIX + PCI_MSIX_PBA], s->pba);
	fake_guest.irq_count[VFIO_IRQ_MSIX] = s->vectors;
	fake_guest.host_vectors_left = s->vectors;
}

static bool is_shown(const struct shape *s, unsigned int bar)
{
	return s->bar[bar].bytes != 0 && s->bar[bar].reg != PORTS;
}

static bool is_64bit(const struct shape *s, unsigned int bar)
{
	return (s->bar[bar].reg & PCI_BASE_ADDRESS_MEM_TYPE_64) != 0;
}

static uint64_t guest_bytes(const struct shape *s, unsigned int bar)
{
	return u64_max(s->bar[bar].bytes, PAGE);
}

static uint64_t bar_at(const struct shape *s, unsigned int bar)
{
	uint64_t gpa = fake_cfg_read(PCI_BASE_ADDRESS_0 + 4 * bar, 4) & PCI_BASE_ADDRESS_MEM_MASK;

	if (is_64bit(s, bar))
		gpa |= (uint64_t)fake_cfg_read(PCI_BASE_ADDRESS_1 + 4 * bar, 4) << 32;
	return gpa & ~(uint64_t)0xF;
}

enum owner { DEVICE, TABLE, PENDING, NOBODY };

static bool lies_in(uint32_t reg, uint64_t bytes, unsigned int bar, uint64_t off)
{
	uint64_t at = reg & PCI_MSIX_TABLE_OFFSET;

	return (reg & PCI_MSIX_TABLE_BIR) == bar && off >= at && off - at < bytes;
}

static enum owner owner_of(const struct shape *s, unsigned int bar, uint64_t off)
{
	if (lies_in(s->table, 16ULL * s->vectors, bar, off))
		return TABLE;
	if (lies_in(s->pba, (s->vectors + 63) / 64 * 8, bar, off))
		return PENDING;
	return off < s->bar[bar].bytes ? DEVICE : NOBODY;
}

/* Whether the page holds table or pending bits, or cannot be mapped. */
static bool must_trap(const struct shape *s, unsigned int bar, uint64_t page)
{
	bool is_in_area = s->areas[0].size == 0 || s->sparse_bar != bar;

	for (unsigned int i = 0; i < FAKE_AREAS; i++)
		is_in_area |= s->sparse_bar == bar && page >= s->areas[i].offset &&
			      page - s->areas[i].offset < s->areas[i].size;
	if (!is_in_area || s->no_mmap || s->bar[bar].bytes < PAGE)
		return true;
	for (uint64_t off = page; off < page + PAGE; off += 4)
		if (owner_of(s, bar, off) == TABLE || owner_of(s, bar, off) == PENDING)
			return true;
	return false;
}

/* One dword that the guest writes and reads, and what the device then has. */
static void dword_check(const struct shape *s, unsigned int bar, uint64_t off, uint32_t value)
{
	uint64_t gpa = bar_at(s, bar) + off;
	uint32_t table_at = (uint32_t)(off - (s->table & PCI_MSIX_TABLE_OFFSET));

	fake_mem_write(gpa, value);
	switch (owner_of(s, bar, off)) {
	case DEVICE:
		assert_int_equal(fake_device_read(bar, off), value);
		assert_int_equal(fake_mem_read(gpa), value);
		return;
	case TABLE:
		assert_int_equal(fake_device_read(bar, off), 0);
		assert_int_equal(fake_mem_read(gpa), table_at % 16 == 12 ? value & 1 : value);
		return;
	case PENDING:
		assert_int_equal(fake_device_read(bar, off), 0);
		assert_int_equal(fake_mem_read(gpa), 0);
		return;
	case NOBODY:
		assert_int_equal(fake_mem_read(gpa), UINT32_MAX);
		return;
	}
}

static void bars_check(const struct shape *s, uint32_t seed)
{
	for (unsigned int bar = 0; bar < 6; bar++) {
		if (!is_shown(s, bar))
			continue;
		for (uint64_t off = 0; off < guest_bytes(s, bar); off += 4) {
			if (off % PAGE == 0)
				assert_int_equal(fake_is_mapped(bar_at(s, bar) + off),
						 !must_trap(s, bar, off));
			dword_check(s, bar, off, (uint32_t)off * 0x01010101U ^ bar << 28 ^ seed);
		}
	}
}

/* Accesses of every length around a border: the bytes on the device's side are the device's if the
 * access lies there whole; one across a border changes nothing and reads ones. */
static void border_check(const struct shape *s, unsigned int bar, uint64_t border)
{
	const uint64_t size = s->bar[bar].bytes;

	for (unsigned int len = 1; len <= 8; len *= 2) {
		for (uint64_t off = border > 8 ? border - 8 : 0; off < border + 8; off++) {
			uint8_t wrote[8], got[8] = { 0 };
			enum owner first = owner_of(s, bar, off);
			enum owner last = owner_of(s, bar, off + len - 1);

			if (!range_fits(off, len, size) || off / PAGE != (off + len - 1) / PAGE)
				continue;
			put_le64(wrote, off * 0x0102030405060708ULL + len);
			fake_mem_put(bar_at(s, bar) + off, wrote, len);
			fake_mem_get(bar_at(s, bar) + off, got, len);
			if (first == DEVICE && last == DEVICE)
				assert_memory_equal(got, wrote, len);
			else if (first != last)
				for (unsigned int i = 0; i < len; i++)
					assert_int_equal(got[i], 0xFF);
		}
	}
}

static void borders_check(const struct shape *s)
{
	const uint64_t table = s->table & PCI_MSIX_TABLE_OFFSET;
	const uint64_t pba = s->pba & PCI_MSIX_PBA_OFFSET;

	border_check(s, s->table & PCI_MSIX_TABLE_BIR, table);
	border_check(s, s->table & PCI_MSIX_TABLE_BIR, table + 16ULL * s->vectors);
	border_check(s, s->pba & PCI_MSIX_PBA_BIR, pba);
	border_check(s, s->pba & PCI_MSIX_PBA_BIR, pba + (s->vectors + 63) / 64 * 8);
}

/* All BARs elsewhere, those of 64 bits above or below 4 GiB, the halves in either order. */
static void bars_move(const struct shape *s, bool above, bool high_first)
{
	for (unsigned int bar = 0; bar < 6; bar++) {
		bool is_high = above && is_64bit(s, bar);
		uint64_t gpa = (is_high ? HIGH : LOW) + bar * MOVE_STEP;
		unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar;

		if (!is_shown(s, bar))
			continue;
		if (is_64bit(s, bar) && high_first)
			fake_cfg_write(at + 4, 4, (uint32_t)(gpa >> 32));
		fake_cfg_write(at, 4, (uint32_t)gpa);
		if (is_64bit(s, bar) && !high_first)
			fake_cfg_write(at + 4, 4, (uint32_t)(gpa >> 32));
		assert_int_equal(bar_at(s, bar), gpa);
	}
}

/* What a guest that sizes the BARs sees. */
static void sizes_check(const struct shape *s)
{
	for (unsigned int bar = 0; bar < 6; bar++) {
		unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar;
		uint32_t was = fake_cfg_read(at, 4), sized;

		if (bar > 0 && is_shown(s, bar - 1) && is_64bit(s, bar - 1))
			continue;
		fake_cfg_write(at, 4, UINT32_MAX);
		sized = fake_cfg_read(at, 4);
		fake_cfg_write(at, 4, was);
		if (!is_shown(s, bar))
			assert_int_equal(sized, 0);
		else
			assert_int_equal(sized, (uint32_t)-guest_bytes(s, bar) | s->bar[bar].reg);
	}
}

static void vectors_check(const struct shape *s)
{
	const uint64_t table =
		bar_at(s, s->table & PCI_MSIX_TABLE_BIR) + (s->table & PCI_MSIX_TABLE_OFFSET);
	const uint32_t last = s->vectors - 1;

	for (uint32_t i = 0; i < s->vectors; i++)
		fake_mem_write(table + 16 * i + 12, 1);
	fake_cfg_write(FAKE_MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fake_guest.irqfds, 0);
	fake_mem_write(table + 16 * last, 0xFEE01000);
	fake_mem_write(table + 16 * last + 4, 0);
	fake_mem_write(table + 16 * last + 12, 0);
	assert_int_equal(fake_guest.irqfds, 1);
	assert_true(fake_guest.trigger[VFIO_IRQ_MSIX][last] >= 0);
	/* Both kinds at once are undefined: the first one stays. */
	fake_cfg_write(FAKE_MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(fake_guest.enabled[VFIO_IRQ_MSI], 0);
	assert_int_equal(fake_guest.irqfds, 1);
	fake_cfg_write(FAKE_MSIX + PCI_MSIX_FLAGS, 2, 0);
	assert_int_equal(fake_guest.irqfds, 0);
}

/* What STATUS says traps is what does, and the accesses to registers there were counted. */
static void traps_check(const struct shape *s)
{
	json_t *status = vfio_set_status(fake_guest.set), *trap;
	const json_t *traps = json_object_get(json_array_get(status, 0), "traps");
	uint64_t bytes[6] = { 0 };
	size_t i;

	assert_int_equal(json_array_size(traps), s->traps);
	json_array_foreach((json_t *)traps, i, trap) {
		unsigned int bar = (unsigned int)json_integer_value(json_object_get(trap, "bar"));
		uint64_t size = (uint64_t)json_integer_value(json_object_get(trap, "size"));
		uint64_t off = (uint64_t)json_integer_value(json_object_get(trap, "offset"));
		bool has_register = false;

		for (uint64_t at = off; at < off + size; at += 4)
			has_register |= owner_of(s, bar, at) == DEVICE;
		for (uint64_t at = off; at < off + size; at += PAGE)
			assert_true(must_trap(s, bar, at));
		assert_true(!has_register ||
			    json_integer_value(json_object_get(trap, "accesses")) > 0);
		bytes[bar] += size;
	}
	for (unsigned int bar = 0; bar < 6; bar++)
		for (uint64_t at = 0; is_shown(s, bar) && at < guest_bytes(s, bar); at += PAGE)
			bytes[bar] -= must_trap(s, bar, at) ? PAGE : 0;
	for (unsigned int bar = 0; bar < 6; bar++)
		assert_int_equal(bytes[bar], 0);
	json_decref(status);
}

static void shape_check(const struct shape *s)
{
	start();
	sizes_check(s);
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	bars_check(s, 0);
	for (unsigned int i = 0; i < 4; i++) {
		bars_move(s, (i & 1) != 0, (i & 2) != 0);
		bars_check(s, 0x5A5A5A5AU + i);
	}
	borders_check(s);
	vectors_check(s);
	traps_check(s);
	fake_cfg_write(PCI_COMMAND, 2, 0);
	assert_int_equal(fake_slot_count(), 1);
}

static void every_shape_is_carried_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct err e = { 0 };

		printf("shape: %s\n", s->name);
		shape_load(s);
		if (s->refused == NULL) {
			shape_check(s);
		} else {
			assert_int_equal(fake_guest_start(true, &e), -EBADMSG);
			assert_non_null(strstr(e.text, s->refused));
		}
		fake_guest_stop();
		assert_int_equal(fake_guest.irqfds, 0);
		assert_int_equal(fake_guest.dma_maps, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_shape_is_carried_or_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
