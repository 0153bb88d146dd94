// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/virtio_served.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BURST(s) ((int64_t)((s)->rate / 4))

static struct virtio_served *served_of(struct virtio_pci *vp)
{
	return container_of(vp, struct virtio_served, vp);
}

/* --- budget ---------------------------------------------------------------------------------- */

static void watch_update(struct virtio_served *s)
{
	uint32_t events = s->paused || s->is_broke ? 0 : EPOLLIN;

	for (unsigned int i = 0; i < SERVED_QUEUES; i++)
		if (s->rings[i].kick_fd >= 0)
			(void)loop_mod(s->loop, s->rings[i].kick_fd, events);
}

static void budget_grow(struct virtio_served *s)
{
	uint64_t now = now_ns(), ns = u64_min(now - s->budget_at_ns, 1000000000);

	s->budget += (int64_t)(s->rate * ns / 1000000000);
	if (s->budget > BURST(s))
		s->budget = BURST(s);
	s->budget_at_ns = now;
}

/* Who is broke waits until a sixteenth of a second has paid in, so that the timer is no load of its own. */
static void budget_spend(struct virtio_served *s, int64_t bytes)
{
	int64_t debt;
	struct itimerspec in = { 0 };

	budget_grow(s);
	s->budget -= bytes + (int64_t)(s->rate / SERVED_WAKES_PER_S);
	if (s->budget > 0)
		return;
	debt = (int64_t)(s->rate / 16) - s->budget;
	in.it_value.tv_sec = debt / (int64_t)s->rate;
	in.it_value.tv_nsec = debt % (int64_t)s->rate * 1000000000 / (int64_t)s->rate + 1;
	s->is_broke = timerfd_settime(s->timer_fd, 0, &in, NULL) == 0;
	watch_update(s);
}

static void timer_ready(void *arg, int fd, uint32_t events)
{
	struct virtio_served *s = arg;
	uint64_t ticks;

	(void)!read(fd, &ticks, sizeof(ticks));
	s->is_broke = false;
	watch_update(s);
}

/* --- rings ----------------------------------------------------------------------------------- */

struct virtqueue *virtio_served_ring(struct virtio_served *s, unsigned int queue)
{
	const struct virtio_queue *q = &s->vp.queues[queue];
	struct virtqueue *vq = &s->rings[queue].vq;

	if (s->paused || !q->enabled || !virtio_pci_runs(&s->vp))
		return NULL;
	vq->gmem = s->vp.env.gmem;
	vq->size = q->size;
	vq->desc = q->desc;
	vq->avail = q->driver;
	vq->used = q->device;
	vq->has_event_idx = (s->vp.features & BIT_ULL(VIRTIO_F_EVENT_IDX)) != 0;
	vq->has_indirect = (s->vp.features & BIT_ULL(VIRTIO_F_INDIRECT_DESC)) != 0;
	return vq;
}

static uint64_t pieces_sum(const struct virtq_piece *pieces, unsigned int count)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum += pieces[i].len;
	return sum;
}

uint64_t virtio_served_readable(const struct virtq_chain *chain)
{
	return pieces_sum(chain->read, chain->read_count);
}

uint64_t virtio_served_writable(const struct virtq_chain *chain)
{
	return pieces_sum(chain->write, chain->write_count);
}

void virtio_served_poke(struct virtio_served *s, unsigned int queue)
{
	const uint64_t one = 1;

	(void)!write(s->vp.queues[queue].kick_fd, &one, sizeof(one));
}

static void kick_ready(void *arg, int fd, uint32_t events)
{
	struct served_ring *ring = arg;
	struct virtio_served *s = ring->device;
	unsigned int queue = (unsigned int)(ring - s->rings);
	int64_t moved = 0;

	fd_event_drain(fd);
	pthread_mutex_lock(s->lock);
	if (virtio_served_ring(s, queue) != NULL)
		moved = s->serve(s, queue);
	if (moved < 0)
		virtio_pci_break(&s->vp);
	pthread_mutex_unlock(s->lock);
	budget_spend(s, moved > 0 ? moved : 0);
}

/* Any thread, with the lock. What came before the driver was ready is looked at now. */
void virtio_served_changed(struct virtio_pci *vp)
{
	for (unsigned int i = 0; virtio_pci_runs(vp) && i < vp->kind.queue_count; i++)
		virtio_served_poke(served_of(vp), i);
}

void virtio_served_reset(struct virtio_pci *vp)
{
	for (unsigned int i = 0; i < SERVED_QUEUES; i++)
		served_of(vp)->rings[i].vq = (struct virtqueue){ 0 };
}

void virtio_served_pause(struct virtio_served *s, bool paused)
{
	s->paused = paused;
	watch_update(s);
}

/* --- life ------------------------------------------------------------------------------------ */

static int fds_watch(struct virtio_served *s)
{
	int r;

	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer_fd < 0)
		return -errno;
	r = loop_add(s->loop, s->timer_fd, EPOLLIN, timer_ready, s);
	for (unsigned int i = 0; r == 0 && i < s->vp.kind.queue_count; i++) {
		int fd = s->vp.queues[i].kick_fd;

		r = loop_add(s->loop, fd, EPOLLIN, kick_ready, &s->rings[i]);
		if (r == 0)
			s->rings[i].kick_fd = fd;
	}
	return r;
}

int virtio_served_init(struct virtio_served *s, const struct extras_env *env,
		       const struct virtio_pci_kind *kind, const char *name, struct err *e)
{
	int r;

	s->loop = env->loop;
	s->lock = env->lock;
	s->timer_fd = -1;
	s->budget = BURST(s);
	s->budget_at_ns = now_ns();
	for (unsigned int i = 0; i < SERVED_QUEUES; i++) {
		s->rings[i] = (struct served_ring){ .device = s, .kick_fd = -1 };
		s->vp.queues[i].size_max = SERVED_QUEUE_SIZE;
	}
	r = virtio_pci_init(&s->vp, &env->virtio, kind, name, e);
	if (r < 0)
		return r;
	r = fds_watch(s);
	if (r < 0) {
		virtio_served_fini(s);
		return err_set(e, r, "%s: events: %s", name, strerror(-r));
	}
	return 0;
}

void virtio_served_close(struct virtio_served *s)
{
	for (unsigned int i = 0; i < SERVED_QUEUES; i++) {
		if (s->rings[i].kick_fd >= 0)
			loop_del(s->loop, s->rings[i].kick_fd);
		s->rings[i].kick_fd = -1;
	}
	if (s->timer_fd >= 0)
		loop_del(s->loop, s->timer_fd);
	fd_close(&s->timer_fd);
}

void virtio_served_fini(struct virtio_served *s)
{
	virtio_served_close(s);
	virtio_pci_fini(&s->vp);
}
