// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/manners.h"

#include "vf-manager/vm.h"

#include <systemd/sd-daemon.h>

#include <errno.h>
#include <time.h>

#define STATE_WAIT_S	  1
#define STATUS_S	  10
#define NS_PER_S	  1000000000ULL
#define WATCHDOG_LEAST_US 100000ULL

static size_t vms_running(struct daemon *d)
{
	size_t n = 0;

	state_lock(d);
	for (size_t i = 0; i < d->vm_count; i++)
		n += d->vms[i]->pid != 0;
	state_unlock(d);
	return n;
}

void manners_ready(struct daemon *d)
{
	sd_notifyf(0, "READY=1\nSTATUS=%zu VMs run%s", vms_running(d),
		   d->is_root ? "" : "; not root: no VFs can be given away");
}

void manners_ending(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=ending; VMs go on");
}

bool daemon_gets_on(struct daemon *d)
{
	uint64_t until = atomic_load_explicit(&d->op_until_ns, memory_order_relaxed);
	struct timespec deadline;

	if (until != 0 && now_ns() > until)
		return false;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STATE_WAIT_S;
	if (pthread_mutex_timedlock(&d->state, &deadline) != 0)
		return false;
	pthread_mutex_unlock(&d->state);
	return true;
}

/* Half the watchdog's time, as sd_watchdog_enabled() advises. */
static uint64_t ping_period_ns(bool *is_watched)
{
	uint64_t us = 0;

	*is_watched = sd_watchdog_enabled(0, &us) > 0;
	if (!*is_watched)
		return STATUS_S * NS_PER_S;
	return u64_min(u64_max(us, WATCHDOG_LEAST_US) / 2 * 1000, STATUS_S * NS_PER_S);
}

static void ping(struct daemon *d, bool is_watched, bool *was_stuck)
{
	bool gets_on = daemon_gets_on(d);

	if (gets_on)
		sd_notifyf(0, "%sSTATUS=%zu VMs run", is_watched ? "WATCHDOG=1\n" : "",
			   vms_running(d));
	else if (!*was_stuck)
		log_warn(
			"the daemon does not get on: the watchdog, if there is one, will end it; VMs go on");
	*was_stuck = !gets_on;
}

int manners_wait(struct daemon *d, const sigset_t *set)
{
	bool is_watched, was_stuck = false;
	uint64_t period = ping_period_ns(&is_watched);
	const struct timespec pause = { .tv_sec = (time_t)(period / NS_PER_S),
					.tv_nsec = (long)(period % NS_PER_S) };

	for (;;) {
		int sig = sigtimedwait(set, NULL, &pause);

		if (sig > 0 && sig != SIGHUP)
			return sig;
		if (sig == SIGHUP)
			log_info("SIGHUP: the configuration is read at start only");
		if (sig < 0 && errno == EAGAIN)
			ping(d, is_watched, &was_stuck);
	}
}
