/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The threads that do disk I/O, one io_uring each. A worker runs its jobs (disks) round by round, hands what they ask of the
 * kernel over with one system call a round, and what is done back to them. With nothing to do for a while it sleeps.
 * Whatever changes what it serves is handed to it as a function, which it runs between two rounds.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_WORKER_H
#define VIADUCT_PMD_BACKENDS_BLOCK_WORKER_H

#include "pmd-backends/launch.h"

#include <liburing.h>

#define BLOCK_WORKER_JOBS PMD_MAX_DISKS
#define BLOCK_ENTRIES \
	512U /* of a submission queue; the completion queue is as long as all disks' requests */

/* Threads of the kernel's for what waits, at most: as many as all disks may ever want at once, so that none lacks one because
 * others hang (block_io.h). They are there while they are needed. */
#define BLOCK_WORKER_THREADS (BLOCK_WORKER_JOBS * 128U)

struct block_worker;
struct block_workers;

/* What the kernel was asked for. Lives until `done` is called, once. */
struct block_op {
	void (*done)(struct block_op *op, int32_t result); /* -errno, or as the system call */
};

struct block_job {
	/* One round: takes what has come. Returns how much it took. */
	uint32_t (*poll)(void *arg, uint64_t now_ns);

	/* The last of a round: what is done is told to whom it concerns. */
	void (*settle)(void *arg);

	/* true: what comes from now on wakes the worker. false: it is polled again. */
	void (*doze)(void *arg, bool on);

	/* For how long the worker may sleep, ns, as of the last poll. */
	uint64_t (*wait)(void *arg);
	void *arg;
};

struct block_worker_facts {
	int cpu; /* -1: any */
	uint64_t busy_ns; /* since its start: rounds that had something to do */
};

/* Sets io_uring up and starts the threads; nothing is left for later that a sandbox would have to allow. */
int block_workers_start(const struct pmd_launch *launch, struct block_workers **out, struct err *e);
void block_workers_stop(struct block_workers *set); /* NULL-safe; they have no jobs any more */

unsigned int block_workers_count(const struct block_workers *set);
struct block_worker *block_workers_at(struct block_workers *set, unsigned int i);
unsigned int block_worker_jobs(const struct block_worker *w); /* the control thread's */
void block_worker_facts(const struct block_worker *w, struct block_worker_facts *out);

/* Runs fn on the worker between two rounds and returns when it has ended. Any thread but a worker. fn does not wait. */
void block_worker_call(struct block_worker *w, void (*fn)(void *arg), void *arg);

/* The job is run until block_worker_job_remove() has returned. -ENOSPC. */
int block_worker_job_add(struct block_worker *w, const struct block_job *job);
void block_worker_job_remove(struct block_worker *w, const struct block_job *job);

/* On the worker: an entry to be filled (not its user data). Never NULL: full queues are submitted. NULL: the kernel does
 * not take more now. */
struct io_uring_sqe *block_worker_sqe(struct block_worker *w, struct block_op *op);

/* On the worker: so many more (or fewer) requests wait for the kernel, as far as it matters for when to sleep. */
void block_worker_count(struct block_worker *w, int change);

/* On the worker: adds one to an eventfd that somebody hostile has, too. As eventfd_writer_add(). */
int block_worker_signal(struct block_worker *w, int fd);

#endif
