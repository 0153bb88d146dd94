// SPDX-License-Identifier: BSD-3-Clause
#include "ring_driver.h"

#include "switch_wire.h"

#include <rte_mbuf.h>

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define NEXT	 1U
#define WRITE	 2U
#define INDIRECT 4U
#define AVAIL	 BIT(7)
#define USED	 BIT(15)
#define TABLE	 16U /* entries */

static void need(bool fact, const char *what)
{
	if (!fact) {
		fprintf(stderr, "ring_driver: %s\n", what);
		abort();
	}
}

void ring_guest_create(struct ring_guest *g, uint64_t seam)
{
	struct guest_region_wire table[] = {
		{ .gpa = 0, .size = seam, .user = GUEST_USER, .offset = 0 },
		{ .gpa = seam, .size = GUEST_BYTES - seam, .user = 2 * GUEST_USER, .offset = seam },
	};
	int fds[2];

	*g = (struct ring_guest){ .fd = memfd_create("guest", MFD_CLOEXEC) };
	need(g->fd >= 0 && ftruncate(g->fd, (off_t)GUEST_BYTES) == 0, "no memory");
	g->at = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	need(g->at != MAP_FAILED, "no mapping");
	fds[0] = fds[1] = g->fd;
	need(guest_memory_map(&g->memory, table, fds, 2, NULL) == 0, "not mapped");
}

void ring_guest_destroy(struct ring_guest *g)
{
	guest_memory_unmap(&g->memory);
	munmap(g->at, GUEST_BYTES);
	close(g->fd);
}

void ring_driver_init(struct ring_driver *d, uint8_t *at, uint32_t size, uint64_t features)
{
	*d = (struct ring_driver){ .at = at,
				   .features = features | BIT_ULL(VIRTIO_F_VERSION_1),
				   .size = size,
				   .free_count = size,
				   .id_count = size,
				   .avail_wrap = true,
				   .used_wrap = true };
	need(size <= RING_MAX, "too large a ring");
	d->is_packed = (features & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0;
	for (uint32_t i = 0; i < size; i++)
		d->free_ids[i] = (uint16_t)(size - 1 - i);
	memset(at, 0, RING_TABLES);
}

struct vring_place ring_place(const struct ring_driver *d)
{
	return (struct vring_place){ .size = d->size,
				     .desc = GUEST_USER + RING_DESC,
				     .driver = GUEST_USER + RING_DRIVER,
				     .device = GUEST_USER + RING_DEVICE };
}

static uint16_t u16_at(const struct ring_driver *d, uint64_t gpa)
{
	return atomic_load_explicit((_Atomic uint16_t *)(d->at + gpa), memory_order_acquire);
}

static void u16_put(struct ring_driver *d, uint64_t gpa, uint16_t v)
{
	atomic_store_explicit((_Atomic uint16_t *)(d->at + gpa), v, memory_order_release);
}

/* `third`, `fourth`: flags and next of a split ring, id and flags of a packed one. */
static void desc_put(struct ring_driver *d, uint64_t gpa, const struct ring_piece *p,
		     uint16_t third)
{
	put_le64(d->at + gpa, p->gpa);
	put_le32(d->at + gpa + 8, p->len);
	u16_put(d, gpa + 12, third);
}

static uint16_t id_take(struct ring_driver *d)
{
	return d->free_ids[--d->id_count];
}

/* A table with all the pieces; what the descriptor for it says comes back. */
static struct ring_piece table_fill(struct ring_driver *d, uint16_t id,
				    const struct ring_piece *pieces, uint32_t count, uint16_t flags)
{
	uint64_t table = RING_TABLES + (uint64_t)id * TABLE * 16;

	need(count <= TABLE, "too long a table");
	for (uint32_t i = 0; i < count; i++) {
		uint16_t more = i + 1 < count && !d->is_packed ? NEXT : 0;

		desc_put(d, table + 16ULL * i, &pieces[i],
			 d->is_packed ? 0 : (uint16_t)(flags | more));
		u16_put(d, table + 16ULL * i + 14, d->is_packed ? flags : (uint16_t)(i + 1));
	}
	return (struct ring_piece){ table, 16 * count };
}

static void split_put(struct ring_driver *d, uint16_t head, const struct ring_piece *pieces,
		      uint32_t count, uint16_t flags)
{
	uint16_t at = head;

	for (uint32_t i = 0; i < count; i++) {
		bool more = i + 1 < count;
		uint16_t next = more ? id_take(d) : 0;

		desc_put(d, RING_DESC + 16ULL * at, &pieces[i],
			 (uint16_t)(flags | (more ? NEXT : 0)));
		u16_put(d, RING_DESC + 16ULL * at + 14, next);
		d->next[at] = next;
		at = next;
	}
	u16_put(d, RING_DRIVER + 4 + 2ULL * (d->avail % d->size), head);
	u16_put(d, RING_DRIVER + 2, ++d->avail);
}

static void packed_put(struct ring_driver *d, uint16_t id, const struct ring_piece *pieces,
		       uint32_t count, uint16_t flags)
{
	uint64_t first = RING_DESC + 16ULL * d->avail;
	uint16_t first_flags = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = RING_DESC + 16ULL * d->avail;
		uint16_t all = (uint16_t)(flags | (i + 1 < count ? NEXT : 0) |
					  (d->avail_wrap ? AVAIL : USED));

		desc_put(d, at, &pieces[i], id);
		if (i == 0)
			first_flags = all;
		else
			u16_put(d, at + 14, all);
		if (++d->avail == d->size) {
			d->avail = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
	u16_put(d, first + 14, first_flags);
}

int ring_offer(struct ring_driver *d, const struct ring_piece *pieces, uint32_t count,
	       bool is_write, enum ring_way way)
{
	uint32_t descs = way == RING_INDIRECT ? 1 : count;
	uint16_t flags = is_write ? WRITE : 0, id;
	struct ring_piece table;

	if (d->free_count < descs || d->id_count < descs)
		return -1;
	id = id_take(d);
	d->free_count -= descs;
	d->taken[id] = (uint16_t)descs;
	if (way == RING_INDIRECT) {
		table = table_fill(d, id, pieces, count, flags);
		pieces = &table;
		flags = INDIRECT;
	}
	if (d->is_packed)
		packed_put(d, id, pieces, descs, flags);
	else
		split_put(d, id, pieces, descs, flags);
	return id;
}

static bool split_reap(struct ring_driver *d, uint16_t *id, uint32_t *len)
{
	uint64_t at = RING_DEVICE + 4 + 8ULL * (d->used % d->size);

	if (u16_at(d, RING_DEVICE + 2) == d->used)
		return false;
	*id = (uint16_t)get_le32(d->at + at);
	*len = get_le32(d->at + at + 4);
	d->used++;
	return true;
}

static bool packed_reap(struct ring_driver *d, uint16_t *id, uint32_t *len)
{
	uint64_t at = RING_DESC + 16ULL * d->used;
	uint16_t flags = u16_at(d, at + 14);

	if (((flags & AVAIL) != 0) != d->used_wrap || ((flags & USED) != 0) != d->used_wrap)
		return false;
	*id = get_le16(d->at + at + 12);
	*len = get_le32(d->at + at + 8);
	need(*id < d->size, "an id that there is not");
	d->used = (uint16_t)(d->used + d->taken[*id]);
	if (d->used >= d->size) {
		d->used = (uint16_t)(d->used - d->size);
		d->used_wrap = !d->used_wrap;
	}
	return true;
}

bool ring_reap(struct ring_driver *d, uint16_t *id, uint32_t *len)
{
	uint16_t at;

	if (!(d->is_packed ? packed_reap(d, id, len) : split_reap(d, id, len)))
		return false;
	need(*id < d->size && d->taken[*id] != 0, "a buffer that the device does not have");
	d->free_count += d->taken[*id];
	at = *id;
	d->free_ids[d->id_count++] = at;
	for (uint32_t i = 1; !d->is_packed && i < d->taken[*id]; i++) {
		at = d->next[at];
		d->free_ids[d->id_count++] = at;
	}
	d->taken[*id] = 0;
	return true;
}

static bool passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static bool has_events(const struct ring_driver *d)
{
	return (d->features & BIT_ULL(VIRTIO_RING_F_EVENT_IDX)) != 0;
}

bool ring_kick_is_wanted(const struct ring_driver *d, uint16_t old)
{
	uint16_t flags, event, now = d->avail;

	atomic_thread_fence(memory_order_seq_cst);
	if (!d->is_packed && !has_events(d))
		return (u16_at(d, RING_DEVICE) & 1) == 0;
	if (!d->is_packed)
		return passed(u16_at(d, RING_DEVICE + 4 + 8ULL * d->size), now, old);
	flags = u16_at(d, RING_DEVICE + 2) & 3;
	if (flags != 2)
		return flags == 0;
	event = u16_at(d, RING_DEVICE);
	if (((event & BIT(15)) != 0) != d->avail_wrap)
		event = (uint16_t)((event & 0x7fff) - d->size);
	else
		event &= 0x7fff;
	if (old > now)
		old = (uint16_t)(old - d->size);
	return passed(event, now, old);
}

void ring_calls_off(struct ring_driver *d)
{
	u16_put(d, d->is_packed ? RING_DRIVER + 2 : RING_DRIVER, 1);
}

void ring_calls_on(struct ring_driver *d)
{
	u16_put(d, d->is_packed ? RING_DRIVER + 2 : RING_DRIVER, 0);
}

void ring_calls_at(struct ring_driver *d, uint16_t event, bool wrap)
{
	if (d->is_packed) {
		u16_put(d, RING_DRIVER, (uint16_t)(event | (wrap ? BIT(15) : 0)));
		u16_put(d, RING_DRIVER + 2, 2);
	} else {
		u16_put(d, RING_DRIVER + 4 + 2ULL * d->size, event);
	}
}

struct rte_mempool *ring_pool(void)
{
	static struct rte_mempool *pool;

	if (pool != NULL)
		return pool;
	wire_eal_start();
	pool = rte_pktmbuf_pool_create("rings", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	need(pool != NULL, "no mbufs");
	return pool;
}

void ring_pattern(uint8_t *out, uint64_t seq, uint32_t len)
{
	uint64_t x = seq * 0x9E3779B97F4A7C15ULL + 1;

	for (uint32_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		out[i] = i < 8 ? (uint8_t)(seq >> (8 * i)) : (uint8_t)(x >> (8 * (i % 8)));
	}
}

bool ring_pattern_is(const uint8_t *bytes, uint64_t seq, uint32_t len)
{
	static __thread uint8_t want[VRING_MAX_FRAME];

	ring_pattern(want, seq, len);
	return memcmp(bytes, want, len) == 0;
}
