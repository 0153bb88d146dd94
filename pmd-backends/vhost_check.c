// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_check.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_MEMORY (4096 * GIB(1))

typedef int check_fn(const struct vhost_message *m, const int *fds, size_t fd_count, struct err *e);

static int bad(struct err *e, const char *what)
{
	return err_set(e, EBADMSG, "%s", what);
}

static bool ends_in_range(uint64_t begin, uint64_t size)
{
	return size != 0 && begin <= UINT64_MAX - size;
}

/* A part of a memfd that cannot be taken away from under us. `what`: for the error. */
static int file_check(int fd, uint64_t offset, uint64_t size, const char *what, struct err *e)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Seals first: asking for the rest may reach a file system of somebody's that does not answer. */
	if (seals < 0 || fd_stat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, EBADMSG, "%s that is no memfd", what);
	if ((seals & F_SEAL_SHRINK) == 0)
		return err_set(e, EBADMSG, "%s that is not sealed against shrinking", what);
	if (!ends_in_range(offset, size) || offset + size > (uint64_t)st.st_size)
		return err_set(e, EBADMSG, "%s beyond the end of its file", what);
	return 0;
}

static int memory_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			struct err *e)
{
	const struct guest_region_wire *regions = m->payload.memory.regions;
	uint32_t count = m->payload.memory.count;
	uint64_t sum = 0;

	if (count == 0 || count > GUEST_MAX_REGIONS || m->h.size != 8 + count * sizeof(regions[0]))
		return bad(e, "a table of memory of the wrong size");
	if (fd_count != count)
		return bad(e, "a table of memory without an fd for each region");
	for (uint32_t i = 0; i < count; i++) {
		const struct guest_region_wire *r = &regions[i];

		/* A sparse file costs its owner nothing, and us addresses that are everybody's. */
		if (r->size > MAX_MEMORY || (sum += r->size) > MAX_MEMORY)
			return bad(e, "more guest memory than a machine has");
		if (!ends_in_range(r->gpa, r->size) || !ends_in_range(r->user, r->size))
			return bad(e, "a region of memory that wraps around");
		for (uint32_t k = 0; k < i; k++)
			if (r->gpa < regions[k].gpa + regions[k].size &&
			    regions[k].gpa < r->gpa + r->size)
				return bad(e, "regions of memory that overlap");
		if (file_check(fds[i], r->offset, r->size, "guest memory", e) < 0)
			return -EBADMSG;
	}
	return 0;
}

static int ring_check(const struct vhost_message *m, const int *fds, size_t fd_count, struct err *e)
{
	return m->payload.state.index < VHOST_MAX_RINGS ? 0 : bad(e, "a ring that there is not");
}

static int ring_size_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			   struct err *e)
{
	uint32_t size = m->payload.state.num;

	if (size == 0 || size > VHOST_MAX_RING || (size & (size - 1)) != 0)
		return bad(e, "a ring whose size is no power of two up to 32768");
	return ring_check(m, fds, fd_count, e);
}

/* A pipe or a socket that nobody reads would stop an lcore for ever, and what cannot be read is always ready (O_PATH). */
static bool is_eventfd(int fd)
{
	char path[48], target[64];
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	if (flags < 0 || (flags & (O_ACCMODE | O_PATH)) != O_RDWR)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0;
}

static int ring_fd_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			 struct err *e)
{
	uint64_t value = m->payload.number;

	if ((value & ~(uint64_t)(VHOST_RING_NO_FD | VHOST_RING_MASK)) != 0 ||
	    (value & VHOST_RING_MASK) >= VHOST_MAX_RINGS)
		return bad(e, "an fd for a ring that there is not");
	if (fd_count != ((value & VHOST_RING_NO_FD) != 0 ? 0 : 1))
		return bad(e, "a message for one fd with another number of them");
	return fd_count == 0 || is_eventfd(fds[0]) ? 0 : bad(e, "an fd that is no eventfd");
}

static int inflight_rings_check(const struct vhost_message *m, const int *fds, size_t fd_count,
				struct err *e)
{
	const struct vhost_inflight_wire *w = &m->payload.inflight;

	if (w->queues == 0 || w->queues > VHOST_MAX_RINGS || w->queue_size == 0 ||
	    w->queue_size > VHOST_MAX_RING)
		return bad(e, "a region for rings that there are not");
	return 0;
}

static int inflight_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			  struct err *e)
{
	const struct vhost_inflight_wire *w = &m->payload.inflight;

	if (fd_count != 1)
		return bad(e, "a message for one fd with another number of them");
	if (w->size > VHOST_MAX_INFLIGHT || w->offset % 4096 != 0)
		return bad(e, "a region that cannot be one of ours");
	if (file_check(fds[0], w->offset, w->size, "a region", e) < 0)
		return -EBADMSG;
	return inflight_rings_check(m, fds, fd_count, e);
}

static int socket_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			struct err *e)
{
	struct stat st;

	if (fd_count != 1)
		return bad(e, "a message for one fd with another number of them");
	return fd_stat(fds[0], &st) == 0 && S_ISSOCK(st.st_mode)
		       ? 0
		       : bad(e, "an fd that is no socket");
}

static int config_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			struct err *e)
{
	const struct vhost_config_wire *c = &m->payload.config;

	if (c->size == 0 || c->size > VHOST_MAX_CONFIG || m->h.size != VHOST_CONFIG_HEAD + c->size)
		return bad(e, "a part of the configuration of the wrong size");
	return 0;
}

static int log_check(const struct vhost_message *m, const int *fds, size_t fd_count, struct err *e)
{
	const struct vhost_log_wire *w = &m->payload.log;

	if (fd_count != 1)
		return bad(e, "a message for one fd with another number of them");
	if (w->size > VHOST_MAX_LOG)
		return bad(e, "a log of more memory than a machine has");
	return file_check(fds[0], w->offset, w->size, "a log", e);
}

static int log_fd_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			struct err *e)
{
	if (fd_count != 1)
		return bad(e, "a message for one fd with another number of them");
	return is_eventfd(fds[0]) ? 0 : bad(e, "an fd that is no eventfd");
}

#define STATE	 sizeof(struct vhost_ring_state)
#define ADDR	 sizeof(struct vhost_ring_addr)
#define LOG	 sizeof(struct vhost_log_wire)
#define INFLIGHT sizeof(struct vhost_inflight_wire)
#define TABLE	 sizeof(struct vhost_memory_table)
#define CONFIG	 sizeof(struct vhost_config_wire)

enum stops {
	STOPS_NONE,
	STOPS_ALL,
	STOPS_STATE, /* the ring of its vhost_ring_state */
	STOPS_PLACE, /* the ring of its vhost_ring_addr */
	STOPS_FD, /* the ring of its fd */
};

#define NEEDS(feature) BIT_ULL(VHOST_PROTOCOL_F_##feature)

/*
 * What is not here is not understood. Where the protocol's words ask that a feature be offered, and not that it be agreed on,
 * front ends agree on it before all the same, but for GET_QUEUE_NUM. SET_VRING_ENABLE comes before SET_FEATURES where QEMU's
 * guest has several queues.
 */
static const struct message_row {
	const char *name;
	uint32_t size_min, size_max;
	bool asks; /* its answer has a payload of its own */
	bool has_fds; /* else there may be none */
	check_fn *check;
	enum stops stops; /* rings, if they run: what is taken from them is to be done first */
	uint64_t needs; /* features of the protocol */
} rows[VHOST_REQUESTS] = {
	[VHOST_GET_FEATURES] = { "GET_FEATURES", 0, 0, true, false, NULL },
	[VHOST_SET_FEATURES] = { "SET_FEATURES", 8, 8, false, false, NULL, STOPS_ALL },
	[VHOST_SET_OWNER] = { "SET_OWNER", 0, 0, false, false, NULL },
	[VHOST_RESET_OWNER] = { "RESET_OWNER", 0, 0, false, false, NULL },
	[VHOST_SET_MEM_TABLE] = { "SET_MEM_TABLE", 40, TABLE, false, true, memory_check,
				  STOPS_ALL },
	[VHOST_SET_LOG_BASE] = { "SET_LOG_BASE", LOG, LOG, true, true, log_check, STOPS_ALL,
				 NEEDS(LOG_SHMFD) },
	[VHOST_SET_LOG_FD] = { "SET_LOG_FD", 0, 8, false, true, log_fd_check },
	[VHOST_SET_VRING_NUM] = { "SET_VRING_NUM", STATE, STATE, false, false, ring_size_check,
				  STOPS_STATE },
	[VHOST_SET_VRING_ADDR] = { "SET_VRING_ADDR", ADDR, ADDR, false, false, ring_check,
				   STOPS_PLACE },
	[VHOST_SET_VRING_BASE] = { "SET_VRING_BASE", STATE, STATE, false, false, ring_check,
				   STOPS_STATE },
	[VHOST_GET_VRING_BASE] = { "GET_VRING_BASE", STATE, STATE, true, false, ring_check,
				   STOPS_STATE },
	[VHOST_SET_VRING_KICK] = { "SET_VRING_KICK", 8, 8, false, true, ring_fd_check, STOPS_FD },
	[VHOST_SET_VRING_CALL] = { "SET_VRING_CALL", 8, 8, false, true, ring_fd_check, STOPS_FD },
	[VHOST_SET_VRING_ERR] = { "SET_VRING_ERR", 8, 8, false, true, ring_fd_check },
	[VHOST_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", 0, 0, true, false, NULL },
	[VHOST_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", 8, 8, false, false, NULL },
	[VHOST_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", 0, 0, true, false, NULL },
	[VHOST_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", STATE, STATE, false, false, ring_check,
				     STOPS_STATE },
	[VHOST_SEND_RARP] = { "SEND_RARP", 8, 8, false, false, NULL, STOPS_NONE, NEEDS(RARP) },
	[VHOST_NET_SET_MTU] = { "NET_SET_MTU", 8, 8, false, false, NULL, STOPS_ALL, NEEDS(MTU) },
	[VHOST_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", 0, 0, false, true, socket_check,
				       STOPS_NONE, NEEDS(BACKEND_REQ) },
	[VHOST_GET_CONFIG] = { "GET_CONFIG", VHOST_CONFIG_HEAD, CONFIG, true, false, config_check,
			       STOPS_NONE, NEEDS(CONFIG) },
	[VHOST_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", VHOST_INFLIGHT_MIN, INFLIGHT, true, false,
				    inflight_rings_check, STOPS_NONE, NEEDS(INFLIGHT_SHMFD) },
	[VHOST_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", VHOST_INFLIGHT_MIN, INFLIGHT, false, true,
				    inflight_check, STOPS_ALL, NEEDS(INFLIGHT_SHMFD) },
	[VHOST_SET_STATUS] = { "SET_STATUS", 8, 8, false, false, NULL, STOPS_ALL, NEEDS(STATUS) },
	[VHOST_GET_STATUS] = { "GET_STATUS", 0, 0, true, false, NULL, STOPS_NONE, NEEDS(STATUS) },
};

static const struct message_row *row_find(uint32_t request)
{
	return request < VHOST_REQUESTS && rows[request].name != NULL ? &rows[request] : NULL;
}

int vhost_header_check(const struct vhost_header *h, struct err *e)
{
	const struct message_row *row = row_find(h->request);

	if (row == NULL)
		return err_set(e, EBADMSG, "request %u, which is not understood", h->request);
	if ((h->flags & ~VHOST_FLAG_NEED_REPLY) != VHOST_VERSION)
		return err_set(e, EBADMSG, "%s with flags 0x%x", row->name, h->flags);
	if (h->size < row->size_min || h->size > row->size_max)
		return err_set(e, EBADMSG, "%s of %u bytes", row->name, h->size);
	return 0;
}

int vhost_message_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			struct err *e)
{
	const struct message_row *row = row_find(m->h.request);
	int r = vhost_header_check(&m->h, e);

	if (r < 0)
		return r;
	if (fd_count > 0 && !row->has_fds)
		r = bad(e, "fds that do not belong to it");
	if (r == 0 && row->check != NULL)
		r = row->check(m, fds, fd_count, e);
	return r < 0 ? err_wrap(e, "%s", row->name) : 0;
}

bool vhost_message_asks(const struct vhost_message *m)
{
	const struct message_row *row = row_find(m->h.request);

	return row != NULL && row->asks;
}

uint64_t vhost_message_needs(const struct vhost_message *m)
{
	const struct message_row *row = row_find(m->h.request);

	return row != NULL ? row->needs : 0;
}

static uint32_t ring_bit(uint64_t ring)
{
	return ring < VHOST_MAX_RINGS ? BIT(ring) : 0;
}

uint32_t vhost_message_rings(const struct vhost_message *m)
{
	const struct message_row *row = row_find(m->h.request);

	switch (row != NULL ? row->stops : STOPS_NONE) {
	case STOPS_STATE:
		return ring_bit(m->payload.state.index);
	case STOPS_PLACE:
		return ring_bit(m->payload.addr.index);
	case STOPS_FD:
		return ring_bit(m->payload.number & VHOST_RING_MASK);
	case STOPS_ALL:
	case STOPS_NONE:
		break;
	}
	return 0;
}

uint32_t vhost_message_stops(const struct vhost_message *m)
{
	const struct message_row *row = row_find(m->h.request);

	return row != NULL && row->stops == STOPS_ALL ? BIT(VHOST_MAX_RINGS) - 1
						      : vhost_message_rings(m);
}

const char *vhost_request_name(uint32_t request)
{
	const struct message_row *row = row_find(request);

	return row != NULL ? row->name : "a message";
}
