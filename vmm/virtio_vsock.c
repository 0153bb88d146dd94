// SPDX-License-Identifier: BSD-3-Clause
/*
 * The socket device (virtio 1.2, 5.10): connections between guest and host, without a network. The host's kernel serves its
 * rings (vhost_vsock); the daemon has opened its device file and given it the CID. What is here is the device's configuration, and when the
 * kernel may work on the guest's memory: from the driver's DRIVER_OK on, until its reset, a pause, or the machine's reset. The event queue
 * stays empty: it tells of migrations.
 */
#include "vmm/extras.h"
#include "vmm/vhost_kernel.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VIRTIO_ID_VSOCK		 19
#define CLASS_VSOCK		 0x078000 /* communication, other */
#define QUEUES			 3 /* 5.10.2: rx, tx, event */
#define QUEUES_KERNEL		 2 /* of which the kernel serves so many */
#define QUEUE_SIZE		 128
#define VIRTIO_VSOCK_F_SEQPACKET 1 /* 5.10.3 */

#define FEATURES                                                         \
	(BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_INDIRECT_DESC) | \
	 BIT_ULL(VIRTIO_F_EVENT_IDX) | BIT_ULL(VIRTIO_VSOCK_F_SEQPACKET))

struct virtio_vsock {
	struct virtio_pci vp; /* first; guarded by the lock */
	struct loop *loop;
	pthread_mutex_t *lock;
	int fd; /* /dev/vhost-vsock, borrowed */
	uint32_t cid;
	uint64_t kernel_features;
	bool is_owned;
	uint16_t base[QUEUES_KERNEL]; /* where the rings go on */

	/* Main thread */
	int event_fd; /* the guest has changed something */
	bool paused;
	char error[96]; /* why it did not start, or ""; guarded by the lock */
};

static struct virtio_vsock *vsock_of(const struct virtio_pci *vp)
{
	return (struct virtio_vsock *)vp;
}

/* --- the device ------------------------------------------------------------------------------ */

static uint64_t features(const struct virtio_pci *vp)
{
	return FEATURES & vsock_of(vp)->kernel_features;
}

static void config(const struct virtio_pci *vp, uint8_t out[VIRTIO_CONFIG_MAX])
{
	put_le64(out, vsock_of(vp)->cid); /* 5.10.4: guest_cid */
}

/* Any thread. */
static void changed(struct virtio_pci *vp)
{
	const uint64_t one = 1;

	(void)!write(vsock_of(vp)->event_fd, &one, sizeof(one));
}

static void reset(struct virtio_pci *vp)
{
	memset(vsock_of(vp)->base, 0, sizeof(vsock_of(vp)->base));
}

static const struct virtio_pci_ops vsock_ops = {
	.features = features,
	.config = config,
	.changed = changed,
	.reset = reset,
};

/* --- the kernel's side, with the lock --------------------------------------------------------- */

/* Its eventfds are the kernel's alone beside us: unlike another process it neither fills them nor makes them block. */
static void queues_kick(struct virtio_vsock *v)
{
	const uint64_t one = 1;

	for (unsigned int i = 0; i < QUEUES_KERNEL; i++) {
		v->vp.queues[i].is_rung = false;
		(void)!write(v->vp.queues[i].kick_fd, &one, sizeof(one));
	}
}

/* The kernel makes its thread now, with the affinity of this one: that is the one to keep only once the machine runs. */
static int own(struct virtio_vsock *v)
{
	int r = v->is_owned ? 0 : vhost_owner_set(v->fd);

	v->is_owned = r == 0;
	return r;
}

static int rings_give(struct virtio_vsock *v)
{
	int r = own(v);

	if (r == 0)
		r = vhost_features_set(v->fd, v->vp.features);
	if (r == 0)
		r = vhost_memory_set(v->fd, v->vp.env.gmem);
	for (unsigned int i = 0; r == 0 && i < QUEUES_KERNEL; i++) {
		/* 3.1.1: a driver sets all queues up before it is ready. */
		r = v->vp.queues[i].enabled ? virtio_pci_queue_lend(&v->vp, i) : -EINVAL;
		if (r == 0)
			r = vhost_ring_set(v->fd, &v->vp, i, v->base[i]);
	}
	return r == 0 ? vhost_vsock_run(v->fd, true) : r;
}

static void start(struct virtio_vsock *v)
{
	int r = rings_give(v);

	if (r == 0) {
		v->vp.attached = true;
		v->error[0] = '\0';
		queues_kick(v); /* what was rung while nobody listened */
		return;
	}
	snprintf(v->error, sizeof(v->error), "the kernel does not take its rings: %s",
		 strerror(-r));
	virtio_pci_break(&v->vp);
}

static void stop(struct virtio_vsock *v)
{
	/* When it returns, nothing of the rings is looked at any more. */
	(void)vhost_vsock_run(v->fd, false);
	for (unsigned int i = 0; i < QUEUES_KERNEL; i++)
		(void)vhost_ring_base(v->fd, i, &v->base[i]);
	virtio_pci_detached(&v->vp);
}

static bool is_rung(const struct virtio_vsock *v)
{
	return v->vp.queues[0].is_rung || v->vp.queues[1].is_rung;
}

/* Main thread. */
static void update(struct virtio_vsock *v)
{
	bool is_wanted;

	pthread_mutex_lock(v->lock);
	is_wanted = !v->paused && virtio_pci_runs(&v->vp);
	if (v->vp.attached && !is_wanted)
		stop(v);
	else if (!v->vp.attached && is_wanted)
		start(v);
	else if (v->vp.attached && is_rung(v))
		queues_kick(v);
	pthread_mutex_unlock(v->lock);
}

static void event_ready(void *arg, int fd, uint32_t events)
{
	fd_event_drain(fd);
	update(arg);
}

/* --- life ------------------------------------------------------------------------------------ */

static bool is_wanted(const struct vmm_spec *spec)
{
	return spec->vsock_cid != 0;
}

static void extra_close(struct virtio_pci *vp)
{
	struct virtio_vsock *v = vsock_of(vp);

	if (vp->attached) {
		pthread_mutex_lock(v->lock);
		stop(v);
		pthread_mutex_unlock(v->lock);
	}
	if (v->event_fd >= 0)
		loop_del(v->loop, v->event_fd);
	fd_close(&v->event_fd);
}

static void extra_destroy(struct virtio_pci *vp)
{
	extra_close(vp);
	virtio_pci_fini(vp);
	free(vp);
}

static int vsock_open(struct virtio_vsock *v, const struct virtio_pci_env *env, struct err *e)
{
	const struct virtio_pci_kind kind = { .id = VIRTIO_ID_VSOCK,
					      .class_code = CLASS_VSOCK,
					      .queue_count = QUEUES,
					      .is_integrated = true,
					      .ops = &vsock_ops };
	int r = vhost_features_get(v->fd, &v->kernel_features);

	if (r < 0)
		return err_set(e, r, "the kernel's vsock device (/dev/vhost-vsock): %s",
			       strerror(-r));
	v->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = v->event_fd < 0 ? -errno : loop_add(v->loop, v->event_fd, EPOLLIN, event_ready, v);
	if (r < 0)
		return err_set(e, r, "virtio-vsock: events: %s", strerror(-r));
	for (unsigned int i = 0; i < QUEUES; i++)
		v->vp.queues[i].size_max = QUEUE_SIZE;
	return virtio_pci_init(&v->vp, env, &kind, "virtio-vsock", e);
}

static int extra_create(const struct extras_env *env, const struct vmm_spec *spec,
			struct virtio_pci **out, struct err *e)
{
	struct virtio_vsock *v = calloc(1, sizeof(*v));
	int r;

	if (v == NULL)
		return err_set(e, ENOMEM, "virtio-vsock: out of memory");
	v->loop = env->loop;
	v->lock = env->lock;
	v->fd = spec->vhost_vsock_fd;
	v->cid = spec->vsock_cid;
	v->event_fd = -1;
	r = vsock_open(v, &env->virtio, e);
	if (r < 0)
		extra_destroy(&v->vp);
	else
		*out = &v->vp;
	return r;
}

static void extra_pause(struct virtio_pci *vp, bool paused)
{
	vsock_of(vp)->paused = paused;
	update(vsock_of(vp));
}

static void extra_status(const struct virtio_pci *vp, struct extra_status *out)
{
	out->cid = vsock_of(vp)->cid;
	out->error = vsock_of(vp)->error;
}

const struct extra_kind virtio_vsock_extra = {
	.name = "vsock",
	.function = 3,
	.is_wanted = is_wanted,
	.create = extra_create,
	.pause = extra_pause,
	.close = extra_close,
	.status = extra_status,
	.destroy = extra_destroy,
};
