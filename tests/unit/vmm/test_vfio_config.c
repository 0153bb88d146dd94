// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/vmm/vfio_cases.h"

#include "vmm/vfio_config.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <unistd.h>

static uint32_t device_get(unsigned int off)
{
	uint8_t bytes[4] = { 0 };

	assert_int_equal(
		pread(fake_guest.memfd, bytes, 4, (off_t)((7U << FAKE_REGION_SHIFT) + off)), 4);
	return get_le32(bytes);
}

/* Finds an id in the guest's list of standard capabilities. */
static unsigned int cap_find(uint8_t id)
{
	unsigned int at = fake_cfg_read(PCI_CAPABILITY_LIST, 1);

	for (int step = 0; at != 0 && step < 48; step++) {
		if (fake_cfg_read(at, 1) == id)
			return at;
		at = fake_cfg_read(at + 1, 1);
	}
	return 0;
}

static bool ext_cap_is_listed(uint16_t id)
{
	uint32_t head = fake_cfg_read(0x100, 4);

	for (int step = 0; head != 0 && step < 100; step++) {
		if ((head & 0xFFFF) == id)
			return true;
		if (head >> 20 == 0)
			break;
		head = fake_cfg_read(head >> 20, 4);
	}
	return false;
}

static void header_is_the_functions_own(void **state)
{
	(void)state;
	start();
	assert_int_equal(fake_cfg_read(PCI_VENDOR_ID, 4), 0x10CA8086);
	assert_int_equal(fake_cfg_read(PCI_CLASS_REVISION, 4), 0x02000001);
	assert_int_equal(fake_cfg_read(PCI_SUBSYSTEM_VENDOR_ID, 4), 0x8086);
	fake_cfg_write(PCI_VENDOR_ID, 4, 0);
	assert_int_equal(fake_cfg_read(PCI_VENDOR_ID, 4), 0x10CA8086);
	assert_int_equal(fake_cfg_read(PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(fake_cfg_read(PCI_ROM_ADDRESS, 4), 0);
	fake_cfg_write(PCI_INTERRUPT_LINE, 1, 11);
	assert_int_equal(fake_cfg_read(PCI_INTERRUPT_LINE, 1), 11);
}

static void multifunction_bit_is_hidden(void **state)
{
	(void)state;
	fake_guest.config[PCI_HEADER_TYPE] = 0x80;
	start();
	assert_int_equal(fake_cfg_read(PCI_HEADER_TYPE, 1), 0);
}

static void known_capabilities_are_listed(void **state)
{
	(void)state;
	start();
	assert_int_equal(cap_find(PCI_CAP_ID_PM), FAKE_PM);
	assert_int_equal(cap_find(PCI_CAP_ID_MSI), FAKE_MSI);
	assert_int_equal(cap_find(PCI_CAP_ID_MSIX), FAKE_MSIX);
	assert_int_equal(cap_find(PCI_CAP_ID_EXP), FAKE_PCIE);
	assert_int_equal(fake_cfg_read(PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
}

static void unknown_capability_is_hidden(void **state)
{
	(void)state;
	fake_guest.config[FAKE_MSI] = PCI_CAP_ID_AF;
	start();
	assert_int_equal(cap_find(PCI_CAP_ID_AF), 0);
	assert_int_equal(cap_find(PCI_CAP_ID_MSIX), FAKE_MSIX);
	assert_int_equal(fake_cfg_read(FAKE_MSI, 4), 0);
}

static void sriov_and_its_like_are_hidden(void **state)
{
	(void)state;
	start();
	assert_true(ext_cap_is_listed(PCI_EXT_CAP_ID_DSN));
	assert_false(ext_cap_is_listed(PCI_EXT_CAP_ID_ERR));
	assert_false(ext_cap_is_listed(PCI_EXT_CAP_ID_ARI));
	assert_false(ext_cap_is_listed(PCI_EXT_CAP_ID_SRIOV));
	assert_int_equal(fake_cfg_read(0x1C0, 4), 0);
	assert_int_equal(fake_cfg_read(0x1A4, 4), 0xFF9FEFAA);
}

static void no_extended_capability_left_reads_zero(void **state)
{
	(void)state;
	put_le32(&fake_guest.config[0x1A0], 0x00010000 | PCI_EXT_CAP_ID_REBAR);
	start();
	assert_int_equal(fake_cfg_read(0x100, 4), 0);
}

static void looping_list_is_refused(void **state)
{
	(void)state;
	struct err e = { 0 };

	fake_guest.config[FAKE_PCIE + 1] = FAKE_PM;
	assert_int_equal(fake_guest_start(true, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "wan (0000:01:10.0)"));
}

static void looping_extended_list_is_refused(void **state)
{
	(void)state;
	struct err e = { 0 };

	put_le32(&fake_guest.config[0x1C0], 0x10010010);
	assert_int_equal(fake_guest_start(true, &e), -EBADMSG);
}

static void capability_past_the_end_is_refused(void **state)
{
	(void)state;
	struct err e = { 0 };

	fake_guest.config[FAKE_PCIE + 1] = 0xFC;
	fake_guest.config[0xFC] = PCI_CAP_ID_MSIX;
	assert_int_equal(fake_guest_start(true, &e), -EBADMSG);
}

static void function_that_is_gone_is_told(void **state)
{
	(void)state;
	struct err e = { 0 };

	memset(fake_guest.config, 0xFF, sizeof(fake_guest.config));
	assert_int_equal(fake_guest_start(true, &e), -ENODEV);
	assert_non_null(strstr(e.text, "does not answer"));
}

static void link_is_consistent_with_the_port(void **state)
{
	(void)state;
	start();
	assert_int_equal(fake_cfg_read(FAKE_PCIE + PCI_EXP_LNKSTA, 2), 0x0103);
	assert_int_equal(fake_cfg_read(FAKE_PCIE + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_TYPE, 0);
}

static void power_state_stays_here(void **state)
{
	(void)state;
	start();
	fake_cfg_write(FAKE_PM + PCI_PM_CTRL, 2, 3);
	assert_int_equal(fake_cfg_read(FAKE_PM + PCI_PM_CTRL, 2), 3 | PCI_PM_CTRL_NO_SOFT_RESET);
	assert_int_equal(device_get(FAKE_PM + PCI_PM_CTRL), 3); /* as it was on the card */
	assert_int_equal(fake_cfg_read(FAKE_PM + PCI_PM_PMC, 2), 3); /* no PME, no D1, no D2 */
}

static void device_control_is_the_devices(void **state)
{
	(void)state;
	start();
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, 0x2010);
	assert_int_equal(device_get(FAKE_PCIE + PCI_EXP_DEVCTL) & 0xFFFF, 0x2010);
	assert_int_equal(fake_cfg_read(FAKE_PCIE + PCI_EXP_DEVCTL, 2), 0x2010);
}

static void bus_mastering_is_forwarded_and_memory_stays_on(void **state)
{
	(void)state;
	start();
	assert_int_equal(device_get(PCI_COMMAND) & 0xFFFF, PCI_COMMAND_MEMORY);
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_IO);
	assert_int_equal(device_get(PCI_COMMAND) & 0xFFFF, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(fake_cfg_read(PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	fake_cfg_write(PCI_COMMAND, 2, 0);
	assert_int_equal(device_get(PCI_COMMAND) & 0xFFFF, PCI_COMMAND_MEMORY);
}

static void flr_resets_device_and_shadow(void **state)
{
	(void)state;
	start();
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(fake_slot_count(), 4);
	fake_guest.resets = 0;
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(fake_guest.resets, 1);
	assert_int_equal(fake_cfg_read(PCI_COMMAND, 2), 0);
	assert_int_equal(device_get(PCI_COMMAND) & 0xFFFF, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_cfg_read(PCI_BASE_ADDRESS_0, 4), 0xC);
	assert_int_equal(fake_slot_count(), 1);
	/* The bit reads 0, and other writes of the register reset nothing. */
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR >> 1);
	assert_int_equal(fake_guest.resets, 1);
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL + 1, 1, PCI_EXP_DEVCTL_BCR_FLR >> 8);
	assert_int_equal(fake_guest.resets, 2);
}

static uint16_t device_command(void)
{
	return (uint16_t)device_get(PCI_COMMAND);
}

/* Whatever the guest tries; and then what it asks for holds again. */
static void quarantine_keeps_bus_mastering_off(void **state)
{
	const uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct err e = { 0 };

	(void)state;
	start();
	fake_cfg_write(PCI_COMMAND, 2, on);
	assert_int_equal(device_command(), on);
	assert_int_equal(vfio_set_quarantine(fake_guest.set, "nosuch", true, &e), -ENOENT);
	assert_int_equal(vfio_set_quarantine(fake_guest.set, "wan", true, &e), 0);
	assert_int_equal(device_command(), PCI_COMMAND_MEMORY);
	fake_cfg_write(PCI_COMMAND, 2, on);
	fake_cfg_write(PCI_COMMAND, 1, on);
	assert_int_equal(device_command(), PCI_COMMAND_MEMORY);
	assert_int_equal(fake_cfg_read(PCI_COMMAND, 2), on);
	fake_cfg_write(FAKE_PM + PCI_PM_CTRL, 2, 3);
	fake_cfg_write(FAKE_PM + PCI_PM_CTRL, 2, 0);
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	fake_cfg_write(PCI_COMMAND, 2, on);
	assert_int_equal(device_command(), PCI_COMMAND_MEMORY);
	/* What is passed on else goes nowhere. */
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, 0x2010);
	assert_int_not_equal(device_get(FAKE_PCIE + PCI_EXP_DEVCTL) & 0xFFFF, 0x2010);
	assert_int_equal(vfio_set_quarantine(fake_guest.set, "wan", false, &e), 0);
	assert_int_equal(device_command(), on);
}

static void function_without_flr_ignores_the_bit(void **state)
{
	(void)state;
	put_le32(&fake_guest.config[FAKE_PCIE + PCI_EXP_DEVCAP], 0x8CC2);
	start();
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(fake_guest.resets, 0);
	assert_int_equal(device_get(FAKE_PCIE + PCI_EXP_DEVCTL) & PCI_EXP_DEVCTL_BCR_FLR, 0);
}

static void unowned_registers_read_zero(void **state)
{
	(void)state;
	fake_guest.config[0xE8] = 0x5A;
	start();
	assert_int_equal(fake_cfg_read(0xE8, 1), 0);
	fake_cfg_write(0xE8, 1, 1);
	assert_int_equal(device_get(0xE8), 0x5A);
}

static void vpd_can_be_read_not_written(void **state)
{
	(void)state;
	fake_guest.config[FAKE_MSI] = PCI_CAP_ID_VPD;
	start();
	fake_cfg_write(FAKE_MSI + PCI_VPD_DATA, 4, 0x12345678);
	fake_cfg_write(FAKE_MSI + PCI_VPD_ADDR, 2, PCI_VPD_ADDR_F | 0x10);
	assert_int_equal(device_get(FAKE_MSI) >> 16, 0x10);
	assert_int_equal(device_get(FAKE_MSI + PCI_VPD_DATA), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(header_is_the_functions_own),
		CASE(multifunction_bit_is_hidden),
		CASE(known_capabilities_are_listed),
		CASE(unknown_capability_is_hidden),
		CASE(sriov_and_its_like_are_hidden),
		CASE(no_extended_capability_left_reads_zero),
		CASE(looping_list_is_refused),
		CASE(looping_extended_list_is_refused),
		CASE(capability_past_the_end_is_refused),
		CASE(function_that_is_gone_is_told),
		CASE(link_is_consistent_with_the_port),
		CASE(power_state_stays_here),
		CASE(device_control_is_the_devices),
		CASE(bus_mastering_is_forwarded_and_memory_stays_on),
		CASE(quarantine_keeps_bus_mastering_off),
		CASE(flr_resets_device_and_shadow),
		CASE(function_without_flr_ignores_the_bit),
		CASE(unowned_registers_read_zero),
		CASE(vpd_can_be_read_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
