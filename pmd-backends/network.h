/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network: one switch with its ports and uplinks, the unit that an lcore polls. Everything here is called by the
 * control thread, and what changes the switch runs on the lcore.
 */
#ifndef VIADUCT_PMD_BACKENDS_NETWORK_H
#define VIADUCT_PMD_BACKENDS_NETWORK_H

#include "pmd-backends/lcore.h"
#include "pmd-backends/mirror.h"
#include "pmd-backends/request.h"
#include "pmd-backends/switch.h"
#include "pmd-backends/uplink.h"
#include "pmd-backends/vhost_port.h"

struct network;

struct port {
	char name[PMD_PORT_TEXT];
	char socket[PMD_SOCKET_TEXT];
	struct network *network;
	struct vhost_port *vhost;
	struct switch_port *sw;
	struct mirror *mirror; /* or NULL */
};

struct network_uplink {
	struct uplink *uplink; /* the backend's */
	struct switch_uplink *sw; /* NULL: member of the bond */
};

struct network {
	char name[PMD_NAME_TEXT];
	enum pmd_bond bond;
	struct l2_switch *sw;
	struct lcore *lcore;
	struct lcore_job job;
	bool polled;
	struct uplink *bonded; /* 802.3ad: the one that stands for all; owned */
	struct switch_uplink *bonded_sw;
	struct network_uplink uplinks[PMD_MAX_NETWORK_UPLINKS];
	unsigned int uplink_count;
	struct port *ports[PMD_MAX_PORTS];
	unsigned int port_count;
};

struct network_config {
	const struct pmd_request *request; /* network-add */
	struct uplink *const *uplinks; /* those that it names, not in use */
	struct rte_mempool *pool;
	struct lcore *lcore;
};

int network_create(const struct network_config *cfg, struct network **out, struct err *e);
void network_destroy(struct network *n); /* NULL-safe; has no ports */

struct port_config {
	const struct pmd_request *request; /* port-add */
	struct rte_mempool *pool;
	struct vhost_thread *vhost;
	const struct pmd_launch *launch;
};

int network_port_add(struct network *n, const struct port_config *cfg, struct port **out,
		     struct err *e);
int network_port_set(struct port *port, const struct policy *policy, struct err *e);
void network_port_remove(struct port *port); /* frees it */

/* fd becomes the mirror's, also on failure. Codes "mirror-exists", "bad-mirror". */
int network_mirror(struct port *port, int fd, uint64_t limit_bytes, struct err *e);
/* Code "no-such-mirror". */
int network_mirror_stop(struct port *port, struct mirror_facts *out, struct err *e);

/* Another lcore polls it from now on. */
int network_move(struct network *n, struct lcore *to);

/* Control thread, several times a second: the state of links. */
void network_tick(struct network *n);

#endif
