// SPDX-License-Identifier: BSD-3-Clause
#include "fake_kvm.h"

#include "vmm/chipset_uart.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

#define IRQ 4

struct fixture {
	struct irq_router *irq;
	struct uart uart;
	char out[64];
	size_t out_len;
	const char *typed; /* given to the UART when it asks */
};

static void tx(void *arg, uint8_t byte)
{
	struct fixture *f = arg;

	f->out[f->out_len++ % sizeof(f->out)] = (char)byte;
}

static void rx_ready(void *arg)
{
	struct fixture *f = arg;

	if (f->typed != NULL)
		f->typed += uart_receive(&f->uart, (const uint8_t *)f->typed, strlen(f->typed));
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	assert_int_equal(irq_router_create(3, &f.irq, NULL), 0);
	f.uart = (struct uart){
		.irq = f.irq, .gsi = IRQ, .tx = tx, .rx_ready = rx_ready, .arg = &f
	};
	uart_reset(&f.uart);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	irq_router_destroy(((struct fixture *)*state)->irq);
	return 0;
}

static uint8_t in(struct fixture *f, unsigned int reg)
{
	return (uint8_t)uart_ops.read(&f->uart, reg, 1);
}

static void out(struct fixture *f, unsigned int reg, uint8_t v)
{
	uart_ops.write(&f->uart, reg, 1, v);
}

/* What a driver's probe looks at (values seen with stock firmware and Linux). */
static void looks_like_a_16550a(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(f, LSR), 0x60);
	assert_int_equal(in(f, MSR), 0xB0);
	assert_int_equal(in(f, IIR), 0x01);
	out(f, SCR, 0x55);
	assert_int_equal(in(f, SCR), 0x55);
	out(f, IER, 0xFF);
	assert_int_equal(in(f, IER), 0x0F);
	out(f, IER, 0);
	out(f, IIR, 0x01);
	assert_int_equal(in(f, IIR) & 0xC0, 0xC0);
	out(f, LCR, 0x80);
	out(f, DATA, 0x01);
	out(f, IER, 0x02);
	assert_int_equal(in(f, DATA), 0x01);
	assert_int_equal(in(f, IER), 0x02);
	out(f, LCR, 0x03);
	assert_int_equal(in(f, IER), 0);
	assert_int_equal(f->out_len, 0);
	out(f, MCR, 0x1A); /* loopback: OUT2 and RTS come back as DCD and CTS */
	assert_int_equal(in(f, MSR) & 0xF0, 0x90);
}

static void loopback_stays_inside(void **state)
{
	struct fixture *f = *state;

	f->typed = "x";
	out(f, IIR, 0x01);
	f->typed = NULL;
	in(f, DATA);
	out(f, MCR, 0x10);
	out(f, DATA, 'q');
	assert_int_equal(f->out_len, 0);
	assert_int_equal(in(f, LSR), 0x61);
	assert_int_equal(in(f, DATA), 'q');
	assert_int_equal(uart_receive(&f->uart, (const uint8_t *)"z", 1), 0);
	f->typed = "z";
	out(f, MCR, 0); /* what waited outside comes in now */
	assert_int_equal(in(f, DATA), 'z');
}

/* One interrupt per 16 bytes, and one change of the line each. */
static void sends_in_bursts(void **state)
{
	struct fixture *f = *state;

	out(f, IIR, 0x01);
	out(f, IER, 0x02);
	assert_true(fake_kvm.line[IRQ]); /* empty, and now of interest */
	assert_int_equal(in(f, IIR), 0xC2);
	assert_false(fake_kvm.line[IRQ]); /* reading it was the acknowledgement */
	assert_int_equal(in(f, IIR), 0xC1);
	fake_kvm.line_changes = 0;
	for (int i = 0; i < 16; i++) {
		out(f, DATA, (uint8_t)('a' + i));
		assert_int_equal(in(f, LSR) & 0x60, 0x60);
	}
	assert_memory_equal(f->out, "abcdefghijklmnop", 16);
	assert_int_equal(fake_kvm.line_changes, 1);
	assert_true(fake_kvm.line[IRQ]);
	out(f, IER, 0);
	assert_false(fake_kvm.line[IRQ]);
	out(f, IER, 2); /* a driver's test that the interrupt can be asked for again */
	assert_int_equal(in(f, IIR), 0xC2);
}

static void receives_through_the_fifo(void **state)
{
	struct fixture *f = *state;

	out(f, IIR, 0x81); /* trigger at 8 bytes */
	out(f, IER, 0x01);
	assert_int_equal(uart_receive(&f->uart, (const uint8_t *)"hi", 2), 2);
	assert_true(fake_kvm.line[IRQ]);
	assert_int_equal(in(f, IIR), 0xCC); /* time-out: fewer than the trigger */
	assert_int_equal(uart_receive(&f->uart, (const uint8_t *)"0123456789abcdefg", 17), 14);
	assert_int_equal(in(f, IIR), 0xC4);
	f->typed = "more";
	assert_int_equal(in(f, DATA), 'h');
	for (int i = 0; i < 14; i++)
		in(f, DATA);
	assert_int_equal(in(f, DATA), 'd');
	assert_int_equal(in(f, DATA), 'm'); /* fetched when the FIFO ran empty */
	assert_true(fake_kvm.line[IRQ]);
	f->typed = NULL;
	assert_int_equal(in(f, DATA), 'o');
	assert_int_equal(in(f, DATA), 'r');
	assert_int_equal(in(f, DATA), 'e');
	assert_false(fake_kvm.line[IRQ]);
	assert_int_equal(in(f, DATA), 0); /* empty: nothing */
}

static void without_fifo_one_byte_at_a_time(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(uart_receive(&f->uart, (const uint8_t *)"ab", 2), 1);
	assert_int_equal(in(f, LSR), 0x61);
	out(f, IIR, 0x01); /* switching the FIFO on empties it */
	assert_int_equal(in(f, LSR), 0x60);
}

static void reset_lowers_the_line(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0x02);
	assert_true(fake_kvm.line[IRQ]);
	uart_reset(&f->uart);
	assert_false(fake_kvm.line[IRQ]);
	assert_int_equal(in(f, IER), 0);
	uart_ops.write(&f->uart, 0, 8, UINT64_MAX); /* any width, no harm */
	uart_ops.read(&f->uart, 0, 8);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(looks_like_a_16550a),
		CASE(loopback_stays_inside),
		CASE(sends_in_bursts),
		CASE(receives_through_the_fifo),
		CASE(without_fifo_one_byte_at_a_time),
		CASE(reset_lowers_the_line),
	};

	return cmocka_run_group_tests_name("vmm-chipset_uart", tests, NULL, NULL);
}
