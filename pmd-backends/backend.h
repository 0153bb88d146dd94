/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All that a viaduct-pmd holds, and the requests that change it: each is complete or has changed nothing. One thread,
 * the control thread, calls these.
 */
#ifndef VIADUCT_PMD_BACKENDS_BACKEND_H
#define VIADUCT_PMD_BACKENDS_BACKEND_H

#include "pmd-backends/network.h"

#include "base/loop.h"

#define BACKEND_MAX_SHARES PMD_MAX_LCORES

/* Share of time that an lcore had frames to move, sampled each second. */
struct busy_share {
	struct lcore_counters last;
	double share;
};

struct backend {
	const struct pmd_launch *launch;
	struct loop *loop;
	struct rte_mempool *pool;
	struct lcore_set *lcores;
	struct vhost_thread *vhost;
	struct busy_share busy[BACKEND_MAX_SHARES];
	uint64_t start_ns;
	uint64_t sampled_ns;
	int timer_fd;
	struct uplink *uplinks[PMD_MAX_UPLINKS];
	unsigned int uplink_count;
	struct network *networks[PMD_MAX_NETWORKS];
	unsigned int network_count;
	struct port *ports[PMD_MAX_PORTS];
	unsigned int port_count;
};

/* Starts DPDK and the lcores, and watches links from `loop` on. */
int backend_create(const struct pmd_launch *launch, struct loop *loop, struct backend **out,
		   struct err *e);
void backend_destroy(struct backend *b); /* NULL-safe: lets go of ports, networks, uplinks */

/* Does what `request` asks; *result is a new reference. Quit only ends the loop. */
int backend_request(struct backend *b, struct pmd_request *request, json_t **result, struct err *e);

#endif
