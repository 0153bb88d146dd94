/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM as the daemon knows it: the process, and the facts that `vm show` prints and the ledger
 * keeps. Guarded by the daemon's `state` lock; nobody keeps a pointer across an unlock, because a
 * new VM of the same name replaces one that has ended.
 */
#ifndef VIADUCT_VF_MANAGER_VM_H
#define VIADUCT_VF_MANAGER_VM_H

#include "vf-manager/daemon.h"
#include "vf-manager/numawatch.h"
#include "vf-manager/varswatch.h"

#include <jansson.h>

enum vm_state {
	VM_STARTING,
	VM_RUNNING,
	VM_PAUSED,
	VM_STOPPING,
	VM_STOPPED,
	VM_FAILED,
	VM_UNKNOWN, /* ended, or no longer answers, and nothing says why */
	VM_STATES
};

struct vm {
	char name[64];
	enum vm_state state;
	pid_t pid; /* 0: no process */
	uint64_t start_ticks; /* of the process: tells it from a later one with the same pid */
	uid_t uid;
	int pidfd; /* -1: no process */
	uint64_t ram_bytes,
		ram_page; /* while it starts: RAM that it will take in hugepages; 0: none */
	struct numa_seen numa;
	struct vars_seen vars;
	bool is_child; /* of this daemon process, so its exit status can be had */
	bool is_watched;
	char *yaml;
	char boot_id[BOOT_ID_TEXT];
	/* {"vcpus","memory","ports":[..],"started_at","start_seconds","start_steps","exit","cpus","numa",
	 * "start_failed","anti_affinity","stop_timeout_s","dma_remapping","dma","interrupt_remapping","asked","life","unsafe_interrupts","limits","core_scheduling"}: members of the API's VM. */
	json_t *facts;
};

const char *vm_state_text(enum vm_state state);
int vm_state_parse(const char *text, enum vm_state *out);
bool vm_state_is_live(enum vm_state state); /* has a process, or may have */
bool vm_is_up(const struct vm *vm); /* the same, also of one whose process does not answer */

int vm_create(const char *name, struct vm **out, struct err *e);
void vm_destroy(struct vm *vm);

/* State locked. NULL or -ENOENT (code "no-such-vm") if there is none. */
struct vm *vm_find(struct daemon *d, const char *name);
int vm_get(struct daemon *d, const char *name, struct vm **out, struct err *e);

/* State locked. -EBUSY (code "vm-state"): the VM's state does not take what was asked; the hint starts one that has ended. */
int vm_state_refuse(struct daemon *d, const struct vm *vm, struct err *e);

/* State locked. Adds vm (taken over) in place of an ended one of its name. -EEXIST code "vm-exists"
 * if that one lives, -ENOSPC: all live. Where there is no room the transient VM that ended first is forgotten. The one
 * that was replaced goes to *old (or NULL), or is destroyed if old is NULL. */
int vm_add(struct daemon *d, struct vm *vm, struct vm **old, struct err *e);
void vm_remove(struct daemon *d, const char *name);

/* State locked. The lowest uid of the VMs' range that no process of ours has, if there is one not of a VM whose viaduct-pmd has not
 * ended yet; without root the daemon's own. */
int vm_uid_pick(struct daemon *d, uid_t *out, struct err *e);

/* State locked. Its process was killed and has not ended: the kernel waits for a device or for storage. It is "unknown" until then, keeps all that it
 * has, and is watched. The second: so it is. */
void vm_leave_killed(struct daemon *d, struct vm *vm);
bool vm_is_killed(const struct vm *vm);

/* State locked. Enters the state and wakes those who wait; the second also writes the ledger. A ledger that cannot be
 * written is logged: the process is what it is. */
void vm_state_enter(struct daemon *d, struct vm *vm, enum vm_state state);
void vm_state_set(struct daemon *d, struct vm *vm, enum vm_state state);
int vm_save(struct daemon *d, struct vm *vm, struct err *e);

/* "RUN_DIR/vm/NAME" and "RUN_DIR/vm/NAME/FILE" ("" for the folder). Returns buf. */
#define VM_PATH_TEXT 512
char *vm_path(const struct daemon *d, const char *name, const char *file, char buf[VM_PATH_TEXT]);
/* Somebody has removed the name of its control socket. False in --oneshot, which has no folder for VMs. */
bool vm_control_is_gone(const struct daemon *d, const struct vm *vm);

/* Field 22 of /proc/PID/stat; -ESRCH if there is no such process. */
int process_start_ticks(pid_t pid, uint64_t *out);

#endif
