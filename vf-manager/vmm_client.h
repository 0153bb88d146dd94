/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests to a running viaduct-vmm, each over a connection of its own to the VM's control socket:
 * so it is the same for a VMM that this daemon started and for one it has adopted. The VMM is not
 * trusted: replies are bounded in size and time.
 */
#ifndef VIADUCT_VF_MANAGER_VMM_CLIENT_H
#define VIADUCT_VF_MANAGER_VMM_CLIENT_H

#include "vf-manager/vm.h"
#include "vf-manager/vmspec.h"

#define VMM_QUICK_MS 1000
#define VMM_SLOW_MS  10000
#define VMM_PORT_MS  5000

/* Who must be at the other end. */
struct vmm_peer {
	const char *name;
	uid_t uid;
	pid_t pid;
};

/* One request; *result (may be NULL) is a new reference. Errors of the VMM pass through. */
int vmm_call(const struct daemon *d, const struct vmm_peer *peer, const char *op, json_t **result,
	     struct err *e);

/* The same of one port of the VM. */
int vmm_call_port(const struct daemon *d, const struct vmm_peer *peer, const char *op,
		  const char *port, struct err *e);

/* The carrier of a polled port: word of VMM_LINK_WORDS. */
int vmm_call_link(const struct daemon *d, const struct vmm_peer *peer, const char *port,
		  const char *link, struct err *e);

/* "status" of many at once: out[i] is a new reference, or NULL for who has pid 0 or does not answer. However
 * many hang, it takes VMM_QUICK_MS at most for each VMM_ASK_SLICE of them. */
#define VMM_ASK_SLICE 256
void vmm_status_all(const struct daemon *d, const struct vmm_peer *peers, size_t count,
		    json_t **out);

/* VMs picked while the state is locked, to be asked when it is not. One zeroed piece of memory. */
struct vmm_round {
	struct vmm_peer peers[DAEMON_VMS];
	char names[DAEMON_VMS][VM_NAME_TEXT];
	json_t *status[DAEMON_VMS]; /* as vmm_status_all() says */
	size_t count;
};

void vmm_round_add(struct vmm_round *round, const struct vm *vm);
void vmm_round_ask(const struct daemon *d, struct vmm_round *round);

#endif
