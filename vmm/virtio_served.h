/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio device whose queues the VMM itself serves, on its main thread: what rng and console share. Kicks come through
 * the queues' eventfds, which KVM signals, so no vCPU ever waits for the device, and none of its work is done on one.
 *
 * What it costs the host is bounded: every byte moved and every kick is paid for out of a budget that grows with
 * time. Who has spent it waits in its rings until there is some again.
 *
 * Order of life: virtio_served_init -> plugged into the root complex -> virtio_served_close -> the root complex goes.
 */
#ifndef VIADUCT_VMM_VIRTIO_SERVED_H
#define VIADUCT_VMM_VIRTIO_SERVED_H

#include "vmm/extras.h"
#include "vmm/virtio_pci.h"
#include "vmm/virtqueue.h"

#define SERVED_QUEUES	   2
#define SERVED_QUEUE_SIZE  64
#define SERVED_WAKES_PER_S 4096 /* kicks that the whole budget pays for */

struct virtio_served;

/* One of its queues. */
struct served_ring {
	struct virtio_served *device;
	int kick_fd; /* watched, borrowed; -1: not */
	struct virtqueue vq;
};

struct virtio_served {
	struct virtio_pci vp; /* first */
	struct loop *loop;
	pthread_mutex_t *lock; /* the machine's */

	/* A queue was kicked, and the driver is ready. Main thread, lock held. Takes what is there, but no more than about 64 KiB at a time
	 * (virtio_served_poke() for the rest): how many bytes were moved; negative: the guest broke the rules. */
	int64_t (*serve)(struct virtio_served *s, unsigned int queue);
	uint64_t rate; /* bytes a second; at once a quarter of that */

	/* Main thread */
	struct served_ring rings[SERVED_QUEUES];
	int timer_fd;
	bool paused, is_broke; /* either: its eventfds are not looked at */
	int64_t budget; /* bytes */
	uint64_t budget_at_ns;
};

/* serve, rate and the device's own members are set already. name stays the caller's. On failure nothing is left. */
int virtio_served_init(struct virtio_served *s, const struct extras_env *env,
		       const struct virtio_pci_kind *kind, const char *name, struct err *e);

/* Main thread: nothing is watched any more. Again: nothing. */
void virtio_served_close(struct virtio_served *s);
void virtio_served_fini(struct virtio_served *s);

/* Main thread, without the lock: while it is paused no ring is touched. */
void virtio_served_pause(struct virtio_served *s, bool paused);

/* For struct virtio_pci_ops. */
void virtio_served_changed(struct virtio_pci *vp);
void virtio_served_reset(struct virtio_pci *vp);

/* As if the guest had kicked the queue. Any thread. */
void virtio_served_poke(struct virtio_served *s, unsigned int queue);

/* The ring of a queue that may be used now; NULL: none may. Main thread, lock held. */
struct virtqueue *virtio_served_ring(struct virtio_served *s, unsigned int queue);

/* How many bytes a chain has for the device to read, or to write. */
uint64_t virtio_served_readable(const struct virtq_chain *chain);
uint64_t virtio_served_writable(const struct virtq_chain *chain);

#endif
