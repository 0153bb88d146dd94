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

#define BASE 0x600
#define SCI  9

struct fixture {
	pthread_mutex_t lock;
	struct bus pio;
	struct irq_router *irq;
	struct pm pm;
	struct lpc *lpc;
	unsigned int power_offs;
};

static void power_off(void *arg)
{
	((struct fixture *)arg)->power_offs++;
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
	assert_int_equal(irq_router_create(3, &f.irq, NULL), 0);
	f.pm = (struct pm){ .pio = &f.pio, .irq = f.irq, .power_off = power_off, .arg = &f };
	pm_init(&f.pm);
	assert_int_equal(lpc_create(&f.pm, &f.lpc), 0);
	lpc_write(&f, LPC_PMBASE, 4, BASE | 1);
	lpc_write(&f, LPC_ACPI_CNTL, 1, 0x80);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pm_fini(&f->pm);
	f->lpc->dev.ops->destroy(&f->lpc->dev);
	irq_router_destroy(f->irq);
	bus_fini(&f->pio);
	return 0;
}

static uint32_t in(struct fixture *f, uint16_t port, unsigned int len)
{
	uint32_t v = 0;

	bus_read(&f->pio, 0, port, &v, len);
	return v;
}

static void out(struct fixture *f, uint16_t port, unsigned int len, uint32_t v)
{
	bus_write(&f->pio, 0, port, &v, len);
}

static void timer_runs_at_its_rate(void **state)
{
	struct fixture *f = *state;
	uint32_t a, b;

	assert_int_equal(pm_timer_ticks(1000000000), 3579545);
	assert_int_equal(pm_timer_ticks(1000000000ULL * 86400 * 365), /* no overflow after a year */
			 (uint32_t)(3579545ULL * 86400 * 365));
	a = in(f, BASE + 8, 4);
	usleep(20000);
	b = in(f, BASE + 8, 4);
	assert_in_range(b - a, 3579545 / 50, 3579545);
	/* It is read without the machine's lock. */
	pthread_mutex_lock(&f->lock);
	in(f, BASE + 8, 4);
	pthread_mutex_unlock(&f->lock);
}

static void power_button_raises_sci_when_enabled(void **state)
{
	struct fixture *f = *state;

	pm_power_button(&f->pm);
	assert_false(fake_kvm.line[SCI]);
	assert_int_equal(in(f, BASE, 2) & 0x100, 0x100);
	out(f, BASE + 2, 2, 0x100);
	assert_true(fake_kvm.line[SCI]);
	out(f, BASE, 2, 0x20); /* another bit: stays */
	assert_true(fake_kvm.line[SCI]);
	out(f, BASE, 2, 0x100);
	assert_false(fake_kvm.line[SCI]);
	assert_int_equal(in(f, BASE, 2) & 0x100, 0);
	pm_power_button(&f->pm);
	assert_true(fake_kvm.line[SCI]);
	pm_reset(&f->pm);
	assert_false(fake_kvm.line[SCI]);
}

static void only_s5_powers_off(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(f, BASE + 4, 2), 1); /* ACPI mode from the start */
	out(f, BASE + 4, 2, 0x0001);
	out(f, BASE + 4, 2, 0x3401); /* another sleep state */
	assert_int_equal(f->power_offs, 0);
	out(f, BASE + 4, 2, 0x2001);
	assert_int_equal(f->power_offs, 1);
	out(f, BASE + 5, 1, 0x20);
	assert_int_equal(f->power_offs, 2);
	assert_int_equal(in(f, BASE + 4, 2) & 0x2000, 0); /* the enable bit is write-only */
}

static void gpe0_latches(void **state)
{
	struct fixture *f = *state;

	out(f, BASE + 0x28, 1, 0x02);
	assert_int_equal(in(f, BASE + 0x28, 1), 0x02);
	assert_int_equal(in(f, BASE + 0x20, 4), 0);
	out(f, BASE + 0x20, 4, UINT32_MAX);
	assert_int_equal(in(f, BASE + 0x20, 4), 0);
	assert_int_equal(in(f, BASE + 0x60, 4), 0); /* inside the block, nothing there */
	assert_int_equal(in(f, BASE + 0x7E, 4), 0xFFFF0000); /* and beyond it */
}

static void block_follows_pmbase(void **state)
{
	struct fixture *f = *state;
	struct io_region other = { "other", 0xB008, 4, &(struct io_ops){ 0 }, NULL, false };

	lpc_write(f, LPC_PMBASE, 2, 0x4001);
	assert_int_equal(in(f, BASE + 4, 2), 0xFFFF);
	assert_int_equal(in(f, 0x4004, 2), 1);
	lpc_write(f, LPC_ACPI_CNTL, 1, 0);
	assert_int_equal(in(f, 0x4004, 2), 0xFFFF);
	assert_int_equal(bus_add(&f->pio, &other), 0);
	lpc_write(f, LPC_ACPI_CNTL, 1, 0x80);
	lpc_write(f, LPC_PMBASE, 2, 0xB001); /* taken: all or nothing */
	assert_int_equal(in(f, 0xB004, 2), 0xFFFF);
	lpc_write(f, LPC_PMBASE, 2, 0xFF81); /* the last one that fits */
	assert_int_equal(in(f, 0xFF84, 2), 1);
	f->lpc->dev.ops->reset(&f->lpc->dev);
	assert_int_equal(in(f, 0xFF84, 2), 0xFFFF);
	assert_int_equal(f->lpc->dev.ops->cfg_read(&f->lpc->dev, LPC_PMBASE, 4), 1);
	assert_int_equal(f->lpc->dev.ops->cfg_read(&f->lpc->dev, 8, 4) >> 16, 0x0601);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(timer_runs_at_its_rate), CASE(power_button_raises_sci_when_enabled),
		CASE(only_s5_powers_off),     CASE(gpe0_latches),
		CASE(block_follows_pmbase),
	};

	return cmocka_run_group_tests_name("vmm-chipset_pm", tests, NULL, NULL);
}
