// SPDX-License-Identifier: BSD-3-Clause
/* What a worker does for a disk: its rings, and the requests in them. */
#include "pmd-backends/block_config.h"
#include "pmd-backends/block_disk_core.h"
#include "pmd-backends/counter.h"
#include "pmd-backends/vring_core.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>

#define FLIGHTS	 256U /* requests of a disk under way */
#define TURN	 64U /* requests of a ring in one round */
#define STEPS	 4096U /* descriptors of a disk that are read in one round */
#define TELL	 8U /* requests that are told before the round ends */
#define CLOCK_HZ 1000000000ULL
#define LOOK_NS	 100000ULL /* between two looks at a ring whose driver never kicks */
#define NO_LIMIT UINT64_MAX

#define VAIN_MOST \
	16U /* kicks in a row without a request, before a ring's kicks are waited for no longer */
#define VAIN_NS 1000000ULL /* between two looks at such a ring */

/* --- requests ----------------------------------------------------------------- */

static void flight_put(struct block_disk *d, struct block_flight *f)
{
	f->next = d->free;
	d->free = f;
	d->in_flight--;
}

static void flight_done(struct block_io *io, struct block_flight *f)
{
	struct block_disk *d = container_of(io, struct block_disk, io);

	vring_async_put(&f->ring->ring, f->head, f->q.written);
	flight_put(d, f);
}

static bool credit_has(struct block_disk *d)
{
	if (bucket_has(&d->iops) && bucket_has(&d->bytes))
		return true;
	d->wait_ns = u64_min(d->wait_ns, u64_max(bucket_wait(&d->iops), bucket_wait(&d->bytes)));
	return false;
}

/* False: there is none, or no credit for it. */
static bool request_take(struct block_disk *d, struct block_ring *ring)
{
	struct block_flight *f = d->free;
	struct vring_chain chain;
	bool is_limited = d->iops.rate != 0 || d->bytes.rate != 0;

	if (f == NULL || (is_limited && vring_async_waits(&ring->ring) && !credit_has(d)) ||
	    !vring_async_take(&ring->ring, &chain, &f->head))
		return false;
	d->free = f->next;
	d->in_flight++;
	ring->has_taken = true;
	f->ring = ring;
	f->io = &d->io;
	/* What is no request is paid for like one. */
	if (is_limited)
		bucket_take(&d->iops, 1);
	if (block_request_read(&f->q, &chain, &d->keeper.file) < 0) {
		d->steps += f->q.steps;
		counter_add(&d->io.counters.bad_chains, 1);
		vring_async_put(&ring->ring, f->head, 0);
		flight_put(d, f);
		return true;
	}
	d->steps += f->q.steps;
	if (is_limited)
		bucket_take(&d->bytes, f->q.len);
	block_io_begin(f);
	return true;
}

static void ring_call(struct block_disk *d, unsigned int i)
{
	struct vhost_queue *q = &d->session.device.queues[i];

	if (q->call < 0 || d->session.is_stuck || !vring_async_wants_call(&d->rings[i].ring))
		return;
	counter_add(&d->io.counters.calls, 1);
	if (block_worker_signal(d->worker, q->call) == -EINTR)
		vhost_session_stuck(&d->session);
}

/* What is done is told: at the end of a round, or when so much is that the guest can go on meanwhile. */
static void ring_tell(struct block_disk *d, unsigned int i, uint16_t least)
{
	struct vring_async *ring = &d->rings[i].ring;

	if (ring->pending < least)
		return;
	vring_async_publish(ring);
	ring_call(d, i);
}

static uint32_t disk_poll(void *arg, uint64_t now)
{
	struct block_disk *d = arg;
	uint32_t n = block_io_round(&d->io);

	d->wait_ns = NO_LIMIT;
	d->steps = 0;
	if (d->is_held || live_rings(d) == 0)
		return n;
	bucket_refill(&d->iops, now);
	bucket_refill(&d->bytes, now);
	for (unsigned int i = 0; i < d->queues; i++) {
		unsigned int at = (d->first + i) % d->queues;

		if ((live_rings(d) & BIT(at)) == 0)
			continue;
		for (uint32_t k = 0; k < TURN && d->steps < STEPS && request_take(d, &d->rings[at]);
		     k++) {
			ring_tell(d, at, TELL);
			n++;
		}
	}
	d->first = (d->first + 1) % d->queues;
	return n;
}

static void disk_settle(void *arg)
{
	struct block_disk *d = arg;

	for (uint32_t left = live_rings(d); left != 0; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(left);
		struct vring_async *ring = &d->rings[i].ring;

		ring_tell(d, i, 1);
		if (ring->ring.broken == NULL || ring->taken != 0)
			continue;
		vhost_device_ring_break(&d->session.device, i, ring->ring.broken);
		vhost_client_wake(&d->session.client);
	}
	if (d->is_waited_for && d->in_flight == 0) {
		d->is_waited_for = false;
		vhost_client_wake(&d->session.client);
	}
}

/*
 * False: what was armed for a former fd has yet to end. The VMM may have made an eventfd that is ready for ever
 * (EFD_SEMAPHORE), or kick without end: a ring whose kicks bring nothing is looked at by the clock.
 */
static bool kick_arm(struct block_disk *d, struct block_ring *ring)
{
	int fd = d->session.device.queues[ring->index].kick;
	bool is_vain;

	if (fd < 0)
		return block_kick_end(&ring->kick, d->worker);
	if (ring->kick.is_armed)
		return block_kick_arm(&ring->kick, d->worker, fd);
	is_vain = vhost_device_kick_take(&d->session.device, ring->index) > 0 && !ring->has_taken;
	ring->vain = is_vain ? (unsigned int)u64_min(ring->vain + 1, VAIN_MOST) : 0;
	ring->has_taken = false;
	if (ring->vain < VAIN_MOST)
		return block_kick_arm(&ring->kick, d->worker, fd);
	d->doze_ns = u64_min(d->doze_ns, VAIN_NS);
	return true;
}

static void disk_doze(void *arg, bool on)
{
	struct block_disk *d = arg;

	d->doze_ns = NO_LIMIT;
	for (uint32_t left = live_rings(d); left != 0; left &= left - 1) {
		struct block_ring *ring = &d->rings[__builtin_ctz(left)];

		vring_async_want_kicks(&ring->ring, on);
		if (on && !kick_arm(d, ring))
			d->doze_ns = 0;
		if (d->session.device.queues[ring->index].kick < 0)
			d->doze_ns = u64_min(d->doze_ns, LOOK_NS);
	}
}

static uint64_t disk_wait(void *arg)
{
	const struct block_disk *d = arg;

	return u64_min(d->wait_ns, d->doze_ns);
}

/* --- rings -------------------------------------------------------------------- */

static int ring_start(void *arg, unsigned int i, const struct vring_start *start, struct err *e)
{
	struct block_disk *d = arg;
	int r;

	if (i >= d->queues)
		return err_set(e, EINVAL, "a queue that the disk has not");
	r = vring_async_start(&d->rings[i].ring, start, e);
	if (r < 0)
		return r;
	vring_async_want_kicks(&d->rings[i].ring, false);
	d->io.is_writethrough = (start->features & BIT_ULL(VIRTIO_BLK_F_FLUSH)) == 0;
	return 0;
}

static uint32_t ring_stop(void *arg, unsigned int i)
{
	struct block_disk *d = arg;

	(void)block_kick_end(&d->rings[i].kick, d->worker);
	return vring_async_stop(&d->rings[i].ring);
}

static void ring_changed(void *arg, unsigned int i, bool is_live)
{
	/* Who served the ring before may have died before it called. */
	if (is_live)
		ring_call(arg, i);
}

static void on_worker(void *arg, void (*fn)(void *fn_arg), void *fn_arg)
{
	struct block_disk *d = arg;

	block_worker_call(d->worker, fn, fn_arg);
}

static uint32_t config_get(void *arg, uint8_t config[VHOST_MAX_CONFIG])
{
	const struct block_disk *d = arg;

	return block_config(&d->keeper.file, d->queues, config);
}

static int flights_make(struct block_disk *d, struct err *e)
{
	d->flights = calloc(FLIGHTS, sizeof(*d->flights));
	if (d->flights == NULL)
		return err_set(e, ENOMEM, "no memory");
	for (uint32_t i = 0; i < FLIGHTS; i++) {
		d->flights[i].next = d->free;
		d->free = &d->flights[i];
	}
	return 0;
}

static void rings_init(struct block_disk *d)
{
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++) {
		d->rings[i].disk = d;
		d->rings[i].index = i;
		block_kick_init(&d->rings[i].kick);
	}
}

static void device_describe(struct block_disk *d)
{
	d->kind = (struct vhost_kind){
		.protocol =
			BIT_ULL(VHOST_PROTOCOL_F_MQ) | BIT_ULL(VHOST_PROTOCOL_F_REPLY_ACK) |
			BIT_ULL(VHOST_PROTOCOL_F_BACKEND_REQ) | BIT_ULL(VHOST_PROTOCOL_F_CONFIG) |
			BIT_ULL(VHOST_PROTOCOL_F_INFLIGHT_SHMFD) | BIT_ULL(VHOST_PROTOCOL_F_STATUS),
		.queues = d->queues,
		.queue_rings = 1,
		.ring_start = ring_start,
		.ring_stop = ring_stop,
		.config_get = config_get,
	};
	d->ops = (struct vhost_device_ops){ .on_lcore = on_worker,
					    .ring_changed = ring_changed,
					    .kind = &d->kind };
}

int block_serve_init(struct block_disk *d, struct err *e)
{
	int r = flights_make(d, e);

	if (r < 0)
		return r;
	d->io = (struct block_io){ .file = &d->keeper.file,
				   .worker = d->worker,
				   .serial = d->serial,
				   .done = flight_done };
	d->job = (struct block_job){ disk_poll, disk_settle, disk_doze, disk_wait, d };
	rings_init(d);
	device_describe(d);
	return 0;
}

void block_serve_limit(struct block_disk *d, uint64_t iops, uint64_t bandwidth)
{
	bucket_init(&d->iops, iops, CLOCK_HZ, now_ns());
	bucket_init(&d->bytes, bandwidth, CLOCK_HZ, now_ns());
}
