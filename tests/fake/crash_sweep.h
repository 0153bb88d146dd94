/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An operation in a process that is killed at its n-th point, for every n. Points are found, not listed:
 * before and after each statement that changes a database, each message to the kernel's netlink and each
 * write to configuration space (wrapped at link time), and wherever a fake calls crash_point(). For
 * cmocka programs; they link crash_sweep_dep.
 */
#ifndef VIADUCT_TESTS_FAKE_CRASH_SWEEP_H
#define VIADUCT_TESTS_FAKE_CRASH_SWEEP_H

#include "base/util.h"

struct crash_sweep {
	const char *name;
	/* The world anew, before each round. */
	void (*prepare)(void *arg);
	/* In the process that will die. Comes up, calls crash_arm(), does its work. Aborts if that fails. */
	void (*run)(void *arg);
	/* What became of it: recovers and asserts. */
	void (*check)(void *arg);
	void *arg;
};

/* How many points there were; check() was called once for each, and once for a run that nobody killed. */
unsigned int crash_sweep(const struct crash_sweep *s);

/* From here on points count. */
void crash_arm(void);

/* `netlink_fd`: messages to it are points. */
void crash_watch(int netlink_fd);

/* Kills the process if this is its point; `what` and `when` name it. */
void crash_point(const char *what, bool is_done);

/* The point of this round, for messages. */
const char *crash_where(void);

#endif
