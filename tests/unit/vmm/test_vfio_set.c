// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"
#include "tests/unit/vmm/vfio_cases.h"

#include "iommu/vfio_device.h"
#include "vmm/vfio.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <unistd.h>

static void event(enum vfio_irq irq)
{
	const uint64_t one = 1;

	assert_int_equal(write(fake_guest.trigger[irq][0], &one, sizeof(one)), sizeof(one));
	assert_int_equal(loop_step(fake_guest.loop, 0), 0);
}

static const json_t *member(const json_t *list, const char *key)
{
	return json_object_get(json_array_get(list, 0), key);
}

static void life_check(const char *end_order)
{
	start();
	/* KVM knows the group, or the device's file, before the VMM asks anything of the device; RAM is mapped meanwhile. */
	assert_true(strcmp(fake_guest.order, "AKMD") == 0 || strcmp(fake_guest.order, "AKDM") == 0);
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	memset(fake_guest.order, 0, sizeof(fake_guest.order));
	fake_guest_stop();
	/* The device is reset before its memory goes, and memory before the group. */
	assert_string_equal(fake_guest.order, end_order);
	assert_false(fake_guest.dma_hole);
	assert_int_equal(fake_guest.dma_maps, 0);
	assert_int_equal(fake_guest.groups, 0);
	assert_int_equal(fake_guest.ioas, 0);
	assert_int_equal(fake_slot_count(), 1); /* RAM is the machine's */
	fake_guest_init();
	start();
}

static void life_is_in_order(void **state)
{
	(void)state;
	life_check("RkUG");
}

static void life_is_in_order_over_iommufd(void **state)
{
	(void)state;
	fake_guest.over_iommufd = true;
	life_check("RkUGX");
}

static int guest_make(void *arg, struct err *e)
{
	int r;

	fake_guest_init();
	fake_guest.over_iommufd = arg != NULL;
	r = fake_guest_start(true, e);
	if (r < 0)
		fake_guest_stop();
	return r;
}

static void guest_end(void *arg)
{
	fake_guest_stop();
}

static void guest_is_gone(void *arg)
{
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(fake_guest.dma_maps, 0);
	assert_int_equal(fake_guest.groups, 0);
	assert_int_equal(fake_guest.ioas, 0);
}

static void every_failing_call_leaves_nothing(void **state)
{
	struct fault_sweep sweep = {
		.name = "a guest with a function",
		.create = guest_make,
		.destroy = guest_end,
		.after = guest_is_gone,
	};

	assert_true(fault_sweep(&sweep) > 20);
	sweep.name = "a guest with a function over iommufd";
	sweep.arg = &sweep;
	assert_true(fault_sweep(&sweep) > 20);
	fake_guest_init();
	start();
}

static void status_tells_what_the_guest_did(void **state)
{
	(void)state;
	json_t *list;

	start();
	list = vfio_set_status(fake_guest.set);
	assert_string_equal(json_string_value(member(list, "port")), "wan");
	assert_string_equal(json_string_value(member(list, "address")), "0000:01:10.0");
	assert_int_equal(json_integer_value(member(list, "group")), 26);
	assert_true(json_is_false(member(list, "driver_active")));
	json_decref(list);
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	fake_cfg_write(FAKE_MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_mem_write(fake_bar(3) + 12, 0);
	list = vfio_set_status(fake_guest.set);
	assert_true(json_is_true(member(list, "driver_active")));
	assert_int_equal(json_integer_value(member(list, "vectors_enabled")), 1);
	json_decref(list);
	fake_cfg_write(FAKE_PCIE + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	list = vfio_set_status(fake_guest.set);
	assert_int_equal(json_integer_value(member(list, "flr_count")), 1);
	assert_true(json_is_false(member(list, "driver_active")));
	json_decref(list);
}

static json_int_t trapped(const char *what, const char *kind)
{
	json_t *list = vfio_set_stats(fake_guest.set);
	const json_t *n = json_object_get(member(list, what), kind);
	json_int_t value = json_integer_value(n);

	assert_true(json_is_integer(n));
	json_decref(list);
	return value;
}

static void statistics_count_what_the_guest_trapped_into(void **state)
{
	json_int_t bar, config;

	(void)state;
	start();
	assert_int_equal(trapped("bar", "reads") + trapped("bar", "writes"), 0);
	config = trapped("config", "writes");
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(trapped("config", "writes"), config + 1);
	fake_cfg_read(PCI_VENDOR_ID, 4);
	assert_int_equal(trapped("config", "reads"), 1);
	fake_mem_write(fake_bar(3) + 12, 0);
	bar = trapped("bar", "writes");
	assert_int_equal(bar, 1);
	/* A reset takes the BARs away and the guest puts them back: the count goes on. */
	fake_cfg_write(PCI_COMMAND, 2, 0);
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_mem_write(fake_bar(3) + 12, 0);
	assert_int_equal(trapped("bar", "writes"), bar + 1);
}

static void pcie_error_ends_the_machine(void **state)
{
	(void)state;
	start();
	event(VFIO_IRQ_ERR);
	assert_true(fake_guest.ended);
	assert_false(fake_guest.ended_by_request);
	assert_non_null(strstr(fake_guest.end_text, "wan (0000:01:10.0)"));
	assert_non_null(strstr(fake_guest.end_text, "uncorrectable"));
}

/* The host's writer waits in the kernel: the function is out of the guest and given back at once. */
static void request_pulls_the_function(void **state)
{
	(void)state;
	json_t *list;

	for (int i = 0; i < 2; i++) {
		fake_guest.over_iommufd = i == 1;
		start();
		memset(fake_guest.order, 0, sizeof(fake_guest.order));
		event(VFIO_IRQ_REQ);
		assert_int_equal(fake_cfg_read(PCI_VENDOR_ID, 4), UINT32_MAX);
		while (strlen(fake_guest.order) < 4)
			assert_int_equal(loop_step(fake_guest.loop, 1000), 0);
		/* Reset, KVM forgets the group, nothing of this VM's memory is left in it, it is free. */
		assert_string_equal(fake_guest.order, "RkUG");
		if (i == 0) {
			fake_guest_stop();
			fake_guest_init();
		}
	}
	list = vfio_set_status(fake_guest.set);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	assert_int_equal(fake_guest.dma_maps, 0);
	assert_false(fake_guest.ended);
	fake_guest.order[0] = 0;
}

static void machine_reset_resets_the_function(void **state)
{
	(void)state;
	start();
	fake_cfg_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	fake_cfg_write(FAKE_MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_mem_write(fake_bar(3) + 12, 0);
	assert_int_equal(fake_guest.irqfds, 1);
	pci_host_reset(fake_guest.pci);
	assert_int_equal(fake_guest.resets, 1);
	assert_int_equal(fake_guest.irqfds, 0);
	assert_int_equal(fake_slot_count(), 1);
	assert_int_equal(pci_host_assign(fake_guest.pci, NULL), 0);
	assert_int_equal(fake_cfg_read(PCI_VENDOR_ID, 4), 0x10CA8086);
	assert_int_equal(fake_cfg_read(PCI_COMMAND, 2), 0);
}

static void legacy_interrupts_only_are_refused_by_name(void **state)
{
	(void)state;
	struct err e = { 0 };

	fake_guest.irq_count[VFIO_IRQ_MSI] = 0;
	fake_guest.irq_count[VFIO_IRQ_MSIX] = 0;
	fake_guest.irq_count[VFIO_IRQ_INTX] = 1;
	assert_int_equal(fake_guest_start(true, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "wan (0000:01:10.0)"));
	assert_non_null(strstr(e.text, "INTx"));
	assert_string_equal(e.code, "intx-only");
}

static void function_without_reset_is_refused(void **state)
{
	(void)state;
	struct err e = { 0 };

	fake_guest.no_reset = true;
	assert_int_equal(fake_guest_start(true, &e), -ENOTSUP);
	assert_string_equal(e.code, "no-reset");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(life_is_in_order),
		CASE(life_is_in_order_over_iommufd),
		CASE(every_failing_call_leaves_nothing),
		CASE(status_tells_what_the_guest_did),
		CASE(statistics_count_what_the_guest_trapped_into),
		CASE(pcie_error_ends_the_machine),
		CASE(request_pulls_the_function),
		CASE(machine_reset_resets_the_function),
		CASE(legacy_interrupts_only_are_refused_by_name),
		CASE(function_without_reset_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
