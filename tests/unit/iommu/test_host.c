// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static int root = -1;

/* fmt takes the folder and arg; it is a literal of this file. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void sh(const char *fmt, const char *arg)
{
	char line[512];

	snprintf(line, sizeof(line), fmt, dir, arg);
	assert_int_equal(system(line), 0);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/viaduct-iommu-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sh("mkdir -p %s/proc %s", "");
	return root < 0;
}

static int teardown(void **state)
{
	close(root);
	sh("rm -rf %s %s", "");
	return 0;
}

static void with_vtd(void)
{
	sh("cd %s && mkdir -p sys/class/iommu/dmar0 sys/class/iommu/dmar1 sys/bus/pci/drivers/vfio-pci"
	   " sys/kernel/iommu_groups/7/devices/0000:01:10.0 sys/kernel/iommu_groups/8 %s",
	   "");
}

static void interrupts_are(const char *lines)
{
	sh("cd %s && printf '%s' > proc/interrupts", lines);
}

static void a_host_with_everything(void **state)
{
	struct iommu_host h;
	struct err e;

	with_vtd();
	interrupts_are(" 1: 0 IR-IO-APIC 1-edge i8042\\n 24: 0 DMAR-MSI 0-edge dmar0\\n"
		       " 25: 9 IR-PCI-MSIX-0000:01:00.0 0-edge eth0\\n");
	assert_int_equal(iommu_host_read(root, &h, &e), 0);
	assert_string_equal(h.kind, "VT-d");
	assert_int_equal(h.units, 2);
	assert_int_equal(h.groups, 2);
	assert_int_equal(h.interrupt_remapping, IOMMU_ON);
	assert_true(h.vfio_driver_loaded);
	assert_int_equal(iommu_host_check(&h, false, &e), 0);
}

static void one_plain_interrupt_is_too_many(void **state)
{
	struct iommu_host h;
	struct err e;

	with_vtd();
	interrupts_are(" 1: 0 IR-IO-APIC 1-edge x\\n 25: 9 PCI-MSIX-0000:01:00.0 0-edge eth0\\n");
	assert_int_equal(iommu_host_read(root, &h, &e), 0);
	assert_int_equal(h.interrupt_remapping, IOMMU_OFF);
	assert_int_equal(iommu_host_check(&h, false, &e), -EPERM);
	assert_string_equal(e.code, "no-interrupt-remapping");
}

/* An AMD unit's own interrupt cannot pass the remapping that it does itself. */
static void the_units_own_interrupt_does_not_count(void **state)
{
	struct iommu_host h;
	struct err e;

	with_vtd();
	interrupts_are(" 1: 0 IR-IO-APIC 1-edge x\\n"
		       " 25: 0 PCI-MSI-0000:00:00.2 0-edge AMD-Vi\\n");
	assert_int_equal(iommu_host_read(root, &h, &e), 0);
	assert_int_equal(h.interrupt_remapping, IOMMU_ON);
}

static void unsafe_is(const char *text)
{
	sh("cd %s && mkdir -p sys/module/vfio_iommu_type1/parameters && "
	   "echo %s > sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
	   text);
}

/* The override of iommufd is seen, and is not the one that an operator's word is about. */
static void the_override_of_iommufd_lets_nothing_out(void **state)
{
	struct iommu_host h;
	struct err e;

	with_vtd();
	interrupts_are(" 1: 0 IO-APIC 1-edge i8042\\n");
	sh("cd %s && mkdir -p sys/module/iommufd/parameters && "
	   "echo %s > sys/module/iommufd/parameters/allow_unsafe_interrupts",
	   "Y");
	assert_int_equal(iommu_host_read(root, &h, &e), 0);
	assert_true(h.iommufd_unsafe_allowed);
	assert_false(h.unsafe_interrupts_allowed);
	assert_int_equal(iommu_host_check(&h, true, &e), -EPERM);
	assert_string_equal(e.code, "unsafe-not-set");
}

/* The kernel's override and the operator's word: only both together let a function out. */
static void the_override_takes_two(void **state)
{
	static const struct {
		const char *parameter;
		bool is_accepted;
		const char *code; /* NULL: it may go */
	} cases[] = {
		{ "N", false, "no-interrupt-remapping" },
		{ "Y", false, "unsafe-interrupts" },
		{ "N", true, "unsafe-not-set" },
		{ "Y", true, NULL },
	};
	struct iommu_host h;
	struct err e;

	with_vtd();
	interrupts_are(" 1: 0 IO-APIC 1-edge i8042\\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsafe_is(cases[i].parameter);
		assert_int_equal(iommu_host_read(root, &h, &e), 0);
		assert_int_equal(h.unsafe_interrupts_allowed, cases[i].parameter[0] == 'Y');
		if (cases[i].code == NULL) {
			assert_int_equal(iommu_host_check(&h, true, &e), 0);
			continue;
		}
		assert_int_equal(iommu_host_check(&h, cases[i].is_accepted, &e), -EPERM);
		assert_string_equal(e.code, cases[i].code);
		assert_true(e.hint[0] != '\0');
		if (i > 0)
			assert_non_null(strstr(e.text, "allow_unsafe_interrupts"));
	}
	h.dma_remapping = IOMMU_OFF;
	assert_int_equal(iommu_host_check(&h, true, &e), -ENODEV);
}

static void nothing_known_is_not_on(void **state)
{
	struct iommu_host h;
	struct err e;

	with_vtd();
	assert_int_equal(iommu_host_read(root, &h, &e), 0);
	assert_int_equal(h.interrupt_remapping, IOMMU_UNKNOWN);
	assert_int_equal(iommu_host_check(&h, false, &e), -EPERM);
}

static void no_iommu(void **state)
{
	struct iommu_host h;
	struct err e;

	assert_int_equal(iommu_host_read(root, &h, &e), 0);
	assert_string_equal(h.kind, "none");
	assert_int_equal(iommu_host_check(&h, false, &e), -ENODEV);
	assert_non_null(strstr(e.hint, "intel_iommu=on"));
}

static void members_and_their_drivers(void **state)
{
	struct iommu_group g;

	with_vtd();
	sh("cd %s/sys/kernel/iommu_groups/7/devices && mkdir -p 0000:01:10.2 && "
	   "ln -s ../../../../../bus/pci/drivers/vfio-pci 0000:01:10.0/driver && "
	   "ln -s ../../../../../bus/pci/drivers/vfio-pci 0000:01:10.2/driver %s",
	   "");
	assert_int_equal(iommu_group_read(root, 7, &g, NULL), 0);
	assert_int_equal(g.count, 2);
	assert_string_equal(g.members[0].driver, "vfio-pci");
	assert_int_equal(iommu_group_read(root, 99, &g, NULL), -ENOENT);
}

static void a_group_with_more_members_than_fit(void **state)
{
	struct iommu_group g;

	with_vtd();
	sh("cd %s/sys/kernel/iommu_groups/8 && mkdir devices && cd devices && "
	   "for i in $(seq 100); do mkdir 0000:02:$i.0; done %s",
	   "");
	assert_int_equal(iommu_group_read(root, 8, &g, NULL), 0);
	assert_int_equal(g.count, 100);
}

static void direct_regions(void **state)
{
	with_vtd();
	assert_true(iommu_group_has_direct_region(root, 7));
	sh("cd %s/sys/kernel/iommu_groups/7 && "
	   "printf '0x0 0xff direct-relaxable\\n0xfee00000 0xfeefffff msi\\n' > reserved_regions %s",
	   "");
	assert_false(iommu_group_has_direct_region(root, 7));
	sh("cd %s/sys/kernel/iommu_groups/7 && printf '0x0 0xff direct\\n' >> reserved_regions %s",
	   "");
	assert_true(iommu_group_has_direct_region(root, 7));
}

static void memlock(void **state)
{
	struct err e;

	assert_int_equal(iommu_memlock_check(GIB(1), UINT64_MAX, &e), 0);
	assert_int_equal(iommu_memlock_check(GIB(1), GIB(1), &e), 0);
	assert_int_equal(iommu_memlock_check(GIB(1), MIB(8), &e), -ENOMEM);
	assert_non_null(strstr(e.text, "need 1024 MiB"));
	assert_non_null(strstr(e.text, "allows 8 MiB"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_host_with_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(one_plain_interrupt_is_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(the_units_own_interrupt_does_not_count, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_override_takes_two, setup, teardown),
		cmocka_unit_test_setup_teardown(the_override_of_iommufd_lets_nothing_out, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nothing_known_is_not_on, setup, teardown),
		cmocka_unit_test_setup_teardown(no_iommu, setup, teardown),
		cmocka_unit_test_setup_teardown(members_and_their_drivers, setup, teardown),
		cmocka_unit_test_setup_teardown(a_group_with_more_members_than_fit, setup,
						teardown),
		cmocka_unit_test_setup_teardown(direct_regions, setup, teardown),
		cmocka_unit_test(memlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
