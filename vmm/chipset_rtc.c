// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_rtc.h"

#include "vmm/layout.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Registers (MC146818A data sheet) */
enum {
	RTC_SECOND,
	RTC_SECOND_ALARM,
	RTC_MINUTE,
	RTC_MINUTE_ALARM,
	RTC_HOUR,
	RTC_HOUR_ALARM,
	RTC_WEEKDAY,
	RTC_DAY,
	RTC_MONTH,
	RTC_YEAR,
	RTC_A,
	RTC_B,
	RTC_C,
	RTC_D,
	RTC_CENTURY = 0x32, /* FADT.CENTURY */
};

#define A_UPDATE  0x80
#define A_DEFAULT 0x26 /* 32768 Hz */
#define B_SET	  0x80
#define B_ALARM	  0x20
#define B_UPDATE  0x10
#define B_BINARY  0x04
#define B_24H	  0x02
#define C_IRQ	  0x80
#define C_ALARM	  0x20
#define C_UPDATE  0x10
#define D_VALID	  0x80
#define HOUR_PM	  0x80
#define ALARM_ANY 0xC0 /* this and above: any value matches */
#define DAY_S	  86400
#define NS_PER_S  1000000000L
#define UPDATE_NS 2228000L /* the update flag is up this long before the second changes */

/* Days since 1970-01-01 of a Gregorian date, counting years from March so that February is last. */
static int64_t days_from_date(int64_t year, unsigned int month, unsigned int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t in_era = y - era * 400;
	int64_t in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

int64_t rtc_time_to_seconds(const struct rtc_time *t)
{
	return days_from_date(t->year, t->month, t->day) * DAY_S + t->hour * 3600 + t->minute * 60 +
	       t->second;
}

void rtc_time_from_seconds(int64_t seconds, struct rtc_time *t)
{
	int64_t days = seconds / DAY_S - (seconds % DAY_S < 0);
	unsigned int left = (unsigned int)(seconds - days * DAY_S);
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned int doe = (unsigned int)(z - era * 146097);
	unsigned int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned int mp = (5 * doy + 2) / 153;

	t->day = doy - (153 * mp + 2) / 5 + 1;
	t->month = mp < 10 ? mp + 3 : mp - 9;
	t->year = era * 400 + yoe + (t->month <= 2);
	t->hour = left / 3600;
	t->minute = left / 60 % 60;
	t->second = left % 60;
	t->weekday = (unsigned int)(((days + 4) % 7 + 7) % 7) + 1; /* 1970-01-01: a Thursday */
}

static uint8_t to_register(const struct rtc *rtc, unsigned int v)
{
	return (uint8_t)((rtc->cmos[RTC_B] & B_BINARY) != 0 ? v : v / 10 << 4 | v % 10);
}

static unsigned int from_register(const struct rtc *rtc, uint8_t v)
{
	return (rtc->cmos[RTC_B] & B_BINARY) != 0 ? v : (v >> 4) * 10U + (v & 0xF);
}

static uint8_t hour_to_register(const struct rtc *rtc, unsigned int hour)
{
	if ((rtc->cmos[RTC_B] & B_24H) != 0)
		return to_register(rtc, hour);
	return to_register(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int hour_from_register(const struct rtc *rtc, uint8_t v)
{
	if ((rtc->cmos[RTC_B] & B_24H) != 0)
		return from_register(rtc, v);
	return from_register(rtc, v & (uint8_t)~HOUR_PM) % 12 + ((v & HOUR_PM) != 0 ? 12 : 0);
}

static struct timespec host_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts;
}

/* Puts the running time into the registers. */
static void registers_load(struct rtc *rtc)
{
	struct rtc_time t;

	rtc_time_from_seconds(host_now().tv_sec + rtc->offset_s, &t);
	rtc->cmos[RTC_SECOND] = to_register(rtc, t.second);
	rtc->cmos[RTC_MINUTE] = to_register(rtc, t.minute);
	rtc->cmos[RTC_HOUR] = hour_to_register(rtc, t.hour);
	rtc->cmos[RTC_WEEKDAY] = to_register(rtc, t.weekday);
	rtc->cmos[RTC_DAY] = to_register(rtc, t.day);
	rtc->cmos[RTC_MONTH] = to_register(rtc, t.month);
	rtc->cmos[RTC_YEAR] = to_register(rtc, (unsigned int)(t.year % 100));
	rtc->cmos[RTC_CENTURY] = to_register(rtc, (unsigned int)(t.year / 100 % 100));
}

/* The guest set the registers: runs on from there. What is no date changes nothing. */
static void registers_store(struct rtc *rtc)
{
	struct rtc_time t = {
		.year = from_register(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
			from_register(rtc, rtc->cmos[RTC_YEAR]),
		.month = from_register(rtc, rtc->cmos[RTC_MONTH]),
		.day = from_register(rtc, rtc->cmos[RTC_DAY]),
		.hour = hour_from_register(rtc, rtc->cmos[RTC_HOUR]),
		.minute = from_register(rtc, rtc->cmos[RTC_MINUTE]),
		.second = from_register(rtc, rtc->cmos[RTC_SECOND]),
	};

	if (t.month < 1 || t.month > 12 || t.day < 1 || t.day > 31 || t.hour > 23 ||
	    t.minute > 59 || t.second > 59)
		return;
	rtc->offset_s = rtc_time_to_seconds(&t) - host_now().tv_sec;
}

static bool alarm_matches(const struct rtc *rtc, unsigned int reg, unsigned int value)
{
	uint8_t alarm = rtc->cmos[reg];

	if (alarm >= ALARM_ANY)
		return true;
	return (reg == RTC_HOUR_ALARM ? hour_from_register(rtc, alarm)
				      : from_register(rtc, alarm)) == value;
}

/* The first value from `from` on, below `count`, that the alarm register matches; count: none. */
static unsigned int alarm_next(const struct rtc *rtc, unsigned int reg, unsigned int from,
			       unsigned int count)
{
	while (from < count && !alarm_matches(rtc, reg, from))
		from++;
	return from;
}

/* Seconds from guest time `now` to the next alarm, 1 to 86400; 0: it never comes. */
static unsigned int alarm_distance(const struct rtc *rtc, int64_t now)
{
	unsigned int of_day = (unsigned int)((now % DAY_S + DAY_S) % DAY_S);

	if (alarm_next(rtc, RTC_MINUTE_ALARM, 0, 60) == 60 ||
	    alarm_next(rtc, RTC_SECOND_ALARM, 0, 60) == 60)
		return 0;
	/* Skips to the next minute or hour: a guest must not make us walk through a day. */
	for (unsigned int t = of_day + 1; t <= of_day + DAY_S;) {
		unsigned int second;

		if (!alarm_matches(rtc, RTC_HOUR_ALARM, t / 3600 % 24)) {
			t = (t / 3600 + 1) * 3600;
			continue;
		}
		second = alarm_next(rtc, RTC_SECOND_ALARM, t % 60, 60);
		if (alarm_matches(rtc, RTC_MINUTE_ALARM, t / 60 % 60) && second < 60) {
			t += second - t % 60;
			return t <= of_day + DAY_S ? t - of_day : 0;
		}
		t = (t / 60 + 1) * 60;
	}
	return 0;
}

static void timer_arm(struct rtc *rtc)
{
	uint8_t b = rtc->cmos[RTC_B];
	int64_t host = host_now().tv_sec;
	unsigned int distance = 0;
	struct itimerspec at = { 0 };

	if ((b & B_SET) == 0 && (b & B_UPDATE) != 0)
		distance = 1;
	else if ((b & B_SET) == 0 && (b & B_ALARM) != 0)
		distance = alarm_distance(rtc, host + rtc->offset_s);
	if (distance != 0)
		at.it_value.tv_sec = host + distance;
	timerfd_settime(rtc->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void line_update(struct rtc *rtc)
{
	bool line = (rtc->cmos[RTC_C] & rtc->cmos[RTC_B] & (C_ALARM | C_UPDATE)) != 0;

	if (line)
		rtc->cmos[RTC_C] |= C_IRQ;
	if (line != rtc->line && irq_line_set(rtc->irq, LAYOUT_IRQ_RTC, line) == 0)
		rtc->line = line;
}

/* The second that timer_arm() waited for has come. */
static void rtc_timer(void *arg, int fd, uint32_t events)
{
	struct rtc *rtc = arg;
	uint64_t ticks;
	int64_t now;

	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) != sizeof(ticks))
		return;
	pthread_mutex_lock(rtc->lock);
	now = host_now().tv_sec + rtc->offset_s;
	if (alarm_distance(rtc, now - 1) == 1)
		rtc->cmos[RTC_C] |= C_ALARM;
	rtc->cmos[RTC_C] |= C_UPDATE;
	line_update(rtc);
	timer_arm(rtc);
	pthread_mutex_unlock(rtc->lock);
}

static bool is_time_register(uint8_t reg)
{
	return reg == RTC_SECOND || reg == RTC_MINUTE || reg == RTC_HOUR ||
	       (reg >= RTC_WEEKDAY && reg <= RTC_YEAR) || reg == RTC_CENTURY;
}

static bool is_alarm_register(uint8_t reg)
{
	return reg == RTC_SECOND_ALARM || reg == RTC_MINUTE_ALARM || reg == RTC_HOUR_ALARM;
}

static uint8_t cmos_read(struct rtc *rtc, uint8_t reg)
{
	uint8_t value;

	if (is_time_register(reg) && (rtc->cmos[RTC_B] & B_SET) == 0)
		registers_load(rtc);
	value = rtc->cmos[reg];
	if (reg == RTC_A && (rtc->cmos[RTC_B] & B_SET) == 0 &&
	    host_now().tv_nsec >= NS_PER_S - UPDATE_NS)
		value |= A_UPDATE;
	if (reg == RTC_C) {
		rtc->cmos[RTC_C] = 0;
		line_update(rtc);
	}
	return value;
}

static void control_write(struct rtc *rtc, uint8_t value)
{
	uint8_t old = rtc->cmos[RTC_B];

	if ((old & B_SET) == 0 && (value & B_SET) != 0)
		registers_load(rtc);
	if ((value & B_SET) != 0)
		value &= (uint8_t)~B_UPDATE; /* as the chip does */
	rtc->cmos[RTC_B] = value;
	if ((old & B_SET) != 0 && (value & B_SET) == 0)
		registers_store(rtc);
	if (((old ^ value) & (B_SET | B_ALARM | B_UPDATE)) != 0) {
		/* What happened before an interrupt was enabled is no news. */
		rtc->cmos[RTC_C] &= rtc->cmos[RTC_B];
		timer_arm(rtc);
	}
	line_update(rtc);
}

static void cmos_write(struct rtc *rtc, uint8_t reg, uint8_t value)
{
	bool running = (rtc->cmos[RTC_B] & B_SET) == 0;

	if (reg == RTC_B) {
		control_write(rtc, value);
	} else if (reg == RTC_A) {
		rtc->cmos[RTC_A] = value & (uint8_t)~A_UPDATE;
	} else if (is_time_register(reg)) {
		if (running)
			registers_load(rtc);
		rtc->cmos[reg] = value;
		if (running)
			registers_store(rtc);
	} else if (reg != RTC_C && reg != RTC_D) {
		rtc->cmos[reg] = value;
		if (is_alarm_register(reg) && (rtc->cmos[RTC_B] & B_ALARM) != 0)
			timer_arm(rtc);
	}
}

static uint64_t rtc_read(void *owner, uint64_t off, unsigned int len)
{
	struct rtc *rtc = owner;

	if (len == 2)
		return rtc->index | (uint64_t)cmos_read(rtc, rtc->index) << 8;
	return off == 0 ? rtc->index : cmos_read(rtc, rtc->index);
}

static void rtc_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct rtc *rtc = owner;

	if (off == 0)
		rtc->index = value & (RTC_CMOS - 1); /* bit 7 masks NMIs, of which there are none */
	if (off == 1)
		cmos_write(rtc, rtc->index, (uint8_t)value);
	else if (len == 2)
		cmos_write(rtc, rtc->index, (uint8_t)(value >> 8));
}

const struct io_ops rtc_ops = { .read = rtc_read, .write = rtc_write };

void rtc_reset(struct rtc *rtc)
{
	rtc->index = 0;
	rtc->cmos[RTC_A] = A_DEFAULT;
	rtc->cmos[RTC_B] = B_24H;
	rtc->cmos[RTC_C] = 0;
	rtc->cmos[RTC_D] = D_VALID;
	timer_arm(rtc);
	line_update(rtc);
}

int rtc_init(struct rtc *rtc)
{
	int r;

	rtc->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (rtc->timer_fd < 0)
		return -errno;
	r = loop_add(rtc->loop, rtc->timer_fd, EPOLLIN, rtc_timer, rtc);
	if (r < 0) {
		fd_close(&rtc->timer_fd);
		return r;
	}
	rtc->line = false;
	rtc_reset(rtc);
	return 0;
}

void rtc_fini(struct rtc *rtc)
{
	if (rtc->timer_fd >= 0)
		loop_del(rtc->loop, rtc->timer_fd);
	fd_close(&rtc->timer_fd);
}
