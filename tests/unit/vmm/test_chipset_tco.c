// SPDX-License-Identifier: BSD-3-Clause
#include "fake_kvm.h"

#include "vmm/chipset_lpc.h"
#include "vmm/chipset_pm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define BASE 0x660
#define RCBA 0xFED1C000
#define GCS  (RCBA + RCBA_GCS)

struct fixture {
	pthread_mutex_t lock;
	struct bus pio, mmio;
	struct irq_router *irq;
	struct loop *loop;
	struct pm pm;
	struct tco tco;
	struct lpc *lpc;
	unsigned int expired;
};

static void power_off(void *arg)
{
}

static void expired(void *arg)
{
	((struct fixture *)arg)->expired++;
}

static void lpc_write(struct fixture *f, unsigned int off, unsigned int len, uint32_t v)
{
	f->lpc->dev.ops->cfg_write(&f->lpc->dev, off, len, v);
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	pthread_mutex_init(&f.lock, NULL);
	assert_int_equal(bus_init(&f.pio, &f.lock), 0);
	assert_int_equal(bus_init(&f.mmio, &f.lock), 0);
	assert_int_equal(irq_router_create(3, &f.irq, NULL), 0);
	assert_int_equal(loop_create(&f.loop, NULL), 0);
	f.tco = (struct tco){ .mmio = &f.mmio,
			      .loop = f.loop,
			      .lock = &f.lock,
			      .expired = expired,
			      .arg = &f,
			      .timer_fd = -1 };
	f.pm = (struct pm){
		.pio = &f.pio, .irq = f.irq, .power_off = power_off, .arg = &f, .tco = &f.tco
	};
	pm_init(&f.pm);
	assert_int_equal(tco_init(&f.tco), 0);
	assert_int_equal(lpc_create(&f.pm, &f.lpc), 0);
	lpc_write(&f, LPC_PMBASE, 4, 0x601);
	lpc_write(&f, LPC_ACPI_CNTL, 1, 0x80);
	lpc_write(&f, LPC_RCBA, 4, RCBA | 1);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pm_fini(&f->pm);
	tco_fini(&f->tco);
	f->lpc->dev.ops->destroy(&f->lpc->dev);
	loop_destroy(f->loop);
	irq_router_destroy(f->irq);
	bus_fini(&f->mmio);
	bus_fini(&f->pio);
	return 0;
}

static uint16_t in(struct fixture *f, unsigned int off)
{
	uint16_t v = 0;

	bus_read(&f->pio, 0, BASE + off, &v, 2);
	return v;
}

static void out(struct fixture *f, unsigned int off, uint16_t v)
{
	bus_write(&f->pio, 0, BASE + off, &v, 2);
}

static uint32_t gcs(struct fixture *f)
{
	uint32_t v = 0;

	bus_read(&f->mmio, 0, GCS, &v, 4);
	return v;
}

static void gcs_write(struct fixture *f, uint32_t v)
{
	bus_write(&f->mmio, 0, GCS, &v, 4);
}

/* As Linux's driver does it. */
static void guest_starts(struct fixture *f, uint16_t ticks)
{
	out(f, TCO_TMR, ticks);
	gcs_write(f, gcs(f) & ~GCS_NO_REBOOT);
	assert_int_equal(gcs(f) & GCS_NO_REBOOT, 0);
	out(f, TCO_RLD, 1);
	out(f, TCO1_CNT, in(f, TCO1_CNT) & (uint16_t)~TCO1_HALT);
}

/* The main thread for so long. */
static void run(struct fixture *f, unsigned int ms)
{
	uint64_t end = now_ns() + ms * 1000000ULL, now;

	while ((now = now_ns()) < end)
		assert_int_equal(loop_step(f->loop, (int)((end - now) / 1000000) + 1), 0);
}

static void halted_until_the_guest_starts_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(f, TCO1_CNT) & TCO1_HALT, TCO1_HALT);
	assert_int_equal(gcs(f), GCS_NO_REBOOT);
	run(f, 100);
	assert_int_equal(in(f, TCO_RLD), 4);
	assert_int_equal(f->expired, 0);
	assert_int_equal(f->tco.deadline_ns, 0);
}

static void expires_at_the_second_time_only(void **state)
{
	struct fixture *f = *state;

	guest_starts(f, 2);
	assert_int_equal(in(f, TCO_RLD), 2);
	run(f, 1300);
	assert_int_equal(f->expired, 0);
	assert_int_equal(in(f, TCO1_STS), TCO1_TIMEOUT);
	run(f, 1200);
	assert_int_equal(f->expired, 1);
	assert_int_equal(in(f, TCO2_STS), TCO2_SECOND_TO);
	tco_reset(&f->tco);
	assert_int_equal(in(f, TCO2_STS), TCO2_SECOND_TO); /* the guest can see why */
	assert_int_equal(in(f, TCO1_CNT) & TCO1_HALT, TCO1_HALT);
	out(f, TCO2_STS, TCO2_SECOND_TO);
	assert_int_equal(in(f, TCO2_STS), 0);
}

static void fed_it_never_expires(void **state)
{
	struct fixture *f = *state;

	guest_starts(f, 2);
	for (int i = 0; i < 4; i++) {
		run(f, 800);
		out(f, TCO_RLD, 1);
	}
	assert_int_equal(f->expired, 0);
	assert_int_equal(in(f, TCO1_STS), 0);
	/* Stopped, it stands. */
	out(f, TCO1_CNT, in(f, TCO1_CNT) | TCO1_HALT);
	run(f, 2600);
	assert_int_equal(f->expired, 0);
}

static void no_reboot_means_no_reboot(void **state)
{
	struct fixture *f = *state;

	guest_starts(f, 2);
	gcs_write(f, GCS_NO_REBOOT);
	run(f, 2600);
	assert_int_equal(f->expired, 0);
	assert_int_equal(in(f, TCO2_STS), TCO2_SECOND_TO);
}

static void time_stands_still_while_the_vm_is_paused(void **state)
{
	struct fixture *f = *state;

	guest_starts(f, 2);
	run(f, 300);
	tco_pause(&f->tco, true);
	run(f, 2600);
	assert_int_equal(f->expired, 0);
	assert_int_equal(in(f, TCO1_STS), 0);
	assert_int_equal(in(f, TCO_RLD), 2); /* 0.9 s */
	tco_pause(&f->tco, false);
	run(f, 500);
	assert_int_equal(in(f, TCO1_STS), 0);
	run(f, 700);
	assert_int_equal(in(f, TCO1_STS), TCO1_TIMEOUT);
}

static void odd_values_are_harmless(void **state)
{
	struct fixture *f = *state;

	out(f, TCO_TMR, 1);
	assert_int_equal(in(f, TCO_TMR), 4); /* ignored */
	out(f, TCO_TMR, 0xFFFF);
	assert_int_equal(in(f, TCO_TMR), 0x3FF);
	assert_int_equal(tco_seconds(&f->tco), 1227);
	/* On top of the PCI configuration's or nobody's place, and away again. */
	lpc_write(f, LPC_RCBA, 4, 0xFFFFC001);
	assert_int_equal(gcs(f), UINT32_MAX);
	lpc_write(f, LPC_RCBA, 4, RCBA);
	assert_int_equal(gcs(f), UINT32_MAX);
	lpc_write(f, LPC_RCBA, 4, RCBA | 1);
	assert_int_equal(gcs(f), GCS_NO_REBOOT);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(halted_until_the_guest_starts_it),
		CASE(expires_at_the_second_time_only),
		CASE(fed_it_never_expires),
		CASE(no_reboot_means_no_reboot),
		CASE(time_stands_still_while_the_vm_is_paused),
		CASE(odd_values_are_harmless),
	};

	return cmocka_run_group_tests_name("vmm-chipset_tco", tests, NULL, NULL);
}
