// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/bind.h"
#include "sriov/reset.h"

#include <errno.h>

#define VF "0000:01:10.0"

static const struct pci_addr vf = { .bus = 1, .dev = 0x10 };
static struct sysfs sys = { .root_fd = -1 };
static struct err err;

static int setup(void **state)
{
	tree_make();
	tree_fn(VF, 0x808610ca, 0x020000, 13);
	tree_driver("vfio-pci", NULL);
	tree_driver("igbvf", NULL);
	tree_driver("other", NULL);
	assert_int_equal(sysfs_open(&sys, tree.root, &err), 0);
	return 0;
}

static int teardown(void **state)
{
	sysfs_close(&sys);
	tree_remove();
	return 0;
}

static void driver_is(const char *name)
{
	char driver[DRIVER_NAME];

	assert_int_equal(fn_driver(&sys, &vf, driver), 0);
	assert_string_equal(driver, name);
}

static void bound_twice_and_back(void **state)
{
	for (int i = 0; i < 2; i++) {
		tree.write_count = 0;
		assert_int_equal(fn_bind_vfio(&sys, &vf, &err), 0);
		driver_is("vfio-pci");
		assert_string_equal(tree_writes(),
				    "driver_override=vfio-pci unbind=" VF " drivers_probe=" VF);
		tree.write_count = 0;
		assert_int_equal(fn_bind_vfio(&sys, &vf, &err), 0);
		assert_string_equal(tree_writes(), "");
		assert_int_equal(fn_unbind(&sys, &vf, &err), 0);
		driver_is("");
		assert_string_equal(tree_writes(), "driver_override=- unbind=" VF);
	}
}

static void taken_from_another_driver(void **state)
{
	tree_driver("igbvf", VF);
	assert_int_equal(fn_bind_vfio(&sys, &vf, &err), 0);
	driver_is("vfio-pci");
}

static void bound_by_someone_else_is_made_to_stay(void **state)
{
	tree_driver("vfio-pci", VF);
	assert_int_equal(fn_bind_vfio(&sys, &vf, &err), 0);
	assert_string_equal(tree_writes(), "driver_override=vfio-pci");
}

static void module_not_loaded(void **state)
{
	tree_delete("bus/pci/drivers/vfio-pci");
	assert_int_equal(fn_bind_vfio(&sys, &vf, &err), -ENODEV);
	assert_string_equal(err.code, "driver-not-loaded");
	assert_string_equal(err.hint, "modprobe vfio-pci");
	assert_string_equal(tree_writes(), "");
}

static void probe_that_binds_nothing_is_seen(void **state)
{
	tree.probe_refuses = true;
	assert_int_equal(fn_bind_vfio(&sys, &vf, &err), -EBUSY);
	assert_string_equal(err.code, "bind-refused");
	assert_contains(err.text, "bind " VF " to vfio-pci: driver vfio-pci did not take it");
	/* The override is as before. */
	assert_string_equal(tree_writes(), "driver_override=vfio-pci unbind=" VF
					   " drivers_probe=" VF " driver_override=-");
}

static void another_driver_takes_it(void **state)
{
	tree.override_is_ignored = true;
	assert_int_equal(fn_bind_vfio(&sys, &vf, &err), -EBUSY);
	assert_contains(err.text, "driver other took it");
}

static void driver_that_does_not_let_go(void **state)
{
	tree_driver("igbvf", VF);
	tree.unbind_refuses = true;
	assert_int_equal(fn_bind_vfio(&sys, &vf, &err), -EBUSY);
	assert_string_equal(err.code, "unbind-refused");
	assert_int_equal(fn_unbind(&sys, &vf, &err), -EBUSY);
	driver_is("igbvf");
}

static void every_write_may_fail(void **state)
{
	for (unsigned n = 1; n <= 3; n++) {
		tree_driver("igbvf", VF);
		tree.write_count = 0;
		tree.fail_write = n;
		tree.fail_errno = EPERM;
		assert_true(fn_bind_vfio(&sys, &vf, &err) < 0);
		assert_contains(err.text, VF);
		tree.fail_write = 0;
		assert_int_equal(fn_bind_vfio(&sys, &vf, &err), 0);
		assert_int_equal(fn_unbind(&sys, &vf, &err), 0);
	}
}

static void no_such_function_or_name(void **state)
{
	const struct pci_addr gone = { .bus = 9 };
	char driver[DRIVER_NAME];

	assert_int_equal(fn_driver(&sys, &gone, driver), -ENODEV);
	assert_int_equal(fn_bind_vfio(&sys, &gone, &err), -ENODEV);
	assert_string_equal(err.code, "no-such-function");
	assert_int_equal(fn_bind(&sys, &vf, "../../x", &err), -EINVAL);
	assert_int_equal(fn_bind(&sys, &vf, "", &err), -EINVAL);
}

static void reset_needs_a_method_of_its_own(void **state)
{
	assert_int_equal(fn_reset(&sys, &vf, now_ns(), &err), -EOPNOTSUPP);
	tree_file("bus/pci/devices/" VF "/reset_method", "bus flr\n");
	assert_int_equal(fn_reset(&sys, &vf, now_ns(), &err), -EOPNOTSUPP);
	assert_string_equal(err.code, "no-flr");
	assert_string_equal(tree_writes(), "");
	tree_file("bus/pci/devices/" VF "/reset_method", "flr bus\n");
	assert_int_equal(fn_reset(&sys, &vf, now_ns() + 1000000000, &err), 0);
	assert_string_equal(tree_writes(), "reset=1");
}

static void dma_is_stopped_and_verified(void **state)
{
	uint8_t space[4096];

	assert_int_equal(fn_dma_stop(&sys, &vf, &err), 0);
	assert_int_equal(fn_dma_stop(&sys, &vf, &err), 0);
	tree_config(space, false);
	put_le16(space + 4, 0xffff);
	tree_bytes("bus/pci/devices/" VF "/config", space, sizeof(space));
	assert_int_equal(fn_dma_stop(&sys, &vf, &err), -ENODEV);
	assert_string_equal(err.code, "dma-stop-failed");
}

static void dead_after_reset(void **state)
{
	uint8_t space[4096];

	tree_file("bus/pci/devices/" VF "/reset_method", "flr\n");
	tree_config(space, false);
	put_le32(space + 8, UINT32_MAX);
	tree_bytes("bus/pci/devices/" VF "/config", space, sizeof(space));
	assert_int_equal(fn_reset(&sys, &vf, now_ns() + 30000000, &err), -ETIMEDOUT);
	assert_string_equal(err.code, "reset-timeout");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bound_twice_and_back),
		CASE(taken_from_another_driver),
		CASE(bound_by_someone_else_is_made_to_stay),
		CASE(module_not_loaded),
		CASE(probe_that_binds_nothing_is_seen),
		CASE(another_driver_takes_it),
		CASE(driver_that_does_not_let_go),
		CASE(every_write_may_fail),
		CASE(no_such_function_or_name),
		CASE(reset_needs_a_method_of_its_own),
		CASE(dma_is_stopped_and_verified),
		CASE(dead_after_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
