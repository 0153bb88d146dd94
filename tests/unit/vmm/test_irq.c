// SPDX-License-Identifier: BSD-3-Clause
#include "fake_kvm.h"

#include "vmm/irq.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int setup(void **state)
{
	struct irq_router *ir = NULL;
	struct err e = { 0 };

	memset(&fake_kvm, 0, sizeof(fake_kvm));
	assert_int_equal(irq_router_create(3, &ir, &e), 0);
	*state = ir;
	return 0;
}

static int teardown(void **state)
{
	irq_router_destroy(*state);
	return 0;
}

static void wired_routes_are_a_pc(void **state)
{
	(void)state;
	assert_int_equal(fake_kvm.tables_set, 1);
	assert_int_equal(fake_kvm.pic_routes, 15);
	assert_int_equal(fake_kvm.ioapic_routes, 23);
	assert_true(fake_kvm.timer_on_pin2);
}

static void failing_kvm_is_told(void **state)
{
	struct irq_router *ir = NULL;
	struct err e = { 0 };

	(void)state;
	fake_kvm.fail_next = EPERM;
	assert_int_equal(irq_router_create(3, &ir, &e), -EPERM);
	assert_null(ir);
	assert_non_null(strstr(e.text, "KVM_SET_GSI_ROUTING"));
}

static void routes_change_only_when_they_differ(void **state)
{
	struct irq_router *ir = *state;
	uint32_t a = 0, b = 0;

	assert_int_equal(irq_msi_alloc(ir, &a), 0);
	assert_int_equal(irq_msi_alloc(ir, &b), 0);
	assert_true(a >= IRQ_GSI_MSI_FIRST && a != b);
	assert_int_equal(irq_msi_set(ir, a, 0x1FEE00000, 0x4021), 0);
	assert_int_equal(fake_kvm.tables_set, 2);
	assert_int_equal(fake_kvm.last_msi_route.gsi, a);
	assert_int_equal(fake_kvm.last_msi_route.u.msi.address_lo, 0xFEE00000);
	assert_int_equal(fake_kvm.last_msi_route.u.msi.address_hi, 1);
	assert_int_equal(irq_msi_set(ir, a, 0x1FEE00000, 0x4021), 0);
	assert_int_equal(fake_kvm.tables_set, 2);
	assert_int_equal(irq_msi_set(ir, b, 0xFEE01000, 0x22), 0);
	assert_int_equal(fake_kvm.msi_routes, 2);

	/* A refused change leaves the old route, and is tried again. */
	fake_kvm.fail_next = ENOMEM;
	assert_int_equal(irq_msi_set(ir, b, 0xFEE02000, 0x22), -ENOMEM);
	assert_int_equal(irq_msi_set(ir, b, 0xFEE01000, 0x22), 0);
	assert_int_equal(fake_kvm.tables_set, 3);
}

static void freed_route_never_fires_for_the_next_owner(void **state)
{
	struct irq_router *ir = *state;
	uint32_t gsi = 0, again = 0;

	assert_int_equal(irq_msi_alloc(ir, &gsi), 0);
	assert_int_equal(irq_msi_set(ir, gsi, 0xFEE00000, 1), 0);
	irq_msi_free(ir, gsi);
	assert_int_equal(irq_msi_set(ir, gsi, 0xFEE00000, 1), -EINVAL);
	assert_int_equal(irq_msi_alloc(ir, &again), 0);
	assert_int_equal(again, gsi);
	assert_int_equal(irq_fd_attach(ir, again, 9), 0);
	assert_int_equal(fake_kvm.msi_routes, 0);
	assert_int_equal(fake_kvm.irqfd.fd, 9);
	assert_int_equal(irq_fd_detach(ir, again, 9), 0);
	assert_int_equal(fake_kvm.irqfd.flags, KVM_IRQFD_FLAG_DEASSIGN);
}

static void limits(void **state)
{
	struct irq_router *ir = *state;
	uint32_t gsi = 0;

	for (int i = IRQ_GSI_MSI_FIRST; i < IRQ_GSI_MAX; i++)
		assert_int_equal(irq_msi_alloc(ir, &gsi), 0);
	assert_int_equal(irq_msi_alloc(ir, &gsi), -ENOSPC);
	assert_int_equal(irq_line_set(ir, 24, true), -EINVAL);
	assert_int_equal(irq_msi_set(ir, 4, 0, 0), -EINVAL);
	assert_int_equal(irq_msi_set(ir, IRQ_GSI_MAX, 0, 0), -EINVAL);
	assert_int_equal(irq_fd_attach(ir, 4, 9), -EINVAL);
	irq_msi_free(ir, UINT32_MAX);
	assert_int_equal(irq_line_set(ir, 23, true), 0);
	assert_true(fake_kvm.line[23]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(wired_routes_are_a_pc, setup, teardown),
		cmocka_unit_test_setup_teardown(failing_kvm_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(routes_change_only_when_they_differ, setup,
						teardown),
		cmocka_unit_test_setup_teardown(freed_route_never_fires_for_the_next_owner, setup,
						teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
	};

	return cmocka_run_group_tests_name("vmm-irq", tests, NULL, NULL);
}
