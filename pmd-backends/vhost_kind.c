// SPDX-License-Identifier: BSD-3-Clause
/* What a network device offers to its VMM, and what any device says by itself. */
#include "pmd-backends/vhost_device.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

#define NET_FEATURES                                                           \
	(BIT_ULL(VIRTIO_NET_F_CSUM) | BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) |       \
	 BIT_ULL(VIRTIO_NET_F_MTU) | BIT_ULL(VIRTIO_NET_F_MAC) |               \
	 BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) | BIT_ULL(VIRTIO_NET_F_GUEST_TSO6) | \
	 BIT_ULL(VIRTIO_NET_F_HOST_TSO4) | BIT_ULL(VIRTIO_NET_F_HOST_TSO6) |   \
	 BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) | BIT_ULL(VIRTIO_NET_F_STATUS) |      \
	 BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_RX) |       \
	 BIT_ULL(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT_ULL(VIRTIO_NET_F_MQ) |     \
	 BIT_ULL(VIRTIO_F_ANY_LAYOUT) | BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) | \
	 BIT_ULL(VIRTIO_RING_F_EVENT_IDX) | BIT_ULL(VIRTIO_F_VERSION_1) |      \
	 BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VHOST_F_LOG_ALL) |            \
	 BIT_ULL(VHOST_F_PROTOCOL_FEATURES))

/* Nothing by which the backend would reach into the VMM. */
#define NET_PROTOCOL                                                                 \
	(BIT_ULL(VHOST_PROTOCOL_F_MQ) | BIT_ULL(VHOST_PROTOCOL_F_LOG_SHMFD) |        \
	 BIT_ULL(VHOST_PROTOCOL_F_REPLY_ACK) | BIT_ULL(VHOST_PROTOCOL_F_MTU) |       \
	 BIT_ULL(VHOST_PROTOCOL_F_RARP) | BIT_ULL(VHOST_PROTOCOL_F_INFLIGHT_SHMFD) | \
	 BIT_ULL(VHOST_PROTOCOL_F_STATUS))

const struct vhost_kind vhost_kind_net = {
	.features = NET_FEATURES,
	.protocol = NET_PROTOCOL,
	.queues = PMD_MAX_PAIRS,
	.queue_rings = 2,
	.kicked = 0xAAAAAAAA, /* virtio 1.2, 5.1.2: the guest fills the odd ones */
};

/* What is asked for beyond its end has no bytes, which tells the VMM that it cannot be had. */
void vhost_device_config_read(const struct vhost_device *d, struct vhost_config_wire *c)
{
	uint8_t config[VHOST_MAX_CONFIG] = { 0 };
	uint32_t size = d->kind->config_get == NULL ? 0 : d->kind->config_get(d->arg, config);

	if (!range_fits(c->offset, c->size, size))
		c->size = 0;
	memcpy(c->region, config + (c->size == 0 ? 0 : c->offset), c->size);
}

void vhost_device_config_changed(struct vhost_device *d)
{
	const struct vhost_header h = { VHOST_BACKEND_CONFIG_CHANGE, VHOST_VERSION, 0 };

	/* Who does not read it will ask sooner or later. */
	if (d->backend_fd >= 0)
		(void)send(d->backend_fd, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL);
}
