// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/virtio_net.h"

#include "vmm/layout.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <unistd.h>

#define VIRTIO_ID_NET	   1
#define CLASS_ETHERNET	   0x020000
#define CONTROL_QUEUE_SIZE 64

static_assert(offsetof(struct virtio_net_config, status) == 6, "5.1.4");
static_assert(offsetof(struct virtio_net_config, max_virtqueue_pairs) == 8, "5.1.4");
static_assert(offsetof(struct virtio_net_config, mtu) == 10, "5.1.4");
static_assert(sizeof(struct virtio_net_config) <= VIRTIO_CONFIG_MAX, "5.1.4");

#define BIT_OF(f) BIT_ULL(VIRTIO_NET_F_##f)

/* What the back end has to have, since it works on the rings. */
#define RING_FEATURES                                                                        \
	(BIT_OF(CSUM) | BIT_OF(GUEST_CSUM) | BIT_OF(GUEST_TSO4) | BIT_OF(GUEST_TSO6) |       \
	 BIT_OF(GUEST_ECN) | BIT_OF(HOST_TSO4) | BIT_OF(HOST_TSO6) | BIT_OF(HOST_ECN) |      \
	 BIT_OF(MRG_RXBUF) | BIT_ULL(VIRTIO_F_INDIRECT_DESC) | BIT_ULL(VIRTIO_F_EVENT_IDX) | \
	 BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_RING_PACKED))

/* Many back ends lack it: only on the word of one that is there. */
#define ONLY_IF_THERE (BIT_OF(GUEST_ECN) | BIT_OF(HOST_ECN) | BIT_ULL(VIRTIO_F_RING_PACKED))

/* VIRTIO_NET_F_STANDBY is not among them: a guest that is offered it waits for a second device of the same address. */
#define OWN_FEATURES                                                                      \
	(BIT_OF(MTU) | BIT_OF(MAC) | BIT_OF(STATUS) | BIT_OF(CTRL_VQ) | BIT_OF(CTRL_RX) | \
	 BIT_OF(CTRL_VLAN) | BIT_OF(CTRL_RX_EXTRA) | BIT_OF(GUEST_ANNOUNCE))

/* Features that mean nothing without another one (5.1.3.1). */
static const struct {
	uint64_t feature, needs;
} dependencies[] = {
	{ BIT_OF(GUEST_TSO4) | BIT_OF(GUEST_TSO6), BIT_OF(GUEST_CSUM) },
	{ BIT_OF(HOST_TSO4) | BIT_OF(HOST_TSO6), BIT_OF(CSUM) },
	{ BIT_OF(GUEST_ECN), BIT_OF(GUEST_TSO4) | BIT_OF(GUEST_TSO6) },
	{ BIT_OF(HOST_ECN), BIT_OF(HOST_TSO4) | BIT_OF(HOST_TSO6) },
};

static struct virtio_net *net_of(struct virtio_pci *vp)
{
	return container_of(vp, struct virtio_net, vp);
}

uint64_t virtio_net_ring_features(void)
{
	return RING_FEATURES;
}

static uint64_t features(const struct virtio_pci *vp)
{
	const struct virtio_net *n = (const struct virtio_net *)vp;
	bool has_backend = n->backend_features != UINT64_MAX;
	uint64_t f = RING_FEATURES & n->backend_features;

	if (!has_backend)
		f &= ~ONLY_IF_THERE;
	for (size_t i = 0; i < ARRAY_SIZE(dependencies); i++)
		if ((f & dependencies[i].needs) == 0)
			f &= ~dependencies[i].feature;
	return f | OWN_FEATURES | (n->pairs > 1 ? BIT_OF(MQ) : 0);
}

static void config(const struct virtio_pci *vp, uint8_t out[VIRTIO_CONFIG_MAX])
{
	const struct virtio_net *n = (const struct virtio_net *)vp;
	uint16_t status = (n->link ? VIRTIO_NET_S_LINK_UP : 0) |
			  (n->announces ? VIRTIO_NET_S_ANNOUNCE : 0);

	memcpy(out, n->mac, sizeof(n->mac));
	put_le16(out + offsetof(struct virtio_net_config, status), status);
	put_le16(out + offsetof(struct virtio_net_config, max_virtqueue_pairs), (uint16_t)n->pairs);
	put_le16(out + offsetof(struct virtio_net_config, mtu), n->mtu);
}

static void changed(struct virtio_pci *vp)
{
	struct virtio_net *n = net_of(vp);

	n->changed(n->arg);
}

static void reset(struct virtio_pci *vp)
{
	struct virtio_net *n = net_of(vp);

	n->announces = false;
	n->pairs_used = 1;
	n->control = (struct virtqueue){ 0 };
	n->rx_modes = 0;
	memset(n->vlans, 0, sizeof(n->vlans));
}

static const struct virtio_pci_ops net_ops = {
	.features = features,
	.config = config,
	.changed = changed,
	.reset = reset,
};

int virtio_net_init(struct virtio_net *n, const struct virtio_pci_env *env,
		    const struct vmm_net_spec *spec, const char *name, struct err *e)
{
	const struct virtio_pci_kind kind = { .id = VIRTIO_ID_NET,
					      .class_code = CLASS_ETHERNET,
					      .queue_count = 2 * spec->pairs + 1,
					      .ops = &net_ops };

	memcpy(n->mac, spec->mac, sizeof(n->mac));
	n->mtu = spec->mtu;
	n->pairs = spec->pairs;
	n->backend_features = UINT64_MAX;
	/* Without MQ the queue after the first pair is the control queue, with it the last one. */
	for (unsigned int i = 0; i < kind.queue_count; i++)
		n->vp.queues[i].size_max = (uint16_t)(i + 1 == kind.queue_count ? CONTROL_QUEUE_SIZE
										: spec->ring_size);
	return virtio_pci_init(&n->vp, env, &kind, name, e);
}

void virtio_net_fini(struct virtio_net *n)
{
	virtio_pci_fini(&n->vp);
}

unsigned int virtio_net_data_queues(const struct virtio_net *n)
{
	return (n->vp.features & BIT_OF(MQ)) != 0 ? 2 * n->pairs : 2;
}

void virtio_net_link_set(struct virtio_net *n, bool up)
{
	if (n->link == up)
		return;
	n->link = up;
	virtio_pci_config_changed(&n->vp);
}

void virtio_net_announce(struct virtio_net *n)
{
	if ((n->vp.features & BIT_OF(GUEST_ANNOUNCE)) == 0 || !n->link ||
	    !virtio_pci_runs(&n->vp) || n->announces)
		return;
	n->announces = true;
	virtio_pci_config_changed(&n->vp);
}

/* --- control queue (5.1.6.5) ----------------------------------------------------------------- */

/* A command as it lies in guest RAM: its first two bytes, then `off` is where its data begins. */
struct command {
	const struct virtqueue *vq;
	const struct virtq_chain *chain;
	uint8_t class, what;
};

#define COMMAND_DATA 2U

/* All of the data has to be there. */
static bool data_read(const struct command *c, uint64_t off, void *buf, uint64_t len)
{
	return virtq_chain_read(c->vq, c->chain, COMMAND_DATA + off, buf, len) == (int64_t)len;
}

static bool rx_command(struct virtio_net *n, const struct command *c)
{
	uint8_t on;

	if (c->what > VIRTIO_NET_CTRL_RX_NOBCAST || !data_read(c, 0, &on, 1) || on > 1)
		return false;
	/* Who gets what is the network's policy; the wish is kept. */
	n->rx_modes = (n->rx_modes & ~BIT(c->what)) | (uint32_t)on << c->what;
	return true;
}

/* Two lists of addresses. The MAC address itself is the network's policy, too: VIRTIO_NET_F_CTRL_MAC_ADDR is not offered. */
static bool mac_command(const struct command *c)
{
	uint64_t off = 0;

	if (c->what != VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return false;
	for (int list = 0; list < 2; list++) {
		uint8_t count[4], mac[6];

		if (!data_read(c, off, count, sizeof(count)))
			return false;
		off += sizeof(count) + (uint64_t)sizeof(mac) * get_le32(count);
		if (get_le32(count) != 0 && !data_read(c, off - sizeof(mac), mac, sizeof(mac)))
			return false;
	}
	return true;
}

static bool vlan_command(struct virtio_net *n, const struct command *c)
{
	uint8_t bytes[2];
	uint16_t id;

	if (c->what > VIRTIO_NET_CTRL_VLAN_DEL || !data_read(c, 0, bytes, sizeof(bytes)))
		return false;
	id = get_le16(bytes);
	if (id >= VIRTIO_NET_VLANS)
		return false;
	if (c->what == VIRTIO_NET_CTRL_VLAN_ADD)
		n->vlans[id / 8] |= (uint8_t)BIT(id % 8);
	else
		n->vlans[id / 8] &= (uint8_t)~BIT(id % 8);
	return true;
}

static bool announce_command(struct virtio_net *n, const struct command *c)
{
	if (c->what != VIRTIO_NET_CTRL_ANNOUNCE_ACK)
		return false;
	n->announces = false;
	return true;
}

static bool pairs_command(struct virtio_net *n, const struct command *c)
{
	uint8_t bytes[2];
	uint16_t pairs;

	if (c->what != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || (n->vp.features & BIT_OF(MQ)) == 0 ||
	    !data_read(c, 0, bytes, sizeof(bytes)))
		return false;
	pairs = get_le16(bytes);
	if (pairs == 0 || pairs > n->pairs)
		return false;
	n->pairs_used = pairs;
	n->changed(n->arg);
	return true;
}

static bool command_do(struct virtio_net *n, const struct command *c)
{
	switch (c->class) {
	case VIRTIO_NET_CTRL_RX:
		return rx_command(n, c);
	case VIRTIO_NET_CTRL_MAC:
		return mac_command(c);
	case VIRTIO_NET_CTRL_VLAN:
		return vlan_command(n, c);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return announce_command(n, c);
	case VIRTIO_NET_CTRL_MQ:
		return pairs_command(n, c);
	default:
		return false;
	}
}

static int chain_do(struct virtio_net *n, struct virtqueue *vq, const struct virtq_chain *chain)
{
	uint8_t head[COMMAND_DATA], ack;
	struct command c = { .vq = vq, .chain = chain };
	int r;

	if (virtq_chain_read(vq, chain, 0, head, sizeof(head)) != sizeof(head))
		return -EBADMSG;
	c.class = head[0];
	c.what = head[1];
	n->commands++;
	ack = command_do(n, &c) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	r = virtq_chain_write(vq, chain, &ack, sizeof(ack));
	return r < 0 ? r : virtqueue_push(vq, chain, sizeof(ack));
}

void virtio_net_control(struct virtio_net *n)
{
	unsigned int index = virtio_net_data_queues(n);
	const struct virtio_queue *q = &n->vp.queues[index];
	struct virtqueue *vq = &n->control;
	struct virtq_chain chain;
	const uint64_t one = 1;
	unsigned int done = 0;
	int r = 0;

	if (!virtio_pci_runs(&n->vp) || !q->enabled)
		return;
	vq->gmem = n->vp.env.gmem;
	vq->size = q->size;
	vq->desc = q->desc;
	vq->avail = q->driver;
	vq->used = q->device;
	vq->is_packed = virtio_net_is_packed(n);
	vq->has_event_idx = (n->vp.features & BIT_ULL(VIRTIO_F_EVENT_IDX)) != 0;
	vq->has_indirect = (n->vp.features & BIT_ULL(VIRTIO_F_INDIRECT_DESC)) != 0;
	/* No more than fit at once: the guest may add as fast as they are taken. */
	for (; done < q->size; done++) {
		r = virtqueue_pop(vq, &chain);
		if (r > 0)
			r = chain_do(n, vq, &chain);
		else
			break;
		if (r < 0)
			break;
		if (r > 0)
			virtio_pci_queue_raise(&n->vp, index);
	}
	if (r < 0)
		virtio_pci_break(&n->vp);
	/* It was not seen empty, so the guest was not asked to ring for the next one. */
	else if (done == q->size && !q->is_lent)
		(void)!write(q->kick_fd, &one, sizeof(one));
}
