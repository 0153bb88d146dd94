// SPDX-License-Identifier: BSD-3-Clause
#include "fake_kvm.h"

#include "vmm/chipset_rtc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#define IRQ 8

struct fixture {
	pthread_mutex_t lock;
	struct loop *loop;
	struct irq_router *irq;
	struct rtc rtc;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	pthread_mutex_init(&f.lock, NULL);
	assert_int_equal(loop_create(&f.loop, NULL), 0);
	assert_int_equal(irq_router_create(3, &f.irq, NULL), 0);
	f.rtc = (struct rtc){ .irq = f.irq, .lock = &f.lock, .loop = f.loop, .timer_fd = -1 };
	assert_int_equal(rtc_init(&f.rtc), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rtc_fini(&f->rtc);
	loop_destroy(f->loop);
	irq_router_destroy(f->irq);
	return 0;
}

static uint8_t in(struct fixture *f, uint8_t reg)
{
	rtc_ops.write(&f->rtc, 0, 1, reg);
	return (uint8_t)rtc_ops.read(&f->rtc, 1, 1);
}

static void out(struct fixture *f, uint8_t reg, uint8_t v)
{
	rtc_ops.write(&f->rtc, 0, 1, reg);
	rtc_ops.write(&f->rtc, 1, 1, v);
}

static unsigned int bcd(uint8_t v)
{
	assert_true((v & 0xF) < 10 && v >> 4 < 10);
	return (v >> 4) * 10U + (v & 0xF);
}

/* The clock's time, read as BCD in 24-hour form. */
static int64_t now(struct fixture *f)
{
	struct rtc_time t = { .year = bcd(in(f, 0x32)) * 100 + bcd(in(f, 9)),
			      .month = bcd(in(f, 8)),
			      .day = bcd(in(f, 7)),
			      .hour = bcd(in(f, 4)),
			      .minute = bcd(in(f, 2)),
			      .second = bcd(in(f, 0)) };

	return rtc_time_to_seconds(&t);
}

static bool timer_is_armed(struct fixture *f)
{
	struct itimerspec at;

	assert_int_equal(timerfd_gettime(f->rtc.timer_fd, &at), 0);
	return at.it_value.tv_sec != 0 || at.it_value.tv_nsec != 0;
}

static void calendar_is_libcs(void **state)
{
	static const int64_t some[] = {
		0,	    -1,		951782399,  951782400,	951868800,
		1709164800, 1798761599, 4107542399, 4107542400, -2203891200
	};

	(void)state;
	for (int64_t i = 0; i < 20000 + (int64_t)ARRAY_SIZE(some); i++) {
		time_t s = i < 20000 ? i * 777777 - 3000000000 : some[i - 20000];
		struct rtc_time t;
		struct tm tm;

		gmtime_r(&s, &tm);
		rtc_time_from_seconds(s, &t);
		assert_int_equal(t.year, tm.tm_year + 1900);
		assert_int_equal(t.month, tm.tm_mon + 1);
		assert_int_equal(t.day, tm.tm_mday);
		assert_int_equal(t.hour, tm.tm_hour);
		assert_int_equal(t.minute, tm.tm_min);
		assert_int_equal(t.second, tm.tm_sec);
		assert_int_equal(t.weekday, tm.tm_wday + 1);
		assert_int_equal(rtc_time_to_seconds(&t), s);
	}
}

static void shows_the_hosts_time(void **state)
{
	struct fixture *f = *state;

	assert_true(llabs(now(f) - time(NULL)) <= 2);
	assert_int_equal(in(f, 0x0D), 0x80); /* valid */
	assert_int_equal(in(f, 0x0B), 0x02); /* BCD, 24 hours */
	assert_int_equal(in(f, 0x0A) & 0x7F, 0x26);
	assert_int_equal(in(f, 0x0F), 0);
}

static void update_flag_does_not_stick(void **state)
{
	struct fixture *f = *state;
	unsigned int clear = 0;

	for (int i = 0; i < 100; i++)
		clear += (in(f, 0x0A) & 0x80) == 0;
	assert_true(clear > 0);
}

static void guest_sets_its_own_clock(void **state)
{
	struct fixture *f = *state;
	struct rtc_time t = {
		.year = 2031, .month = 2, .day = 28, .hour = 23, .minute = 59, .second = 58
	};

	out(f, 0x0B, 0x82); /* hold */
	out(f, 0, 0x58);
	out(f, 2, 0x59);
	out(f, 4, 0x23);
	out(f, 7, 0x28);
	out(f, 8, 0x02);
	out(f, 9, 0x31);
	out(f, 0x32, 0x20);
	assert_int_equal(in(f, 0), 0x58);
	out(f, 0x0B, 0x02); /* go */
	assert_true(llabs(now(f) - rtc_time_to_seconds(&t)) <= 2);
	out(f, 8, 0x77); /* no month: the clock goes on as it was */
	assert_true(llabs(now(f) - rtc_time_to_seconds(&t)) <= 3);
	rtc_reset(&f->rtc);
	assert_true(llabs(now(f) - rtc_time_to_seconds(&t)) <= 4); /* a reset does not set it */
}

static void binary_and_12_hours(void **state)
{
	struct fixture *f = *state;
	int64_t before = now(f), after;
	uint8_t hour;

	out(f, 0x0B, 0x04);
	hour = in(f, 4);
	out(f, 0x0B, 0x02);
	after = now(f);
	assert_in_range(hour & 0x7F, 1, 12);
	if (before / 3600 == after / 3600)
		assert_int_equal((hour & 0x7F) % 12 + ((hour & 0x80) != 0 ? 12 : 0),
				 before % 86400 / 3600);
}

static void alarm_interrupts_once_a_match(void **state)
{
	struct fixture *f = *state;

	out(f, 1, 0xFF); /* any second, minute, hour */
	out(f, 3, 0xFF);
	out(f, 5, 0xFF);
	out(f, 0x0B, 0x22);
	assert_false(fake_kvm.line[IRQ]);
	for (int i = 0; i < 30 && !fake_kvm.line[IRQ]; i++)
		assert_int_equal(loop_step(f->loop, 100), 0);
	assert_true(fake_kvm.line[IRQ]);
	assert_int_equal(in(f, 0x0C) & 0xA0, 0xA0);
	assert_false(fake_kvm.line[IRQ]);
	assert_int_equal(in(f, 0x0C), 0);
	out(f, 1, 0x75); /* a second that never comes: no timer, no loop */
	out(f, 0x0B, 0x02);
}

/* The distance is worked out with the machine's lock held, each time that a guest writes a register. */
static void alarm_that_never_comes_costs_nothing(void **state)
{
	static const uint8_t alarms[][3] = {
		{ 0x00, 0x00, 0x77 }, /* hour */
		{ 0x00, 0x77, 0xFF }, /* minute */
		{ 0x77, 0xFF, 0xFF }, /* second */
	};
	struct fixture *f = *state;

	out(f, 11, 0x22);
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
		uint64_t begin, used;

		out(f, 5, alarms[i][2]);
		out(f, 3, alarms[i][1]);
		begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		for (unsigned int n = 0; n < 1000; n++)
			out(f, 1, alarms[i][0]);
		used = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
		assert_in_range(used, 0, 50000000); /* walks through the day take four times this */
		assert_false(timer_is_armed(f));
	}
}

static void alarm_is_at_the_next_match(void **state)
{
	struct fixture *f = *state;

	for (unsigned int s = 0; s < 86400; s += 1237) {
		struct itimerspec at;
		int64_t t = now(f), left;

		out(f, 1, (uint8_t)(s % 60 / 10 << 4 | s % 10));
		out(f, 3, (uint8_t)(s / 60 % 60 / 10 << 4 | s / 60 % 10));
		out(f, 5, (uint8_t)(s / 3600 / 10 << 4 | s / 3600 % 10));
		out(f, 11, 0x22);
		left = ((int64_t)s - t % 86400 + 2 * 86400 - 1) % 86400 + 1;
		assert_int_equal(timerfd_gettime(f->rtc.timer_fd, &at), 0);
		if (left > 5) /* else the clock may have passed it meanwhile */
			assert_in_range(at.it_value.tv_sec, left - 4, left);
		out(f, 11, 0x02);
	}
}

static void cmos_is_ram(void **state)
{
	struct fixture *f = *state;

	out(f, 0x7F, 0xA5);
	assert_int_equal(in(f, 0x7F), 0xA5);
	assert_int_equal(in(f, 0xFF), 0xA5); /* bit 7 of the index masks NMIs */
	rtc_ops.write(&f->rtc, 0, 2, 0x5A40);
	assert_int_equal(in(f, 0x40), 0x5A);
	assert_int_equal(rtc_ops.read(&f->rtc, 0, 2), 0x5A40);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(calendar_is_libcs),
		CASE(shows_the_hosts_time),
		CASE(update_flag_does_not_stick),
		CASE(guest_sets_its_own_clock),
		CASE(binary_and_12_hours),
		CASE(alarm_interrupts_once_a_match),
		CASE(alarm_that_never_comes_costs_nothing),
		CASE(alarm_is_at_the_next_match),
		CASE(cmos_is_ram),
	};

	return cmocka_run_group_tests_name("vmm-chipset_rtc", tests, NULL, NULL);
}
