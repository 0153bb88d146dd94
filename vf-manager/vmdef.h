/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VMs that are defined: kept with their file, whether they run or not, until `vm delete`. Each has a struct vm of its name
 * too, which is what runs, or how it ended. Here is what the daemon remembers of them, and what their ends and
 * starts change of it; vmdefops.c does what is asked for, keeper.c what nobody has to ask for.
 *
 * Guarded by the daemon's state lock, which is held in all of these. A pointer is good until the lock is given up,
 * unless the definition is claimed: then it stays until it is released.
 */
#ifndef VIADUCT_VF_MANAGER_VMDEF_H
#define VIADUCT_VF_MANAGER_VMDEF_H

#include "vf-manager/caller.h"
#include "vf-manager/daemon.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmcheck.h"
#include "vf-manager/vmowner.h"

#define DEF_ENDS_SHOWN 3

struct vm_start_wish;

struct vm_def {
	char name[64];
	char *yaml, *base_dir;
	struct caller who; /* whose rights open the files at each start */
	char user[64]; /* his name when it was defined; "": he had none */
	struct vm_owner owner;
	char unsafe[UNSAFE_REASON_TEXT]; /* "": no such word */
	int64_t created_at, changed_at;
	bool is_wanted; /* it shall run */
	int64_t crashes[KEEP_CRASHES]; /* since somebody started it, the oldest first */
	unsigned int crash_count, restarts;
	int64_t restart_at; /* seconds since the epoch; 0: no start waits for its time */
	char held[ALARM_WORD]; /* the alarm by which it is not started any more; "": none */
	char held_text[ALARM_TEXT];
	struct vm_keep keep;
	/* Not in the ledger: */
	bool is_busy; /* somebody starts, restarts or deletes it */
	bool is_cancelled; /* somebody has stopped it since: what is_busy may not start it any more */
	uint64_t retry_ns; /* not before then is it tried again to start it; 0: nothing puts it off */
	uint64_t ready_ns; /* since when nothing but its own delay keeps it from starting; 0: something does */
};

/* Before the VMs of the ledger are looked at. */
int defs_load(struct daemon *d, struct err *e);
void def_destroy(struct vm_def *def);

/* NULL: the VM is not defined. */
struct vm_def *def_find(const struct daemon *d, const char *name);

/* -ENOENT code "no-such-vm", -EBUSY codes "vm-transient" and "vm-busy". */
int def_claim(struct daemon *d, const char *name, struct vm_def **out, struct err *e);
void def_release(struct daemon *d, struct vm_def *def);

/* -ECANCELED code "start-cancelled": who has claimed it would start what somebody has stopped meanwhile. */
int def_cancel_check(const struct vm_def *def, struct err *e);

int def_save(struct daemon *d, const struct vm_def *def, struct err *e);
void def_remove(struct daemon *d, const char *name);

/* Takes def's members over, into the one of its name if there is one. Everything that `autostart` says is checked:
 * -EINVAL code "autostart-unknown", -ELOOP code "autostart-cycle", -ENOSPC. */
int def_check(struct daemon *d, const struct vm_def *def, struct err *e);
int def_put(struct daemon *d, struct vm_def *def, struct err *e);

/* The first VM that waits for this one at a start; NULL: none does. */
const char *def_needed_by(const struct daemon *d, const char *name);

/* Whose the VM is, among vm->facts. It changes only while the VM does not run: its console was given to its owner. */
void def_owner_put(const struct vm_def *def, json_t *facts);

/* The VM runs: vm->state is set and written, with the history, in one go. What cannot be written has not started: a daemon that
 * comes back would take it for half a start, and end it. */
int def_vm_started(struct daemon *d, struct vm *vm, const struct vm_start_wish *wish,
		   struct err *e);

/* It has ended, as vm->facts "exit" says; asked: who wanted that, NULL: nobody. Likewise. */
void def_vm_ended(struct daemon *d, struct vm *vm, enum vm_state state, const json_t *asked);

/* A start that came to nothing. */
struct def_failure {
	const char *cause;
	const char *who;
	bool is_held; /* nobody waits for the answer: an alarm, and no other try */
	bool is_crash; /* it was to follow a crash, and counts as another */
};
void def_start_failed(struct daemon *d, struct vm_def *def, const struct def_failure *failure,
		      const struct err *why);

/* Somebody wants it to run, or not any more: what held it counts no longer. */
int def_want(struct daemon *d, struct vm_def *def, bool is_wanted, struct err *e);

/* Members "defined" and "ends" of the API's VM. */
json_t *def_json(const struct daemon *d, const struct vm *vm);
json_t *def_ends_json(const struct daemon *d, const char *name, unsigned int limit);

#endif
