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
	{ .function = 5 },
	{ .function = 0x15, .eax = 2, .ebx = 200, .ecx = 24000000 },
	{ .function = 0x80000001, .ecx = ~0U },
	{ .function = 0x80000007, .eax = 5, .edx = ~0U },
	{ .function = 0x80000008, .eax = 0x343034, .ecx = 0x7007 },
	{ .function = 0x8000000A, .eax = 1 },
	{ .function = 0x8000001D, .index = 0, .flags = 1, .eax = 0xfc004121 },
	{ .function = 0x8000001D, .index = 3, .flags = 1, .eax = 0xfc004163 },
	{ .function = 0x8000001D, .index = 4, .flags = 1, .eax = 0 },
	{ .function = 0x8000001E, .eax = 99, .ebx = 0x101, .ecx = 0x100 },
	{ .function = 0x8000001F, .eax = 0xf },
	{ .function = 0xC0000001, .edx = 1 },
};

static struct cpu_model model;
static uint32_t vendor = 0x68747541; /* AMD's */

static int model_of(const struct cpu_wish *wish, struct err *e)
{
	size_t count = ARRAY_SIZE(host_leaves);
	struct kvm_cpuid2 *host = calloc(1, sizeof(*host) + sizeof(host_leaves));
	int r;

	host->nent = (uint32_t)count;
	memcpy(host->entries, host_leaves, sizeof(host_leaves));
	host->entries[0].ebx = vendor;
	r = cpu_model_init(&model, host, wish, e);
	free(host);
	return r;
}

static int model_make(unsigned int cpus, bool tsc_deadline, struct err *e)
{
	const struct cpu_wish wish = { .count = cpus, .tsc_deadline = tsc_deadline };

	return model_of(&wish, e);
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

/* How many APIC ids a field that holds "ids less one" or "ids" stands for: the next power of 2. */
static unsigned int bits_for(unsigned int ids)
{
	unsigned int bits = 0;

	while (BIT(bits) < ids)
		bits++;
	return bits;
}

static void one_vcpu_is_one_core(unsigned int id)
{
	assert_int_equal(leaf(id, 1, 0)->ebx >> 24, id);
	for (uint32_t level = 0; level < 3; level++) {
		assert_int_equal(leaf(id, 0xB, level)->edx, id);
		assert_int_equal(leaf(id, 0x1F, level)->edx, id);
	}
	assert_int_equal(leaf(id, 0x8000001E, 0)->eax, id);
	assert_int_equal(leaf(id, 0x8000001E, 0)->ebx, id); /* one thread per core */
	assert_int_equal(leaf(id, 0x8000001E, 0)->ecx, 0); /* one node */
}

/* Every leaf that tells something of the topology tells the same: one package, `cpus` cores. */
static void leaves_agree(unsigned int cpus)
{
	unsigned int shift;

	assert_int_equal(model_make(cpus, true, NULL), 0);
	for (unsigned int i = 0; i < cpus; i++)
		one_vcpu_is_one_core(i);
	shift = leaf(0, 0xB, 1)->eax;
	assert_int_equal(shift, bits_for(cpus));
	assert_true((cpus - 1) >> shift == 0); /* one package */
	assert_int_equal(leaf(0, 0x1F, 1)->eax, shift);
	assert_int_equal(leaf(0, 0xB, 0)->eax, 0);
	assert_int_equal(leaf(0, 0xB, 0)->ebx, 1);
	assert_int_equal(leaf(0, 0xB, 0)->ecx, 0x100);
	assert_int_equal(leaf(0, 0xB, 1)->ebx, cpus);
	assert_int_equal(leaf(0, 0xB, 1)->ecx, 0x201);
	assert_int_equal(leaf(0, 0xB, 2)->ecx, 2);
	assert_int_equal(leaf(0, 1, 0)->ebx >> 16 & 0xFF, cpus);
	assert_int_equal(!!(leaf(0, 1, 0)->edx & BIT(28)), cpus > 1);
	assert_int_equal(!!(leaf(0, 0x80000001, 0)->ecx & BIT(1)), cpus > 1);
	assert_int_equal(leaf(0, 0x80000008, 0)->ecx & 0xFF, cpus - 1);
	assert_int_equal(leaf(0, 0x80000008, 0)->ecx >> 12 & 0xF, shift);
	/* The cores of a package, of which leaf 4 can say 64 at most. */
	assert_int_equal(leaf(0, 4, 0)->eax >> 26, shift < 6 ? BIT(shift) - 1 : 63);
	for (unsigned int i = 0; i < 2; i++) {
		uint32_t function = i == 0 ? 4 : 0x8000001D;

		assert_int_equal(leaf(0, function, 0)->eax >> 14 & 0xFFF, 0); /* L1: own */
		assert_int_equal(leaf(0, function, 3)->eax >> 14 & 0xFFF, cpus - 1); /* L3: all */
		assert_int_equal(leaf(0, function, 4)->eax & 0x1F, 0);
	}
}

static void topology_is_cores_of_one_thread(void **state)
{
	static const unsigned int counts[] = { 1, 2, 3, 6, 12, 22, 64, 65, 128, 254 };

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		leaves_agree(counts[i]);
}

static void the_rate_of_the_tsc_is_told_or_not_promised(void **state)
{
	assert_int_equal(model_make(1, true, NULL), 0);
	assert_true(leaf(0, 0x40000000, 0)->eax >= 0x40000010);
	assert_int_equal(leaf(0, 0x80000007, 0)->edx & BIT(8), 0);
	assert_int_equal(leaf(0, 0x40000010, 0)->eax, 0);
	model.tsc_khz = 2893202;
	assert_int_equal(leaf(0, 0x80000007, 0)->edx, BIT(8));
	assert_int_equal(leaf(0, 0x40000010, 0)->eax, 2893202);
	assert_int_equal(leaf(0, 0x40000010, 0)->ebx, 1000000);
	assert_null(leaf(0, 0x15, 0)); /* AMD has no such leaf */
}

static void intel_guests_read_the_rate_in_leaf_0x15(void **state)
{
	const struct cpu_wish wish = { .count = 1 };
	const struct kvm_cpuid_entry2 *c;

	vendor = 0x756E6547;
	assert_int_equal(model_of(&wish, NULL), 0);
	vendor = 0x68747541;
	assert_int_equal(leaf(0, 0x15, 0)->ebx, 0);
	model.tsc_khz = 2893202;
	c = leaf(0, 0x15, 0);
	assert_int_equal((uint64_t)c->ecx * c->ebx / c->eax, 2893202000);
}

static void dedicated_cpus_are_told_so(void **state)
{
	struct cpu_wish wish = { .count = 2, .is_dedicated = true };

	assert_int_equal(model_of(&wish, NULL), 0);
	assert_int_equal(leaf(1, 0x40000001, 0)->edx, BIT(0)); /* KVM_HINTS_REALTIME */
	assert_int_equal(leaf(0, 1, 0)->ecx & BIT(3), 0); /* MONITOR: exits */
	assert_null(leaf(0, 5, 0));
	memcpy(wish.monitor, (const uint32_t[]){ 64, 64, 0xFF, 0x11142120 }, sizeof(wish.monitor));
	assert_int_equal(model_of(&wish, NULL), 0);
	assert_true(leaf(0, 1, 0)->ecx & BIT(3));
	assert_int_equal(leaf(0, 5, 0)->eax, 64);
	assert_int_equal(leaf(0, 5, 0)->edx, 0x20); /* C1 and no deeper */
	wish = (struct cpu_wish){ .count = 2 };
	assert_int_equal(model_of(&wish, NULL), 0);
	assert_int_equal(leaf(1, 0x40000001, 0)->edx, 0);
	assert_int_equal(leaf(0, 1, 0)->ecx & BIT(3), 0);
}

static void too_little_is_refused(void **state)
{
	struct kvm_cpuid2 none = { 0 };
	struct err e = { 0 };

	assert_int_equal(cpu_model_init(&model, &none, &(struct cpu_wish){ .count = 1 }, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "CPUID leaf 0x0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_guests_must_not_see_is_hidden),
		cmocka_unit_test(what_guests_need_is_there),
		cmocka_unit_test(address_width_is_clamped),
		cmocka_unit_test(topology_is_cores_of_one_thread),
		cmocka_unit_test(the_rate_of_the_tsc_is_told_or_not_promised),
		cmocka_unit_test(intel_guests_read_the_rate_in_leaf_0x15),
		cmocka_unit_test(dedicated_cpus_are_told_so),
		cmocka_unit_test(too_little_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
