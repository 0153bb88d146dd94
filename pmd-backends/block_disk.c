// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_disk.h"

#include "pmd-backends/block_config.h"
#include "pmd-backends/block_keeper.h"
#include "pmd-backends/block_kick.h"
#include "pmd-backends/bucket.h"
#include "pmd-backends/counter.h"
#include "pmd-backends/vhost_session.h"
#include "pmd-backends/vring_async.h"
#include "pmd-backends/vring_core.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define FLIGHTS	 256U /* requests of a disk under way */
#define TURN	 64U /* requests of a ring in one round */
#define STEPS	 4096U /* descriptors of a disk that are read in one round */
#define TELL	 8U /* requests that are told before the round ends */
#define CLOCK_HZ 1000000000ULL
#define SIZE_MS	 200
#define LOOK_NS	 100000ULL /* between two looks at a ring whose driver never kicks */
#define NO_LIMIT UINT64_MAX

struct block_ring {
	struct block_disk *disk;
	unsigned int index;
	struct vring_async ring;
	struct block_kick kick;
};

struct block_disk {
	struct vhost_session session;
	struct vhost_kind kind;
	struct vhost_device_ops ops;
	struct block_worker *worker;
	struct block_job job;
	bool has_job;
	struct block_keeper keeper;
	char serial[BLOCK_SERIAL];
	unsigned int queues;
	bool is_leaving; /* with the client's lock: what its VMM says does not bring the rings back */
	bool has_session; /* the control thread's */

	/* The worker's. */
	struct block_io io;
	struct block_ring rings[VHOST_MAX_RINGS];
	struct block_flight *flights, *free;
	uint32_t in_flight;
	unsigned int first; /* ring of the next round */
	uint32_t steps; /* descriptors that were read in this round */
	bool is_held; /* nothing more is taken */
	bool is_waited_for; /* somebody waits until nothing is in flight */
	struct bucket iops, bytes;
	uint64_t wait_ns; /* until there is credit for what waits; NO_LIMIT: nothing does */
	uint64_t doze_ns; /* until rings are to be looked at that wake nobody */
};

/* --- requests, on the worker ----------------------------------------------------------------- */

static uint32_t live_rings(const struct block_disk *d)
{
	return d->session.device.live;
}

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

/* False: what was armed for a former fd has yet to end. */
static bool kick_arm(struct block_disk *d, struct block_ring *ring)
{
	int fd = d->session.device.queues[ring->index].kick;
	struct iovec iov;
	uint64_t seen;

	if (fd < 0)
		return block_kick_end(&ring->kick, d->worker);
	if (ring->kick.is_armed)
		return block_kick_arm(&ring->kick, d->worker, fd);
	/* The VMM may have made the eventfd one that waits. */
	iov = (struct iovec){ &seen, sizeof(seen) };
	if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) == sizeof(seen))
		d->session.device.kicks += seen;
	return block_kick_arm(&ring->kick, d->worker, fd);
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

/* --- rings, on the worker -------------------------------------------------------------------- */

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

/* --- what the thread of all VMMs does --------------------------------------------------------- */

struct hold {
	struct block_disk *d;
	bool on, is_quiet;
};

static void hold_run(void *arg)
{
	struct hold *h = arg;

	h->d->is_held = h->on;
	h->is_quiet = h->d->in_flight == 0;
	h->d->is_waited_for = h->on && !h->is_quiet;
}

static bool session_quiesce(void *arg)
{
	struct hold h = { .d = arg, .on = true };

	block_worker_call(h.d->worker, hold_run, &h);
	return h.is_quiet;
}

static void session_resume(void *arg)
{
	struct hold h = { .d = arg, .on = false };

	if (!h.d->is_leaving)
		block_worker_call(h.d->worker, hold_run, &h);
}

static bool session_is_fit(void *arg, struct err *e)
{
	struct block_disk *d = arg;

	if (block_keeper_wait(&d->keeper, 0, NULL, e) != BLOCK_READY)
		return false;
	if (d->is_leaving) {
		err_set(e, EBUSY, "the disk is being taken away");
		return false;
	}
	d->kind.features = block_features(&d->keeper.file, d->queues);
	return true;
}

static const struct vhost_session_ops session_ops = { session_quiesce, session_resume,
						      session_is_fit };

static uint32_t config_get(void *arg, uint8_t config[VHOST_MAX_CONFIG])
{
	const struct block_disk *d = arg;

	return block_config(&d->keeper.file, d->queues, config);
}

/* --- life ------------------------------------------------------------------------------------ */

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
		.ring_start = ring_start,
		.ring_stop = ring_stop,
		.config_get = config_get,
	};
	d->ops = (struct vhost_device_ops){ .on_lcore = on_worker,
					    .ring_changed = ring_changed,
					    .kind = &d->kind };
}

int block_disk_create(const struct block_disk_config *cfg, int *fd, struct block_disk **out,
		      struct err *e)
{
	struct block_disk *d = calloc(1, sizeof(*d));
	struct vhost_session_config session = { .name = cfg->name,
						.socket = cfg->socket,
						.thread = cfg->thread,
						.launch = cfg->launch,
						.ops = &session_ops,
						.arg = d };
	int r;

	if (d == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = flights_make(d, e);
	if (r == 0)
		r = block_keeper_start(&d->keeper, fd, cfg->wish->readonly, e);
	if (r < 0) {
		free(d->flights);
		free(d);
		return r;
	}
	memcpy(d->serial, cfg->wish->serial, sizeof(d->serial));
	d->queues = cfg->wish->queues;
	d->worker = cfg->worker;
	d->io = (struct block_io){ .file = &d->keeper.file,
				   .worker = d->worker,
				   .serial = d->serial,
				   .flush_failed = cfg->wish->flush_failed,
				   .done = flight_done };
	d->job = (struct block_job){ disk_poll, disk_settle, disk_doze, disk_wait, d };
	bucket_init(&d->iops, cfg->wish->iops, CLOCK_HZ, now_ns());
	bucket_init(&d->bytes, cfg->wish->bandwidth, CLOCK_HZ, now_ns());
	rings_init(d);
	device_describe(d);
	session.device = &d->ops;
	vhost_session_init(&d->session, &session);
	d->has_session = true;
	*out = d;
	return 0;
}

int block_disk_start(struct block_disk *d, struct err *e)
{
	int r = block_worker_job_add(d->worker, &d->job);

	if (r < 0)
		return err_set(e, r, "no room for more disks");
	d->has_job = true;
	return vhost_session_start(&d->session, e);
}

int block_disk_await(struct block_disk *d, unsigned int timeout_ms, struct err *e)
{
	struct err why = { 0 };

	if (block_keeper_wait(&d->keeper, timeout_ms, NULL, &why) != BLOCK_REFUSED)
		return 0;
	*e = why;
	return -why.errnum;
}

static void idle_look(void *arg)
{
	struct hold *h = arg;

	h->is_quiet = h->d->in_flight == 0;
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		h->is_quiet &= block_kick_end(&h->d->rings[i].kick, h->d->worker);
}

/* The VMM is let go of as soon as nothing of its guest's is in use. */
static bool session_leave(struct block_disk *d)
{
	struct vhost_client *client = &d->session.client;
	bool is_quiet;

	if (!d->has_session)
		return true;
	vhost_client_lock(client);
	d->is_leaving = true;
	is_quiet = session_quiesce(d);
	vhost_client_unlock(client);
	if (is_quiet)
		vhost_session_fini(&d->session);
	d->has_session = !is_quiet;
	return is_quiet;
}

bool block_disk_leave(struct block_disk *d)
{
	struct hold h = { .d = d };

	if (!session_leave(d))
		return false;
	/* The worker still knows of ops within the disk until the kernel has answered the last. */
	block_worker_call(d->worker, idle_look, &h);
	if (!h.is_quiet)
		return false;
	if (d->has_job)
		block_worker_job_remove(d->worker, &d->job);
	d->has_job = false;
	return block_keeper_end(&d->keeper);
}

bool block_disk_is_leaving(const struct block_disk *d)
{
	return d->is_leaving;
}

void block_disk_destroy(struct block_disk *d)
{
	assert(!d->has_session && !d->has_job && d->in_flight == 0);
	free(d->flights);
	free(d);
}

const char *block_disk_name(const struct block_disk *d)
{
	return d->session.name;
}

void block_disk_file(struct block_disk *d, struct block_file *out)
{
	(void)block_keeper_wait(&d->keeper, 0, out, NULL);
}

struct block_worker *block_disk_worker(const struct block_disk *d)
{
	return d->worker;
}

struct reading {
	struct block_disk *d;
	struct block_disk_facts *out;
};

static void facts_read(void *arg)
{
	struct reading *a = arg;

	a->out->in_flight = a->d->in_flight;
	a->out->counters = a->d->io.counters;
	a->out->last_error = a->d->io.last_error;
	a->out->flush_failed = a->d->io.flush_failed;
	a->out->rings = (unsigned int)__builtin_popcount(live_rings(a->d));
	a->out->kicks = a->d->session.device.kicks;
}

/* With the client's lock. */
static enum pmd_disk_state state_find(const struct block_disk *d, enum block_stage stage,
				      unsigned int rings)
{
	if (d->is_leaving)
		return PMD_DISK_LEAVING;
	if (stage != BLOCK_READY)
		return stage == BLOCK_LOCKED ? PMD_DISK_LOCKED : PMD_DISK_OPENING;
	if (d->session.conn.sock < 0)
		return PMD_DISK_WAITING;
	return rings > 0 ? PMD_DISK_RUNNING : PMD_DISK_CONNECTED;
}

void block_disk_facts(struct block_disk *d, struct block_disk_facts *out)
{
	static const char *const words[] = PMD_DISK_STATE_WORDS;
	struct reading a = { d, out };
	enum block_stage stage;

	memset(out, 0, sizeof(*out));
	out->state = words[PMD_DISK_LEAVING];
	stage = block_keeper_wait(&d->keeper, 0, &out->file, NULL);
	block_worker_call(d->worker, facts_read, &a);
	if (!d->has_session)
		return;
	vhost_client_lock(&d->session.client);
	out->state = words[state_find(d, stage, out->rings)];
	out->pid = d->session.conn.pid;
	out->features = d->session.device.features;
	strcpy(out->error, d->session.error);
	vhost_client_unlock(&d->session.client);
}

struct change {
	struct block_disk *d;
	uint64_t a, b;
};

static void limit_run(void *arg)
{
	struct change *c = arg;

	bucket_init(&c->d->iops, c->a, CLOCK_HZ, now_ns());
	bucket_init(&c->d->bytes, c->b, CLOCK_HZ, now_ns());
}

void block_disk_limit(struct block_disk *d, uint64_t iops, uint64_t bandwidth)
{
	struct change c = { d, iops, bandwidth };

	block_worker_call(d->worker, limit_run, &c);
}

static void size_run(void *arg)
{
	struct change *c = arg;

	c->d->keeper.file.size = c->a;
}

int block_disk_resize(struct block_disk *d, uint64_t *size, struct err *e)
{
	struct change c = { .d = d };
	struct block_file file;
	int r = block_keeper_size(&d->keeper, SIZE_MS, &c.a, e);

	if (r < 0)
		return r;
	block_disk_file(d, &file);
	/* A guest has mounted what is there: taking it away is no change of size. */
	if (c.a < file.size)
		return err_set(e, EINVAL, "the image has %llu bytes, fewer than the disk's %llu",
			       (unsigned long long)c.a, (unsigned long long)file.size);
	vhost_client_lock(&d->session.client);
	block_worker_call(d->worker, size_run, &c);
	vhost_device_config_changed(&d->session.device);
	vhost_client_unlock(&d->session.client);
	*size = c.a;
	return 0;
}
