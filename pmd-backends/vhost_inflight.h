/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The region in which rings note how far they are, kept by the VMM for the back end that comes next (Vhost-user
 * protocol, Inflight I/O tracking): a memfd with a part for each queue, one behind the other.
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_INFLIGHT_H
#define VIADUCT_PMD_BACKENDS_VHOST_INFLIGHT_H

#include "pmd-backends/vhost_device.h"

/* A region for w->queues rings of w->queue_size, all zero and of a fixed size; completes *w. *fd is the caller's. */
int vhost_inflight_make(struct vhost_inflight_wire *w, bool packed, int *fd, struct err *e);

/* Whoever has it goes on with zeros. -1: nothing. */
void vhost_inflight_empty(int fd);

/* Maps what vhost_message_check() has passed; the fd stays the caller's. -EBADMSG: there is no room in it for such rings. */
int vhost_inflight_map(struct vhost_inflight *i, const struct vhost_inflight_wire *w, bool packed,
		       int fd, struct err *e);
void vhost_inflight_unmap(struct vhost_inflight *i); /* all zero is fine */

/* The part of a ring with that many descriptors, or NULL: there is none for it. */
void *vhost_inflight_queue(const struct vhost_inflight *i, unsigned int ring, uint32_t size,
			   bool packed);

#endif
