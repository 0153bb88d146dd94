/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The threads that poll. Each runs a list of jobs (networks) round by round and nothing else; whatever changes what
 * they poll (ports, rings, memory, the list itself) is handed to them as a function, which they run between two rounds.
 */
#ifndef VIADUCT_PMD_BACKENDS_LCORE_H
#define VIADUCT_PMD_BACKENDS_LCORE_H

#include "pmd-backends/launch.h"

#define LCORE_MAX_JOBS PMD_MAX_NETWORKS
#define LCORE_DOZE_MS  50 /* 802.3ad wants to be polled every 100 ms */
#define LCORE_NAP_MS   1 /* where something may arrive of which no fd tells */

struct lcore;
struct lcore_set;

struct lcore_job {
	/* One round; returns how many frames there were. `now`: TSC. */
	uint32_t (*poll)(void *arg, uint64_t now);

	/* With idle "interrupt" alone. true: what arrives from now on makes a watched fd ready; returns for how long
	 * the lcore may sleep, ms: LCORE_DOZE_MS if nothing else is to be looked after. false: it is polled again. */
	uint32_t (*doze)(void *arg, bool on);
	void *arg;
};

struct lcore_counters {
	uint64_t busy_cycles; /* of rounds that had frames */
	uint64_t idle_cycles;
	uint64_t packets;
};

int lcores_start(const struct pmd_launch *launch, struct lcore_set **out, struct err *e);
void lcores_stop(struct lcore_set *set); /* NULL-safe; they have no jobs any more */

unsigned int lcores_count(const struct lcore_set *set);
struct lcore *lcores_at(struct lcore_set *set, unsigned int i);

unsigned int lcore_id(const struct lcore *l);
int lcore_cpu(const struct lcore *l); /* -1: any */
void lcore_counters(const struct lcore *l, struct lcore_counters *out); /* any thread */

/* Runs fn on the lcore between two rounds and returns when it has ended. Any thread but an lcore; one at a time.
 * fn neither waits nor calls lcore_call. */
void lcore_call(struct lcore *l, void (*fn)(void *arg), void *arg);

/* The list of jobs changes by these; -ENOSPC. The job is polled until lcore_job_remove() has returned. */
int lcore_job_add(struct lcore *l, const struct lcore_job *job);
void lcore_job_remove(struct lcore *l, const struct lcore_job *job);

/*
 * Only on the lcore: adds one to an eventfd that somebody hostile has, too. -EAGAIN: it is full. -EINTR: it was full, and its
 * other owner had made it one that waits; the lcore stood still for 100 to 300 ms, and the fd should not be written again.
 */
int lcore_signal(struct lcore *l, int fd);

/* Only on the lcore: the fd wakes it from sleep; it goes with its last reference or by the second. */
void lcore_watch(struct lcore *l, int fd);
void lcore_unwatch(struct lcore *l, int fd);

#endif
