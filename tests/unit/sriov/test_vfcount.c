// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/vfcount.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define PF "0000:01:00.0"

static const struct pci_addr pf = { .bus = 1 };
static struct sysfs sys = { .root_fd = -1 };
static struct err err;

static int setup(void **state)
{
	tree_make();
	tree_fn(PF, 0x808610c9, 0x020000, 9);
	tree_pf(PF, 7);
	tree_driver("igb", PF);
	assert_int_equal(sysfs_open(&sys, tree.root, &err), 0);
	return 0;
}

static int teardown(void **state)
{
	sysfs_close(&sys);
	tree_remove();
	return 0;
}

static uint64_t soon(void)
{
	return now_ns() + 60000000;
}

static int set(uint16_t n)
{
	return sriov_vfs_set(&sys, &pf, n, soon(), &err);
}

static void through_zero_with_autoprobe_off(void **state)
{
	assert_int_equal(set(2), 0);
	assert_string_equal(tree_writes(), "sriov_drivers_autoprobe=0 sriov_numvfs=2");
	tree.write_count = 0;
	assert_int_equal(set(3), 0);
	assert_string_equal(tree_writes(), "sriov_numvfs=0 sriov_numvfs=3");
}

static void as_many_as_there_are_hurts_nobody(void **state)
{
	assert_int_equal(set(2), 0);
	tree.write_count = 0;
	assert_int_equal(set(2), 0);
	assert_string_equal(tree_writes(), "");
	/* One is broken: then they are made again. */
	tree_delete("bus/pci/devices/" PF "/virtfn1");
	assert_int_equal(set(2), 0);
	assert_string_equal(tree_writes(), "sriov_numvfs=0 sriov_numvfs=2");
}

static void none(void **state)
{
	assert_int_equal(set(0), 0);
	assert_string_equal(tree_writes(), "");
	assert_int_equal(set(2), 0);
	tree.write_count = 0;
	assert_int_equal(set(0), 0);
	assert_string_equal(tree_writes(), "sriov_numvfs=0");
}

static void too_many(void **state)
{
	assert_int_equal(set(8), -ERANGE);
	assert_string_equal(err.code, "vf-count-too-many");
	assert_contains(err.text, "can have 7");
	assert_string_equal(tree_writes(), "");
}

static void no_sriov(void **state)
{
	tree_delete("bus/pci/devices/" PF "/sriov_totalvfs");
	assert_int_equal(set(1), -EINVAL);
	assert_string_equal(err.code, "no-sriov");
}

/* Each missing piece is named with its index, and nothing half made stays. */
static void missing(const char *what)
{
	assert_int_equal(set(3), -ETIMEDOUT);
	assert_string_equal(err.code, "vf-missing");
	assert_contains(err.text, "VF 1 ");
	assert_contains(err.text, what);
	assert_contains(err.text, "2 of 3");
	assert_string_equal(tree_writes(),
			    "sriov_drivers_autoprobe=0 sriov_numvfs=3 sriov_numvfs=0 "
			    "sriov_drivers_autoprobe=1");
}

static void function_missing(void **state)
{
	tree.late_vf = 1;
	missing("no function");
}

static void config_dead(void **state)
{
	tree.dead_vf = 1;
	missing("does not answer");
}

static void group_missing(void **state)
{
	tree.groupless_vf = 1;
	missing("no IOMMU group");
}

static void no_group_wanted_without_iommu(void **state)
{
	tree_delete("bus/pci/devices/" PF "/iommu_group");
	tree.groupless_vf = 1;
	assert_int_equal(set(3), 0);
}

static void *bring_late_vf(void *arg)
{
	usleep(30000);
	tree_vf(PF, 1);
	return NULL;
}

static void late_vf_is_waited_for(void **state)
{
	pthread_t thread;

	tree.late_vf = 1;
	pthread_create(&thread, NULL, bring_late_vf, NULL);
	assert_int_equal(sriov_vfs_set(&sys, &pf, 3, now_ns() + 5000000000, &err), 0);
	pthread_join(thread, NULL);
}

static void short_count(void **state)
{
	tree.numvfs_short = 1;
	assert_int_equal(set(3), -ETIMEDOUT);
	assert_contains(err.text, "VF 2 ");
}

static void every_errno_has_its_cause(void **state)
{
	static const int errnums[] = { EPERM, EACCES, EBUSY,	  ENOSPC, ENOMEM, EINVAL,    ENODEV,
				       EIO,   ENOSYS, EOPNOTSUPP, EAGAIN, EROFS,  ETIMEDOUT, EXDEV };

	for (size_t i = 0; i < ARRAY_SIZE(errnums); i++) {
		const struct numvfs_cause *c = numvfs_cause_find(errnums[i]);

		tree.numvfs_errno = errnums[i];
		assert_int_equal(set(2), -errnums[i]);
		assert_string_equal(err.code, c->code);
		assert_contains(err.text, c->cause);
		assert_string_equal(err.hint, c->remedy); /* not cut */
	}
	assert_contains(numvfs_cause_find(ENOMEM)->cause, "firmware");
	assert_contains(numvfs_cause_find(ENOSPC)->cause, "interrupt vectors");
	assert_int_equal(numvfs_cause_find(EXDEV)->errnum, 0);
}

static void no_driver_or_the_wrong_one(void **state)
{
	tree.numvfs_errno = ENOENT;
	assert_int_equal(set(2), -ENOENT);
	assert_contains(err.text, "driver igb cannot make VFs");
	tree_delete("bus/pci/devices/" PF "/driver");
	assert_int_equal(set(2), -ENOENT);
	assert_contains(err.text, "has no driver");
}

/* Whichever write fails, the error is told and no VF is left half made. */
static void every_write_may_fail(void **state)
{
	assert_int_equal(set(2), 0);
	tree_file("bus/pci/devices/" PF "/sriov_drivers_autoprobe", "1\n");
	for (unsigned n = 1; n <= 3; n++) {
		tree.write_count = 0;
		tree.fail_write = n;
		tree.fail_errno = EIO;
		assert_int_equal(set(3), -EIO);
		assert_true(err.text[0] != '\0');
		tree.fail_write = 0;
		assert_int_equal(set(2), 0);
		tree_file("bus/pci/devices/" PF "/sriov_drivers_autoprobe", "1\n");
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(through_zero_with_autoprobe_off),
		CASE(as_many_as_there_are_hurts_nobody),
		CASE(none),
		CASE(too_many),
		CASE(no_sriov),
		CASE(function_missing),
		CASE(config_dead),
		CASE(group_missing),
		CASE(no_group_wanted_without_iommu),
		CASE(late_vf_is_waited_for),
		CASE(short_count),
		CASE(every_errno_has_its_cause),
		CASE(no_driver_or_the_wrong_one),
		CASE(every_write_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
