// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/cpuid.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct kvm_cpuid_entry2 host_leaves[] = {
	{ .function = 0, .eax = 0x23, .ebx = 0x68747541 },
	{ .function = 1, .eax = 0x800f12, .ebx = 0xff100800, .ecx = ~0U, .edx = ~0U },
	{ .function = 4, .index = 0, .flags = 1, .eax = 0xfc004121 },
	{ .function = 4, .index = 3, .flags = 1, .eax = 0xfc004163 },
	{ .function = 4, .index = 4, .flags = 1, .eax = 0 },
	{ .function = 7, .index = 0, .flags = 1, .ebx = ~0U, .ecx = ~0U, .edx = ~0U },
	{ .function = 0xA, .eax = 0x07300402 },
	{ .function = 0xB, .edx = 77 },
	{ .function = 0x14, .ebx = 1 },
	{ .function = 0x21, .ebx = 0x65746e49 },
	{ .function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b },
	{ .function = 0x40000001, .eax = ~0U, .edx = 1 },
	{ .function = 0x80000000, .eax = 0x80000028 },
	{ .function = 0x80000001, .ecx = ~0U },
	{ .function = 0x80000007, .eax = 5, .edx = ~0U },
	{ .function = 0x80000008, .eax = 0x343034, .ecx = 0x7007 },
	{ .function = 0x8000000A, .eax = 1 },
	{ .function = 0x8000001E, .eax = 99, .ebx = 0x101, .ecx = 0x100 },
	{ .function = 0x8000001F, .eax = 0xf },
	{ .function = 0xC0000001, .edx = 1 },
};

static struct cpu_model model;

static int model_make(unsigned int cpus, bool tsc_deadline, struct err *e)
{
	size_t count = ARRAY_SIZE(host_leaves);
	struct kvm_cpuid2 *host = calloc(1, sizeof(*host) + sizeof(host_leaves));
	int r;

	host->nent = (uint32_t)count;
	memcpy(host->entries, host_leaves, sizeof(host_leaves));
	r = cpu_model_init(&model, host, cpus, tsc_deadline, e);
	free(host);
	return r;
}

/* The leaf as vCPU `cpu` sees it; NULL if the guest does not see it. */
static const struct kvm_cpuid_entry2 *leaf(unsigned int cpu, uint32_t function, uint32_t index)
{
	static union {
		struct kvm_cpuid2 head;
		char room[sizeof(struct kvm_cpuid2) +
			  CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2)];
	} out;

	cpu_model_for(&model, cpu, &out.head);
	for (uint32_t i = 0; i < out.head.nent; i++)
		if (out.head.entries[i].function == function && out.head.entries[i].index == index)
			return &out.head.entries[i];
	return NULL;
}

static void what_guests_must_not_see_is_hidden(void **state)
{
	static const uint32_t hidden[] = {
		0xA, 0x14, 0x21, 0x8000000A, 0x8000001F, 0xC0000001, 0x23
	};

	assert_int_equal(model_make(2, true, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		assert_null(leaf(0, hidden[i], 0));
	assert_int_equal(leaf(0, 0, 0)->eax, 0x1F);
	assert_int_equal(leaf(0, 1, 0)->ecx & BIT(5), 0); /* VMX */
	assert_int_equal(leaf(0, 1, 0)->ecx & BIT(15), 0); /* PDCM */
	assert_int_equal(leaf(0, 7, 0)->ebx & (BIT(2) | BIT(25)), 0); /* SGX, PT */
	assert_int_equal(leaf(0, 0x80000001, 0)->ecx & (BIT(2) | BIT(12) | BIT(23)), 0);
	assert_int_equal(leaf(0, 0x40000001, 0)->edx, 0);
	assert_int_equal(leaf(0, 0x40000001, 0)->eax & (BIT(4) | BIT(14)), 0); /* async faults */
}

static void what_guests_need_is_there(void **state)
{
	assert_int_equal(model_make(2, true, NULL), 0);
	assert_int_equal(leaf(0, 0, 0)->ebx, 0x68747541); /* the host's vendor */
	assert_true(leaf(0, 1, 0)->ecx & BIT(31)); /* hypervisor */
	assert_true(leaf(0, 1, 0)->ecx & BIT(24)); /* TSC deadline */
	assert_true(leaf(0, 1, 0)->edx & BIT(12)); /* MTRR */
	assert_int_equal(leaf(0, 0x40000000, 0)->ebx, 0x4b4d564b);
	assert_true(leaf(0, 0x40000001, 0)->eax & BIT(3)); /* kvmclock */
	assert_true(leaf(0, 0x40000001, 0)->eax & BIT(6)); /* PV EOI */
	assert_int_equal(leaf(0, 0x80000007, 0)->edx, BIT(8));
	assert_true(model.tsc_invariant);
	assert_int_equal(model_make(1, false, NULL), 0);
	assert_false(leaf(0, 1, 0)->ecx & BIT(24));
	assert_false(leaf(0, 1, 0)->edx & BIT(28)); /* one CPU: no HTT */
}

static void address_width_is_clamped(void **state)
{
	assert_int_equal(model_make(1, true, NULL), 0);
	assert_int_equal(model.phys_bits, 46); /* of 52 */
	assert_int_equal(leaf(0, 0x80000008, 0)->eax, 0x302E);
}

static void topology_is_cores_of_one_thread(void **state)
{
	for (unsigned int cpus = 1; cpus <= 64; cpus += 21) {
		assert_int_equal(model_make(cpus, true, NULL), 0);
		for (unsigned int i = 0; i < cpus; i++) {
			assert_int_equal(leaf(i, 1, 0)->ebx >> 24, i);
			assert_int_equal(leaf(i, 1, 0)->ebx >> 16 & 0xFF, cpus);
			assert_int_equal(leaf(i, 0xB, 0)->edx, i);
			assert_int_equal(leaf(i, 0xB, 1)->edx, i);
			assert_int_equal(leaf(i, 0x8000001E, 0)->eax, i);
			assert_int_equal(leaf(i, 0x8000001E, 0)->ebx, i);
		}
		assert_int_equal(leaf(0, 0xB, 0)->ebx, 1);
		assert_int_equal(leaf(0, 0xB, 1)->ebx, cpus);
		assert_int_equal(leaf(0, 0xB, 1)->ecx, 0x201);
		assert_true(BIT(leaf(0, 0x1F, 1)->eax) >= cpus);
		assert_int_equal(leaf(0, 0x80000008, 0)->ecx & 0xFF, cpus - 1);
		assert_int_equal(leaf(0, 4, 0)->eax >> 14 & 0xFFF, 0); /* L1: own */
		assert_int_equal(leaf(0, 4, 3)->eax >> 14 & 0xFFF, cpus - 1); /* L3: shared */
		assert_int_equal(leaf(0, 4, 4)->eax, 0);
	}
}

static void too_little_is_refused(void **state)
{
	struct kvm_cpuid2 none = { 0 };
	struct err e = { 0 };

	assert_int_equal(cpu_model_init(&model, &none, 1, true, &e), -EINVAL);
	assert_non_null(strstr(e.text, "CPUID leaf 0x0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_guests_must_not_see_is_hidden),
		cmocka_unit_test(what_guests_need_is_there),
		cmocka_unit_test(address_width_is_clamped),
		cmocka_unit_test(topology_is_cores_of_one_thread),
		cmocka_unit_test(too_little_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
