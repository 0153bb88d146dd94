// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/vmm/vfio_cases.h"

#include "vmm/vfio_bars.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#define MEM PCI_COMMAND_MEMORY
#define LOW 0xD0000000U

static void bar_move(unsigned int bar, uint64_t gpa)
{
	fake_cfg_write(PCI_BASE_ADDRESS_0 + 4 * bar, 4, (uint32_t)gpa);
	fake_cfg_write(PCI_BASE_ADDRESS_0 + 4 * bar + 4, 4, (uint32_t)(gpa >> 32));
}

static void sizes_read_as_on_the_card(void **state)
{
	(void)state;
	start();
	fake_cfg_write(PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	fake_cfg_write(PCI_BASE_ADDRESS_1, 4, UINT32_MAX);
	assert_int_equal(fake_cfg_read(PCI_BASE_ADDRESS_0, 4), 0xFFFFC00C);
	assert_int_equal(fake_cfg_read(PCI_BASE_ADDRESS_1, 4), UINT32_MAX);
	fake_cfg_write(PCI_BASE_ADDRESS_2, 4, UINT32_MAX);
	assert_int_equal(fake_cfg_read(PCI_BASE_ADDRESS_2, 4), 0);
}

static void memory_enable_maps_and_unmaps(void **state)
{
	(void)state;
	uint64_t bar0;

	start();
	bar0 = fake_bar(0);
	assert_true(bar0 >= 0xC000000000);
	assert_int_equal(fake_mem_read(bar0), UINT32_MAX);
	fake_cfg_write(PCI_COMMAND, 2, MEM);
	/* RAM, all of BAR 0, BAR 3 without the pages of the MSI-X table and the pending bits. */
	assert_int_equal(fake_slot_count(), 4);
	fake_mem_write(bar0 + 0x40, 0xCAFE);
	assert_int_equal(fake_device_read(0, 0x40), 0xCAFE);
	fake_cfg_write(PCI_COMMAND, 2, 0);
	assert_int_equal(fake_slot_count(), 1);
	assert_int_equal(fake_mem_read(bar0 + 0x40), UINT32_MAX);
	fake_mem_write(bar0 + 0x40, 1);
	assert_int_equal(fake_device_read(0, 0x40), 0xCAFE);
}

static void table_page_is_trapped_and_the_rest_is_not(void **state)
{
	(void)state;
	uint64_t bar3;

	start();
	fake_cfg_write(PCI_COMMAND, 2, MEM);
	bar3 = fake_bar(3);
	fake_mem_write(bar3, 0xFEE00000);
	assert_int_equal(fake_device_read(3, 0), 0); /* the table is ours */
	assert_int_equal(fake_mem_read(bar3), 0xFEE00000);
	fake_mem_write(bar3 + 0x800, 0x77); /* same page, behind the table */
	assert_int_equal(fake_device_read(3, 0x800), 0x77);
	fake_mem_write(bar3 + 0x1000, 0x88); /* by a slot */
	assert_int_equal(fake_device_read(3, 0x1000), 0x88);
	for (int i = 0; i < FAKE_SLOTS; i++)
		assert_true(fake_guest.slots[i].size == 0 || fake_guest.slots[i].gpa != bar3);
}

static void moving_a_bar_in_use_leaves_nothing_behind(void **state)
{
	(void)state;
	uint64_t old;

	start();
	fake_cfg_write(PCI_COMMAND, 2, MEM);
	old = fake_bar(0);
	fake_mem_write(old, 0x11);
	bar_move(0, LOW);
	assert_int_equal(fake_slot_count(), 4);
	assert_int_equal(fake_mem_read(LOW), 0x11);
	assert_int_equal(fake_mem_read(old), UINT32_MAX);
}

static void overlapping_bars_are_harmless(void **state)
{
	(void)state;
	start();
	fake_cfg_write(PCI_COMMAND, 2, MEM);
	fake_mem_write(fake_bar(0), 0x11);
	bar_move(0, LOW);
	bar_move(3, LOW + 0x1000);
	/* The first one stays, the other decodes nothing until there is room. */
	assert_int_equal(fake_slot_count(), 2);
	assert_int_equal(fake_mem_read(LOW), 0x11);
	bar_move(0, LOW + 0x10000);
	assert_int_equal(fake_slot_count(), 4);
	assert_int_equal(fake_mem_read(LOW + 0x10000), 0x11);
}

static void bar_on_ram_or_nowhere_is_harmless(void **state)
{
	(void)state;
	static const uint64_t at[] = { 0, 0x100000, 0xFFFFFFFFFFFFC000, 0xE0000000, 0xFFFFC000 };

	start();
	fake_cfg_write(PCI_COMMAND, 2, MEM);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		bar_move(0, at[i]);
		assert_int_equal(fake_guest.slots[0].size, MIB(2));
	}
	bar_move(0, LOW);
	fake_mem_write(LOW, 5);
	assert_int_equal(fake_device_read(0, 0), 5);
}

static void small_bar_is_trapped_and_ends_in_ones(void **state)
{
	(void)state;
	fake_guest.region_bytes[0] = 0x100;
	start();
	fake_cfg_write(PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	assert_int_equal(fake_cfg_read(PCI_BASE_ADDRESS_0, 4), 0xFFFFF00C);
	bar_move(0, LOW);
	fake_cfg_write(PCI_COMMAND, 2, MEM);
	assert_int_equal(fake_slot_count(), 3);
	fake_mem_write(LOW + 0xFC, 9);
	assert_int_equal(fake_device_read(0, 0xFC), 9);
	assert_int_equal(fake_mem_read(LOW + 0x100), UINT32_MAX);
	fake_mem_write(LOW + 0x100, 9);
	assert_int_equal(fake_device_read(0, 0x100), 0);
}

static void port_bar_is_not_offered(void **state)
{
	(void)state;
	fake_guest.config[PCI_BASE_ADDRESS_2] = PCI_BASE_ADDRESS_SPACE_IO;
	fake_guest.region_bytes[2] = 0x20;
	start();
	fake_cfg_write(PCI_BASE_ADDRESS_2, 4, UINT32_MAX);
	assert_int_equal(fake_cfg_read(PCI_BASE_ADDRESS_2, 4), 0);
}

static void impossible_sizes_are_refused(void **state)
{
	(void)state;
	struct err e = { 0 };

	fake_guest.region_bytes[0] = 0x3000;
	assert_int_equal(fake_guest_start(true, &e), -EBADMSG);
}

static void without_slots_all_is_trapped(void **state)
{
	(void)state;
	start();
	for (uint32_t i = 0; i < FAKE_SLOTS; i++)
		fake_guest.kvm_slots.used[i] = true;
	bar_move(0, LOW);
	fake_cfg_write(PCI_COMMAND, 2, MEM);
	assert_int_equal(fake_slot_count(), 1);
	fake_mem_write(LOW + 8, 0x42);
	assert_int_equal(fake_mem_read(LOW + 8), 0x42);
	assert_int_equal(fake_device_read(0, 8), 0x42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sizes_read_as_on_the_card),
		CASE(memory_enable_maps_and_unmaps),
		CASE(table_page_is_trapped_and_the_rest_is_not),
		CASE(moving_a_bar_in_use_leaves_nothing_behind),
		CASE(overlapping_bars_are_harmless),
		CASE(bar_on_ram_or_nowhere_is_harmless),
		CASE(small_bar_is_trapped_and_ends_in_ones),
		CASE(port_bar_is_not_offered),
		CASE(impossible_sizes_are_refused),
		CASE(without_slots_all_is_trapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
