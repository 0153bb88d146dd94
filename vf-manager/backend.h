/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The polled engine as the daemon keeps it: one viaduct-pmd ("net0"), its uplinks and networks from the
 * configuration, and the ports of VMs. What should be is kept here; the process is brought to it whenever
 * it starts, is found again after a restart of the daemon, or comes back from a crash. Ports outlive the process.
 *
 * Locks: `work` of the backend serialises what is asked of the process and may be held for seconds. Order:
 * op, work, state, and innermost one that guards what is only looked at. Contract: pmd-backends/pmd_msg.h.
 */
#ifndef VIADUCT_VF_MANAGER_BACKEND_H
#define VIADUCT_VF_MANAGER_BACKEND_H

#include "vf-manager/daemon.h"

#include "pmd-backends/pmd_msg.h"

#include <jansson.h>

#define BACKEND_NAME "net0"
#define BACKEND_OWNER \
	"backend " BACKEND_NAME /* of functions, in the ledger; no VM's owner has a blank */

/* Makes what remembers; starts nothing. */
int backend_create(struct daemon *d, struct err *e);

/* Op locked, state not; once, when the VMs have been found again and backend_port_restore() was called for their
 * ports. Finds the process of the daemon before, ends one that nobody needs, starts one if the configuration has uplinks,
 * takes and gives back pci functions, and watches from then on. What does not work is logged, kept for
 * backend_ready() and tried again; 0 unless the watching cannot begin. */
int backend_start(struct daemon *d, struct err *e);

/* NULL-safe. The watch ends; the process goes on, and what the other threads ask of it goes on, too. */
void backend_stop(struct daemon *d);
/* NULL-safe. Nobody else asks any more. */
void backend_destroy(struct daemon *d);

/* The uid of viaduct-pmd, which no VM may have. */
uid_t backend_uid(const struct config *config);

/*
 * Can a port be on this network now? Any lock may be held; nothing is waited for. Codes: "no-such-network",
 * "no-polled-uplink" (it has PFs only), "uplink-failed" (the reason why its uplink does not work), "backend-down"
 * (viaduct-pmd does not run, and why). A process that is only not needed yet is no reason, nor a network that it is just getting.
 */
int backend_ready(struct daemon *d, const char *network, struct err *e);

/*
 * The listening socket of one port: SOCK_STREAM at RUN_DIR/pmd/net0/N.sock, which root and viaduct-pmd's uid may connect
 * to. The fd is the caller's and goes to the VMM. The number stays taken until backend_listener_remove() or
 * backend_port_remove() of the port that was added with this path. Op locked.
 */
int backend_listener_make(struct daemon *d, char path[PMD_SOCKET_TEXT], int *fd_out, struct err *e);
void backend_listener_remove(struct daemon *d, const char *path);

struct backend_port {
	const char *name; /* "VM/PORT" */
	const char *network;
	const char *socket; /* of backend_listener_make() */
	json_t *policy; /* POLICY of pmd_msg.h; copied */
};

/*
 * Op locked, state not. Starts viaduct-pmd if it is not up, and returns when it knows the port; from then on the port
 * comes back with every viaduct-pmd until it is removed. On failure nothing has changed. Codes: those of
 * backend_ready(), "port-exists", and viaduct-pmd's own. At most 60 s, should it have to start.
 */
int backend_port_add(struct daemon *d, const struct backend_port *port, struct err *e);

/* Before backend_start(): a port of a VM that was found again (its socket as it was). Only remembered. */
int backend_port_restore(struct daemon *d, const struct backend_port *port, struct err *e);

/* Op locked, state not. The whole policy. Code "no-such-port". Refused by viaduct-pmd: the former one stays. Not up: it
 * will have it when it is. */
int backend_port_set(struct daemon *d, const char *name, json_t *policy, struct err *e);

/* Op locked, state not. No lcore touches its memory any more when this returns, and the socket is gone. 0 also if there is no
 * such port. A process that does not answer is ended for it: it comes back with the other ports. */
int backend_port_remove(struct daemon *d, const char *name, struct err *e);

/* The same for every port whose name begins with "VM/". */
void backend_ports_remove_vm(struct daemon *d, const char *vm);

/*
 * Live, each member checked; the caller owns *out. State not locked, op need not be.
 * {"port","network","lcore":N,"state":"absent|waiting|connected|running","queues":N,"features":"0x..","ring","error"|null,
 *  "from_guest":{"packets","bytes"},"to_guest":{..},"drops":{REASON:N},"kicks":N,"calls":N,"rings":[{"rx_free","tx_ready"}]}
 * Codes "no-such-port", "backend-down".
 */
int backend_port_stats(struct daemon *d, const char *name, json_t **out, struct err *e);

/* As of the last look, a second ago at most. Any lock may be held. NULL: there is no such port. A new reference:
 * the members above up to "error". */
json_t *backend_port_view(struct daemon *d, const char *name);

#endif
