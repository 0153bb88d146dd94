// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/nets.h"

#include "vmm/vhost_user_front.h"
#include "vmm/virtio_net.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SETTLE_MS 1000 /* for a back end to let go while the VM stands */

struct net {
	struct virtio_net dev; /* guarded by the machine's lock */
	const struct nets_env *env;
	const struct vmm_net_spec *spec;
	char name[80];

	/* Main thread */
	struct vhost_front front;
	int event_fd; /* the guest has changed something */
	int grace_fd; /* the carrier's time without a back end */
	int control_fd; /* watched: the control queue's kicks; -1: none. Borrowed */
	enum vmm_link link;
	bool is_present; /* a back end serves the port, or could */
	bool in_grace;
	bool paused;
	bool is_starting; /* the rings were given away, and are not yet served */
	uint64_t starts; /* of the rings */
	uint64_t resets; /* of the device, seen */
};

struct nets {
	struct nets_env env;
	unsigned int count;
	struct net *items[VMM_MAX_NETS];
};

static void net_update(struct net *n);

/* --- carrier --------------------------------------------------------------------------------- */

static void carrier_update(struct net *n)
{
	bool up = n->link == VMM_LINK_UP ||
		  (n->link == VMM_LINK_AUTO && (n->is_present || n->in_grace));

	pthread_mutex_lock(n->env->lock);
	virtio_net_link_set(&n->dev, up);
	pthread_mutex_unlock(n->env->lock);
}

static void grace_begin(struct net *n)
{
	unsigned int ms = n->spec->grace_ms;
	const struct itimerspec in = { .it_value = { .tv_sec = ms / 1000,
						     .tv_nsec = ms % 1000 * 1000000L } };

	n->in_grace = ms != 0 && timerfd_settime(n->grace_fd, 0, &in, NULL) == 0;
}

static void grace_end(struct net *n)
{
	const struct itimerspec off = { 0 };

	(void)timerfd_settime(n->grace_fd, 0, &off, NULL);
	n->in_grace = false;
}

static void grace_ready(void *arg, int fd, uint32_t events)
{
	struct net *n = arg;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) != sizeof(count) || !n->in_grace)
		return;
	n->in_grace = false;
	log_warn("port %s: no backend for %u ms", n->spec->port, n->spec->grace_ms);
	carrier_update(n);
}

/* A back end counts from where it serves the guest, or could if the guest's driver were up; until it is gone. */
static void presence_update(struct net *n, bool is_wanted)
{
	enum vhost_state state = n->front.state;
	bool was_present = n->is_present;

	if (state == VHOST_RUNNING || (state == VHOST_READY && !is_wanted))
		n->is_present = true;
	else if (state == VHOST_ABSENT || state == VHOST_HELLO)
		n->is_present = false;
	if (was_present && !n->is_present)
		grace_begin(n);
	else if (!was_present && n->is_present)
		grace_end(n);
	carrier_update(n);
}

/* --- control queue --------------------------------------------------------------------------- */

static void control_ready(void *arg, int fd, uint32_t events)
{
	struct net *n = arg;

	fd_event_drain(fd);
	pthread_mutex_lock(n->env->lock);
	virtio_net_control(&n->dev);
	pthread_mutex_unlock(n->env->lock);
}

/* Its kicks come here; those of the other queues go to the back end. */
static void control_watch(struct net *n, int fd)
{
	if (fd == n->control_fd)
		return;
	if (n->control_fd >= 0)
		loop_del(n->env->loop, n->control_fd);
	n->control_fd = -1;
	if (fd >= 0 && loop_add(n->env->loop, fd, EPOLLIN, control_ready, n) == 0)
		n->control_fd = fd;
}

/* --- rings ----------------------------------------------------------------------------------- */

/* Where a split ring goes on: everything before the used index is done, nothing after it. A back end that died in
 * the middle of a burst has told the guest of none of it. */
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
static int ring_fill(struct net *n, unsigned int i, struct vhost_ring *ring)
{
	struct virtio_pci *vp = &n->dev.vp;
	const struct virtio_queue *q = &vp->queues[i];
	const struct virtqueue vq = { .gmem = vp->env.gmem,
				      .size = q->size,
				      .desc = q->desc,
				      .avail = q->driver,
				      .used = q->device };
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
	ring->base = virtio_net_is_packed(&n->dev) ? packed_base(&vq, &n->front.rings.rings[i])
						   : split_base(&vq);
	return r;
}

static int rings_fill(struct net *n, struct vhost_rings *rings)
{
	int r = 0;

	*rings = (struct vhost_rings){
		.features = n->dev.vp.features,
		.must = virtio_net_ring_features(),
		.is_packed = virtio_net_is_packed(&n->dev),
		.count = virtio_net_data_queues(&n->dev),
		.pairs = n->dev.pairs_used,
	};
	for (unsigned int i = 0; r == 0 && i < rings->count; i++)
		r = ring_fill(n, i, &rings->rings[i]);
	return r;
}

/* The guest looks once more at every ring: whoever died may have been about to say something. The next back end does so,
 * too, since it gets eventfds that are signalled. */
static void guest_wake(struct net *n)
{
	struct virtio_pci *vp = &n->dev.vp;

	for (unsigned int i = 0; i < virtio_net_data_queues(&n->dev); i++)
		if (vp->queues[i].enabled)
			virtio_pci_queue_raise(vp, i);
}

/* There was a kick that its back end has not got. */
static bool is_rung(const struct net *n)
{
	for (unsigned int i = 0; i < virtio_net_data_queues(&n->dev); i++)
		if (n->dev.vp.queues[i].is_rung)
			return true;
	return false;
}

/* What is to be done next. */
enum act { ACT_NOTHING, ACT_START, ACT_STOP, ACT_PAIRS, ACT_DROP };

/* With the lock. */
static enum act act_find(struct net *n, bool is_wanted, struct vhost_rings *rings)
{
	struct virtio_pci *vp = &n->dev.vp;

	switch (n->front.state) {
	case VHOST_ABSENT:
	case VHOST_HELLO:
	case VHOST_READY:
		if (vp->attached && !vp->stopping)
			guest_wake(n);
		virtio_pci_detached(vp);
		if (n->front.state != VHOST_READY || !is_wanted)
			return ACT_NOTHING;
		if (rings_fill(n, rings) < 0)
			return ACT_DROP;
		vp->attached = true;
		return ACT_START;
	case VHOST_RUNNING:
		if (!is_wanted || is_rung(n))
			return ACT_STOP;
		return n->front.rings.pairs != n->dev.pairs_used ? ACT_PAIRS : ACT_NOTHING;
	case VHOST_STARTING:
	case VHOST_STOPPING:
		break;
	}
	return ACT_NOTHING;
}

static void running_begun(struct net *n)
{
	if (n->starts < 2)
		return;
	pthread_mutex_lock(n->env->lock);
	virtio_net_announce(&n->dev);
	pthread_mutex_unlock(n->env->lock);
}

/* One step towards what the guest wants; each dialogue that ends calls again. */
static void net_update(struct net *n)
{
	struct vhost_front *f = &n->front;
	struct virtio_pci *vp = &n->dev.vp;
	struct vhost_rings rings;
	bool is_wanted, runs, has_backend = f->state >= VHOST_READY;
	const struct err no_fds = { .text = "no eventfds for its rings" };
	unsigned int pairs;
	enum act act;

	pthread_mutex_lock(n->env->lock);
	/* A reset that act_find() does is seen here before the driver is up again. */
	if (n->resets != n->dev.resets)
		vhost_front_forget(f);
	n->resets = n->dev.resets;
	runs = virtio_pci_runs(vp);
	is_wanted = runs && !n->paused;
	n->dev.backend_features = has_backend ? f->features : UINT64_MAX;
	control_watch(n, runs ? vp->queues[virtio_net_data_queues(&n->dev)].kick_fd : -1);
	act = act_find(n, is_wanted, &rings);
	pairs = n->dev.pairs_used;
	pthread_mutex_unlock(n->env->lock);
	presence_update(n, is_wanted);
	switch (act) {
	case ACT_NOTHING:
		break;
	case ACT_START:
		n->is_starting = true;
		vhost_front_start(f, &rings);
		break;
	case ACT_STOP:
		vhost_front_stop(f);
		break;
	case ACT_PAIRS:
		vhost_front_pairs_set(f, pairs);
		break;
	case ACT_DROP:
		vhost_front_drop(f, &no_fds);
		break;
	}
}

static void front_changed(void *arg)
{
	struct net *n = arg;

	if (n->front.state == VHOST_RUNNING && n->is_starting) {
		n->is_starting = false;
		n->starts++;
		running_begun(n);
	}
	net_update(n);
}

static void event_ready(void *arg, int fd, uint32_t events)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
	net_update(arg);
}

/* Any thread, with the lock. */
static void device_changed(void *arg)
{
	const struct net *n = arg;
	const uint64_t one = 1;

	(void)!write(n->event_fd, &one, sizeof(one));
}

/* --- life ------------------------------------------------------------------------------------ */

static void net_close(struct net *n)
{
	int *fds[] = { &n->event_fd, &n->grace_fd };

	control_watch(n, -1);
	vhost_front_fini(&n->front);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			loop_del(n->env->loop, *fds[i]);
		fd_close(fds[i]);
	}
}

static int fds_open(struct net *n)
{
	int r;

	n->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->event_fd < 0)
		return -errno;
	n->grace_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (n->grace_fd < 0)
		return -errno;
	r = loop_add(n->env->loop, n->event_fd, EPOLLIN, event_ready, n);
	return r < 0 ? r : loop_add(n->env->loop, n->grace_fd, EPOLLIN, grace_ready, n);
}

static int front_open(struct net *n, int listener_fd, struct err *e)
{
	const struct vhost_front_env env = {
		.loop = n->env->loop,
		.listener_fd = listener_fd,
		.uid = n->spec->backend_uid,
		.own_uid = getuid(),
		.gmem = n->env->virtio.gmem,
		.pairs = n->spec->pairs,
		.mtu = n->spec->mtu,
		.name = n->spec->port,
		.changed = front_changed,
		.arg = n,
	};

	return vhost_front_init(&n->front, &env, e);
}

static int net_open(struct net *n, int listener_fd, struct err *e)
{
	int r = fds_open(n);

	if (r < 0)
		return err_set(e, r, "events: %s", strerror(-r));
	n->dev.changed = device_changed;
	n->dev.arg = n;
	r = virtio_net_init(&n->dev, &n->env->virtio, n->spec, n->name, e);
	if (r == 0)
		r = front_open(n, listener_fd, e);
	if (r == 0)
		r = pci_host_plug_behind_port(n->env->pci, &n->dev.vp.pci, e);
	if (r == 0)
		carrier_update(n);
	return r;
}

static int net_create(struct nets *nets, const struct vmm_spec *spec, unsigned int i, struct err *e)
{
	struct net *n = calloc(1, sizeof(*n));
	int r;

	if (n == NULL)
		return err_set(e, ENOMEM, "out of memory");
	nets->items[nets->count++] = n;
	n->env = &nets->env;
	n->spec = &spec->nets[i];
	n->link = n->spec->link;
	n->event_fd = n->grace_fd = n->control_fd = -1;
	snprintf(n->name, sizeof(n->name), "%s (virtio-net)", n->spec->port);
	r = net_open(n, spec->vhosts[n->spec->socket].fd, e);
	return r < 0 ? err_wrap(e, "port %s", n->spec->port) : 0;
}

int nets_create(const struct vmm_spec *spec, const struct nets_env *env, struct nets **out,
		struct err *e)
{
	struct nets *nets;
	int r = 0;

	*out = NULL;
	if (spec->net_count == 0)
		return 0;
	nets = calloc(1, sizeof(*nets));
	if (nets == NULL)
		return err_set(e, ENOMEM, "nets: out of memory");
	nets->env = *env;
	for (unsigned int i = 0; r == 0 && i < spec->net_count; i++)
		r = net_create(nets, spec, i, e);
	/* Those that are plugged are still the root complex's: machine_destroy() knows the order. */
	*out = nets;
	return r;
}

void nets_close(struct nets *nets)
{
	for (unsigned int i = 0; nets != NULL && i < nets->count; i++)
		net_close(nets->items[i]);
}

void nets_destroy(struct nets *nets)
{
	if (nets == NULL)
		return;
	nets_close(nets);
	for (unsigned int i = 0; i < nets->count; i++) {
		virtio_net_fini(&nets->items[i]->dev);
		free(nets->items[i]);
	}
	free(nets);
}

void nets_pause(struct nets *nets, bool paused)
{
	struct vhost_front *fronts[VMM_MAX_NETS];

	for (unsigned int i = 0; nets != NULL && i < nets->count; i++) {
		nets->items[i]->paused = paused;
		net_update(nets->items[i]);
		fronts[i] = &nets->items[i]->front;
	}
	/* All of them were asked before any is waited for. A start that was under way is finished, then stopped. */
	if (nets != NULL && paused)
		vhost_front_settle(fronts, nets->count, SETTLE_MS);
}

int nets_link_set(struct nets *nets, const char *port, enum vmm_link link, struct err *e)
{
	for (unsigned int i = 0; nets != NULL && i < nets->count; i++) {
		struct net *n = nets->items[i];

		if (strcmp(n->spec->port, port) != 0)
			continue;
		n->link = link;
		carrier_update(n);
		return 0;
	}
	return err_set(e, ENOENT, "there is no polled port %s", port);
}

/* --- status ---------------------------------------------------------------------------------- */

static const char *backend_word(const struct vhost_front *f)
{
	if (f->state >= VHOST_READY)
		return "connected";
	return f->connects == 0 ? "waiting" : "gone";
}

static json_t *net_status(const struct net *n)
{
	const struct vhost_front *f = &n->front;
	char mac[MAC_TEXT], features[24];
	uint64_t reconnects = f->connects > 0 ? f->connects - 1 : 0;

	snprintf(features, sizeof(features), "0x%llx", (unsigned long long)n->dev.vp.features);
	return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:b, s:b, s:s, s:s, s:s}", "port",
			 n->spec->port, "mac", mac_text(n->dev.mac, mac), "queues",
			 (json_int_t)n->dev.pairs_used, "backend", backend_word(f), "backend_pid",
			 (json_int_t)(f->conn.sock >= 0 ? f->pid : 0), "reconnects",
			 (json_int_t)reconnects, "link", (int)n->dev.link, "driver_active",
			 (int)virtio_pci_runs(&n->dev.vp), "features", features, "ring",
			 virtio_net_is_packed(&n->dev) ? "packed" : "split", "error", f->error);
}

json_t *nets_status(const struct nets *nets)
{
	json_t *list = json_array();

	for (unsigned int i = 0; nets != NULL && i < nets->count; i++)
		if (json_array_append_new(list, net_status(nets->items[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}
