// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/vmm/vfio_cases.h"

#include "vmm/vfio_msix.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#define TRIGGER(i) fake_guest.trigger[VFIO_IRQ_MSIX][i]
#define ENABLED	   fake_guest.enabled[VFIO_IRQ_MSIX]
#define ADDR	   0xFEE01000U

static void control(uint16_t value)
{
	fake_cfg_write(FAKE_MSIX + PCI_MSIX_FLAGS, 2, value);
}

static uint64_t entry(unsigned int i)
{
	return fake_bar(3) + 16 * i;
}

static void entry_write(unsigned int i, uint32_t addr, uint32_t masked)
{
	fake_mem_write(entry(i), addr);
	fake_mem_write(entry(i) + 4, 0);
	fake_mem_write(entry(i) + 8, 0x4020 + i);
	fake_mem_write(entry(i) + 12, masked);
}

static void enable(void)
{
	start();
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	control(PCI_MSIX_FLAGS_ENABLE);
}

static void fire(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static uint64_t pending(void)
{
	return fake_mem_read(fake_bar(3) + 0x1000);
}

static void table_is_masked_at_reset(void **state)
{
	(void)state;
	start();
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	for (unsigned int i = 0; i < FAKE_VECTORS; i++) {
		assert_int_equal(fake_mem_read(entry(i)), 0);
		assert_int_equal(fake_mem_read(entry(i) + 12), 1);
	}
	fake_mem_write(entry(0) + 12, 0xFFFFFFFE);
	assert_int_equal(fake_mem_read(entry(0) + 12), 0);
}

static void vectors_cost_nothing_until_unmasked(void **state)
{
	(void)state;
	enable();
	assert_int_equal(ENABLED, 1); /* the device is in MSI-X mode */
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(TRIGGER(0), -1);
	entry_write(2, ADDR, 0);
	assert_int_equal(fake_guest.irqfds, 1);
	assert_true(TRIGGER(2) >= 0);
	assert_int_equal(TRIGGER(0), -1);
	assert_int_equal(fake_guest.routes, 1);
	assert_int_equal(fake_guest.last_route_addr, ADDR);
}

static void nothing_is_delivered_while_disabled(void **state)
{
	(void)state;
	start();
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	entry_write(0, ADDR, 0);
	assert_int_equal(ENABLED, 0);
	assert_int_equal(fake_guest.irqfds, 0);
	control(PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fake_guest.irqfds, 1);
	control(0);
	assert_int_equal(ENABLED, 0);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(TRIGGER(0), -1);
}

static void kernel_that_cannot_grow_is_set_up_anew(void **state)
{
	(void)state;
	fake_guest.msix_noresize = true;
	enable();
	entry_write(0, ADDR, 0);
	entry_write(1, ADDR, 0);
	assert_int_equal(ENABLED, 2);
	assert_true(TRIGGER(0) >= 0 && TRIGGER(1) >= 0 && TRIGGER(0) != TRIGGER(1));
	entry_write(2, ADDR, 0);
	assert_int_equal(ENABLED, 3);
	assert_int_equal(fake_guest.irqfds, 3);
}

static void host_short_of_vectors_keeps_what_works(void **state)
{
	(void)state;
	fake_guest.msix_noresize = true;
	fake_guest.host_vectors_left = 2;
	enable();
	entry_write(0, ADDR, 0);
	entry_write(1, ADDR, 0);
	entry_write(2, ADDR, 0);
	assert_int_equal(ENABLED, 2);
	assert_int_equal(fake_guest.irqfds, 2);
	assert_true(TRIGGER(0) >= 0 && TRIGGER(1) >= 0);
}

static void masked_vector_is_pending_until_unmasked(void **state)
{
	(void)state;
	/* The pending bits in the page of the table, where they are trapped. */
	put_le32(&fake_guest.config[FAKE_MSIX + PCI_MSIX_PBA], 0x00000803);
	enable();
	entry_write(1, ADDR, 0);
	fake_mem_write(entry(1) + 12, 1);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(fake_mem_read(fake_bar(3) + 0x800), 0);
	fire(TRIGGER(1));
	assert_int_equal(fake_mem_read(fake_bar(3) + 0x800), 2);
	fake_mem_write(fake_bar(3) + 0x800, UINT32_MAX); /* read-only */
	assert_int_equal(fake_mem_read(fake_bar(3) + 0x800), 2);
	fake_mem_write(entry(1) + 12, 0); /* KVM takes it over now */
	assert_int_equal(fake_guest.irqfds, 1);
	assert_int_equal(fake_mem_read(fake_bar(3) + 0x800), 0);
}

/* KVM injects what it finds in the eventfd and leaves it there: it must not come back. */
static void delivered_vector_is_not_pending_again(void **state)
{
	(void)state;
	put_le32(&fake_guest.config[FAKE_MSIX + PCI_MSIX_PBA], 0x00000803);
	enable();
	entry_write(1, ADDR, 0);
	fake_mem_write(entry(1) + 12, 1);
	fire(TRIGGER(1));
	fake_mem_write(entry(1) + 12, 0);
	fake_mem_write(entry(1) + 12, 1);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(fake_mem_read(fake_bar(3) + 0x800), 0);
}

/* GSIs are few, and a vector that gets none must not cost the process an fd either: without fds nobody
 * can connect to the VMM any more. */
static void vector_without_a_gsi_takes_no_fd(void **state)
{
	uint32_t gsi;
	int before, after;

	(void)state;
	enable();
	while (irq_msi_alloc(fake_guest.irq, &gsi) == 0)
		;
	before = dup(0);
	close(before);
	for (unsigned int i = 0; i < FAKE_VECTORS; i++)
		entry_write(i, ADDR, 0);
	after = dup(0);
	close(after);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(after, before);
}

/* The number that the next fd gets; none is free below the last one here. */
static int fd_next(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* Of a table of 2048, three are used, the last among them. */
static void a_large_table_costs_what_is_used(void **state)
{
	static const unsigned int used[] = { 0, 7, FAKE_VECTORS_MAX - 1 };

	(void)state;
	for (int noresize = 0; noresize < 2; noresize++) {
		int before, after;

		fake_guest_init();
		fake_guest.msix_noresize = noresize;
		fake_guest.host_vectors_left = FAKE_VECTORS_MAX;
		fake_guest.irq_count[VFIO_IRQ_MSIX] = FAKE_VECTORS_MAX;
		put_le16(&fake_guest.config[FAKE_MSIX + PCI_MSIX_FLAGS], FAKE_VECTORS_MAX - 1);
		put_le32(&fake_guest.config[FAKE_MSIX + PCI_MSIX_PBA], 0x00008003);
		fake_bar_set(3, 0x10000, 0xC);
		start();
		before = fd_next();
		fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		control(PCI_MSIX_FLAGS_ENABLE);
		for (unsigned int i = 0; i < FAKE_VECTORS_MAX; i++)
			fake_mem_write(entry(i) + 8, i); /* a driver fills the table, masked */
		assert_int_equal(fd_next(), before);
		assert_int_equal(ENABLED, 1);
		for (size_t i = 0; i < ARRAY_SIZE(used); i++)
			entry_write(used[i], ADDR, 0);
		after = fd_next();
		assert_int_equal(after - before, ARRAY_SIZE(used)); /* eventfds */
		assert_int_equal(fake_guest.irqfds, ARRAY_SIZE(used));
		assert_int_equal(fake_guest.routes, ARRAY_SIZE(used));
		/* A kernel that can add one by one; else the host needs all below the last one, too. */
		assert_int_equal(ENABLED, noresize ? FAKE_VECTORS_MAX : ARRAY_SIZE(used));
		assert_true(TRIGGER(FAKE_VECTORS_MAX - 1) >= 0 && TRIGGER(8) < 0);
		if (noresize == 0)
			fake_guest_stop();
	}
}

static void function_mask_holds_all(void **state)
{
	(void)state;
	enable();
	entry_write(0, ADDR, 0);
	entry_write(1, ADDR, 0);
	control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_true(TRIGGER(0) >= 0);
	control(PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fake_guest.irqfds, 2);
}

static void retarget_changes_the_route_only(void **state)
{
	(void)state;
	int fd;

	enable();
	entry_write(0, ADDR, 0);
	fd = TRIGGER(0);
	entry_write(0, ADDR + 0x1000, 0);
	assert_int_equal(fake_guest.last_route_addr, ADDR + 0x1000);
	assert_int_equal(fake_guest.routes, 1);
	assert_int_equal(fake_guest.irqfds, 1);
	assert_int_equal(TRIGGER(0), fd);
}

static void accesses_across_the_tables_end_are_harmless(void **state)
{
	(void)state;
	uint8_t bytes[8];

	enable();
	memset(bytes, 0x5A, sizeof(bytes));
	bus_write(&fake_guest.mmio, 0, entry(FAKE_VECTORS) - 4, bytes, 8);
	bus_read(&fake_guest.mmio, 0, entry(FAKE_VECTORS) - 4, bytes, 8);
	assert_int_equal(get_le32(bytes), UINT32_MAX);
	assert_int_equal(fake_mem_read(entry(FAKE_VECTORS - 1) + 12), 1);
	bus_read(&fake_guest.mmio, 0, entry(0) + 1, bytes, 2);
	assert_int_equal(get_le16(bytes), 0);
}

static void table_outside_its_bar_is_refused(void **state)
{
	(void)state;
	struct err e = { 0 };

	put_le32(&fake_guest.config[FAKE_MSIX + PCI_MSIX_TABLE], 0x00003FF3);
	assert_int_equal(fake_guest_start(true, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "MSI-X table"));
}

static void reset_takes_vectors_back(void **state)
{
	(void)state;
	enable();
	entry_write(0, ADDR, 0);
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(ENABLED, 0);
	assert_int_equal(fake_cfg_read(FAKE_MSIX + PCI_MSIX_FLAGS, 2), FAKE_VECTORS - 1);
}

static void msi_delivers_and_masks(void **state)
{
	(void)state;
	start();
	fake_cfg_write(FAKE_MSI + PCI_MSI_ADDRESS_LO, 4, ADDR);
	fake_cfg_write(FAKE_MSI + PCI_MSI_DATA_64, 2, 0x4041);
	fake_cfg_write(FAKE_MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(fake_guest.enabled[VFIO_IRQ_MSI], 1);
	assert_int_equal(fake_guest.irqfds, 1);
	assert_int_equal(fake_guest.last_route_addr, ADDR);
	fake_cfg_write(FAKE_MSI + PCI_MSI_MASK_64, 4, 1);
	assert_int_equal(fake_guest.irqfds, 0);
	fake_cfg_write(FAKE_MSI + PCI_MSI_MASK_64, 4, 0);
	assert_int_equal(fake_guest.irqfds, 1);
	fake_cfg_write(FAKE_MSI + PCI_MSI_FLAGS, 2, 0x0071); /* more vectors than there are */
	fake_cfg_write(FAKE_MSI + PCI_MSI_FLAGS, 2, 0);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(fake_guest.enabled[VFIO_IRQ_MSI], 0);
}

/* The device's own bits say nothing of vectors that only the guest has masked. */
static void pending_bits_in_a_page_of_their_own_are_the_guests(void **state)
{
	(void)state;
	put_le32(&fake_guest.config[FAKE_MSIX + PCI_MSIX_PBA], 0x00001003);
	enable();
	entry_write(1, ADDR, 0);
	fake_mem_write(entry(1) + 12, 1);
	fire(TRIGGER(1));
	assert_int_equal(pending(), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(table_is_masked_at_reset),
		CASE(vectors_cost_nothing_until_unmasked),
		CASE(nothing_is_delivered_while_disabled),
		CASE(kernel_that_cannot_grow_is_set_up_anew),
		CASE(host_short_of_vectors_keeps_what_works),
		CASE(masked_vector_is_pending_until_unmasked),
		CASE(delivered_vector_is_not_pending_again),
		CASE(vector_without_a_gsi_takes_no_fd),
		CASE(a_large_table_costs_what_is_used),
		CASE(function_mask_holds_all),
		CASE(retarget_changes_the_route_only),
		CASE(accesses_across_the_tables_end_are_harmless),
		CASE(table_outside_its_bar_is_refused),
		CASE(reset_takes_vectors_back),
		CASE(msi_delivers_and_masks),
		CASE(pending_bits_in_a_page_of_their_own_are_the_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
