// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_inflight.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64 /* of each queue's part; other back ends use it, too */

static size_t part_bytes(uint32_t queue_size, bool packed)
{
	return (vring_inflight_bytes(queue_size, packed) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

int vhost_inflight_make(struct vhost_inflight_wire *w, bool packed, int *fd, struct err *e)
{
	size_t size = part_bytes(w->queue_size, packed) * w->queues;
	auto_fd int made = memfd_create("vhost-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (made < 0 || ftruncate(made, (off_t)size) < 0 ||
	    fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_set(e, errno, "a region of %zu bytes: %s", size, strerror(errno));
	w->size = size;
	w->offset = 0;
	*fd = fd_take(&made);
	return 0;
}

void vhost_inflight_empty(int fd)
{
	if (fd >= 0)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				(off_t)VHOST_MAX_INFLIGHT);
}

int vhost_inflight_map(struct vhost_inflight *i, const struct vhost_inflight_wire *w, bool packed,
		       int fd, struct err *e)
{
	const struct guest_region_wire region = { .size = w->size, .offset = w->offset };
	int r;

	if (w->size < part_bytes(w->queue_size, packed) * w->queues)
		return err_set(e, EBADMSG, "a region too small for its rings");
	r = guest_memory_map(&i->memory, &region, &fd, 1, e);
	i->queues = w->queues;
	i->queue_size = w->queue_size;
	return r;
}

void vhost_inflight_unmap(struct vhost_inflight *i)
{
	guest_memory_unmap(&i->memory);
	*i = (struct vhost_inflight){ 0 };
}

void *vhost_inflight_queue(const struct vhost_inflight *i, unsigned int ring, uint32_t size,
			   bool packed)
{
	size_t part = part_bytes(i->queue_size, packed);

	if (ring >= i->queues || size > i->queue_size)
		return NULL;
	return guest_at_user(&i->memory, ring * part, part);
}
