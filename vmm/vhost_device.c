// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vhost_device.h"

#include "vmm/virtqueue.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LOOK_MS 20

#define DEVICES_MAX (VMM_MAX_NETS > VMM_MAX_DISKS ? VMM_MAX_NETS : VMM_MAX_DISKS)

static_assert(DEVICES_MAX <= VHOST_FRONTS_MAX, "of one kind, all at once");

/* Where a split ring goes on: what is before the used index is done. A back end that died in the middle of a burst has
 * told the guest of none of it. One that finishes requests in any order keeps account of them in its in-flight region, from
 * which the next one takes, beyond this index, what was begun (disks.c asks for one). */
static uint32_t split_base(const struct virtqueue *vq)
{
	uint8_t idx[2] = { 0 };

	(void)gmem_read(vq->gmem, vq->used + 2, idx, sizeof(idx));
	return get_le16(idx);
}

/* A packed ring goes on where the back end says that it stopped. One that died has said nothing: its in-flight region
 * knows, if it kept one, and so do the ring's flags in most cases. */
static uint32_t packed_base(const struct virtqueue *vq, const struct vhost_ring *last)
{
	uint32_t base = 0;

	if (!last->is_set)
		return VIRTQ_PACKED_START;
	if (last->is_told || !virtqueue_packed_find(vq, &base))
		return last->base;
	return base;
}

/* Queue i as its back end gets it. */
static int ring_fill(struct vhost_device *d, unsigned int i, struct vhost_rings *rings)
{
	struct virtio_pci *vp = d->vp;
	const struct virtio_queue *q = &vp->queues[i];
	const struct virtqueue vq = { .gmem = vp->env.gmem,
				      .size = q->size,
				      .desc = q->desc,
				      .avail = q->driver,
				      .used = q->device };
	struct vhost_ring *ring = &rings->rings[i];
	int r;

	if (!q->enabled)
		return 0;
	r = virtio_pci_queue_lend(vp, i);
	*ring = (struct vhost_ring){ .is_set = true,
				     .size = q->size,
				     .desc = q->desc,
				     .avail = q->driver,
				     .used = q->device,
				     .kick_fd = q->kick_fd,
				     .call_fd = vp->msix.sources[i + 1].eventfd };
	ring->base = rings->is_packed ? packed_base(&vq, &d->front.rings.rings[i])
				      : split_base(&vq);
	return r;
}

static void rings_describe(struct vhost_device *d, struct vhost_rings *rings)
{
	*rings = (struct vhost_rings){
		.is_packed = (d->vp->features & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0,
		.count = d->ops->count(d),
	};
	d->ops->describe(d, rings);
}

static int rings_fill(struct vhost_device *d, struct vhost_rings *rings)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < rings->count; i++)
		r = ring_fill(d, i, rings);
	return r;
}

/* The guest looks once more at every ring: whoever died may have been about to say something. The next back end does so,
 * too, since it gets eventfds that are signalled. */
static void guest_wake(struct vhost_device *d)
{
	unsigned int count = d->ops->count(d);

	for (unsigned int i = 0; i < count; i++)
		if (d->vp->queues[i].enabled)
			virtio_pci_queue_raise(d->vp, i);
}

/* There was a kick that its back end has not got. */
static bool is_rung(const struct vhost_device *d)
{
	unsigned int count = d->ops->count(d);

	for (unsigned int i = 0; i < count; i++)
		if (d->vp->queues[i].is_rung)
			return true;
	return false;
}

/* What is to be done next. */
enum act { ACT_NOTHING, ACT_LOOK, ACT_START, ACT_STOP, ACT_ENABLE, ACT_DROP };

/* Who died with the rings may have left I/O to the kernel, which still writes into the guest's memory, whoever has connected
 * since. The same process has waited for that itself before it connects again. */
static bool has_echo(const struct vhost_device *d)
{
	bool is_back = d->front.state != VHOST_ABSENT && d->front.pid == d->holder;

	return d->front.state <= VHOST_READY && d->vp->attached && !is_back &&
	       d->ops->is_quiet != NULL && !d->ops->is_quiet(d, d->holder);
}

/* With the lock. */
static enum act act_find(struct vhost_device *d, bool is_wanted, struct vhost_rings *rings)
{
	struct virtio_pci *vp = d->vp;

	if (has_echo(d))
		return vp->stopping || d->front.state == VHOST_READY ? ACT_LOOK : ACT_NOTHING;
	switch (d->front.state) {
	case VHOST_ABSENT:
	case VHOST_HELLO:
	case VHOST_READY:
		if (vp->attached && !vp->stopping)
			guest_wake(d);
		virtio_pci_detached(vp);
		if (d->front.state != VHOST_READY || !is_wanted)
			return ACT_NOTHING;
		rings_describe(d, rings);
		if (rings_fill(d, rings) < 0)
			return ACT_DROP;
		vp->attached = true;
		return ACT_START;
	case VHOST_RUNNING:
		if (!is_wanted || is_rung(d))
			return ACT_STOP;
		rings_describe(d, rings);
		return d->front.rings.enabled != rings->enabled ? ACT_ENABLE : ACT_NOTHING;
	case VHOST_STARTING:
	case VHOST_STOPPING:
		break;
	}
	return ACT_NOTHING;
}

static void act_do(struct vhost_device *d, enum act act, const struct vhost_rings *rings)
{
	static const struct err no_fds = { .text = "no eventfds for its rings" };
	static const struct itimerspec soon = { .it_value = { .tv_nsec = LOOK_MS * 1000000L } };

	switch (act) {
	case ACT_NOTHING:
		break;
	case ACT_LOOK:
		(void)timerfd_settime(d->look_fd, 0, &soon, NULL);
		break;
	case ACT_START:
		d->is_starting = true;
		d->holder = d->front.pid;
		vhost_front_start(&d->front, rings);
		break;
	case ACT_STOP:
		vhost_front_stop(&d->front);
		break;
	case ACT_ENABLE:
		vhost_front_enable(&d->front, rings->enabled);
		break;
	case ACT_DROP:
		vhost_front_drop(&d->front, &no_fds);
		break;
	}
}

/* Main thread, without the lock: one step towards what the guest wants; each dialogue that ends calls again. */
static void vhost_device_update(struct vhost_device *d)
{
	struct vhost_rings rings;
	bool is_wanted, runs;
	enum act act;

	pthread_mutex_lock(d->lock);
	/* A reset that act_find() does is seen here before the driver is up again. */
	if (d->resets != d->vp->resets)
		vhost_front_forget(&d->front);
	d->resets = d->vp->resets;
	runs = virtio_pci_runs(d->vp);
	is_wanted = runs && !d->paused;
	d->ops->look(d, runs);
	act = act_find(d, is_wanted, &rings);
	pthread_mutex_unlock(d->lock);
	if (d->ops->seen != NULL)
		d->ops->seen(d, is_wanted);
	act_do(d, act, &rings);
}

static void front_changed(void *arg)
{
	struct vhost_device *d = arg;

	if (d->front.state == VHOST_RUNNING && d->is_starting) {
		d->is_starting = false;
		d->starts++;
		if (d->ops->running != NULL)
			d->ops->running(d);
	}
	vhost_device_update(d);
}

static void event_ready(void *arg, int fd, uint32_t events)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
	vhost_device_update(arg);
}

void vhost_device_changed(const struct vhost_device *d)
{
	const uint64_t one = 1;

	(void)!write(d->event_fd, &one, sizeof(one));
}

/* --- life ------------------------------------------------------------------------------------ */

void vhost_device_init(struct vhost_device *d, const struct vhost_device_ops *ops,
		       struct virtio_pci *vp)
{
	*d = (struct vhost_device){ .ops = ops, .vp = vp, .event_fd = -1, .look_fd = -1 };
}

int vhost_device_open(struct vhost_device *d, const struct vhost_device_env *env,
		      struct vhost_front_env *front, struct err *e)
{
	int r;

	d->loop = env->loop;
	d->lock = env->lock;
	front->loop = env->loop;
	front->listener_fd = env->listener_fd;
	front->uid = env->uid;
	front->own_uid = getuid();
	front->name = env->name;
	front->changed = front_changed;
	front->arg = d;
	d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->event_fd < 0)
		return err_set(e, errno, "events: %s", strerror(errno));
	d->look_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->look_fd < 0)
		return err_set(e, errno, "events: %s", strerror(errno));
	r = loop_add(d->loop, d->event_fd, EPOLLIN, event_ready, d);
	if (r == 0)
		r = loop_add(d->loop, d->look_fd, EPOLLIN, event_ready, d);
	return r < 0 ? err_set(e, r, "events: %s", strerror(-r))
		     : vhost_front_init(&d->front, front, e);
}

void vhost_device_close(struct vhost_device *d)
{
	int *fds[] = { &d->event_fd, &d->look_fd };

	vhost_front_fini(&d->front);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			loop_del(d->loop, *fds[i]);
		fd_close(fds[i]);
	}
}

/* Only this thread gives rings away. */
static bool has_rings(const struct vhost_device *d)
{
	return d->front.state > VHOST_READY || has_echo(d);
}

bool vhost_devices_pause(struct vhost_device *const *list, unsigned int count, bool paused,
			 unsigned int timeout_ms)
{
	struct vhost_front *fronts[DEVICES_MAX] = { NULL };
	bool is_free = true;

	for (unsigned int i = 0; i < count; i++) {
		list[i]->paused = paused;
		vhost_device_update(list[i]);
		fronts[i] = &list[i]->front;
	}
	/* All of them were asked before any is waited for. A start that was under way is finished, then stopped. */
	if (paused)
		vhost_front_settle(fronts, count, timeout_ms);
	for (unsigned int i = 0; i < count; i++)
		is_free &= !has_rings(list[i]);
	return is_free;
}

/* --- status ---------------------------------------------------------------------------------- */

static const char *vhost_device_backend_word(const struct vhost_device *d)
{
	if (d->front.state >= VHOST_READY)
		return "connected";
	return d->front.connects == 0 ? "waiting" : "gone";
}

json_t *vhost_device_status_add(const struct vhost_device *d, json_t *obj)
{
	const struct vhost_front *f = &d->front;
	uint64_t reconnects = f->connects > 0 ? f->connects - 1 : 0;
	char features[24];
	json_t *all;

	snprintf(features, sizeof(features), "0x%llx", (unsigned long long)d->vp->features);
	all = json_pack("{s:s, s:I, s:I, s:b, s:s, s:s}", "backend", vhost_device_backend_word(d),
			"backend_pid", (json_int_t)(f->conn.sock >= 0 ? f->pid : 0), "reconnects",
			(json_int_t)reconnects, "driver_active", (int)virtio_pci_runs(d->vp),
			"features", features, "error", f->error);
	if (obj == NULL || all == NULL || json_object_update(obj, all) < 0) {
		json_decref(obj);
		obj = NULL;
	}
	json_decref(all);
	return obj;
}
