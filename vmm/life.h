/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has befallen the guest since the VM was started: resets by cause, kernel panics, watchdog; and
 * what the operator wants done about them. It only counts and decides; machine_requests.c acts.
 * Main thread.
 */
#ifndef VIADUCT_VMM_LIFE_H
#define VIADUCT_VMM_LIFE_H

#include "vmm/vmm_msg.h"

#include "base/log.h"

#include <jansson.h>

/* How a guest came to be reset. */
enum reset_cause {
	RESET_NONE,
	RESET_PORT_CF9,
	RESET_PORT_64,
	RESET_PORT_92,
	RESET_TRIPLE_FAULT,
	RESET_KVM,
	RESET_WATCHDOG,
	RESET_PANIC,
	RESET_CAUSES,
};

/* A guest that resets itself over and over gets so many at once, then one a second: each loads its
 * kernel again, at the host's expense. */
#define LIFE_RESET_BURST 10
#define LIFE_RESET_NS	 1000000000ULL

/* Panics one after the other, each so soon after a start, until a VM that is restarted is stopped. */
#define LIFE_PANIC_ROW 5
#define LIFE_PANIC_NS  60000000000ULL

struct life {
	uint64_t resets[RESET_CAUSES];
	enum reset_cause last_reset;
	uint64_t reset_at; /* seconds since the epoch, like the next ones; 0: never */
	uint64_t panics, panicked_at;
	uint64_t crash_kernels; /* panics that the guest's own crash kernel took care of */
	uint64_t watchdogs, watchdog_at;

	unsigned int panic_row;
	uint64_t began_ns; /* CLOCK_MONOTONIC: the guest's last start */
	uint64_t reset_credit_ns; /* a reset takes LIFE_RESET_NS of it */
	uint64_t credit_at_ns;
	struct log_limit log;
};

void life_init(struct life *life, uint64_t now);

/* 0: a reset may be done now, and is paid for; else the nanoseconds until the next may. */
uint64_t life_reset_admit(struct life *life, uint64_t now);

void life_reset_done(struct life *life, enum reset_cause cause, uint64_t now);
uint64_t life_resets(const struct life *life);

/* The guest's kernel panicked. True: it did so LIFE_PANIC_ROW times in a row. */
bool life_panicked(struct life *life, uint64_t now);
void life_watchdog_fired(struct life *life);

/* For people. */
const char *reset_cause_text(enum reset_cause cause);

/* "life" of STATUS and of the exit record: a new reference, NULL when out of memory. */
json_t *life_json(const struct life *life);

#endif
