/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a VM file says of the VM's life rather than of its machine: keys `autostart`, `on_crash` and `stop`
 * (viaduct-vm(5)). Pure: in what order VMs start, and what follows a crash, are functions of values.
 */
#ifndef VIADUCT_VF_MANAGER_VMKEEP_H
#define VIADUCT_VF_MANAGER_VMKEEP_H

#include "base/err.h"

#include <jansson.h>

#define KEEP_NAME	   64
#define KEEP_AFTER	   16
#define KEEP_ORDER	   100 /* of a VM that says nothing */
#define KEEP_ORDER_MAX	   1000
#define KEEP_DELAY_MAX_S   3600
#define KEEP_CRASHES	   32 /* that are remembered */
#define KEEP_BACKOFF_S	   5
#define KEEP_BACKOFF_MAX_S 300 /* a restart waits no longer, however often it was tried */
#define KEEP_RESTARTS	   5
#define KEEP_WITHIN_S	   600
#define KEEP_WITHIN_MAX_S  86400
#define KEEP_STOP_S	   30
#define KEEP_STOP_MAX_S	   3600

struct vm_keep {
	bool is_autostart;
	unsigned int order, delay_s;
	char after[KEEP_AFTER]
		  [KEEP_NAME]; /* VMs that start before it, and without which it does not */
	unsigned int after_count;
	bool restarts; /* after a crash */
	unsigned int backoff_s, max, within_s;
	unsigned int stop_s; /* from the power button to the kill */
};

struct vmfile;

/* -EINVAL, -ERANGE. */
int vm_keep_parse(const struct vmfile *file, struct vm_keep *out, struct err *e);

/* {"autostart": {..} or null, "on_crash": {..}, "stop": {..}}; a new reference. */
json_t *vm_keep_json(const struct vm_keep *keep);

/* Where each VM stands in the order of starts: a VM starts when all of a lower rank have, and stops when all of a higher
 * one have. By order, and after those that it names; where these disagree, after them. Names that are not there count
 * for nothing; nodes are sorted by name. -ELOOP code "autostart-cycle": VMs wait for each other; the error names one of them. */
struct keep_node {
	const char *name;
	const struct vm_keep *keep;
};
int keep_ranks(const struct keep_node *nodes, size_t count, unsigned int *ranks, struct err *e);

/* An end that nobody asked for and that the guest did not choose. reason: exit.reason of the API's VM. */
bool crash_is(const char *reason);

enum crash_next { CRASH_STAYS, CRASH_RESTARTS, CRASH_GIVES_UP };
struct crash_plan {
	enum crash_next next;
	unsigned int count; /* crashes that count, with the last */
	unsigned int delay_s; /* CRASH_RESTARTS: until the start; doubles with each */
};

/* times: of the crashes, oldest first, the last one just now; seconds of one clock. */
void crash_plan(const struct vm_keep *keep, const int64_t *times, size_t count,
		struct crash_plan *out);

#endif
