/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the polled engine in the daemon: backend.c (what is wished, the watching), backendproc.c (the process),
 * backend_fn.c and backend_vf.c (functions of pci uplinks, VFs of vf ones), backend_carrier.c (uplink_loss), backend_sync.c (from wish and status to requests), backend_view.c.
 */
#ifndef VIADUCT_VF_MANAGER_BACKEND_CORE_H
#define VIADUCT_VF_MANAGER_BACKEND_CORE_H

#include "vf-manager/backend.h"
#include "vf-manager/backend_reach.h"
#include "vf-manager/backendproc.h"
#include "vf-manager/pmd_reply.h"

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

/* `ports`, `uplinks`, `status`, `stats`: written under work and look, read under either. The rest is work's. */
struct backend {
	struct daemon *d;
	struct backend_proc p;
	struct wish_port ports[PMD_MAX_PORTS];
	unsigned int port_count;
	struct wish_uplink uplinks[PMD_MAX_UPLINKS];
	struct err network_why[PMD_MAX_NETWORKS]; /* beside config.networks */
	struct pmd_status status; /* of the last look; p.has_status: of this process */
	struct pmd_stats stats; /* for the metrics: of the last time that somebody asked */
	bool has_stats;

	struct pmd_status fresh; /* one is read into this */
	struct reach *reach;
};

static inline void work_lock(struct backend *b)
{
	pthread_mutex_lock(&b->p.work);
}

static inline void work_unlock(struct backend *b)
{
	pthread_mutex_unlock(&b->p.work);
}

static inline void look_lock(struct backend *b)
{
	pthread_mutex_lock(&b->p.look);
}

static inline void look_unlock(struct backend *b)
{
	pthread_mutex_unlock(&b->p.look);
}

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

/* backend.c. Work locked, and op too if has_op. Starts what is wanted, and brings it to what is wished. */
void backend_settle(struct backend *b, bool has_op);

/* Work not locked: the reply to one request. */
int backend_ask(struct backend *b, json_t *body, json_t **result, struct err *e);

/* Work locked. As far as is known, has viaduct-pmd this function for an uplink? Then it is not given to anybody. */
bool backend_drives(const struct backend *b, const struct pci_addr *addr);

/* backend_xdp.c. Before an af-xdp uplink is asked for: the program that a killed viaduct-pmd has left on its device goes. */
int backend_xdp_clear(struct backend *b, const char *device, struct err *e);

#endif
