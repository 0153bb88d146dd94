/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's port: the back end of one vhost-user device (Vhost-user protocol, QEMU docs/interop/vhost-user.rst) behind
 * struct endpoint. The VMM listens, we connect, again and again. One thread speaks with all VMMs (vhost_thread.h), and each
 * change reaches the lcore through lcore_call().
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_PORT_H
#define VIADUCT_PMD_BACKENDS_VHOST_PORT_H

#include "pmd-backends/endpoint.h"
#include "pmd-backends/lcore.h"

struct rte_mempool;
struct vhost_port;
struct vhost_thread;

struct vhost_port_config {
	const char *name, *socket; /* copied */
	struct rte_mempool *pool;
	struct lcore *lcore; /* that polls the endpoint */
	struct vhost_thread *thread; /* outlives the port, as does `launch` */
	const struct pmd_launch *launch; /* who may listen */
};

enum vhost_port_state { VHOST_PORT_WAITING, VHOST_PORT_CONNECTED, VHOST_PORT_RUNNING };

struct vhost_ring_facts {
	uint32_t rx_free; /* buffers for the guest's reception, 1024 at most */
	uint32_t tx_ready; /* frames that the guest has ready, 1024 at most */
};

struct vhost_port_facts {
	enum vhost_port_state state;
	int pid; /* of the peer; 0: none */
	unsigned int pairs; /* queue pairs of which both rings run */
	bool is_packed; /* the rings */
	uint64_t features; /* negotiated */
	uint64_t kicks, calls;
	uint64_t malformed, no_memory,
		oversize; /* frames dropped in the rings, for the reasons of PMD_DROP_* */
	char error[256];
	unsigned int ring_count;
	struct vhost_ring_facts rings[PMD_MAX_PAIRS];
};

/* The port exists and its endpoint is down; nobody is connected to before vhost_port_start(). */
int vhost_port_create(const struct vhost_port_config *cfg, struct vhost_port **out, struct err *e);
int vhost_port_start(struct vhost_port *p, struct err *e);

/* NULL-safe. Its lcore no longer polls it. Afterwards nothing of the guest's memory is mapped or touched. */
void vhost_port_destroy(struct vhost_port *p);

struct endpoint *vhost_port_endpoint(struct vhost_port *p);
void vhost_port_facts(struct vhost_port *p, struct vhost_port_facts *out);

/* Idle "interrupt", on the lcore: the guest's kicks on or off. */
void vhost_port_doze(struct vhost_port *p, bool on);

/* Between hold and release nothing that the VMM says reaches an lcore. */
void vhost_port_hold(struct vhost_port *p);
void vhost_port_release(struct vhost_port *p);

/* While it is held, and no lcore polls it: another will from now on. */
void vhost_port_move(struct vhost_port *p, struct lcore *to);

#endif
