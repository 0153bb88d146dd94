// SPDX-License-Identifier: BSD-3-Clause
/*
 * Ends, resets, panics and the watchdog: asked for on any thread, acted upon by the main thread. What a
 * guest can make happen over and over is slowed down here and logged with a limit.
 */
#include "vmm/machine_requests.h"

#include "vmm/machine.h"
#include "vmm/machine_devices.h"
#include "vmm/vcpu.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LET_GO_NS 20000000ULL /* between two looks at disks whose requests are under way */

static void event_raise(struct machine *m)
{
	uint64_t one = 1;

	/* EAGAIN would mean that it is raised already. */
	(void)!write(m->event_fd, &one, sizeof(one));
}

void machine_end_request(struct machine *m, enum machine_end why, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&m->request_lock);
	if (m->end == MACHINE_RUNS) {
		m->end = why;
		va_start(ap, fmt);
		vsnprintf(m->end_text, sizeof(m->end_text), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&m->request_lock);
	event_raise(m);
}

void machine_reset_request(struct machine *m, enum reset_cause cause)
{
	pthread_mutex_lock(&m->request_lock);
	if (m->reset_wanted == RESET_NONE)
		m->reset_wanted = cause;
	pthread_mutex_unlock(&m->request_lock);
	event_raise(m);
}

void machine_panic_request(struct machine *m, unsigned int events)
{
	pthread_mutex_lock(&m->request_lock);
	m->panic_events |= events;
	pthread_mutex_unlock(&m->request_lock);
	event_raise(m);
}

/* Up to the limit, and then with what was left out since. */
static void life_log(struct machine *m, const char *text)
{
	uint64_t held;

	if (!log_admit(&m->life.log, now_ns(), &held))
		return;
	if (held != 0)
		log_info("%llu lines about resets and panics were left out",
			 (unsigned long long)held);
	log_info("%s", text);
}

void machine_watchdog_request(struct machine *m, unsigned int seconds)
{
	char text[96];

	snprintf(text, sizeof(text), "the guest did not feed its watchdog for %u s", seconds);
	life_watchdog_fired(&m->life);
	life_log(m, text);
	if (m->spec->watchdog == VMM_WATCHDOG_STOP)
		machine_end_request(m, MACHINE_WATCHDOG, "%s", text);
	else
		machine_reset_request(m, RESET_WATCHDOG);
}

static void panic_handle(struct machine *m)
{
	bool is_row = life_panicked(&m->life, now_ns());

	life_log(m, "the guest's kernel panicked");
	if (m->spec->on_panic == VMM_PANIC_STOP)
		machine_end_request(m, MACHINE_GUEST_PANICKED, "the guest's kernel panicked");
	else if (m->spec->on_panic == VMM_PANIC_RESTART && is_row)
		machine_end_request(
			m, MACHINE_GUEST_PANICKED,
			"the guest's kernel panicked %u times in a row, each time within "
			"%llu s of its start",
			LIFE_PANIC_ROW, LIFE_PANIC_NS / 1000000000ULL);
	else if (m->spec->on_panic == VMM_PANIC_RESTART)
		machine_reset_request(m, RESET_PANIC);
}

static void events_handle(struct machine *m, unsigned int events)
{
	if ((events & MACHINE_CRASH_LOADED) != 0) {
		m->life.crash_kernels++;
		life_log(m, "the guest's kernel panicked; the guest's own crash kernel takes over");
	}
	if ((events & MACHINE_PANICKED) != 0)
		panic_handle(m);
	if ((events & MACHINE_SHUTDOWN) != 0)
		machine_end_request(m, MACHINE_POWEROFF, "the guest powered itself off");
}

/* vCPUs parked, everything as at power-on, vCPUs go. */
static int reset_do(struct machine *m, enum reset_cause cause, struct err *e)
{
	int r;

	vcpu_set_park(m->vcpus);
	/* What was asked for until now is this reset: guests pulse the line more than once. */
	pthread_mutex_lock(&m->request_lock);
	m->reset_wanted = RESET_NONE;
	pthread_mutex_unlock(&m->request_lock);
	r = machine_reset(m, e);
	if (r < 0)
		return err_wrap(e, "guest reset");
	life_reset_done(&m->life, cause, now_ns());
	m->reset_waits = false;
	if (!m->paused)
		vcpu_set_resume(m->vcpus);
	return 0;
}

static void reset_handle(struct machine *m, enum reset_cause cause)
{
	struct itimerspec in = { 0 };
	struct err e = { 0 };
	uint64_t wait;
	char text[96];

	vcpu_set_park(m->vcpus);
	/* What a disk still writes is not to land in the memory of the next kernel. */
	wait = machine_devices_let_go(m) ? life_reset_admit(&m->life, now_ns()) : LET_GO_NS;
	if (wait != 0) {
		in.it_value.tv_nsec = (long)u64_min(wait, 999999999);
		m->reset_waits = timerfd_settime(m->reset_timer_fd, 0, &in, NULL) == 0;
		return;
	}
	snprintf(text, sizeof(text), "the guest is reset: %s", reset_cause_text(cause));
	life_log(m, text);
	if (reset_do(m, cause, &e) < 0) {
		log_err(&e, m->spec->name);
		machine_end_request(m, MACHINE_INTERNAL_ERROR, "%s", e.text);
	}
}

static void requests_handle(struct machine *m)
{
	enum reset_cause reset;
	unsigned int events;
	bool end;

	pthread_mutex_lock(&m->request_lock);
	events = m->panic_events;
	m->panic_events = 0;
	pthread_mutex_unlock(&m->request_lock);
	events_handle(m, events);

	pthread_mutex_lock(&m->request_lock);
	end = m->end != MACHINE_RUNS;
	reset = m->reset_wanted;
	pthread_mutex_unlock(&m->request_lock);
	if (end)
		loop_stop(m->loop, 0);
	else if (reset != RESET_NONE)
		reset_handle(m, reset);
}

static void request_ready(void *arg, int fd, uint32_t events)
{
	uint64_t count;

	(void)events;
	(void)!read(fd, &count, sizeof(count)); /* of the eventfd or the timerfd */
	requests_handle(arg);
}

int machine_requests_init(struct machine *m, struct err *e)
{
	m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->event_fd < 0)
		return err_set(e, errno, "eventfd: %s", strerror(errno));
	m->reset_timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->reset_timer_fd < 0)
		return err_set(e, errno, "timerfd: %s", strerror(errno));
	if (loop_add(m->loop, m->event_fd, EPOLLIN, request_ready, m) < 0 ||
	    loop_add(m->loop, m->reset_timer_fd, EPOLLIN, request_ready, m) < 0)
		return err_set(e, ENOMEM, "machine: out of memory");
	return 0;
}

void machine_requests_fini(struct machine *m)
{
	int *fds[] = { &m->event_fd, &m->reset_timer_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			loop_del(m->loop, *fds[i]);
		fd_close(fds[i]);
	}
}
