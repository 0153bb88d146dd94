// SPDX-License-Identifier: BSD-3-Clause
/* The back end of net_board.h. */
#include "tests/fake/net_board.h"

#include "base/fd.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "net_board: %s: %s\n", what, strerror(errno));
	abort();
}

void fake_backend_init(struct fake_backend *k)
{
	*k = (struct fake_backend){ .sock = -1,
				    .features = virtio_net_ring_features() |
						BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES),
				    .protocol = UINT64_MAX,
				    .pairs = VMM_MAX_PAIRS,
				    .channel = -1 };
	for (unsigned int i = 0; i < ARRAY_SIZE(k->kick); i++)
		k->kick[i] = k->call[i] = -1;
}

struct virtio_blk_config *fake_disk_config(struct fake_backend *k)
{
	return (struct virtio_blk_config *)k->config;
}

void fake_backend_disk_init(struct fake_backend *k, unsigned int queues)
{
	const struct virtio_blk_config config = {
		.capacity = GIB(1) / 512,
		.size_max = 1 << 20,
		.seg_max = 1022,
		.geometry = { .cylinders = 7 },
		.blk_size = 512,
		.physical_block_exp = 3,
		.min_io_size = 8,
		.wce = 1,
		.num_queues = 16,
		.max_discard_sectors = 1 << 20,
		.max_discard_seg = 16,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = 1 << 20,
		.max_write_zeroes_seg = 16,
		.write_zeroes_may_unmap = 1,
	};

	fake_backend_init(k);
	k->features = UINT64_MAX & ~BIT_ULL(VIRTIO_BLK_F_RO);
	k->pairs = queues;
	memcpy(k->config, &config, sizeof(k->config));
}

void fake_backend_connect(struct net_board *b)
{
	struct fake_backend *k = &b->backend;

	must(k->sock < 0, "the back end is connected");
	k->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(k->sock, (struct sockaddr *)&b->address, b->address_len) == 0, "connect");
}

void fake_backend_close(struct net_board *b)
{
	struct fake_backend *k = &b->backend;

	fd_close(&k->sock);
	fd_close(&k->channel);
	for (unsigned int i = 0; i < ARRAY_SIZE(k->kick); i++) {
		fd_close(&k->kick[i]);
		fd_close(&k->call[i]);
		k->enabled[i] = false;
	}
}

struct said {
	struct vhost_user_header h;
	union vhost_user_payload p;
	int fds[VHOST_USER_FDS];
	unsigned int fd_count;
};

static bool said_receive(struct fake_backend *k, struct said *s)
{
	struct iovec iov = { &s->h, sizeof(s->h) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS)];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;

	memset(s, 0, sizeof(*s));
	if (recvmsg(k->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(s->h))
		return false;
	must(s->h.size <= sizeof(s->p), "a message that is too large");
	must(s->h.size == 0 || recv(k->sock, &s->p, s->h.size, 0) == (ssize_t)s->h.size, "payload");
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL) {
		s->fd_count = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(s->fds, CMSG_DATA(c), s->fd_count * sizeof(int));
	}
	return true;
}

static void answer_send(struct fake_backend *k, const struct said *s, uint32_t size, int fd)
{
	enum fake_lie lie = k->lie_at == s->h.request ? k->lie : LIE_NONE;
	struct said a = *s;
	struct iovec iov[] = { { &a.h, sizeof(a.h) }, { &a.p, size } };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fds[2];
	size_t count = 0;
	struct cmsghdr *c;

	a.h.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	a.h.size = size;
	if (lie == LIE_SILENT || lie == LIE_CLOSE) {
		if (lie == LIE_CLOSE)
			fd_close(&k->sock);
		return;
	}
	a.h.request += lie == LIE_REQUEST;
	a.h.flags ^= lie == LIE_FLAGS ? VHOST_USER_REPLY : 0;
	a.h.size = lie == LIE_HUGE ? UINT32_MAX : a.h.size + (lie == LIE_LONG) - (lie == LIE_SHORT);
	iov[1].iov_len = size + (lie == LIE_LONG) - (lie == LIE_SHORT);
	if (lie == LIE_NACK)
		a.p.number = size == sizeof(uint64_t) && (s->h.flags & VHOST_USER_NEED_REPLY) != 0;
	if (fd >= 0)
		fds[count++] = fd;
	if (lie == LIE_FD)
		fds[count++] = k->sock;
	if (count != 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	for (int i = 0; i < 1 + (lie == LIE_TWICE); i++)
		(void)sendmsg(k->sock, &msg, MSG_NOSIGNAL);
}

static void fd_place(int *place, struct said *s)
{
	fd_close(place);
	*place = s->fd_count == 1 ? fd_take(&s->fds[0]) : -1;
}

static void number_answer(struct fake_backend *k, struct said *s, uint64_t value)
{
	s->p.number = value;
	answer_send(k, s, sizeof(s->p.number), -1);
}

static void inflight_answer(struct fake_backend *k, struct said *s)
{
	auto_fd int fd = memfd_create("inflight", MFD_CLOEXEC);

	s->p.inflight.mmap_size = k->lie_at == s->h.request && k->lie == LIE_NACK ? 0 : 4096;
	s->p.inflight.mmap_offset = 0;
	answer_send(k, s, sizeof(s->p.inflight), fd);
}

/* What asks a question: its answer is sent. */
static bool question_answer(struct fake_backend *k, struct said *s)
{
	switch (s->h.request) {
	case VHOST_USER_GET_FEATURES:
		number_answer(k, s, k->features);
		return true;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		number_answer(k, s, k->protocol);
		return true;
	case VHOST_USER_GET_QUEUE_NUM:
		number_answer(k, s, k->pairs);
		return true;
	case VHOST_USER_GET_VRING_BASE:
		k->enabled[s->p.state.index] = false;
		s->p.state.num = k->base[s->p.state.index];
		if (k->lie == LIE_NACK && k->lie_at == s->h.request)
			s->p.state.num = UINT32_MAX;
		answer_send(k, s, sizeof(s->p.state), -1);
		return true;
	case VHOST_USER_GET_INFLIGHT_FD:
		inflight_answer(k, s);
		return true;
	case VHOST_USER_GET_CONFIG:
		memcpy(s->p.config.bytes, k->config, sizeof(k->config));
		answer_send(k, s, sizeof(s->p.config), -1);
		return true;
	default:
		return false;
	}
}

static void order_take(struct fake_backend *k, struct said *s)
{
	unsigned int ring = s->p.state.index % ARRAY_SIZE(k->kick);
	struct stat st;

	switch (s->h.request) {
	case VHOST_USER_SET_FEATURES:
		k->acked = s->p.number;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		k->memory = s->p.memory;
		must(s->fd_count == s->p.memory.count, "one fd for each region");
		break;
	case VHOST_USER_NET_SET_MTU:
		k->mtu = s->p.number;
		break;
	case VHOST_USER_SET_VRING_NUM:
		k->num[ring] = s->p.state.num;
		break;
	case VHOST_USER_SET_VRING_BASE:
		k->base[ring] = s->p.state.num;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		k->addr[ring] = s->p.addr;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		k->enabled[ring] = s->p.state.num != 0;
		break;
	case VHOST_USER_SET_VRING_KICK:
		fd_place(&k->kick[ring], s);
		break;
	case VHOST_USER_SET_VRING_CALL:
		fd_place(&k->call[ring], s);
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		fd_place(&k->channel, s);
		break;
	case VHOST_USER_SET_INFLIGHT_FD:
		k->inflight = s->p.inflight;
		if (s->fd_count == 1 && fstat(s->fds[0], &st) == 0)
			k->inflight_ino = st.st_ino;
		break;
	default:
		break;
	}
}

static void disk_grow(struct fake_backend *k, uint32_t request)
{
	const struct vhost_user_header h = { VHOST_USER_BACKEND_CONFIG_CHANGE, VHOST_USER_VERSION,
					     0 };

	if (k->grows == 0 ||
	    (request != VHOST_USER_SET_BACKEND_REQ_FD && request != VHOST_USER_GET_CONFIG))
		return;
	fake_disk_config(k)->capacity = k->grows;
	k->grows = 0;
	if (k->channel >= 0)
		(void)send(k->channel, &h, sizeof(h), MSG_NOSIGNAL);
}

bool fake_backend_step(struct fake_backend *k)
{
	struct said s;

	if (k->sock < 0 || !said_receive(k, &s))
		return false;
	must(s.h.request < ARRAY_SIZE(k->messages), "a message that there is not");
	k->messages[s.h.request]++;
	if (!question_answer(k, &s)) {
		order_take(k, &s);
		if ((s.h.flags & VHOST_USER_NEED_REPLY) != 0)
			number_answer(k, &s, 0);
	}
	disk_grow(k, s.h.request);
	for (unsigned int i = 0; i < s.fd_count; i++)
		fd_close(&s.fds[i]);
	return true;
}
