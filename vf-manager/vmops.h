/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be done to a VM that runs, and how it looks. No lock held by the caller.
 */
#ifndef VIADUCT_VF_MANAGER_VMOPS_H
#define VIADUCT_VF_MANAGER_VMOPS_H

#include "vf-manager/daemon.h"
#include "vf-manager/vmkeep.h"

#include <jansson.h>

#define VM_STOP_DEFAULT_S KEEP_STOP_S
#define VM_STOP_MAX_S	  KEEP_STOP_MAX_S

struct operation;

struct vm_stop_wish {
	struct operation *op; /* who follows it; NULL */
	uid_t uid; /* who asks */
	unsigned int timeout_s;
	const char *
		what; /* "restart", "host-stop"; NULL: "stop", after which it shall not run any more */
	bool kill; /* at the deadline; else -ETIMEDOUT code "still-running", and the VM goes on */
};

/* The power button. Returns when the VM's VFs are free again. */
int vm_stop(struct daemon *d, const char *name, const struct vm_stop_wish *wish, struct err *e);
int vm_kill(struct daemon *d, const char *name, uid_t uid, struct err *e);
/* `why` takes the place of a user's name in how it ended. */
int vm_kill_for(struct daemon *d, const char *name, const char *why, struct err *e);

/* Forgets a VM that has ended and is not defined (def_delete() is for all): its record, its logs, and what its firmware has stored, also of one whose record is gone
 * already. -EBUSY code "vm-state" while it lives. */
int vm_delete(struct daemon *d, const char *name, struct err *e);

int vm_pause(struct daemon *d, const char *name, struct err *e);
int vm_resume(struct daemon *d, const char *name, struct err *e);

/* All of them, in order of their names; bounded in time, however many VMMs hang. */
int vm_list(struct daemon *d, json_t **out, struct err *e);

/* The API's VM, with what the VMM and /proc say right now; a new reference. */
int vm_show(struct daemon *d, const char *name, json_t **out, struct err *e);

/* Appends the steps of STATUS.start (vmm_msg.h) that have the right form. */
void vm_steps_take(json_t *to, const json_t *from);

#endif
