// SPDX-License-Identifier: BSD-3-Clause
/* What a VM needs beside what the host has left. /proc/interrupts and the CPUs are the test's own. */
#include "tests/fake/sysfs_tree.h"

#include "vf-manager/budget.h"
#include "vf-manager/hostcpu.h"
#include "vmm/vmm_msg.h"

#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PF	"0000:01:00.0"
#define VF0	"0000:01:10.0"
#define BOOT	"11111111-2222-3333-4444-555555555555"
#define VECTORS 400 /* of two CPUs */
#define GROUP0	"host/sys/kernel/iommu_groups/20/reserved_regions"
#define CAP0	"host/sys/bus/pci/devices/" VF0 "/iommu/intel-iommu/cap"

static struct options opt;
static struct daemon d;
static struct vm_spec spec;
static char host_sysfs[128];
static const struct pci_addr pf_addr = { .bus = 1 };
static const struct pci_addr vfs[2] = { { .bus = 1, .dev = 0x10 },
					{ .bus = 1, .dev = 0x10, .fn = 1 } };

static unsigned int lines; /* of the host's own devices */
static unsigned int vf1_lines;

static char *interrupts_make(void)
{
	char *text = malloc(65536);
	size_t len = (size_t)snprintf(text, 65536, "     CPU0 CPU1\n");

	for (unsigned int i = 0; i < lines; i++)
		len += (size_t)snprintf(text + len, 65536 - len,
					" %u: 0 0 IR-PCI-MSIX-0000:09:00.0 %u-edge x\n", 30 + i, i);
	for (unsigned int i = 0; i < vf1_lines; i++)
		len += (size_t)snprintf(
			text + len, 65536 - len,
			" %u: 0 0 IR-PCI-MSIX-0000:01:10.1 %u-edge vfio-msix[%u](0000:01:10.1)\n",
			900 + i, i, i);
	snprintf(text + len, 65536 - len, " NMI: 3 4 Non-maskable interrupts\n");
	return text;
}

int __wrap_host_cpus_read(const struct daemon *daemon, struct host_cpus *out, struct err *e);
int __wrap_host_cpus_read(const struct daemon *daemon, struct host_cpus *out, struct err *e)
{
	memset(out, 0, sizeof(*out));
	CPU_SET(0, &out->online);
	CPU_SET(1, &out->online);
	return 0;
}

static int setup(void **state)
{
	struct err e = { 0 };

	tree_make();
	tree_fn(PF, 0x808610c9, 0x020000, 1);
	tree_pf(PF, 8);
	tree_vf(PF, 0);
	tree_vf(PF, 1);
	tree_file("bus/pci/devices/" PF "/sriov_numvfs", "2\n");
	tree_file("host/sys/x", "x");
	snprintf(host_sysfs, sizeof(host_sysfs), "%s/host/sys", tree.root);
	memset(&d, 0, sizeof(d));
	memset(&spec, 0, sizeof(spec));
	d.opt = &opt;
	opt.sysfs_root = host_sysfs;
	d.is_root = true;
	spec.memory_bytes = MIB(512);
	spec.port_count = 1;
	spec.cpu_count = 64;
	snprintf(d.boot_id, sizeof(d.boot_id), BOOT);
	lines = vf1_lines = 0;
	assert_int_equal(inventory_create(&d.inv, tree.root, &e), 0);
	assert_int_equal(ledger_open(&d.ledger, NULL, BOOT, &e), 0);
	state_lock(&d);
	assert_int_equal(daemon_scan(&d, &e), 0);
	return 0;
}

static int teardown(void **state)
{
	state_unlock(&d);
	ledger_close(d.ledger);
	inventory_destroy(d.inv);
	tree_remove();
	return 0;
}

static int functions(unsigned int count, json_t *rows, struct err *e)
{
	auto_free char *text = interrupts_make();
	const struct budget_fns fns = {
		.spec = &spec, .addrs = vfs, .count = count, .interrupts = text
	};

	return budget_functions(&d, &fns, rows, e);
}

static const json_t *row_of(const json_t *rows, const char *resource)
{
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)rows, i, row)
		if (strcmp(json_string_value(json_object_get(row, "resource")), resource) == 0)
			return row;
	return NULL;
}

static json_int_t number(const json_t *rows, const char *resource, const char *key)
{
	const json_t *row = row_of(rows, resource);

	assert_non_null(row);
	return json_integer_value(json_object_get(row, key));
}

static void memory_that_is_not_there_is_refused(void **state)
{
	json_t *rows = json_array();
	struct err e = { 0 };

	assert_int_equal(budget_memory(&d, &spec, rows, &e), 0);
	assert_int_equal(number(rows, "memory", "need"), MIB(512));
	assert_int_equal(number(rows, "lockable memory", "need"), MIB(512 + 64));
	assert_true(json_is_null(json_object_get(row_of(rows, "lockable memory"), "have")));
	spec.memory_bytes = VMM_MAX_MEMORY;
	assert_int_equal(budget_memory(&d, &spec, NULL, &e), -ENOMEM);
	assert_string_equal(e.code, "memory-short");
	json_decref(rows);
}

static void no_device_needs_no_dma(void **state)
{
	json_t *rows = json_array();
	struct err e = { 0 };

	spec.port_count = 0;
	tree_file("host/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "0\n");
	assert_int_equal(budget_memory(&d, &spec, rows, &e), 0);
	assert_null(row_of(rows, "DMA maps"));
	assert_int_equal(functions(0, rows, &e), 0);
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
}

static void each_part_of_memory_takes_a_map(void **state)
{
	struct err e = { 0 };

	tree_file("host/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "1\n");
	assert_int_equal(budget_memory(&d, &spec, NULL, &e), 0);
	spec.low_limit_bytes = MIB(64);
	assert_int_equal(budget_memory(&d, &spec, NULL, &e), -ENOSPC);
	assert_string_equal(e.code, "dma-maps-short");
	assert_non_null(strstr(e.text, "2 are needed and the kernel allows 1"));
}

static void firmware_has_its_regions(void **state)
{
	struct err e = { 0 };

	tree_file(GROUP0, "0x00000000fee00000 0x00000000feefffff msi\n"
			  "0x0000000000100000 0x00000000001fffff direct-relaxable\n");
	assert_int_equal(functions(1, NULL, &e), 0);
	tree_file(GROUP0, "0x00000000fee00000 0x00000000feefffff msi\n"
			  "0x000000001ff00000 0x000000002fffffff direct\n");
	assert_int_equal(functions(1, NULL, &e), -ERANGE);
	assert_string_equal(e.code, "iova-out-of-range");
	assert_non_null(strstr(e.text, "direct 0x1ff00000-0x2fffffff"));
	/* Memory that ends before it is no matter. */
	spec.memory_bytes = MIB(511);
	assert_int_equal(functions(1, NULL, &e), 0);
	/* Nor is what is no list of regions. */
	spec.memory_bytes = MIB(512);
	tree_file(GROUP0, "0x0 direct\nzz 0x1 direct\n0x5 0x1 direct\n");
	assert_int_equal(functions(1, NULL, &e), 0);
}

static void the_narrowest_unit_counts(void **state)
{
	json_t *rows = json_array();
	struct err e = { 0 };

	spec.memory_bytes = GIB(600);
	/* MGAW 48 bits, SAGAW 48 (bit 2) and 39 (bit 1). */
	tree_file(CAP0, "d2008c40%06x\n", 0x2f0600);
	assert_int_equal(functions(1, rows, &e), 0);
	assert_int_equal(number(rows, "DMA addresses", "need"), 40);
	assert_int_equal(number(rows, "DMA addresses", "have"), 48);
	/* Three levels only. */
	tree_file(CAP0, "d2008c40%06x\n", 0x2f0200);
	assert_int_equal(functions(1, NULL, &e), -ERANGE);
	assert_non_null(strstr(e.text, "translates 39 bits"));
	/* MGAW is less than the tables have. */
	tree_file(CAP0, "d2008c40%06x\n", 0x260600);
	assert_int_equal(functions(1, NULL, &e), -ERANGE);
	tree_file(CAP0, "none\n");
	assert_int_equal(functions(1, NULL, &e), 0);
	json_decref(rows);
}

/* A table may be much larger than what a small VM's driver takes of it. */
static void few_vcpus_take_few_vectors(void **state)
{
	const struct budget_fns blind = {
		.spec = &spec, .addrs = vfs, .count = 1, .interrupts = ""
	};
	unsigned int all = inventory_find(d.inv, &vfs[0])->caps.msix_vectors;
	json_t *rows = json_array();
	struct err e = { 0 };

	spec.cpu_count = 1;
	lines = VECTORS - 1;
	assert_true(functions(1, rows, &e) < 0);
	assert_int_equal(number(rows, "interrupt vectors", "need"), all < 10 ? all : 10);
	/* What cannot be read refuses nothing. */
	assert_int_equal(budget_functions(&d, &blind, NULL, &e), 0);
	json_decref(rows);
}

static void vectors_are_promised_from_the_start_on(void **state)
{
	struct vf_row other = {
		.pf = pf_addr, .index = 1, .addr = vfs[1], .state = VF_ASSIGNED, .boot_id = BOOT
	};
	unsigned int each = inventory_find(d.inv, &vfs[0])->caps.msix_vectors;
	json_t *rows = json_array();
	struct err e = { 0 };

	assert_true(each > 1);
	lines = VECTORS - each;
	assert_int_equal(functions(1, rows, &e), 0);
	assert_int_equal(number(rows, "interrupt vectors", "need"), each);
	assert_int_equal(number(rows, "interrupt vectors", "have"), each);
	assert_int_equal(functions(2, NULL, &e), -ENOSPC);
	/* Another VM's guest has not asked for its vectors yet; then it has; then it is gone. */
	assert_int_equal(ledger_vf_force(d.ledger, &other, &e), 0);
	assert_int_equal(functions(1, NULL, &e), -ENOSPC);
	assert_string_equal(e.code, "vectors-short");
	lines = VECTORS - 2 * each;
	assert_int_equal(functions(1, NULL, &e), 0);
	vf1_lines = each;
	assert_int_equal(functions(1, NULL, &e), 0);
	lines++;
	assert_int_equal(functions(1, NULL, &e), -ENOSPC);
	other.state = VF_FREE;
	vf1_lines = 0;
	assert_int_equal(ledger_vf_force(d.ledger, &other, &e), 0);
	assert_int_equal(functions(1, NULL, &e), 0);
	json_decref(rows);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(memory_that_is_not_there_is_refused), T(no_device_needs_no_dma),
		T(each_part_of_memory_takes_a_map),	T(firmware_has_its_regions),
		T(the_narrowest_unit_counts),		T(vectors_are_promised_from_the_start_on),
		T(few_vcpus_take_few_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
