// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vring_core.h"

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next, id;
};

void chain_spoil(struct vring_chain *c)
{
	c->is_bad = true;
	c->more = false;
	c->left = 0;
}

static struct desc desc_decode(const struct vring *r, uint64_t addr, uint64_t rest)
{
	struct desc d = { .addr = addr, .len = (uint32_t)rest };
	uint16_t third = (uint16_t)(rest >> 32), fourth = (uint16_t)(rest >> 48);

	if (r->is_packed) {
		d.id = third;
		d.flags = fourth;
	} else {
		d.flags = third;
		d.next = fourth;
	}
	return d;
}

/* virtio 1.2, 2.7.5.3, 2.8.7: a table lies anywhere, maybe across regions of memory. */
static bool table_read(struct vring_chain *c, struct desc *d)
{
	uint64_t raw[2], gpa = c->table + (uint64_t)c->next * DESC_BYTES;
	uint32_t at = 0;

	if (c->next >= c->entries)
		return false;
	while (at < DESC_BYTES) {
		uint32_t len = DESC_BYTES - at;
		const uint8_t *p = guest_at(c->r->memory, gpa + at, &len);

		if (p == NULL)
			return false;
		memcpy((uint8_t *)raw + at, p, len);
		at += len;
	}
	/* The copy is what counts: not to be fetched again. */
	atomic_signal_fence(memory_order_seq_cst);
	*d = desc_decode(c->r, raw[0], raw[1]);
	/* Packed tables have no links: all of it is the chain. */
	if (c->r->is_packed) {
		c->more = c->next + 1U < c->entries;
		d->next = (uint16_t)(c->next + 1);
	} else {
		c->more = (d->flags & DESC_NEXT) != 0;
	}
	return true;
}

static bool ring_read(struct vring_chain *c, struct desc *d)
{
	const struct vring *r = c->r;
	const uint8_t *p;

	if (c->next >= r->size)
		return false;
	p = r->desc + (size_t)c->next * DESC_BYTES;
	*d = desc_decode(r, shared_u64(p), shared_u64(p + 8));
	c->more = c->ring_more = (d->flags & DESC_NEXT) != 0;
	if (r->is_packed) {
		d->next = (uint16_t)((c->next + 1U) & (r->size - 1));
		c->id = d->id;
		c->ring_steps++;
	}
	return true;
}

/* Never inside another, never with more behind it, never longer than a chain may be. */
static bool table_enter(struct vring_chain *c, const struct desc *d)
{
	uint32_t entries = d->len / DESC_BYTES;

	if (!c->r->has_indirect || c->entries != 0 || (d->flags & DESC_NEXT) != 0 ||
	    d->len % DESC_BYTES != 0 || entries == 0 || entries > c->r->size)
		return false;
	c->table = d->addr;
	c->entries = entries;
	c->next = 0;
	c->more = true;
	return true;
}

static bool desc_read(struct vring_chain *c, struct desc *d)
{
	/* virtio 1.2, 2.7.5.3.1: no chain is longer than the ring. A loop is. Memory that is taken away costs a mapping for
	 * each page of it that is touched, and the kernel has a limit of these. */
	if (c->steps == c->r->size || guest_memory_is_lost(c->r->memory))
		return false;
	c->steps++;
	return c->entries != 0 ? table_read(c, d) : ring_read(c, d);
}

bool chain_buffer_next(struct vring_chain *c)
{
	struct desc d;

	while (c->more) {
		if (!desc_read(c, &d))
			goto fail;
		if ((d.flags & DESC_INDIRECT) != 0) {
			if (!table_enter(c, &d))
				goto fail;
			continue;
		}
		if (c->turns && c->want == 0 && (d.flags & DESC_WRITE) != 0)
			c->want = DESC_WRITE;
		if ((d.flags & DESC_WRITE) != c->want)
			goto fail;
		c->next = d.next;
		c->gpa = d.addr;
		c->left = d.len;
		if (d.len > 0)
			return true;
	}
	return false;
fail:
	chain_spoil(c);
	return false;
}

bool chain_end_find(struct vring_chain *c)
{
	struct desc d;
	uint32_t begun = c->ring_steps;

	/* Where a table or an error left it, `next` is not of the ring. */
	while (c->ring_more) {
		if (c->ring_steps == c->r->size)
			return false;
		c->next = (uint16_t)((c->head + c->ring_steps) & (c->r->size - 1));
		if (!ring_read(c, &d))
			return false;
	}
	c->steps += c->ring_steps - begun;
	return true;
}
