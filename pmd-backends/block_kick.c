// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_kick.h"

#include "base/util.h"

#include <poll.h>

static void kicked(struct block_op *op, int32_t result)
{
	container_of(op, struct block_kick, poll)->is_armed = false;
}

static void removed(struct block_op *op, int32_t result)
{
	container_of(op, struct block_kick, removal)->is_ending = false;
}

void block_kick_init(struct block_kick *k)
{
	*k = (struct block_kick){ .poll.done = kicked, .removal.done = removed, .fd = -1 };
}

bool block_kick_arm(struct block_kick *k, struct block_worker *w, int fd)
{
	struct io_uring_sqe *sqe;

	if (k->is_armed && k->fd == fd)
		return true;
	if (!block_kick_end(k, w))
		return false;
	sqe = block_worker_sqe(w, &k->poll);
	if (sqe == NULL)
		return false;
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = fd;
	sqe->poll32_events = POLLIN;
	k->is_armed = true;
	k->fd = fd;
	return true;
}

bool block_kick_end(struct block_kick *k, struct block_worker *w)
{
	struct io_uring_sqe *sqe;

	k->fd = -1;
	if (!k->is_armed || k->is_ending)
		return !k->is_armed && !k->is_ending;
	sqe = block_worker_sqe(w, &k->removal);
	if (sqe == NULL)
		return false;
	sqe->opcode = IORING_OP_POLL_REMOVE;
	sqe->fd = -1;
	sqe->addr = (uintptr_t)&k->poll;
	k->is_ending = true;
	return false;
}
