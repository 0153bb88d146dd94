/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MC146818 real-time clock and CMOS RAM at ports 0x70 and 0x71. It runs on the host's UTC; a guest
 * that sets it changes its own offset only. The alarm (IRQ 8) works by the hour, minute and second;
 * periodic interrupts are not there. Lock held; the alarm's timer belongs to the main thread's loop.
 */
#ifndef VIADUCT_VMM_CHIPSET_RTC_H
#define VIADUCT_VMM_CHIPSET_RTC_H

#include "vmm/bus.h"
#include "vmm/irq.h"

#include "base/loop.h"

#include <pthread.h>

#define RTC_PORT 0x70
#define RTC_SIZE 2
#define RTC_CMOS 128

/* A civil time in UTC, and back; no libc, whose versions read the time zone file. */
struct rtc_time {
	int64_t year;
	unsigned int month, day; /* from 1 */
	unsigned int hour, minute, second;
	unsigned int weekday; /* 1: Sunday */
};

void rtc_time_from_seconds(int64_t seconds, struct rtc_time *t);
int64_t rtc_time_to_seconds(const struct rtc_time *t);

struct rtc {
	struct irq_router *irq; /* borrowed, like lock and loop */
	pthread_mutex_t *lock;
	struct loop *loop;
	int timer_fd; /* the alarm; -1: none */
	uint8_t index;
	uint8_t cmos[RTC_CMOS];
	int64_t offset_s; /* guest's clock minus the host's */
	bool line;
};

extern const struct io_ops rtc_ops; /* owner: struct rtc */

/* irq, lock and loop are set by the caller before. */
int rtc_init(struct rtc *rtc);
void rtc_fini(struct rtc *rtc);
void rtc_reset(struct rtc *rtc); /* the clock goes on */

#endif
