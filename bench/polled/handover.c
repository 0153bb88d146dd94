// SPDX-License-Identifier: BSD-3-Clause
#include "bench/polled/handover.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define BURST  64U
#define HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define HEAD   (HEADER + 64) /* of packet.h: addresses, stream, key, sequence number, first words */
#define AVAIL  (1U << VRING_PACKED_DESC_F_AVAIL)
#define USED   (1U << VRING_PACKED_DESC_F_USED)

/* A buffer of a ring, taken. */
struct buffer {
	uint64_t address;
	uint32_t len;
	uint16_t id;
};

int ring_open(struct ring *r, int vid, uint16_t queue, struct rte_vhost_memory *memory)
{
	uint64_t features;
	uint16_t avail, used;

	if (rte_vhost_get_vhost_vring(vid, queue, &r->v) < 0 ||
	    rte_vhost_get_negotiated_features(vid, &features) < 0 ||
	    rte_vhost_get_vring_base(vid, queue, &avail, &used) < 0)
		return -1;
	r->memory = memory;
	r->packed = (features & (1ULL << VIRTIO_F_RING_PACKED)) != 0;
	r->next = r->packed ? avail & 0x7fff : avail;
	r->wrap = avail >> 15;
	(void)rte_vhost_enable_guest_notification(vid, queue, 0);
	return 0;
}

static bool packed_has(const struct ring *r, uint16_t at, bool wrap)
{
	/* acquire: the rest of the descriptor was written before its flags */
	uint16_t flags = __atomic_load_n(&r->v.desc_packed[at].flags, __ATOMIC_ACQUIRE);

	return ((flags & AVAIL) != 0) == wrap && ((flags & USED) != 0) != wrap;
}

static unsigned int ring_ready(const struct ring *r)
{
	uint16_t at = r->next;
	bool wrap = r->wrap;
	unsigned int n = 0;

	if (!r->packed)
		/* acquire: ring and descriptors were written before the index */
		return (uint16_t)(__atomic_load_n(&r->v.avail->idx, __ATOMIC_ACQUIRE) - r->next);
	while (n < BURST && packed_has(r, at, wrap)) {
		n++;
		if (++at == r->v.size) {
			at = 0;
			wrap = !wrap;
		}
	}
	return n;
}

static struct buffer buffer_at(const struct ring *r, unsigned int i)
{
	const struct vring_desc *d;
	uint16_t id;

	if (r->packed) {
		const struct vring_packed_desc *p = &r->v.desc_packed[(r->next + i) % r->v.size];

		return (struct buffer){ p->addr, p->len, p->id };
	}
	id = r->v.avail->ring[(uint16_t)(r->next + i) % r->v.size];
	d = &r->v.desc[id % r->v.size];
	return (struct buffer){ d->addr, d->len, id };
}

static void buffer_used(struct ring *r, unsigned int i, const struct buffer *b, uint32_t len)
{
	struct vring_packed_desc *p;
	uint16_t at = (r->next + i) % r->v.size;
	bool wrap = r->wrap != (r->next + i >= r->v.size);

	if (!r->packed) {
		r->v.used->ring[at] = (struct vring_used_elem){ .id = b->id, .len = len };
		return;
	}
	p = &r->v.desc_packed[at];
	p->id = b->id;
	p->len = len;
	/* release: the driver reads the flags first */
	__atomic_store_n(&p->flags, (wrap ? AVAIL | USED : 0) | (len > 0 ? VRING_DESC_F_WRITE : 0),
			 __ATOMIC_RELEASE);
}

static void ring_publish(struct ring *r, unsigned int n)
{
	unsigned int next = r->next + n;

	if (!r->packed) {
		r->next = (uint16_t)next;
		/* release: after the ring's elements */
		__atomic_store_n(&r->v.used->idx, r->next, __ATOMIC_RELEASE);
		return;
	}
	if (next >= r->v.size) {
		next -= r->v.size;
		r->wrap = !r->wrap;
	}
	r->next = (uint16_t)next;
}

static void *place(const struct ring *r, const struct buffer *b)
{
	uint64_t len = b->len;

	return (void *)(uintptr_t)rte_vhost_va_from_guest_pa(r->memory, b->address, &len);
}

/* A packet on its way. */
struct pass {
	struct buffer out, in;
	const void *frame;
	void *room;
};

/* Asked for early: the head of a packet lies in two cache lines, which its guest's core has had last. */
static void pass_look(struct pass *p, const struct ring *from, const struct ring *to,
		      unsigned int i)
{
	p->out = buffer_at(from, i);
	p->in = buffer_at(to, i);
	p->frame = place(from, &p->out);
	p->room = place(to, &p->in);
	__builtin_prefetch(p->frame);
	__builtin_prefetch((const uint8_t *)p->frame + HEAD - 1);
	__builtin_prefetch(p->room, 1);
	__builtin_prefetch((uint8_t *)p->room + HEAD - 1, 1);
}

static void pass_copy(const struct pass *p)
{
	struct virtio_net_hdr_mrg_rxbuf *header = p->room;

	if (header == NULL || p->frame == NULL || p->out.len < HEAD)
		return;
	memcpy(header, p->frame, HEAD);
	header->num_buffers = 1;
}

unsigned int handover(struct ring *from, struct ring *to)
{
	unsigned int n = RTE_MIN(ring_ready(from), BURST);
	struct pass passes[BURST];

	if (n > 0)
		n = RTE_MIN(n, ring_ready(to));
	for (unsigned int i = 0; i < n; i++)
		pass_look(&passes[i], from, to, i);
	for (unsigned int i = 0; i < n; i++)
		pass_copy(&passes[i]);
	for (unsigned int i = 0; i < n; i++) {
		buffer_used(to, i, &passes[i].in, passes[i].out.len);
		buffer_used(from, i, &passes[i].out, 0);
	}
	if (n > 0) {
		ring_publish(to, n);
		ring_publish(from, n);
	}
	return n;
}
