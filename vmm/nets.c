// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/nets.h"

#include "vmm/vhost_device.h"
#include "vmm/virtio_net.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SETTLE_MS 1000 /* for a back end to let go while the VM stands */

struct net {
	struct virtio_net dev; /* guarded by the machine's lock */
	const struct nets_env *env;
	const struct vmm_net_spec *spec;
	char name[80];

	/* Main thread */
	struct vhost_device vhost;
	int grace_fd; /* the carrier's time without a back end */
	int control_fd; /* watched: the control queue's kicks; -1: none. Borrowed */
	enum vmm_link link;
	bool is_present; /* a back end serves the port, or could */
	bool in_grace;
};

struct nets {
	struct nets_env env;
	unsigned int count;
	struct net *items[VMM_MAX_NETS];
};

static struct net *net_of(const struct vhost_device *d)
{
	return container_of(d, struct net, vhost);
}

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
	enum vhost_state state = n->vhost.front.state;
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

static unsigned int rings_count(const struct vhost_device *d)
{
	return virtio_net_data_queues(&net_of(d)->dev);
}

static void rings_describe(const struct vhost_device *d, struct vhost_rings *rings)
{
	rings->features = d->vp->features;
	rings->must = virtio_net_ring_features();
	rings->enabled = 2 * net_of(d)->dev.pairs_used;
}

/* With the lock. */
static void device_look(struct vhost_device *d, bool runs)
{
	struct net *n = net_of(d);
	bool has_backend = d->front.state >= VHOST_READY;

	n->dev.backend_features = has_backend ? d->front.features : UINT64_MAX;
	control_watch(n, runs ? d->vp->queues[virtio_net_data_queues(&n->dev)].kick_fd : -1);
}

static void device_seen(struct vhost_device *d, bool wanted)
{
	presence_update(net_of(d), wanted);
}

static void device_running(struct vhost_device *d)
{
	struct net *n = net_of(d);

	if (d->starts < 2)
		return;
	pthread_mutex_lock(d->lock);
	virtio_net_announce(&n->dev);
	pthread_mutex_unlock(d->lock);
}

static const struct vhost_device_ops vhost_ops = {
	.count = rings_count,
	.describe = rings_describe,
	.look = device_look,
	.seen = device_seen,
	.running = device_running,
};

/* Any thread, with the lock. */
static void device_changed(void *arg)
{
	const struct net *n = arg;

	vhost_device_changed(&n->vhost);
}

/* --- life ------------------------------------------------------------------------------------ */

static void net_close(struct net *n)
{
	control_watch(n, -1);
	vhost_device_close(&n->vhost);
	if (n->grace_fd >= 0)
		loop_del(n->env->loop, n->grace_fd);
	fd_close(&n->grace_fd);
}

static int grace_open(struct net *n)
{
	n->grace_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (n->grace_fd < 0)
		return -errno;
	return loop_add(n->env->loop, n->grace_fd, EPOLLIN, grace_ready, n);
}

static int front_open(struct net *n, int listener_fd, struct err *e)
{
	static const struct vhost_front_kind kind = {
		.noun = "port",
		.unit = "queue pair",
		.protocol = BIT_ULL(VHOST_USER_PROTOCOL_F_MQ) |
			    BIT_ULL(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
			    BIT_ULL(VHOST_USER_PROTOCOL_F_NET_MTU) |
			    BIT_ULL(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD),
		.must = BIT_ULL(VHOST_USER_PROTOCOL_F_REPLY_ACK),
	};
	const struct vhost_device_env env = { .loop = n->env->loop,
					      .lock = n->env->lock,
					      .listener_fd = listener_fd,
					      .uid = n->spec->backend_uid,
					      .name = n->spec->port };
	struct vhost_front_env front = { .kind = &kind,
					 .gmem = n->env->virtio.gmem,
					 .queues = n->spec->pairs,
					 .mtu = n->spec->mtu };

	return vhost_device_open(&n->vhost, &env, &front, e);
}

static int net_open(struct net *n, int listener_fd, struct err *e)
{
	int r = grace_open(n);

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
	n->grace_fd = n->control_fd = -1;
	vhost_device_init(&n->vhost, &vhost_ops, &n->dev.vp);
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
	struct vhost_device *list[VMM_MAX_NETS];

	for (unsigned int i = 0; nets != NULL && i < nets->count; i++)
		list[i] = &nets->items[i]->vhost;
	if (nets != NULL)
		(void)vhost_devices_pause(list, nets->count, paused, SETTLE_MS);
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

static json_t *net_status(const struct net *n)
{
	char mac[MAC_TEXT];
	json_t *obj = json_pack("{s:s, s:s, s:I, s:b, s:s}", "port", n->spec->port, "mac",
				mac_text(n->dev.mac, mac), "queues", (json_int_t)n->dev.pairs_used,
				"link", (int)n->dev.link, "ring",
				virtio_net_is_packed(&n->dev) ? "packed" : "split");

	return vhost_device_status_add(&n->vhost, obj);
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
