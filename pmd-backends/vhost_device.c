// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_device.h"

#include "pmd-backends/vhost_change.h"
#include "pmd-backends/vhost_inflight.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <sys/uio.h>

#define KICKS_MOST ((uint64_t)INT64_MAX) /* JSON has no more */

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

static struct vring_marks marks_of(const struct vhost_device *d, const struct vhost_queue *q)
{
	if (d->log.memory.count == 0)
		return (struct vring_marks){ .log = NULL };
	return (struct vring_marks){ .log = &d->log,
				     .buffers = has(d->features, VHOST_F_LOG_ALL),
				     .device = q->is_logged,
				     .device_at = q->log_at };
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
		.marks = marks_of(d, q),
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

bool vhost_device_is_marking(const struct vhost_device *d)
{
	for (uint32_t left = d->live; left != 0; left &= left - 1)
		if (d->queues[__builtin_ctz(left)].ring.is_marked)
			return true;
	return false;
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

int vhost_change(struct vhost_device *d, uint32_t rings,
		 void (*apply)(struct vhost_device *d, void *arg), void *arg, struct err *e)
{
	struct change c = { d, rings, apply, arg, e, 0 };

	d->ops->on_lcore(d->arg, change_run, &c);
	return c.result;
}

/* The VMM may have put anything in. */
static uint64_t kicks_sum(uint64_t kicks, uint64_t more)
{
	return kicks + u64_min(more, KICKS_MOST - kicks);
}

static uint64_t kick_read(const struct vhost_queue *q)
{
	uint64_t n = 0;
	struct iovec iov = { &n, sizeof(n) };

	/* The VMM may have made the eventfd one that waits. */
	if (q->kick < 0 || preadv2(q->kick, &iov, 1, -1, RWF_NOWAIT) != sizeof(n))
		return 0;
	return n;
}

uint64_t vhost_device_kick_take(struct vhost_device *d, unsigned int ring)
{
	uint64_t n = kick_read(&d->queues[ring]);

	d->kicks = kicks_sum(d->kicks, n);
	return n;
}

/* --- life ------------------------------------------------------------------------------------ */

void vhost_device_init(struct vhost_device *d, const struct vhost_device_ops *ops, void *arg)
{
	memset(d, 0, sizeof(*d));
	d->ops = ops;
	d->arg = arg;
	d->kind = ops->kind != NULL ? ops->kind : &vhost_kind_net;
	d->backend_fd = d->region_fd = -1;
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		d->queues[i].kick = d->queues[i].call = -1;
}

/* What a device had and is to be given back when no lcore can use it any more. */
struct leavings {
	struct guest_memory memory;
	struct vhost_inflight inflight;
	struct dirty_log log;
	int fds[2 * VHOST_MAX_RINGS + 1];
};

/* The lcore looks at a device that has nothing, too. */
static void all_forget(struct vhost_device *d, void *arg)
{
	struct leavings *l = arg;
	struct vring_counters gone = d->gone;
	uint64_t kicks = d->kicks;
	int region_fd = d->region_fd;

	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++) {
		kicks = kicks_sum(kicks, kick_read(&d->queues[i]));
		l->fds[2 * i] = d->queues[i].kick;
		l->fds[2 * i + 1] = d->queues[i].call;
	}
	l->fds[2 * VHOST_MAX_RINGS] = d->backend_fd;
	l->memory = d->memory;
	l->inflight = d->inflight;
	l->log = d->log;
	vhost_device_init(d, d->ops, d->arg);
	d->kicks = kicks;
	d->gone = gone;
	d->region_fd = region_fd;
}

void vhost_device_reset(struct vhost_device *d)
{
	struct leavings l;

	(void)vhost_change(d, VHOST_ALL_RINGS, all_forget, &l, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(l.fds); i++)
		fd_close(&l.fds[i]);
	guest_memory_unmap(&l.memory);
	vhost_inflight_unmap(&l.inflight);
	dirty_log_unmap(&l.log);
}

void vhost_device_fini(struct vhost_device *d)
{
	vhost_device_reset(d);
	fd_close(&d->region_fd);
}

uint64_t vhost_device_kicks(struct vhost_device *d)
{
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		if ((d->kind->kicked & BIT(i)) != 0)
			(void)vhost_device_kick_take(d, i);
	return d->kicks;
}
