// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/slots.h"

#include "vmm/kvm.h"

#include "base/util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#define MEMSLOTS 4
#define HOST(n)	 ((void *)(uintptr_t)(0x7F0000000000 + (n)*MIB(1)))

int __wrap_ioctl(int fd, unsigned long request, ...);

static struct kvm_userspace_memory_region seen[16];
static unsigned int seen_count;
static int spaces;

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_CHECK_EXTENSION)
		return (uintptr_t)arg == KVM_CAP_MULTI_ADDRESS_SPACE ? spaces : MEMSLOTS;
	seen[seen_count++] = *(struct kvm_userspace_memory_region *)arg;
	return 0;
}

static void slots_make(struct slots *s, int space_count)
{
	struct err e = { 0 };

	seen_count = 0;
	spaces = space_count;
	assert_int_equal(slots_init(s, 3, &e), 0);
}

static void ram_is_there_in_smm_too(void **state)
{
	struct slots s;

	slots_make(&s, 2);
	assert_int_equal(slots_add_ram(&s, 0, MIB(1), HOST(0)), 0);
	assert_int_equal(seen_count, 2);
	assert_int_equal(seen[0].slot, 0);
	assert_int_equal(seen[1].slot, 1 << 16);
	assert_int_equal(seen[1].guest_phys_addr, 0);
	assert_int_equal(seen[1].memory_size, MIB(1));
	assert_int_equal(seen[1].userspace_addr, (uintptr_t)HOST(0));
}

static void kvm_without_smm_gets_it_once(void **state)
{
	struct slots s;

	slots_make(&s, 1);
	assert_int_equal(slots_add_ram(&s, 0, MIB(1), HOST(0)), 0);
	assert_int_equal(seen_count, 1);
}

static void bars_are_not_there_in_smm(void **state)
{
	struct slots s;
	uint32_t slot;

	slots_make(&s, 2);
	assert_int_equal(slots_add(&s, GIB(3), 4096, HOST(1), &slot), 0);
	assert_int_equal(seen_count, 1);
	assert_int_equal(slots_del(&s, slot), 0);
	assert_int_equal(slots_del(&s, slot), -ENOENT);
	assert_int_equal(seen[1].memory_size, 0);
}

static void slots_end_at_what_kvm_offers(void **state)
{
	struct slots s;
	uint32_t slot;

	slots_make(&s, 1);
	for (uint64_t i = 0; i < MEMSLOTS; i++)
		assert_int_equal(slots_add(&s, i * MIB(1), 4096, HOST(i), &slot), 0);
	assert_int_equal(slots_add(&s, GIB(1), 4096, HOST(9), &slot), -ENOSPC);
	assert_int_equal(slots_add_ram(&s, GIB(1), 4096, HOST(9)), -ENOSPC);
	assert_int_equal(slots_add(&s, UINT64_MAX - 4095, 4096, HOST(9), &slot), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_is_there_in_smm_too),
		cmocka_unit_test(kvm_without_smm_gets_it_once),
		cmocka_unit_test(bars_are_not_there_in_smm),
		cmocka_unit_test(slots_end_at_what_kvm_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
