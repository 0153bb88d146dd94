// SPDX-License-Identifier: BSD-3-Clause
/* What each message of a VMM does (vhost_device.h). */
#include "pmd-backends/vhost_change.h"
#include "pmd-backends/vhost_check.h"
#include "pmd-backends/vhost_inflight.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>

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

/* True of no log at all. */
static bool log_is_whole(const struct dirty_log *log, const struct guest_memory *memory)
{
	for (unsigned int i = 0; log->memory.count > 0 && i < memory->count; i++)
		if (!dirty_log_covers(log, memory->regions[i].gpa, memory->regions[i].size))
			return false;
	return true;
}

/* Each queue pair of QEMU's says them again. */
static void features_set(struct vhost_device *d, void *arg)
{
	d->features = *(const uint64_t *)arg;
}

/* Whether pages are marked may change at any time, nothing else while rings run. */
static int on_set_features(struct vhost_device *d, struct turn *t)
{
	uint64_t features = t->m->payload.number, others = features ^ d->features;

	if ((features & ~d->kind->features) != 0)
		return bad(t->e, "features that were not offered");
	if ((others & ~BIT_ULL(VHOST_F_LOG_ALL)) != 0 && vhost_device_live(d) != 0)
		return bad(t->e, "other features while rings run");
	if ((features & BIT_ULL(VHOST_F_LOG_ALL)) != 0 && !log_is_whole(&d->log, &d->memory))
		return bad(t->e, "a log that is too short for the guest's memory");
	return others == 0 ? 0 : vhost_change(d, VHOST_ALL_RINGS, features_set, &features, t->e);
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
	/* Nobody would learn of what is written behind the log's end. */
	if ((d->features & BIT_ULL(VHOST_F_LOG_ALL)) != 0 && !log_is_whole(&d->log, &memory))
		r = bad(t->e, "memory that the log is too short for");
	if (r == 0)
		r = vhost_change(d, VHOST_ALL_RINGS, memory_swap, &memory, t->e);
	/* A log that came before any memory. */
	if (r == 0 && memory.count == 0 && d->log.memory.count > 0 &&
	    log_is_whole(&d->log, &d->memory))
		d->fill = DIRTY_FILL_START;
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
	d->queues[a->index].is_logged = (a->flags & VHOST_RING_LOG) != 0;
	d->queues[a->index].log_at = a->log;
	broken_set(d, d->broken & ~BIT(a->index));
}

static int state_change(struct vhost_device *d, struct turn *t,
			void (*apply)(struct vhost_device *d, void *arg))
{
	struct vhost_ring_state s = t->m->payload.state;

	return vhost_change(d, BIT(s.index), apply, &s, t->e);
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

	return vhost_change(d, BIT(a.index), addr_set, &a, t->e);
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

	(void)vhost_device_kick_take(d, c->ring);
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
	r = vhost_change(d, restarts ? BIT(c.ring) : 0, apply, &c, t->e);
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

	(void)vhost_device_kick_take(d, i);
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
	int r = vhost_change(d, rings, stopped_set, &rings, t->e);

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
	return vhost_change(d, VHOST_ALL_RINGS, mtu_set, &mtu, t->e);
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

/*
 * The one before holds no memory any more: a VMM may keep as many as it can hold fds, and the pages that rings have touched
 * in them are ours to pay for.
 */
static int on_get_inflight_fd(struct vhost_device *d, struct turn *t)
{
	struct vhost_inflight_wire w = t->m->payload.inflight;
	int r;

	if (vhost_device_live(d) != 0)
		return bad(t->e, "another region while rings run");
	vhost_inflight_empty(d->region_fd);
	fd_close(&d->region_fd);
	r = vhost_inflight_make(&w, has(d->features, VIRTIO_F_RING_PACKED), &d->region_fd, t->e);
	t->out->fd = d->region_fd;
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
	int r = vhost_inflight_map(&inflight, &t->m->payload.inflight,
				   has(d->features, VIRTIO_F_RING_PACKED), t->fds[0], t->e);

	if (r < 0)
		return r;
	r = vhost_change(d, VHOST_ALL_RINGS, inflight_swap, &inflight, t->e);
	vhost_inflight_unmap(&inflight);
	return r;
}

static void log_swap(struct vhost_device *d, void *arg)
{
	struct dirty_log *other = arg, old = d->log;

	d->log = *other;
	*other = old;
}

/*
 * The first log of a connection gets all pages: what rings wrote before it came, or a predecessor that died between a write
 * and its mark. A migration begins with all of them anyway.
 */
static int on_set_log_base(struct vhost_device *d, struct turn *t)
{
	const struct vhost_log_wire *w = &t->m->payload.log;
	struct dirty_log log = { 0 };
	int r;

	r = dirty_log_map(&log, t->fds[0], w->offset, w->size, t->e);
	if (r == 0 && !log_is_whole(&log, &d->memory))
		r = bad(t->e, "a log that is too short for the guest's memory");
	if (r == 0)
		r = vhost_change(d, VHOST_ALL_RINGS, log_swap, &log, t->e);
	/* The one before, if it came so far. */
	if (r == 0 && log.memory.count == 0)
		d->fill = DIRTY_FILL_START;
	dirty_log_unmap(&log);
	return r < 0 ? r : answer(t, "", 0);
}

bool vhost_device_more(struct vhost_device *d)
{
	if (d->fill.is_due)
		dirty_log_fill(&d->log, &d->memory, &d->fill);
	return d->fill.is_due;
}

/* 0 is a reset of the device (virtio 1.2, 2.1.2). */
static int on_set_status(struct vhost_device *d, struct turn *t)
{
	uint32_t rings = VHOST_ALL_RINGS;

	d->status = (uint8_t)t->m->payload.number;
	return d->status != 0 ? 0 : vhost_change(d, rings, stopped_set, &rings, t->e);
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
	[VHOST_SET_LOG_BASE] = on_set_log_base,
	[VHOST_SET_LOG_FD] = on_nothing, /* as that of SET_VRING_ERR */
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

/* Who has not agreed on a feature does not know what its messages do. */
static int agreed_check(const struct vhost_device *d, const struct vhost_message *m, struct err *e)
{
	uint64_t lacks = vhost_message_needs(m) & ~d->protocol;
	uint32_t rings = vhost_message_rings(m);

	if (lacks != 0)
		return err_set(e, EBADMSG, "protocol feature %d, which was not agreed on",
			       __builtin_ctzll(lacks));
	if (!has(d->protocol, VHOST_PROTOCOL_F_MQ) && rings >> d->kind->queue_rings != 0)
		return bad(e, "a ring of a second queue, which was not agreed on");
	return 0;
}

int vhost_device_message(struct vhost_device *d, const struct vhost_message *m, int *fds,
			 struct vhost_answer *out, struct err *e)
{
	struct turn t = { m, fds, out, e };
	int r;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	out->m.h.request = m->h.request;
	out->m.h.flags = VHOST_VERSION | VHOST_FLAG_REPLY;
	r = agreed_check(d, m, e);
	if (r == 0)
		r = handlers[m->h.request](d, &t);
	if (!vhost_message_asks(m) && (m->h.flags & VHOST_FLAG_NEED_REPLY) != 0 &&
	    has(d->protocol, VHOST_PROTOCOL_F_REPLY_ACK))
		answer_number(&t, r < 0 ? 1 : 0);
	return r < 0 ? err_wrap(e, "%s", vhost_request_name(m->h.request)) : 0;
}
