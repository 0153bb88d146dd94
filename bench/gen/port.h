/* SPDX-License-Identifier: BSD-3-Clause */
/* A port of the generator: a device, or a wire that gives back what it hears (impair.h). */
#ifndef VIADUCT_BENCH_GEN_PORT_H
#define VIADUCT_BENCH_GEN_PORT_H

#include "bench/gen/impair.h"

#include "bench/common/device.h"

#include <rte_ethdev.h>

struct port {
	struct device device; /* of a wire: its name, address and largest frame */
	struct impair *impair; /* NULL: a device */
	uint64_t mtu;
	struct rte_mempool *send_small, *send_jumbo; /* of what is sent here; NULL until then */
	char text[DEVICE_TEXT]; /* as it was asked for */
};

/* `hz`: cycles a second. */
int port_open(const struct device_wish *wish, struct device_pools *pools, double hz,
	      struct port *out, struct err *e);
void port_close(struct port *p);

/* device_is_dead(), device_has_link(); no wire is dead, and all have a link. */
bool port_is_dead(const struct port *p);
bool port_has_link(const struct port *p);

/* Throws away what has come, until five milliseconds bring nothing or half a second has passed. */
void port_drain(const struct port *p);

static inline uint16_t port_send(const struct port *p, struct rte_mbuf **frames, uint16_t n)
{
	return p->impair != NULL ? impair_send(p->impair, frames, n)
				 : rte_eth_tx_burst(p->device.port, 0, frames, n);
}

static inline uint16_t port_receive(const struct port *p, struct rte_mbuf **frames, uint16_t n)
{
	return p->impair != NULL ? impair_receive(p->impair, frames, n)
				 : rte_eth_rx_burst(p->device.port, 0, frames, n);
}

#endif
