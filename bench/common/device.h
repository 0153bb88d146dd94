/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port that traffic of the benchmark goes through, by DPDK: one receive and one send queue. What a request says of it
 * (device_wish_read(), without DPDK) and the port itself. The words for a device:
 *
 *	0000:01:00.0		a PCI function with vfio-pci, igb_uio or uio_pci_generic
 *	vhost-user:PATH		a guest's end of a vhost-user socket ("server": it listens, and waits for the backend)
 *	tap:NAME		a TAP device of that name, made here
 *	af-packet:IFACE		a network device by its kernel driver
 *	af-xdp:IFACE		the same by AF_XDP
 */
#ifndef VIADUCT_BENCH_COMMON_DEVICE_H
#define VIADUCT_BENCH_COMMON_DEVICE_H

#include "base/json.h"

#define DEVICE_NAME_TEXT 32
#define DEVICE_TEXT	 256
#define DEVICE_MTU_MIN	 46
#define DEVICE_MTU_MAX	 9000
#define DEVICE_OVERHEAD	 18 /* Ethernet header and FCS */
#define DEVICE_BURST	 32
#define DEVICE_RING	 1024 /* places of a queue, at most */
#define DEVICE_CACHE \
	256 /* packets of a pool that an lcore keeps, and half as many again before it gives back */

struct rte_eth_conf;
struct rte_mempool;

struct device_wish {
	char name[DEVICE_NAME_TEXT];
	char device[DEVICE_TEXT];
	uint64_t mtu; /* bytes of IP packets */
	bool server;
};

struct device {
	char name[DEVICE_NAME_TEXT];
	uint16_t port; /* DPDK's */
	char driver[32];
	uint8_t mac[6];
	bool link_up;
	char iface[DEVICE_TEXT]; /* the kernel's; "": none */
	bool by_kernel; /* a network device that there is, by the driver that it has */
	int promisc; /* of the kernel's (promisc.h), else -1 */
	uint32_t link_mbps; /* 0: unknown */
	uint32_t max_frame; /* bytes, with FCS */
	struct rte_mempool *pool; /* of what is received; the device's own */
};

/* How many were made: DPDK wants a name for each. */
struct device_pools {
	uint32_t made;
};

/* Members "name", "device", "mtu" (1500), "server" (false); others are refused. */
int device_wish_read(const json_t *q, struct device_wish *out, struct err *e);

/* As many packets of packet memory, each with this many bytes of room. NULL: none left of DPDK's memory. Freed by
 * rte_mempool_free(). */
struct rte_mempool *device_pool_of(struct device_pools *pools, uint32_t packets, uint16_t room);

/* With room for received frames of this MTU. */
struct rte_mempool *device_pool(struct device_pools *pools, uint32_t packets, uint64_t mtu);

/*
 * The port is started, promiscuous where its driver can, and a physical one's link is waited for (ten seconds). The error
 * says what DPDK did not like. A PCI function that is a port already is refused (EBUSY).
 */
int device_open(const struct device_wish *wish, struct device_pools *pools, struct device *out,
		struct err *e);
void device_close(struct device *d);

/* Frames that the device said it did not send, and that it could not receive, since it was started. */
void device_misses(const struct device *d, uint64_t *unsent, uint64_t *unreceived);

/* Is nothing that is sent heard at the other end? The kernel's device has no carrier or is gone, a PCI function is gone, as
 * far as its driver can say. Of others nobody knows. */
bool device_is_dead(const struct device *d);

/* As its driver says now. */
bool device_has_link(const struct device *d);

/* The parts of device_open() and device_close() that programs with ports of their own share. What a step failed with, in
 * DPDK's words; returns it. */
int device_refuse(const char *device, int errnum, const char *step, struct err *e);

/* DPDK would say no more than that there is no such device. -ENODEV; -EBUSY: it is with another driver. */
int device_pci_check(const char *addr, struct err *e);

/* Configures the port with one queue each way, of so many places as far as its driver can. DPDK's errors. */
int device_queues(uint16_t port, const struct rte_eth_conf *conf, uint16_t places,
		  struct rte_mempool *pool);

/* Stops and closes it, so that the same device can be opened again. */
void device_remove(uint16_t port);

/* "mac", "driver", "link_mbps", "link_up", "max_frame". */
int device_facts(const struct device *d, json_t *reply);

#endif
