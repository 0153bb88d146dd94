// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/lcore.h"

#include "pmd-backends/eventfd_guard.h"

#include "base/fd.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Rounds without a frame before an lcore relaxes, and before it sleeps. */
#define RELAX_ROUNDS 64
#define SLEEP_ROUNDS 1024

#define NAP_MIN_US     5
#define NAP_MAX_US     50 /* the most that "adaptive" adds to a frame's way */
#define CALL_WAIT_US   10
#define WAKE_EVENTS    16
#define TIMER_SLACK_NS 1000UL

struct call {
	void (*fn)(void *arg);
	void *arg;
};

struct lcore {
	unsigned int id;
	int cpu;
	enum pmd_idle idle;
	bool running; /* of the control thread */
	pthread_mutex_t call_lock; /* one call at a time */
	struct call *_Atomic call; /* of the caller until the lcore has set it to NULL */
	int wake_fd, epoll_fd; /* idle "interrupt" */

	/* The lcore's own. */
	bool quit;
	const struct lcore_job *jobs[LCORE_MAX_JOBS];
	unsigned int job_count;
	unsigned int idle_rounds;

	struct eventfd_writer writer;

	/* Written by the lcore, read by any. */
	_Atomic uint64_t busy_cycles, idle_cycles, packets;
};

struct lcore_set {
	struct eventfd_guard guard;
	unsigned int count;
	struct lcore lcores[];
};

/* The lcore is the one writer: no read-modify-write cycle on the bus is needed. */
static void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static uint32_t jobs_poll(struct lcore *l, uint64_t now)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < l->job_count; i++)
		n += l->jobs[i]->poll(l->jobs[i]->arg, now);
	return n;
}

static void call_run(struct lcore *l)
{
	/* acquire: pairs with the release in lcore_call() */
	struct call *call = atomic_load_explicit(&l->call, memory_order_acquire);

	if (call == NULL)
		return;
	call->fn(call->arg);
	/* release: what fn did is seen by the caller, which reads NULL with acquire */
	atomic_store_explicit(&l->call, NULL, memory_order_release);
}

/* For how long it may sleep, ms. */
static uint32_t jobs_doze(struct lcore *l, bool on)
{
	uint32_t ms = LCORE_DOZE_MS;

	for (unsigned int i = 0; i < l->job_count; i++)
		ms = (uint32_t)u64_min(ms, l->jobs[i]->doze(l->jobs[i]->arg, on));
	return ms;
}

/* Notifications on, one more look (what came before they were on made none), then sleep. */
static void doze(struct lcore *l)
{
	struct epoll_event events[WAKE_EVENTS];
	int ms = (int)jobs_doze(l, true);
	uint64_t seen;

	if (jobs_poll(l, rte_rdtsc()) == 0 &&
	    atomic_load_explicit(&l->call, memory_order_relaxed) == NULL &&
	    epoll_wait(l->epoll_fd, events, WAKE_EVENTS, ms) > 0)
		(void)!read(l->wake_fd, &seen, sizeof(seen));
	jobs_doze(l, false);
}

static void idle(struct lcore *l)
{
	unsigned int rounds = l->idle_rounds++;

	if (l->idle == PMD_IDLE_POLL || rounds < RELAX_ROUNDS)
		return;
	if (rounds < SLEEP_ROUNDS) {
		rte_pause();
	} else if (l->idle == PMD_IDLE_INTERRUPT) {
		doze(l);
		l->idle_rounds = RELAX_ROUNDS;
	} else {
		usleep((useconds_t)u64_min(NAP_MIN_US + (rounds - SLEEP_ROUNDS) / 8, NAP_MAX_US));
	}
}

static int lcore_main(void *arg)
{
	struct lcore *l = arg;
	uint64_t then = rte_rdtsc();

	eventfd_writer_begin(&l->writer);
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS); /* naps of microseconds, not of 50 more */
	while (!l->quit) {
		uint64_t now;
		uint32_t n;

		call_run(l);
		n = jobs_poll(l, then);
		if (n == 0)
			idle(l);
		else
			l->idle_rounds = 0;
		now = rte_rdtsc();
		counter_add(n > 0 ? &l->busy_cycles : &l->idle_cycles, now - then);
		counter_add(&l->packets, n);
		then = now;
	}
	return 0;
}

void lcore_call(struct lcore *l, void (*fn)(void *arg), void *arg)
{
	struct call call = { fn, arg };
	uint64_t one = 1;

	pthread_mutex_lock(&l->call_lock);
	if (!l->running) {
		fn(arg);
	} else {
		/* release: pairs with the acquire in call_run() */
		atomic_store_explicit(&l->call, &call, memory_order_release);
		(void)!write(l->wake_fd, &one, sizeof(one));
		while (atomic_load_explicit(&l->call, memory_order_acquire) != NULL)
			usleep(CALL_WAIT_US);
	}
	pthread_mutex_unlock(&l->call_lock);
}

struct job_change {
	struct lcore *l;
	const struct lcore_job *job;
	int result;
};

static void job_add(void *arg)
{
	struct job_change *c = arg;

	c->result = c->l->job_count < LCORE_MAX_JOBS ? 0 : -ENOSPC;
	if (c->result == 0)
		c->l->jobs[c->l->job_count++] = c->job;
}

static void job_remove(void *arg)
{
	struct job_change *c = arg;

	for (unsigned int i = 0; i < c->l->job_count; i++) {
		if (c->l->jobs[i] != c->job)
			continue;
		c->l->jobs[i] = c->l->jobs[--c->l->job_count];
		return;
	}
}

int lcore_job_add(struct lcore *l, const struct lcore_job *job)
{
	struct job_change c = { l, job, 0 };

	lcore_call(l, job_add, &c);
	return c.result;
}

void lcore_job_remove(struct lcore *l, const struct lcore_job *job)
{
	struct job_change c = { l, job, 0 };

	lcore_call(l, job_remove, &c);
}

void lcore_watch(struct lcore *l, int fd)
{
	/* Edges: what a guest's fd holds is not our business, and one that is always ready wakes once. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.fd = fd };

	if (l->idle == PMD_IDLE_INTERRUPT && fd >= 0 &&
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 && errno == EEXIST)
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

void lcore_unwatch(struct lcore *l, int fd)
{
	if (l->idle == PMD_IDLE_INTERRUPT && fd >= 0)
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int lcore_signal(struct lcore *l, int fd)
{
	return eventfd_writer_add(&l->writer, fd);
}

static void writers_look(void *arg, void (*look)(struct eventfd_writer *w))
{
	struct lcore_set *set = arg;

	for (unsigned int i = 0; i < set->count; i++)
		look(&set->lcores[i].writer);
}

static int lcore_init(struct lcore *l, const struct pmd_launch *launch, unsigned int i)
{
	struct epoll_event event = { .events = EPOLLIN };

	l->id = i + 1;
	l->cpu = launch->cpu_count == 0 ? -1 : (int)launch->cpus[i];
	l->idle = launch->idle;
	pthread_mutex_init(&l->call_lock, NULL);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->wake_fd < 0 || l->epoll_fd < 0 ||
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &event) < 0)
		return -errno;
	return 0;
}

int lcores_start(const struct pmd_launch *launch, struct lcore_set **out, struct err *e)
{
	unsigned int count = launch->cpu_count == 0 ? 1 : launch->cpu_count;
	struct lcore_set *set = calloc(1, sizeof(*set) + count * sizeof(set->lcores[0]));
	int r = 0;

	if (set == NULL)
		return err_set(e, ENOMEM, "lcores: out of memory");
	set->count = count;
	set->guard = (struct eventfd_guard){ .end = -1, .each = writers_look, .arg = set };
	for (unsigned int i = 0; i < count; i++)
		set->lcores[i].wake_fd = set->lcores[i].epoll_fd = -1;
	for (unsigned int i = 0; r == 0 && i < count; i++)
		r = lcore_init(&set->lcores[i], launch, i);
	for (unsigned int i = 0; r == 0 && i < count; i++) {
		r = rte_eal_remote_launch(lcore_main, &set->lcores[i], set->lcores[i].id);
		set->lcores[i].running = r == 0;
	}
	if (r == 0)
		r = eventfd_guard_start(&set->guard, "lcore-watch");
	if (r < 0) {
		lcores_stop(set);
		return err_set(e, r, "lcores: %s", strerror(-r));
	}
	*out = set;
	return 0;
}

static void lcore_quit(void *arg)
{
	struct lcore *l = arg;

	l->quit = true;
}

void lcores_stop(struct lcore_set *set)
{
	if (set == NULL)
		return;
	for (unsigned int i = 0; i < set->count; i++) {
		struct lcore *l = &set->lcores[i];

		if (l->running) {
			lcore_call(l, lcore_quit, l);
			rte_eal_wait_lcore(l->id);
		}
		fd_close(&l->wake_fd);
		fd_close(&l->epoll_fd);
	}
	eventfd_guard_stop(&set->guard);
	free(set);
}

unsigned int lcores_count(const struct lcore_set *set)
{
	return set->count;
}

struct lcore *lcores_at(struct lcore_set *set, unsigned int i)
{
	return &set->lcores[i];
}

unsigned int lcore_id(const struct lcore *l)
{
	return l->id;
}

int lcore_cpu(const struct lcore *l)
{
	return l->cpu;
}

void lcore_counters(const struct lcore *l, struct lcore_counters *out)
{
	out->busy_cycles = atomic_load_explicit(&l->busy_cycles, memory_order_relaxed);
	out->idle_cycles = atomic_load_explicit(&l->idle_cycles, memory_order_relaxed);
	out->packets = atomic_load_explicit(&l->packets, memory_order_relaxed);
}
