// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/monitor.h"

#include "vf-manager/adopt.h"
#include "vf-manager/alarms.h"
#include "vf-manager/drift.h"
#include "vf-manager/irqwatch.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/numawatch.h"
#include "vf-manager/portlink.h"
#include "vf-manager/recover.h"
#include "vf-manager/varswatch.h"

#include "base/fd.h"
#include "base/loop.h"
#include "sriov/kevents.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BUSY_TRIES 5 /* looks that are put off because the world is being changed */
#define IRQS_NS	   1000000000ULL /* between two looks at the interrupts, at least */
#define ASK_NS	   5000000000ULL /* between two questions to VMs that do not answer */
#define LEFT_NS	   10000000000ULL /* between two tries to wipe what a VM has left */
#define LINKS_NS   5000000000ULL /* from a link that could not be set to the next try */

/* All but kick_fd, must_end and is_kicked is the thread's alone. */
struct monitor {
	struct daemon *d;
	struct loop *loop;
	int kick_fd, timer_fd, irq_timer_fd;
	int kernel_fds[KEVENTS_KINDS]; /* -1: this host does not let us listen */
	struct alarms *alarms;
	struct drift_memory drift;
	struct irq_watch *irqs;
	uint64_t irqs_next_ns, links_next_ns, ask_next_ns, left_next_ns; /* not before */
	bool is_due; /* a look is coming within MONITOR_DELAY_MS */
	bool is_machine; /* the kernel has spoken since the last look */
	bool differs; /* the last look found other alarms than the ledger has, but not under op */
	unsigned int put_off;
	pthread_t thread;
	bool has_thread;
	_Atomic bool must_end;
	_Atomic bool is_kicked; /* and a look will follow: a further word would say nothing new */
};

static void fd_timer_set(int fd, uint64_t ms)
{
	const struct itimerspec when = { .it_value = { .tv_sec = (time_t)(ms / 1000),
						       .tv_nsec = (long)(ms % 1000) * 1000000 } };

	timerfd_settime(fd, 0, &when, NULL);
}

static void timer_set(struct monitor *m, uint64_t ms)
{
	fd_timer_set(m->timer_fd, ms);
}

/* The first word starts the delay; those that follow do not make it longer. */
static void look_soon(struct monitor *m)
{
	if (!m->is_due)
		timer_set(m, MONITOR_DELAY_MS);
	m->is_due = true;
}

static void kicked(void *arg, int fd, uint32_t events)
{
	struct monitor *m = arg;
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
	if (atomic_load_explicit(&m->must_end, memory_order_acquire))
		loop_stop(m->loop, 0);
	else
		look_soon(m);
}

static void kernel_spoke(void *arg, int fd, uint32_t events)
{
	struct monitor *m = arg;

	for (unsigned int kind = 0; kind < KEVENTS_KINDS; kind++)
		if (m->kernel_fds[kind] == fd && kevents_take(fd, (enum kevents_kind)kind)) {
			m->is_machine = true;
			look_soon(m);
		}
}

/* Whoever changed only the ledger looked at the machine himself, where he had to. */
static enum alarms_look how_to_look(const struct monitor *m)
{
	return !m->is_due ? ALARMS_SCAN_DEEP : m->is_machine ? ALARMS_SCAN : ALARMS_LAST_SEEN;
}

/* What fails wakes this monitor by its own writes to the ledger: not at once again. */
static void links_settle(struct monitor *m)
{
	op_lock(m->d);
	if (!port_links_settle(m->d))
		m->links_next_ns = now_ns() + LINKS_NS;
	op_unlock(m->d);
}

static bool repair(struct monitor *m)
{
	bool is_any;

	op_lock(m->d);
	is_any = drift_repair(m->d, &m->drift);
	op_unlock(m->d);
	return is_any;
}

/* True: the alarms may be others now. */
static bool irqs_look(struct monitor *m)
{
	unsigned int next_ms = 0;
	uint64_t now = now_ns();
	bool is_new = false;

	if (now < m->irqs_next_ns) {
		next_ms = (unsigned int)((m->irqs_next_ns - now) / 1000000) + 1;
	} else {
		m->irqs_next_ns = now + IRQS_NS;
		is_new = irq_watch_look(m->d, m->irqs, &next_ms);
	}
	if (next_ms != 0)
		fd_timer_set(m->irq_timer_fd, next_ms);
	return is_new;
}

static void time_for_irqs(void *arg, int fd, uint32_t events)
{
	struct monitor *m = arg;
	uint64_t n;

	if (read(fd, &n, sizeof(n)) >= 0 && irqs_look(m))
		look_soon(m);
}

/* Who has `op` may be on the way to it. */
static void left_recover(struct monitor *m)
{
	if (now_ns() < m->left_next_ns)
		return;
	m->left_next_ns = now_ns() + LEFT_NS;
	if (!recover_is_due(m->d) || op_trylock(m->d) != 0)
		return;
	recover_left(m->d);
	op_unlock(m->d);
}

/* After the alarms, so that what is repaired was an alarm, too. True: something was. */
static bool repair_all(struct monitor *m)
{
	const struct attr_drifts *attrs = alarms_attr_drifts(m->alarms);
	bool is_any;

	is_any = drift_is_due(m->d, &m->drift, attrs) && repair(m);
	if (now_ns() >= m->links_next_ns && port_links_differ(m->d))
		links_settle(m);
	if (irq_watch_repair(m->d, m->irqs)) {
		m->irqs_next_ns = 0;
		is_any = true;
	}
	return is_any;
}

/* Op locked is when ledger and machine agree, unless something is wrong: so only then alarms change.
 * Looking first without it keeps requests from waiting for looks that find nothing new. */
static void time_to_look(void *arg, int fd, uint32_t events)
{
	struct monitor *m = arg;
	struct err e = { 0 };
	bool is_repaired;
	uint64_t n;
	int r = 1;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
	/* Before the look: what comes during it asks for the next one. */
	atomic_store(&m->is_kicked, false);
	irqs_look(m);
	numa_watch_look(m->d);
	vars_watch_look(m->d);
	if (now_ns() >= m->ask_next_ns) {
		vms_ask_again(m->d);
		m->ask_next_ns = now_ns() + ASK_NS;
	}
	if (!m->differs)
		r = alarms_look(m->alarms, m->d, how_to_look(m), &e);
	m->differs = r > 0;
	if (r > 0 && op_trylock(m->d) != 0) {
		/* Requests go first; but not for ever. */
		if (++m->put_off < BUSY_TRIES) {
			timer_set(m, MONITOR_DELAY_MS);
			return;
		}
		op_lock(m->d);
	}
	if (r > 0) {
		r = alarms_check(m->alarms, m->d, &e);
		op_unlock(m->d);
	}
	if (r < 0)
		log_err(&e, "alarms");
	if (r >= 0) {
		drift_note(m->d, &m->drift, alarms_attr_drifts(m->alarms));
		irq_watch_told(m->irqs);
	}
	is_repaired = repair_all(m);
	left_recover(m);
	m->put_off = 0;
	m->differs = m->is_due = m->is_machine = false;
	timer_set(m, 1000ULL * m->d->config.rescan_s);
	if (is_repaired) {
		m->is_machine = true;
		look_soon(m);
	}
}

/* State locked, within a change of the ledger. */
static void ledger_changed(void *arg, bool is_event)
{
	struct monitor *m = arg;
	const uint64_t one = 1;

	if (is_event)
		pthread_cond_broadcast(&m->d->changed);
	else if (!atomic_exchange(&m->is_kicked, true) &&
		 write(m->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("the monitor cannot be woken: %s", strerror(errno));
}

void monitor_kick(struct monitor *m)
{
	ledger_changed(m, false);
}

static void *monitor_main(void *arg)
{
	struct monitor *m = arg;

	loop_run(m->loop);
	return NULL;
}

/* Without them the machine is looked at every rescan_s seconds all the same. */
static void kernel_listen(struct monitor *m)
{
	for (unsigned int kind = 0; kind < KEVENTS_KINDS; kind++) {
		struct err e = { 0 };

		if (kevents_open((enum kevents_kind)kind, &m->kernel_fds[kind], &e) < 0 ||
		    loop_add(m->loop, m->kernel_fds[kind], EPOLLIN, kernel_spoke, m) < 0)
			log_warn("changes of the machine are seen %u s late at worst: %s",
				 m->d->config.rescan_s, e.text);
	}
}

static int started_tell(struct monitor *m, struct err *e)
{
	int r;

	state_lock(m->d);
	r = ledger_event_add(m->d->ledger, "daemon", "viaductd", "started " VIADUCT_VERSION, e);
	/* The disk is full, and what was set aside on it is used up: the VMs want to be looked after all the same. */
	if (r < 0 && strcmp(e->code, "state-write") == 0) {
		log_err(e, "the start is not noted");
		*e = (struct err){ 0 };
		r = 0;
	}
	if (r == 0)
		ledger_watch(m->d->ledger, ledger_changed, m);
	state_unlock(m->d);
	return r;
}

static int files_open(struct monitor *m, struct err *e)
{
	int r;

	m->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	m->irq_timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->kick_fd < 0 || m->timer_fd < 0 || m->irq_timer_fd < 0)
		return err_set(e, errno, "the monitor: %s", strerror(errno));
	r = loop_create(&m->loop, e);
	if (r == 0)
		r = loop_add(m->loop, m->kick_fd, EPOLLIN, kicked, m);
	if (r == 0)
		r = loop_add(m->loop, m->timer_fd, EPOLLIN, time_to_look, m);
	if (r == 0)
		r = loop_add(m->loop, m->irq_timer_fd, EPOLLIN, time_for_irqs, m);
	return r < 0 && e->errnum == 0 ? err_set(e, r, "the monitor: %s", strerror(-r)) : r;
}

int monitor_create(struct daemon *d, struct monitor **out, struct err *e)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int r;

	if (m == NULL)
		return err_set(e, ENOMEM, "no memory");
	m->d = d;
	m->kick_fd = m->timer_fd = m->irq_timer_fd = -1;
	for (unsigned int kind = 0; kind < KEVENTS_KINDS; kind++)
		m->kernel_fds[kind] = -1;
	r = files_open(m, e);
	if (r == 0)
		r = alarms_create(&m->alarms, e);
	if (r == 0)
		r = irq_watch_create(&m->irqs, e);
	if (r < 0)
		goto fail;
	alarms_irqs_set(m->alarms, m->irqs);
	kernel_listen(m);
	look_soon(m);
	r = started_tell(m, e);
	if (r < 0)
		goto fail;
	r = -pthread_create(&m->thread, NULL, monitor_main, m);
	if (r < 0) {
		err_set(e, r, "the monitor: %s", strerror(-r));
		goto fail;
	}
	m->has_thread = true;
	*out = m;
	return 0;
fail:
	monitor_destroy(m);
	return r;
}

void monitor_destroy(struct monitor *m)
{
	if (m == NULL)
		return;
	state_lock(m->d);
	ledger_watch(m->d->ledger, NULL, NULL);
	state_unlock(m->d);
	if (m->has_thread) {
		const uint64_t one = 1;

		/* release: pairs with acquire in kicked() */
		atomic_store_explicit(&m->must_end, true, memory_order_release);
		if (write(m->kick_fd, &one, sizeof(one)) < 0)
			log_warn("the monitor cannot be woken: %s", strerror(errno));
		pthread_join(m->thread, NULL);
	}
	loop_destroy(m->loop);
	fd_close(&m->kick_fd);
	fd_close(&m->timer_fd);
	fd_close(&m->irq_timer_fd);
	for (unsigned int kind = 0; kind < KEVENTS_KINDS; kind++)
		fd_close(&m->kernel_fds[kind]);
	alarms_destroy(m->alarms);
	irq_watch_destroy(m->irqs);
	drift_memory_free(&m->drift);
	free(m);
}
