/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last thing a VMM says (vmm_msg.h, "Exit record"): one JSON object in a file that the daemon
 * made. exit_record_crash() does the same from a handler of a fatal signal.
 */
#ifndef VIADUCT_VMM_EXIT_RECORD_H
#define VIADUCT_VMM_EXIT_RECORD_H

#include "base/err.h"

#include <jansson.h>

struct exit_record {
	int fd; /* borrowed; -1: nowhere to write */
	char name[64];
	uint64_t started_ns; /* CLOCK_MONOTONIC */
};

void exit_record_init(struct exit_record *rec, int fd, const char *name);

/* Replaces what the file holds. life (borrowed, may be NULL) is "life". 0 or -errno; nothing to write to is
 * no error. */
int exit_record_write(const struct exit_record *rec, const char *reason, const char *text,
		      json_t *life);

/* Where a fatal signal hit: what a report of the fault needs. */
struct crash_facts {
	int sig;
	int code; /* si_code: below 1 somebody sent it */
	uint64_t at; /* si_addr: what was touched */
	uint64_t ip; /* of the instruction */
};

/* Async-signal-safe. */
void exit_record_crash(const struct exit_record *rec, const struct crash_facts *facts);

#endif
