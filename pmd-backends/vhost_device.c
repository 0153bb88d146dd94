// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_device.h"

#include "pmd-backends/vhost_check.h"
#include "pmd-backends/vhost_inflight.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <sys/uio.h>

#define ALL_RINGS (BIT(VHOST_MAX_RINGS) - 1)

static bool has(uint64_t features, unsigned int bit)
{
	return (features & BIT_ULL(bit)) != 0;
}

/* --- on the lcore ---------------------------------------------------------------------------- */

static bool ring_is_ready(const struct vhost_device *d, const struct vhost_queue *q)
{
	return d->memory.count > 0 && q->place.size != 0 && q->is_placed && q->is_started &&
	       (q->is_enabled || !has(d->features, VHOST_F_PROTOCOL_FEATURES));
}

static void counters_add(struct vring_counters *sum, const struct vring_counters *c)
{
	sum->bad_chains += c->bad_chains;
	sum->no_memory += c->no_memory;
	sum->unfit += c->unfit;
}

static void live_set(struct vhost_device *d, uint32_t live)
{
	__atomic_store_n(&d->live, live, __ATOMIC_RELAXED);
}

static void ring_stop(struct vhost_device *d, unsigned int i)
{
	struct vhost_queue *q = &d->queues[i];

	if ((d->live & BIT(i)) == 0)
		return;
	live_set(d, d->live & ~BIT(i));
	if (d->kind->ring_stop != NULL) {
		q->base = d->kind->ring_stop(d->arg, i);
	} else {
		counters_add(&d->gone, &q->ring.counters);
		q->base = vring_base(&q->ring);
		memset(&q->ring, 0, sizeof(q->ring));
	}
	d->ops->ring_changed(d->arg, i, false);
}

static void broken_set(struct vhost_device *d, uint32_t broken)
{
	__atomic_store_n(&d->broken, broken, __ATOMIC_RELAXED);
}

static int ring_start(struct vhost_device *d, unsigned int i, struct err *e)
{
	struct vhost_queue *q = &d->queues[i];
	const struct vring_start start = {
		.place = q->place,
		.features = d->features,
		.base = q->base,
		.inflight = vhost_inflight_queue(&d->inflight, i, q->place.size,
						 has(d->features, VIRTIO_F_RING_PACKED)),
		.memory = &d->memory,
	};
	int r;

	if ((d->broken & BIT(i)) != 0 || !ring_is_ready(d, q))
		return 0;
	if (d->kind->ring_start != NULL)
		r = d->kind->ring_start(d->arg, i, &start, e);
	else
		r = vring_start(&q->ring, &start, e);
	if (r < 0)
		return err_wrap(e, "ring %u", i);
	if (d->kind->ring_start == NULL)
		vring_want_kicks(&q->ring, false);
	live_set(d, d->live | BIT(i));
	d->ops->ring_changed(d->arg, i, true);
	return 0;
}

void vhost_device_ring_break(struct vhost_device *d, unsigned int ring, const char *why)
{
	broken_set(d, d->broken | BIT(ring));
	d->broken_ring = ring;
	d->broken_why = why;
	d->gone.bad_chains++;
	ring_stop(d, ring);
}

bool vhost_device_rings_check(struct vhost_device *d)
{
	bool found = false;

	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++) {
		if ((d->live & BIT(i)) == 0 || d->queues[i].ring.broken == NULL)
			continue;
		vhost_device_ring_break(d, i, d->queues[i].ring.broken);
		found = true;
	}
	return found;
}

void vhost_device_counters(const struct vhost_device *d, struct vring_counters *out)
{
	*out = d->gone;
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		counters_add(out, &d->queues[i].ring.counters);
}

/* Something that rings rest on changes: these stop, it does, and those that can run again. */
struct change {
	struct vhost_device *d;
	uint32_t rings;
	void (*apply)(struct vhost_device *d, void *arg);
	void *arg;
	struct err *e;
	int result;
};

static void change_run(void *arg)
{
	struct change *c = arg;

	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		if ((c->rings & BIT(i)) != 0)
			ring_stop(c->d, i);
	if (c->apply != NULL)
		c->apply(c->d, c->arg);
	for (unsigned int i = 0; c->result == 0 && i < VHOST_MAX_RINGS; i++)
		if ((c->rings & BIT(i)) != 0)
			c->result = ring_start(c->d, i, c->e);
}

static int change(struct vhost_device *d, uint32_t rings,
		  void (*apply)(struct vhost_device *d, void *arg), void *arg, struct err *e)
{
	struct change c = { d, rings, apply, arg, e, 0 };

	d->ops->on_lcore(d->arg, change_run, &c);
	return c.result;
}

/* --- messages -------------------------------------------------------------------------------- */

/* A message that is being done. */
struct turn {
	const struct vhost_message *m;
	int *fds;
	struct vhost_answer *out;
	struct err *e;
};

static int answer(struct turn *t, const void *payload, size_t size)
{
	t->out->is_due = true;
	t->out->m.h.size = (uint32_t)size;
	memcpy(&t->out->m.payload, payload, size);
	return 0;
}

static int answer_number(struct turn *t, uint64_t number)
{
	return answer(t, &number, sizeof(number));
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, EBADMSG, "%s", what);
}

static int on_get_features(struct vhost_device *d, struct turn *t)
{
	return answer_number(t, d->kind->features);
}

/* Each queue pair of QEMU's says them again. */
static int on_set_features(struct vhost_device *d, struct turn *t)
{
	uint64_t features = t->m->payload.number;

	if ((features & ~d->kind->features) != 0)
		return bad(t->e, "features that were not offered");
	if (features != d->features && vhost_device_live(d) != 0)
		return bad(t->e, "other features while rings run");
	d->features = features;
	return 0;
}

static int on_nothing(struct vhost_device *d, struct turn *t)
{
	return 0;
}

static void memory_swap(struct vhost_device *d, void *arg)
{
	struct guest_memory *other = arg, old = d->memory;

	d->memory = *other;
	*other = old;
}

static int on_set_mem_table(struct vhost_device *d, struct turn *t)
{
	const struct vhost_memory_table *table = &t->m->payload.memory;
	struct guest_memory memory = { 0 };
	int r = guest_memory_map(&memory, table->regions, t->fds, table->count, t->e);

	if (r < 0)
		return r;
	r = change(d, ALL_RINGS, memory_swap, &memory, t->e);
	guest_memory_unmap(&memory); /* the one before */
	return r;
}

static void size_set(struct vhost_device *d, void *arg)
{
	const struct vhost_ring_state *s = arg;

	d->queues[s->index].place.size = s->num;
}

static void base_set(struct vhost_device *d, void *arg)
{
	const struct vhost_ring_state *s = arg;

	d->queues[s->index].base = s->num;
}

static void enabled_set(struct vhost_device *d, void *arg)
{
	const struct vhost_ring_state *s = arg;

	d->queues[s->index].is_enabled = s->num != 0;
}

static void addr_set(struct vhost_device *d, void *arg)
{
	const struct vhost_ring_addr *a = arg;
	struct vring_place *place = &d->queues[a->index].place;

	place->desc = a->desc;
	place->driver = a->avail;
	place->device = a->used;
	d->queues[a->index].is_placed = true;
	broken_set(d, d->broken & ~BIT(a->index));
}

static int state_change(struct vhost_device *d, struct turn *t,
			void (*apply)(struct vhost_device *d, void *arg))
{
	struct vhost_ring_state s = t->m->payload.state;

	return change(d, BIT(s.index), apply, &s, t->e);
}

static int on_set_vring_num(struct vhost_device *d, struct turn *t)
{
	return state_change(d, t, size_set);
}

static int on_set_vring_base(struct vhost_device *d, struct turn *t)
{
	return state_change(d, t, base_set);
}

static int on_set_vring_enable(struct vhost_device *d, struct turn *t)
{
	return state_change(d, t, enabled_set);
}

static int on_set_vring_addr(struct vhost_device *d, struct turn *t)
{
	struct vhost_ring_addr a = t->m->payload.addr;

	return change(d, BIT(a.index), addr_set, &a, t->e);
}

static uint64_t kicks_read(const struct vhost_queue *q)
{
	uint64_t n = 0;
	struct iovec iov = { &n, sizeof(n) };

	/* The VMM may have made the eventfd one that waits. */
	if (q->kick < 0 || preadv2(q->kick, &iov, 1, -1, RWF_NOWAIT) != sizeof(n))
		return 0;
	return n;
}

/* The fd of a ring that stands for a new one (or none), the old one in its place. */
struct fd_change {
	unsigned int ring;
	int fd;
};

static void kick_set(struct vhost_device *d, void *arg)
{
	struct fd_change *c = arg;
	struct vhost_queue *q = &d->queues[c->ring];
	int old = q->kick;

	d->kicks += kicks_read(q);
	q->kick = c->fd;
	c->fd = old;
	q->is_started = true;
	broken_set(d, d->broken & ~BIT(c->ring));
}

static void call_set(struct vhost_device *d, void *arg)
{
	struct fd_change *c = arg;
	int old = d->queues[c->ring].call;

	d->queues[c->ring].call = c->fd;
	c->fd = old;
}

static int fd_change(struct vhost_device *d, struct turn *t,
		     void (*apply)(struct vhost_device *d, void *arg), bool restarts)
{
	uint64_t value = t->m->payload.number;
	struct fd_change c = { value & VHOST_RING_MASK, -1 };
	int r;

	if ((value & VHOST_RING_NO_FD) == 0)
		c.fd = fd_take(&t->fds[0]);
	/* The VMM has it too, and may undo this: see lcore_signal(). */
	if (c.fd >= 0)
		(void)fcntl(c.fd, F_SETFL, O_NONBLOCK);
	r = change(d, restarts ? BIT(c.ring) : 0, apply, &c, t->e);
	fd_close(&c.fd);
	return r;
}

static int on_set_vring_kick(struct vhost_device *d, struct turn *t)
{
	return fd_change(d, t, kick_set, true);
}

static int on_set_vring_call(struct vhost_device *d, struct turn *t)
{
	/* What was signalled to the former one may be lost: a ring that starts signals once. */
	return fd_change(d, t, call_set, true);
}

static void ring_end(struct vhost_device *d, unsigned int i)
{
	struct vhost_queue *q = &d->queues[i];

	d->kicks += kicks_read(q);
	fd_close(&q->kick);
	fd_close(&q->call);
}

static void stopped_set(struct vhost_device *d, void *arg)
{
	uint32_t rings = *(const uint32_t *)arg;

	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		if ((rings & BIT(i)) != 0)
			d->queues[i].is_started = false;
	broken_set(d, d->broken & ~rings);
}

/* Stops it; it comes back with a new kick. */
static int on_get_vring_base(struct vhost_device *d, struct turn *t)
{
	struct vhost_ring_state s = t->m->payload.state;
	uint32_t rings = BIT(s.index);
	int r = change(d, rings, stopped_set, &rings, t->e);

	ring_end(d, s.index);
	s.num = d->queues[s.index].base;
	return r < 0 ? r : answer(t, &s, sizeof(s));
}

static int on_get_protocol_features(struct vhost_device *d, struct turn *t)
{
	return answer_number(t, d->kind->protocol);
}

static int on_set_protocol_features(struct vhost_device *d, struct turn *t)
{
	if ((t->m->payload.number & ~d->kind->protocol) != 0)
		return bad(t->e, "features that were not offered");
	d->protocol = t->m->payload.number;
	return 0;
}

static int on_get_queue_num(struct vhost_device *d, struct turn *t)
{
	return answer_number(t, d->kind->queues);
}

struct announcement {
	struct vhost_device *d;
	uint8_t mac[6];
};

static void announcement_run(void *arg)
{
	const struct announcement *a = arg;

	a->d->ops->announce(a->d->arg, a->mac);
}

static int on_send_rarp(struct vhost_device *d, struct turn *t)
{
	struct announcement a = { .d = d };

	if (d->ops->announce == NULL)
		return bad(t->e, "a device that has no address");
	memcpy(a.mac, &t->m->payload, sizeof(a.mac));
	d->ops->on_lcore(d->arg, announcement_run, &a);
	return 0;
}

static void mtu_set(struct vhost_device *d, void *arg)
{
	d->mtu = *(const uint16_t *)arg;
}

static int on_net_set_mtu(struct vhost_device *d, struct turn *t)
{
	uint16_t mtu = (uint16_t)t->m->payload.number;

	/* virtio 1.2, 5.1.4.1 */
	if (t->m->payload.number < 68 || t->m->payload.number > UINT16_MAX)
		return bad(t->e, "an MTU that no device has");
	return change(d, ALL_RINGS, mtu_set, &mtu, t->e);
}

static int on_set_backend_req_fd(struct vhost_device *d, struct turn *t)
{
	fd_close(&d->backend_fd);
	d->backend_fd = fd_take(&t->fds[0]);
	return 0;
}

static int on_get_config(struct vhost_device *d, struct turn *t)
{
	struct vhost_config_wire c = t->m->payload.config;

	vhost_device_config_read(d, &c);
	return answer(t, &c, VHOST_CONFIG_HEAD + c.size);
}

static int on_get_inflight_fd(struct vhost_device *d, struct turn *t)
{
	struct vhost_inflight_wire w = t->m->payload.inflight;
	int r = vhost_inflight_make(&w, has(d->features, VIRTIO_F_RING_PACKED), &t->out->fd, t->e);

	return r < 0 ? r : answer(t, &w, sizeof(w));
}

static void inflight_swap(struct vhost_device *d, void *arg)
{
	struct vhost_inflight *other = arg, old = d->inflight;

	d->inflight = *other;
	*other = old;
}

static int on_set_inflight_fd(struct vhost_device *d, struct turn *t)
{
	struct vhost_inflight inflight = { 0 };
	int r = vhost_inflight_map(&inflight, &t->m->payload.inflight, t->fds[0], t->e);

	if (r < 0)
		return r;
	r = change(d, ALL_RINGS, inflight_swap, &inflight, t->e);
	vhost_inflight_unmap(&inflight);
	return r;
}

/* 0 is a reset of the device (virtio 1.2, 2.1.2). */
static int on_set_status(struct vhost_device *d, struct turn *t)
{
	uint32_t rings = ALL_RINGS;

	d->status = (uint8_t)t->m->payload.number;
	return d->status != 0 ? 0 : change(d, rings, stopped_set, &rings, t->e);
}

static int on_get_status(struct vhost_device *d, struct turn *t)
{
	return answer_number(t, d->status);
}

static int (*const handlers[VHOST_REQUESTS])(struct vhost_device *d, struct turn *t) = {
	[VHOST_GET_FEATURES] = on_get_features,
	[VHOST_SET_FEATURES] = on_set_features,
	[VHOST_SET_OWNER] = on_nothing,
	[VHOST_RESET_OWNER] = on_nothing,
	[VHOST_SET_MEM_TABLE] = on_set_mem_table,
	[VHOST_SET_VRING_NUM] = on_set_vring_num,
	[VHOST_SET_VRING_ADDR] = on_set_vring_addr,
	[VHOST_SET_VRING_BASE] = on_set_vring_base,
	[VHOST_GET_VRING_BASE] = on_get_vring_base,
	[VHOST_SET_VRING_KICK] = on_set_vring_kick,
	[VHOST_SET_VRING_CALL] = on_set_vring_call,
	[VHOST_SET_VRING_ERR] = on_nothing, /* nothing is ever said through it */
	[VHOST_GET_PROTOCOL_FEATURES] = on_get_protocol_features,
	[VHOST_SET_PROTOCOL_FEATURES] = on_set_protocol_features,
	[VHOST_GET_QUEUE_NUM] = on_get_queue_num,
	[VHOST_SET_VRING_ENABLE] = on_set_vring_enable,
	[VHOST_SEND_RARP] = on_send_rarp,
	[VHOST_NET_SET_MTU] = on_net_set_mtu,
	[VHOST_SET_BACKEND_REQ_FD] = on_set_backend_req_fd,
	[VHOST_GET_CONFIG] = on_get_config,
	[VHOST_GET_INFLIGHT_FD] = on_get_inflight_fd,
	[VHOST_SET_INFLIGHT_FD] = on_set_inflight_fd,
	[VHOST_SET_STATUS] = on_set_status,
	[VHOST_GET_STATUS] = on_get_status,
};

int vhost_device_message(struct vhost_device *d, const struct vhost_message *m, int *fds,
			 struct vhost_answer *out, struct err *e)
{
	struct turn t = { m, fds, out, e };
	int r;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	out->m.h.request = m->h.request;
	out->m.h.flags = VHOST_VERSION | VHOST_FLAG_REPLY;
	r = handlers[m->h.request](d, &t);
	if (!vhost_message_asks(m) && (m->h.flags & VHOST_FLAG_NEED_REPLY) != 0 &&
	    has(d->protocol, VHOST_PROTOCOL_F_REPLY_ACK))
		answer_number(&t, r < 0 ? 1 : 0);
	return r < 0 ? err_wrap(e, "%s", vhost_request_name(m->h.request)) : 0;
}

/* --- life ------------------------------------------------------------------------------------ */

void vhost_device_init(struct vhost_device *d, const struct vhost_device_ops *ops, void *arg)
{
	memset(d, 0, sizeof(*d));
	d->ops = ops;
	d->arg = arg;
	d->kind = ops->kind != NULL ? ops->kind : &vhost_kind_net;
	d->backend_fd = -1;
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		d->queues[i].kick = d->queues[i].call = -1;
}

/* What a device had and is to be given back when no lcore can use it any more. */
struct leavings {
	struct guest_memory memory;
	struct vhost_inflight inflight;
	int fds[2 * VHOST_MAX_RINGS + 1];
};

/* The lcore looks at a device that has nothing, too. */
static void all_forget(struct vhost_device *d, void *arg)
{
	struct leavings *l = arg;
	struct vring_counters gone = d->gone;
	uint64_t kicks = d->kicks;

	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++) {
		kicks += kicks_read(&d->queues[i]);
		l->fds[2 * i] = d->queues[i].kick;
		l->fds[2 * i + 1] = d->queues[i].call;
	}
	l->fds[2 * VHOST_MAX_RINGS] = d->backend_fd;
	l->memory = d->memory;
	l->inflight = d->inflight;
	vhost_device_init(d, d->ops, d->arg);
	d->kicks = kicks;
	d->gone = gone;
}

void vhost_device_reset(struct vhost_device *d)
{
	struct leavings l;

	(void)change(d, ALL_RINGS, all_forget, &l, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(l.fds); i++)
		fd_close(&l.fds[i]);
	guest_memory_unmap(&l.memory);
	vhost_inflight_unmap(&l.inflight);
}

uint64_t vhost_device_kicks(struct vhost_device *d)
{
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		if ((d->kind->kicked & BIT(i)) != 0)
			d->kicks += kicks_read(&d->queues[i]);
	return d->kicks;
}
