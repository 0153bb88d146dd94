/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator's ports: guests' ends of vhost-user (virtio-user), and network devices (AF_PACKET). Received packets and
 * sent ones have pools apart, since what a sent buffer holds is known (packet.h).
 */
#ifndef VIADUCT_BENCH_POLLED_PORT_H
#define VIADUCT_BENCH_POLLED_PORT_H

#include "bench/polled/packet.h"

#include <rte_mbuf.h>

#define PORTS_MAX  32
#define PORT_BURST 32

struct port_pools {
	struct rte_mempool *receive;
	struct rte_mempool *send[PACKET_SIZES];
	struct packet_sizes sizes;
};

struct port_spec {
	const char *name;
	const char *driver; /* "virtio-user" or "af-packet" */
	const char *path; /* of the socket, or the device's name */
	bool packed, mergeable;
	unsigned int index; /* among the ports of one backend: its addresses follow from it */
};

struct port {
	char name[32];
	uint16_t id; /* DPDK's */
	unsigned int index;
};

/* All packets have these sizes from now on. 0 or negative errno. */
int port_pools_make(struct port_pools *pools, const struct packet_sizes *sizes);

/* Returns when the backend has come to the socket: it listens until then. 0 or negative errno. */
int port_open(struct port *p, const struct port_spec *spec, struct port_pools *pools);

void port_close(struct port *p);

/* Packets that make sense whatever is written by packet_stamp(); NULL: none left. */
struct rte_mbuf *port_packet(struct port_pools *pools, uint64_t seq);

/* Sends one frame of each of the first `addresses` of the port, not faster than they are taken; 0 or -ETIMEDOUT. */
int port_learn(const struct port *p, unsigned int addresses, struct port_pools *pools);

/* Throws away what has come and comes within some milliseconds. */
void port_drain(const struct port *p);

#endif
