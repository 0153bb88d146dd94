// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_worker.h"

#include "pmd-backends/eventfd_guard.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAP	   64U /* completions of one look */
#define SPIN_NS	   50000ULL /* of nothing to do, before "adaptive" sleeps */
#define DEEP	   8U /* requests under way, with which it sleeps at once */
#define SLEEP_NS   1000000000ULL
#define CALL_US	   10
#define CQ_ENTRIES 16384U
/* Of more than two at once the kernel holds every one back from the device until it has prepared the last (a "plug"): the
 * device stands still meanwhile, which costs a tenth of the reads at depth 32. */
#define AT_ONCE 2U

struct call {
	void (*fn)(void *arg);
	void *arg;
};

struct block_worker {
	int cpu;
	uint64_t spin_ns; /* UINT64_MAX: it never sleeps */
	pthread_t thread;
	bool has_thread;
	struct io_uring uring;
	bool has_uring;
	pthread_mutex_t call_lock; /* one call at a time */
	struct call *_Atomic call; /* of the caller until the worker has set it to NULL */
	int wake_fd;
	unsigned int assigned; /* the control thread's: jobs */
	_Atomic int started; /* 1, or -errno */

	/* The worker's own. */
	bool quit;
	const struct block_job *jobs[BLOCK_WORKER_JOBS];
	unsigned int job_count;
	struct block_op wake;
	bool is_wake_armed;
	uint32_t under_way; /* block_worker_count() */
	struct eventfd_writer writer;
	_Atomic uint64_t busy_ns;
};

struct block_workers {
	struct eventfd_guard guard;
	unsigned int count;
	struct block_worker workers[];
};

/* All that is ever asked of the kernel through a ring: what is not here it refuses, whoever asks. */
static const uint8_t allowed_ops[] = { IORING_OP_READV,	   IORING_OP_WRITEV,
				       IORING_OP_READ,	   IORING_OP_WRITE,
				       IORING_OP_FSYNC,	   IORING_OP_FALLOCATE,
				       IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE,
				       IORING_OP_NOP };

/* liburing 2.3 declares these calls and has them not. */
static int uring_register(struct io_uring *uring, unsigned int opcode, const void *arg,
			  unsigned int count)
{
	return syscall(SYS_io_uring_register, uring->ring_fd, opcode, arg, count) < 0 ? -errno : 0;
}

struct io_uring_sqe *block_worker_sqe(struct block_worker *w, struct block_op *op)
{
	struct io_uring_sqe *sqe;

	if (io_uring_sq_ready(&w->uring) >= AT_ONCE)
		(void)io_uring_submit(&w->uring);
	sqe = io_uring_get_sqe(&w->uring);
	if (sqe != NULL) {
		memset(sqe, 0, sizeof(*sqe));
		io_uring_sqe_set_data(sqe, op);
	}
	return sqe;
}

void block_worker_count(struct block_worker *w, int change)
{
	w->under_way += (uint32_t)change;
}

/*
 * One request after the other is quicker for somebody who looks. With many under way the next is done soon, and a thread that
 * looks without end keeps the kernel's own work for them from this CPU.
 */
static uint64_t spin_ns(const struct block_worker *w)
{
	return w->under_way >= DEEP && w->spin_ns != UINT64_MAX ? 0 : w->spin_ns;
}

int block_worker_signal(struct block_worker *w, int fd)
{
	return eventfd_writer_add(&w->writer, fd);
}

static void call_run(struct block_worker *w)
{
	/* acquire: pairs with the release in block_worker_call() */
	struct call *call = atomic_load_explicit(&w->call, memory_order_acquire);

	if (call == NULL)
		return;
	call->fn(call->arg);
	/* release: what fn did is seen by the caller, which reads NULL with acquire */
	atomic_store_explicit(&w->call, NULL, memory_order_release);
}

static void woken(struct block_op *op, int32_t result)
{
	struct block_worker *w = container_of(op, struct block_worker, wake);
	uint64_t seen;

	(void)!read(w->wake_fd, &seen, sizeof(seen));
	w->is_wake_armed = false;
}

static uint32_t jobs_poll(struct block_worker *w, uint64_t now)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < w->job_count; i++)
		n += w->jobs[i]->poll(w->jobs[i]->arg, now);
	return n;
}

static uint32_t reap(struct block_worker *w)
{
	struct io_uring_cqe *cqes[REAP];
	uint32_t n = io_uring_peek_batch_cqe(&w->uring, cqes, REAP);

	for (uint32_t i = 0; i < n; i++) {
		struct block_op *op = io_uring_cqe_get_data(cqes[i]);

		op->done(op, cqes[i]->res);
	}
	io_uring_cq_advance(&w->uring, n);
	return n;
}

/* Takes, submits, and tells what is done. Returns how much there was to do. */
static uint32_t round_run(struct block_worker *w, uint64_t now)
{
	uint32_t n = jobs_poll(w, now);

	if (io_uring_sq_ready(&w->uring) > 0)
		(void)io_uring_submit_and_get_events(&w->uring);
	n += reap(w);
	/* What a completion asks for next. */
	if (io_uring_sq_ready(&w->uring) > 0)
		(void)io_uring_submit(&w->uring);
	for (unsigned int i = 0; i < w->job_count; i++)
		w->jobs[i]->settle(w->jobs[i]->arg);
	return n;
}

static void jobs_doze(struct block_worker *w, bool on)
{
	for (unsigned int i = 0; i < w->job_count; i++)
		w->jobs[i]->doze(w->jobs[i]->arg, on);
}

static uint64_t jobs_wait(const struct block_worker *w)
{
	uint64_t ns = SLEEP_NS;

	for (unsigned int i = 0; i < w->job_count; i++)
		ns = u64_min(ns, w->jobs[i]->wait(w->jobs[i]->arg));
	return ns;
}

static void wake_arm(struct block_worker *w)
{
	struct io_uring_sqe *sqe = w->is_wake_armed ? NULL : block_worker_sqe(w, &w->wake);

	if (sqe == NULL)
		return;
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = w->wake_fd;
	sqe->poll32_events = POLLIN;
	w->is_wake_armed = true;
}

/* Notifications on, one more look (what came before they were on made none), then sleep. */
static void doze(struct block_worker *w)
{
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;

	jobs_doze(w, true);
	wake_arm(w);
	if (round_run(w, now_ns()) == 0 &&
	    atomic_load_explicit(&w->call, memory_order_relaxed) == NULL) {
		/* Of this round: what it left for want of credit has its time. */
		uint64_t ns = jobs_wait(w);

		ts = (struct __kernel_timespec){ (int64_t)(ns / 1000000000),
						 (int64_t)(ns % 1000000000) };
		(void)io_uring_submit_and_wait_timeout(&w->uring, &cqe, 1, &ts, NULL);
	}
	jobs_doze(w, false);
}

static void pin(const struct block_worker *w)
{
	cpu_set_t set;

	if (w->cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)w->cpu, &set);
	/* Without it, it is slower. */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void *worker_main(void *arg)
{
	struct block_worker *w = arg;
	uint64_t then = now_ns(), quiet_since = then;
	int r = uring_register(&w->uring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	pthread_setname_np(pthread_self(), "block");
	pin(w);
	eventfd_writer_begin(&w->writer);
	atomic_store_explicit(&w->started, r < 0 ? r : 1, memory_order_release);
	while (r >= 0 && !w->quit) {
		uint64_t now;
		uint32_t n;

		call_run(w);
		n = round_run(w, then);
		now = now_ns();
		if (n > 0) {
			atomic_store_explicit(&w->busy_ns,
					      atomic_load_explicit(&w->busy_ns,
								   memory_order_relaxed) +
						      now - then,
					      memory_order_relaxed);
			quiet_since = now;
		} else if (now - quiet_since > spin_ns(w)) {
			doze(w);
			now = now_ns();
			/* What woke us is found by the next rounds. */
			quiet_since = now;
		}
		then = now;
	}
	return NULL;
}

void block_worker_call(struct block_worker *w, void (*fn)(void *arg), void *arg)
{
	struct call call = { fn, arg };
	const uint64_t one = 1;

	pthread_mutex_lock(&w->call_lock);
	/* release: pairs with the acquire in call_run() */
	atomic_store_explicit(&w->call, &call, memory_order_release);
	(void)!write(w->wake_fd, &one, sizeof(one));
	while (atomic_load_explicit(&w->call, memory_order_acquire) != NULL)
		usleep(CALL_US);
	pthread_mutex_unlock(&w->call_lock);
}

struct job_change {
	struct block_worker *w;
	const struct block_job *job;
	int result;
};

static void job_add(void *arg)
{
	struct job_change *c = arg;

	c->result = c->w->job_count < BLOCK_WORKER_JOBS ? 0 : -ENOSPC;
	if (c->result == 0)
		c->w->jobs[c->w->job_count++] = c->job;
}

static void job_remove(void *arg)
{
	struct job_change *c = arg;

	for (unsigned int i = 0; i < c->w->job_count; i++) {
		if (c->w->jobs[i] != c->job)
			continue;
		c->w->jobs[i] = c->w->jobs[--c->w->job_count];
		return;
	}
}

int block_worker_job_add(struct block_worker *w, const struct block_job *job)
{
	struct job_change c = { w, job, 0 };

	block_worker_call(w, job_add, &c);
	if (c.result == 0)
		w->assigned++;
	return c.result;
}

void block_worker_job_remove(struct block_worker *w, const struct block_job *job)
{
	struct job_change c = { w, job, 0 };

	block_worker_call(w, job_remove, &c);
	w->assigned--;
}

/* The best that the kernel has: completions when we ask for them, by one thread (6.1), else as they come. */
static int uring_make(struct io_uring *uring)
{
	static const unsigned int ways[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	int r = -EINVAL;

	for (size_t i = 0; r == -EINVAL && i < ARRAY_SIZE(ways); i++) {
		struct io_uring_params p = { .flags = ways[i] | IORING_SETUP_R_DISABLED |
						      IORING_SETUP_CQSIZE,
					     .cq_entries = CQ_ENTRIES };

		r = io_uring_queue_init_params(BLOCK_ENTRIES, uring, &p);
	}
	return r;
}

/* The kernel's own bound is four for each CPU. */
static int uring_threads(struct io_uring *uring)
{
	unsigned int most[2] = { BLOCK_WORKER_THREADS, 0 };

	return uring_register(uring, IORING_REGISTER_IOWQ_MAX_WORKERS, most, 2);
}

static int uring_restrict(struct io_uring *uring)
{
	struct io_uring_restriction rules[ARRAY_SIZE(allowed_ops) + 1] = { 0 };
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(allowed_ops); i++)
		rules[n++] = (struct io_uring_restriction){
			.opcode = IORING_RESTRICTION_SQE_OP,
			.sqe_op = allowed_ops[i],
		};
	rules[n++] = (struct io_uring_restriction){
		.opcode = IORING_RESTRICTION_REGISTER_OP,
		.register_op = IORING_REGISTER_ENABLE_RINGS,
	};
	return uring_register(uring, IORING_REGISTER_RESTRICTIONS, rules, n);
}

static int worker_start(struct block_worker *w, const struct pmd_launch *launch, unsigned int i)
{
	static const uint64_t spins[PMD_IDLES] = { UINT64_MAX, SPIN_NS, 0 };
	int r, started;

	w->cpu = launch->cpu_count == 0 ? -1 : (int)launch->cpus[i];
	w->spin_ns = spins[launch->idle];
	w->wake.done = woken;
	pthread_mutex_init(&w->call_lock, NULL);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0)
		return -errno;
	r = uring_make(&w->uring);
	w->has_uring = r >= 0;
	if (r >= 0)
		r = uring_threads(&w->uring);
	if (r >= 0)
		r = uring_restrict(&w->uring);
	if (r >= 0)
		r = -pthread_create(&w->thread, NULL, worker_main, w);
	w->has_thread = r >= 0;
	if (r < 0)
		return r;
	while ((started = atomic_load_explicit(&w->started, memory_order_acquire)) == 0)
		usleep(CALL_US);
	if (started > 0)
		return 0;
	pthread_join(w->thread, NULL);
	w->has_thread = false;
	return started;
}

static void writers_look(void *arg, void (*look)(struct eventfd_writer *w))
{
	struct block_workers *set = arg;

	for (unsigned int i = 0; i < set->count; i++)
		look(&set->workers[i].writer);
}

int block_workers_start(const struct pmd_launch *launch, struct block_workers **out, struct err *e)
{
	unsigned int count = launch->cpu_count == 0 ? 1 : launch->cpu_count;
	struct block_workers *set = calloc(1, sizeof(*set) + count * sizeof(set->workers[0]));
	int r = 0;

	if (set == NULL)
		return err_set(e, ENOMEM, "workers: out of memory");
	set->guard = (struct eventfd_guard){ .end = -1, .each = writers_look, .arg = set };
	for (unsigned int i = 0; i < count; i++)
		set->workers[i].wake_fd = -1;
	for (; r == 0 && set->count < count; set->count++)
		r = worker_start(&set->workers[set->count], launch, set->count);
	if (r == 0)
		r = eventfd_guard_start(&set->guard, "block-watch");
	if (r < 0) {
		block_workers_stop(set);
		err_set(e, r, "io_uring: %s", strerror(-r));
		return err_hint(e, "disks need io_uring: sysctl kernel.io_uring_disabled=0");
	}
	*out = set;
	return 0;
}

static void worker_quit(void *arg)
{
	struct block_worker *w = arg;

	w->quit = true;
}

void block_workers_stop(struct block_workers *set)
{
	if (set == NULL)
		return;
	for (unsigned int i = 0; i < set->count; i++) {
		struct block_worker *w = &set->workers[i];

		if (w->has_thread) {
			block_worker_call(w, worker_quit, w);
			pthread_join(w->thread, NULL);
		}
		if (w->has_uring)
			io_uring_queue_exit(&w->uring);
		fd_close(&w->wake_fd);
	}
	eventfd_guard_stop(&set->guard);
	free(set);
}

unsigned int block_workers_count(const struct block_workers *set)
{
	return set->count;
}

struct block_worker *block_workers_at(struct block_workers *set, unsigned int i)
{
	return &set->workers[i];
}

unsigned int block_worker_jobs(const struct block_worker *w)
{
	return w->assigned;
}

void block_worker_facts(const struct block_worker *w, struct block_worker_facts *out)
{
	out->cpu = w->cpu;
	out->busy_ns = atomic_load_explicit(&w->busy_ns, memory_order_relaxed);
}
