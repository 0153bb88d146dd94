/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that the polled backend serves, from the start of their VM to its end: MAC, policy, listening socket, the VMM's
 * "nets", the backend's port. What is known of one lies in its VM's facts, in the ledger from before anybody uses it: by that
 * the backend is given it again after a restart of either.
 *
 * Facts of a port, beside those of a VF's port, which are null: {"engine":"polled","wanted":"polled|auto","network","mac","socket",
 * "queues","queue_size","grace_ms","policy":POLICY,"fallback":{"why","at"}|null}.
 */
#ifndef VIADUCT_VF_MANAGER_PORTPOLLED_H
#define VIADUCT_VF_MANAGER_PORTPOLLED_H

#include "vf-manager/vm.h"
#include "vf-manager/vmlaunch.h"

/* Op locked. Gives port i of the wish to the backend: MAC and socket. `why` is the reason of a fallback, NULL: the file wants
 * it. What was made is in s->nets; start_nets_undo() takes it back. Codes of backend_ready(), "mac-in-use". */
int port_polled_take(struct vm_start *s, unsigned int i, const char *why, struct err *e);

/* Op locked. Into the ledger, as the facts of the VM that starts. */
int start_nets_record(struct vm_start *s, struct err *e);

/* Op locked, the VMM has its message. */
int start_nets_add(struct vm_start *s, struct err *e);

/* Op locked; the VMM is gone or never was. Frees what s->nets holds, too. */
void start_nets_undo(struct vm_start *s);

/* Only frees; the VM runs. */
void start_nets_free(struct vm_start *s);

/* "nets" of the launch message, and the facts of one. New references. */
json_t *start_nets_json(const struct vm_start *s);
json_t *port_polled_facts(const struct vm_start *s, const struct start_net *net);

/* Op locked, state not; before the backend is started. The ports of VMs that were found again. */
void ports_polled_restore(struct daemon *d);

/* State locked. A port of this VM that the backend serves, by name; NULL: there is none. Borrowed. */
json_t *port_polled_find(const struct vm *vm, const char *name);
bool port_is_polled(const json_t *port);

#endif
