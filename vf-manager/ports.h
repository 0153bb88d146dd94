/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports of VMs that run, whoever serves them: how they look, what they count, and their policy changed live. A port is
 * "VM/PORT" for people; in the API its VM is in the path and its name a member.
 */
#ifndef VIADUCT_VF_MANAGER_PORTS_H
#define VIADUCT_VF_MANAGER_PORTS_H

#include "vf-manager/daemon.h"

#include <jansson.h>

/* No lock held. An array of PORT: those of all VMs with a process (vm NULL), or of one VM, which may have ended; port NULL: all of
 * it. -ENOENT codes "no-such-vm", "no-such-port". */
int ports_list(struct daemon *d, const char *vm, const char *port, json_t **out, struct err *e);

/* The same of what they count: PORT_STATS. One that has no numbers now says why, and is no error. */
int ports_stats(struct daemon *d, const char *vm, const char *port, json_t **out, struct err *e);

/* What the VMM says of the port's device (its STATUS "nets", checked), or null; nothing for a VF's port. */
void port_net_add(json_t *port, const json_t *status);

/* What viaduct-pmd says of it as of the last look, or null. Any lock may be held. */
void port_backend_add(struct daemon *d, const char *vm, json_t *port);

struct port_wish {
	const char *vm, *port;
	const json_t *words; /* of port_set_members */
	uid_t uid;
};

/* Op locked, state not. Of a polled port: in the ledger first, so that it outlives daemon and backend as soon as this returns 0;
 * refused by the backend or by the VMM, all is as before. -ENOENT codes "no-such-vm", "no-such-port"; -EBUSY code "vm-state". */
int port_policy_set(struct daemon *d, const struct port_wish *wish, struct err *e);

/* State not locked. Carriers of polled ports as their policy has them, of VMs that were found again: whoever changed one may
 * have died before its VMM heard of it. */
void port_links_tell(struct daemon *d, const char *vm);

#endif
