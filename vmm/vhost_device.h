/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One virtio device whose rings a vhost-user back end serves, of whatever kind: struct vhost_device brings what the guest
 * wants (its driver runs or not, which rings) and what the back end is (there or not) together, one step after the other,
 * always on the main thread. Gives the rings away and takes them back, finds where they go on, waits for nothing.
 *
 * Embedded in a net (nets.c) or a disk (disks.c), which says in struct vhost_device_ops what is another with each kind.
 */
#ifndef VIADUCT_VMM_VHOST_DEVICE_H
#define VIADUCT_VMM_VHOST_DEVICE_H

#include "vmm/vhost_user_front.h"
#include "vmm/virtio_pci.h"

#include <jansson.h>

struct vhost_device;

/* What is NULL is not wanted. */
struct vhost_device_ops {
	/* With the machine's lock. How many rings the guest's driver has, from the first on, that are not the VMM's own. */
	unsigned int (*count)(const struct vhost_device *d);

	/* With the lock. Fills in features, must and enabled. */
	void (*describe)(const struct vhost_device *d, struct vhost_rings *rings);

	/* With the lock, at each step and before what follows from it. runs: the driver is ready for its rings. */
	void (*look)(struct vhost_device *d, bool runs);

	/* Without the lock. wanted: the rings are to be served. */
	void (*seen)(struct vhost_device *d, bool wanted);

	/* The back end that had the rings, process pid, is gone: nothing that it began is under way any more. NULL: that is
	 * always so. */
	bool (*is_quiet)(const struct vhost_device *d, pid_t pid);

	/* Without the lock: the rings are served; d->starts says for the how manieth time. */
	void (*running)(struct vhost_device *d);
};

struct vhost_device {
	const struct vhost_device_ops *ops;
	struct virtio_pci *vp; /* borrowed; guarded by the machine's lock */
	struct loop *loop;
	pthread_mutex_t *lock; /* the machine's */

	/* Main thread */
	struct vhost_front front;
	int event_fd; /* the guest has changed something; -1: not open */
	int look_fd; /* timer: whether it is quiet by now; -1: not open */
	bool paused;
	bool is_starting; /* the rings were given away, and are not yet served */
	pid_t holder; /* the process that the rings were last given to */
	uint64_t starts; /* of the rings */
	uint64_t resets; /* of the device, seen */
};

/* Where the device lives and what it listens on. */
struct vhost_device_env {
	struct loop *loop;
	pthread_mutex_t *lock;
	int listener_fd; /* borrowed */
	uid_t uid; /* who may connect, beside root and ourselves */
	const char *name; /* for logs, the owner's */
};

/* Of a device that is to be opened: what vhost_device_close() leaves, too. */
void vhost_device_init(struct vhost_device *d, const struct vhost_device_ops *ops,
		       struct virtio_pci *vp);

/* Back ends may come from now on; the virtio device is there. front: kind, queues, mtu and memory; the rest is filled in. */
int vhost_device_open(struct vhost_device *d, const struct vhost_device_env *env,
		      struct vhost_front_env *front, struct err *e);
void vhost_device_close(struct vhost_device *d); /* again: nothing */

/* Any thread, with the lock: the main thread will look. */
void vhost_device_changed(const struct vhost_device *d);

/* Main thread, without the lock, every vCPU parked: asks all back ends to let go and then waits for timeout_ms, or
 * lets them have the rings again. Those that are not patient (vhost_front_kind) and have not let go then are dropped. True:
 * no back end has rings. */
bool vhost_devices_pause(struct vhost_device *const *list, unsigned int count, bool paused,
			 unsigned int timeout_ms);

/* With the lock: what STATUS says of every such device is put into obj, which may be NULL. */
json_t *vhost_device_status_add(const struct vhost_device *d, json_t *obj);

#endif
