/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the polled engine in the daemon: backend.c (what is wished, the watching), backendproc.c (the process),
 * backend_fn.c and backend_vf.c (functions of pci uplinks, VFs of vf ones), backend_carrier.c (uplink_loss), backend_sync.c (from wish and status to requests), backend_view.c.
 */
#ifndef VIADUCT_VF_MANAGER_BACKEND_CORE_H
#define VIADUCT_VF_MANAGER_BACKEND_CORE_H

#include "vf-manager/backend.h"
#include "vf-manager/backend_reach.h"
#include "vf-manager/pmd_client.h"
#include "vf-manager/pmd_reply.h"

#include <pthread.h>
#include <stdatomic.h>

struct wish_port {
	char name[PMD_PORT_TEXT];
	char network[CONFIG_NAME];
	char socket[PMD_SOCKET_TEXT];
	json_t *policy; /* owned */
	struct err why; /* it is not there; errnum 0: nothing is known against it */
	bool is_stale; /* whether viaduct-pmd has heard of this policy is not known */
	bool is_told_down; /* to the guest, for its uplinks' sake. Look's alone */
};

/* Beside config.uplinks[i]. */
struct wish_uplink {
	char device[32]; /* as viaduct-pmd is told; "": a function that we do not have (yet) */
	bool is_asked; /* of this process, by this daemon: what it says of it is how it is */
	uint64_t retry_ns; /* not before */
	uint64_t down_ns; /* since when it has no link; 0: it has */
	bool had_link;
	struct err why; /* it does not work; errnum 0: it does */
};

enum backend_state {
	BACKEND_OFF, /* nobody has needed it */
	BACKEND_UP,
	BACKEND_DOWN, /* it should be up; `why` */
};

/* `ports`, `uplinks`, `state`, `peer`, `why`, `status`, `stats`, `has_status`: written under work and look, read under
 * either. The rest is work's. */
struct backend {
	struct daemon *d;
	pthread_mutex_t work, look;
	struct wish_port ports[PMD_MAX_PORTS];
	unsigned int port_count;
	struct wish_uplink uplinks[PMD_MAX_UPLINKS];
	struct err network_why[PMD_MAX_NETWORKS]; /* beside config.networks */
	enum backend_state state;
	struct pmd_peer peer;
	struct err why;
	struct pmd_status status; /* of the last look; has_status: of this process */
	struct pmd_stats stats; /* for the metrics: of the last time that somebody asked */
	bool has_status, has_stats;
	uint64_t restarts; /* after a crash */

	struct pmd_status fresh; /* one is read into this */
	bool is_wanted;
	bool is_child;
	int pidfd; /* -1: no process */
	uint64_t start_ticks, up_ns; /* up_ns: since when */
	uint64_t retry_ns; /* no start before */
	unsigned int failures; /* starts that came to nothing, or soon to an end, in a row */
	unsigned int silences; /* looks without an answer, in a row */
	unsigned char sockets[PMD_MAX_PORTS]; /* numbers that are taken */
	struct reach *reach;

	pthread_t thread;
	bool has_thread;
	int kick_fd;
	_Atomic bool must_end;
};

static inline void work_lock(struct backend *b)
{
	pthread_mutex_lock(&b->work);
}

static inline void work_unlock(struct backend *b)
{
	pthread_mutex_unlock(&b->work);
}

static inline void look_lock(struct backend *b)
{
	pthread_mutex_lock(&b->look);
}

static inline void look_unlock(struct backend *b)
{
	pthread_mutex_unlock(&b->look);
}

/* backendproc.c. Work locked in all of them. */

/* With what the process is, or should be, started; a new reference. */
json_t *backend_launch_wish(const struct daemon *d);

/* The process of the daemon before, if it runs and is what we want; else it is ended. */
void backend_find(struct backend *b);

/* -errno and b->why, or 0: it is up. */
int backend_spawn(struct backend *b, struct err *e);

/* Politely first. */
void backend_end(struct backend *b);

/* True: the process has gone, and what is left of it was put away. text: how it ended. */
bool backend_has_ended(struct backend *b, char text[128]);

/* backend_fn.c. Op and work locked, state not. */

/* The function of config.uplinks[i] is ours; its address to uplinks[i].device. */
int backend_fn_take(struct backend *b, unsigned int i, struct err *e);
/* Functions that are ours and no uplink's any more. False: there are none. */
bool backend_fns_are_left(struct backend *b);
void backend_fns_return(struct backend *b);

/* backend_vf.c: the same for uplinks of kind vf. */

int backend_vf_take(struct backend *b, unsigned int i, struct err *e);
bool backend_vfs_are_left(struct backend *b);
void backend_vfs_return(struct backend *b);
/* The MAC of an uplink's VF, which is kept with it in the ledger. */
int backend_vf_mac_set(struct backend *b, const struct pci_addr *addr, struct vf_attrs *want,
		       struct err *e);
/* Work locked. An uplink whose VF is gone, or somebody else's, has none any more. */
void backend_vfs_check(struct backend *b);

/* Its device is to be had first, by the ledger. */
static inline bool uplink_is_taken(enum pmd_uplink_kind kind)
{
	return kind == PMD_UPLINK_PCI || kind == PMD_UPLINK_VF;
}

/* backend_carrier.c. No lock held. Guests learn that their network's uplinks have lost their link, and have it again. */
void backend_carriers_follow(struct backend *b);

/* backend_sync.c: pure. Each is a list of requests in the order in which they must be made; a new reference. */
struct sync_wish {
	const struct config *config;
	const struct wish_uplink *uplinks;
	const struct wish_port *ports;
	unsigned int port_count;
};

/* What is too much or of another kind, with all that hangs on it. */
json_t *sync_clear(const struct sync_wish *w, const struct pmd_status *s);
/* uplink-add of what is missing, and not put off. */
json_t *sync_uplinks(const struct sync_wish *w, const struct pmd_status *s, uint64_t now);
/* Networks that are missing, or have other uplinks than they could have. */
json_t *sync_networks(const struct sync_wish *w, const struct pmd_status *s);
/* Ports that are missing and have a network, and policies that it may not have. */
json_t *sync_ports(const struct sync_wish *w, const struct pmd_status *s);

json_t *sync_port_add(const struct wish_port *p);

/* backend.c. Any lock may be held. The watch looks at once. */
void backend_kick(struct backend *b);

/* backend.c. Work locked, and op too if has_op. Starts what is wanted, and brings it to what is wished. */
void backend_settle(struct backend *b, bool has_op);

/* Work not locked: the reply to one request. */
int backend_ask(struct backend *b, json_t *body, json_t **result, struct err *e);

/* Work locked. As far as is known, has viaduct-pmd this function for an uplink? Then it is not given to anybody. */
bool backend_drives(const struct backend *b, const struct pci_addr *addr);

/* backend_xdp.c. Before an af-xdp uplink is asked for: the program that a killed viaduct-pmd has left on its device goes. */
int backend_xdp_clear(struct backend *b, const char *device, struct err *e);

#endif
