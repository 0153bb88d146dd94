/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations: changes that somebody does not wait for (Prefer: respond-async). Each is a thread that
 * does what the request would have done, has steps that can be followed, and leaves a result or an
 * error for a while. Nobody's going away ends one. In memory only: what a crash cuts short is
 * finished or undone by recover.c, and the operation is unknown afterwards.
 *
 * All of it is guarded by the daemon's state lock; d->changed says that one has got on.
 */
#ifndef VIADUCT_VF_MANAGER_OPERATIONS_H
#define VIADUCT_VF_MANAGER_OPERATIONS_H

#include "vf-manager/daemon.h"

#include <jansson.h>

#define OPERATIONS_RUNNING    32 /* at once, */
#define OPERATIONS_OF_ONE     16 /* and of one user that is not root, */
#define OPERATIONS_OF_ROOT    4 /* while so many are left for root */
#define OPERATIONS_KEPT	      256 /* with those that have ended, */
#define OPERATIONS_KEPT_S     3600
#define OPERATIONS_KEPT_BYTES (8U << 20) /* of their results */
#define OPERATION_STEPS	      64
#define OPERATION_WAIT_MAX_S  60

struct operation;
struct operations;

struct operation_done {
	json_t *reply; /* NULL if it failed */
	unsigned int status; /* what HTTP would have said */
};

struct operation_plan {
	const char *kind; /* "pf-apply"; static */
	const char *target; /* "" : not known yet, see operation_target() */
	uid_t uid; /* who asks */
	int (*run)(void *arg, struct operation *op, struct operation_done *done, struct err *e);
	void (*free)(void *arg);
	void *arg; /* taken over when it begins */
};

int operations_create(struct daemon *d, struct err *e);
/* Waits for those that run; daemon_end() has told them. */
void operations_destroy(struct daemon *d);

/* *out: the API's object. -EAGAIN code "too-many-operations". No lock held. */
int operation_begin(struct daemon *d, const struct operation_plan *plan, json_t **out,
		    struct err *e);

/* From within it, state not locked; op NULL: somebody waits for the request itself, and nothing happens. */
void operation_step(struct operation *op, const char *fmt, ...) PRINTF_LIKE(2, 3);
void operation_target(struct operation *op, const char *name);

/* Newest first, without results. No lock held, as in all that follow. */
json_t *operations_json(struct daemon *d);

/* Who began it; -ENOENT code "no-such-operation". */
int operation_uid(struct daemon *d, const char *id, uid_t *out, struct err *e);

/* With its result. Waits up to wait_s for its end or for its having more than `steps` steps. */
struct operation_look {
	unsigned int wait_s;
	size_t steps; /* SIZE_MAX: for its end only */
};
int operation_show(struct daemon *d, const char *id, const struct operation_look *look,
		   json_t **out, struct err *e);

#endif
