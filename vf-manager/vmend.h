/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why a VM ended, for `vm show`: from its exit record, its exit status, what the daemon itself was asked to
 * do, and the kernel's log. One table says for each reason what state the VM is in and what to type next.
 */
#ifndef VIADUCT_VF_MANAGER_VMEND_H
#define VIADUCT_VF_MANAGER_VMEND_H

#include "vf-manager/vm.h"

/* What is known of the process when it is gone. */
struct vm_end {
	const char *name;
	pid_t pid; /* 0: it had none */
	uint64_t start_ticks; /* when it began, to tell it from an older one with its number */
	bool is_killed; /* by viaductd, and it took long to end (vm_is_killed) */
	bool has_status;
	int code, status; /* of waitid(), with has_status */
	const json_t *asked; /* facts "asked", or NULL */
};

/* "exit" of the API's VM, a new reference; *state is what it leaves the VM in, *life what the record says of
 * the guest (a new reference, or NULL). */
json_t *vm_end_find(const struct daemon *d, const struct vm_end *end, enum vm_state *state,
		    json_t **life);

/* The host was started again while the VM ran. */
json_t *vm_end_at_boot(const struct daemon *d, const char *name, enum vm_state *state);

/* "root (uid 0)". Returns buf. */
char *vm_who_text(uid_t uid, char *buf, size_t cap);

/* Who asked for what: facts "asked". what: "stop", "kill", "restart" or "host-stop". */
json_t *vm_asked_json(uid_t uid, const char *what);

/* Who asked for an end at that time, seconds since the epoch: `asked` or NULL. Requests have their time, and one may outlive
 * its own: when viaductd is killed while it waits, what the guest does weeks later is nobody's wish. */
const json_t *vm_asked_at(const json_t *asked, int64_t at);

/* It has no way back: a kill, or the one that follows a stop. NULL-safe. */
bool vm_asked_is_kill(const json_t *asked);

/* A VMM's LIFE (vmm_msg.h) as the API's "life": known members only; NULL if it is none. */
json_t *vm_life_copy(const json_t *from);

/* True if a line of the kernel's log, stamped after `since_us`, says that the OOM killer chose this process.
 * A line is a record of /dev/kmsg: "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT". */
bool oom_line_matches(const char *line, pid_t pid, uint64_t since_us);

#endif
