/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reflector's ports: whatever DPDK drives, and network devices of the kernel's own driver by an AF_PACKET socket, since
 * DPDK's AF_PACKET can only poll and a kernel's driver is there to be woken by.
 */
#ifndef VIADUCT_BENCH_REFLECT_PORT_H
#define VIADUCT_BENCH_REFLECT_PORT_H

#include "bench/reflect/request.h"

#include <rte_mempool.h>

#define PORT_BURST 32

struct port {
	char name[REFLECT_NAME_TEXT]; /* "": free */
	char device[REFLECT_DEVICE_TEXT];
	enum reflect_kind kind;
	uint16_t id; /* DPDK's; not of AF_PACKET */
	int fd; /* of AF_PACKET, else -1 */
	int promisc; /* of AF_XDP (bench/common/promisc.h), else -1 */
	struct rte_mempool *pool;
	bool probed, can_interrupt;
	uint8_t mac[6];
	char driver[32];
	uint32_t link_mbps; /* 0: not known */
	uint32_t max_frame; /* bytes, with the FCS */
};

/* Opens and starts it; a network device of the kernel's is set up. port_close() also after an error. */
int port_open(struct port *p, const struct reflect_request *q, struct err *e);
void port_close(struct port *p); /* none may run on it */

/* AF_PACKET (socket.c). */
int socket_open(struct port *p, const struct reflect_request *q, struct err *e);

/* Sets a network device up and reads its facts into p. */
int netdev_facts(struct port *p, const struct reflect_request *q, struct err *e);

/* ENETDOWN, or the errno of a network device that is not there; 0: it is up, or nobody can say. */
int netdev_trouble(const struct port *p);

#endif
