/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtio-net device (virtio 1.2, 5.1) without its data path: configuration, features, control queue. Its rings are a
 * vhost-user back end's (nets.c). With the machine's lock held.
 */
#ifndef VIADUCT_VMM_VIRTIO_NET_H
#define VIADUCT_VMM_VIRTIO_NET_H

#include "vmm/spec.h"
#include "vmm/virtio_pci.h"
#include "vmm/virtqueue.h"

/* Feature bits (5.1.3) */
#define VIRTIO_NET_F_CSUM	    0
#define VIRTIO_NET_F_GUEST_CSUM	    1
#define VIRTIO_NET_F_MTU	    3
#define VIRTIO_NET_F_MAC	    5
#define VIRTIO_NET_F_GUEST_TSO4	    7
#define VIRTIO_NET_F_GUEST_TSO6	    8
#define VIRTIO_NET_F_GUEST_ECN	    9
#define VIRTIO_NET_F_HOST_TSO4	    11
#define VIRTIO_NET_F_HOST_TSO6	    12
#define VIRTIO_NET_F_HOST_ECN	    13
#define VIRTIO_NET_F_MRG_RXBUF	    15
#define VIRTIO_NET_F_STATUS	    16
#define VIRTIO_NET_F_CTRL_VQ	    17
#define VIRTIO_NET_F_CTRL_RX	    18
#define VIRTIO_NET_F_CTRL_VLAN	    19
#define VIRTIO_NET_F_CTRL_RX_EXTRA  20
#define VIRTIO_NET_F_GUEST_ANNOUNCE 21
#define VIRTIO_NET_F_MQ		    22
#define VIRTIO_NET_F_STANDBY	    62 /* never offered: a port's move between engines will need it */

#define VIRTIO_NET_VLANS 4096

struct virtio_net {
	struct virtio_pci vp; /* first */
	uint8_t mac[6];
	uint16_t mtu;
	unsigned int pairs; /* of the device */
	uint64_t backend_features; /* of the one that is connected; all ones: there is none */

	bool link; /* carrier */
	bool announces; /* the guest is asked to tell the network where it is */
	unsigned int pairs_used;
	struct virtqueue control; /* its place in the rings */
	uint32_t rx_modes; /* bits by command of class RX, as the guest wants it */
	uint8_t vlans[VIRTIO_NET_VLANS / 8];
	uint64_t commands; /* of the control queue, done */

	void (*changed)(void *arg); /* any thread: what runs, or how much of it */
	void *arg;
};

/* name stays the caller's. On failure nothing is left. */
int virtio_net_init(struct virtio_net *n, const struct virtio_pci_env *env,
		    const struct vmm_net_spec *spec, const char *name, struct err *e);
void virtio_net_fini(struct virtio_net *n);

/* Queues of this index and above are not the back end's: the control queue. */
unsigned int virtio_net_data_queues(const struct virtio_net *n);

static inline bool virtio_net_is_packed(const struct virtio_net *n)
{
	return (n->vp.features & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0;
}

/* Of the features that the guest took, those without which its rings do not work. */
uint64_t virtio_net_ring_features(void);

/* Does what waits in the control queue. */
void virtio_net_control(struct virtio_net *n);

/* The guest is told, if that is news. */
void virtio_net_link_set(struct virtio_net *n, bool up);

/* Asks the guest to announce itself, if it can. */
void virtio_net_announce(struct virtio_net *n);

#endif
