// SPDX-License-Identifier: BSD-3-Clause
#include "bench/block/front.h"

#include "base/fd.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Guest addresses are offsets in the memory; those of the "VMM" begin here. */
#define USER	   0x10000000ULL
#define MEMORY	   (1U << 20)
#define DESC_AT	   0x0000U
#define AVAIL_AT   0x1000U
#define USED_AT	   0x2000U
#define TABLES_AT  0x4000U /* one of 128 bytes a slot: table, header, status */
#define DATA_AT	   0x10000U
#define HEADER_OFF 64U
#define STATUS_OFF 96U

#define F_VERSION_1	 32
#define F_PROTOCOL	 30
#define P_CONFIG	 9
#define CONFIG_BYTES	 60U
#define PATIENCE_SECONDS 20

enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
	GET_CONFIG = 24
};

struct message {
	uint32_t request, flags, size;
	uint8_t payload[256];
};

void front_init(struct front *f)
{
	*f = (struct front){ .listener = -1, .sock = -1, .memfd = -1, .kick = -1, .call = -1 };
}

void front_close(struct front *f)
{
	fd_close(&f->listener);
	fd_close(&f->sock);
	fd_close(&f->memfd);
	fd_close(&f->kick);
	fd_close(&f->call);
	if (f->memory != NULL)
		munmap(f->memory, MEMORY);
	f->memory = NULL;
}

/* --- messages -------------------------------------------------------------------------------- */

static int tell(struct front *f, uint32_t request, const void *payload, uint32_t size, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct message m = { request, 1, size, { 0 } };
	struct iovec iov = { &m, offsetof(struct message, payload) + size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(m.payload, payload, size);
	if (fd >= 0) {
		struct cmsghdr *h;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	return sendmsg(f->sock, &msg, MSG_NOSIGNAL) == (ssize_t)iov.iov_len ? 0 : -EPIPE;
}

static int hear(struct front *f, uint32_t request, void *out, uint32_t size)
{
	struct message m;
	const size_t head = offsetof(struct message, payload);

	if (recv(f->sock, &m, head, MSG_WAITALL) != (ssize_t)head || m.size > sizeof(m.payload) ||
	    recv(f->sock, m.payload, m.size, MSG_WAITALL) != (ssize_t)m.size)
		return -EPIPE;
	if (m.request != request || m.size < size)
		return -EBADMSG;
	memcpy(out, m.payload, size);
	return 0;
}

static int ask_number(struct front *f, uint32_t request, uint64_t *out)
{
	int r = tell(f, request, "", 0, -1);

	return r < 0 ? r : hear(f, request, out, sizeof(*out));
}

static int tell_number(struct front *f, uint32_t request, uint64_t number, int fd)
{
	return tell(f, request, &number, sizeof(number), fd);
}

static int tell_state(struct front *f, uint32_t request, uint32_t number)
{
	const uint32_t state[2] = { 0, number };

	return tell(f, request, state, sizeof(state), -1);
}

/* --- set-up ---------------------------------------------------------------------------------- */

static int memory_make(struct front *f)
{
	f->memfd = memfd_create("bench-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (f->memfd < 0 || ftruncate(f->memfd, MEMORY) < 0 ||
	    fcntl(f->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	f->memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, f->memfd, 0);
	f->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->memory == MAP_FAILED) {
		f->memory = NULL;
		return -ENOMEM;
	}
	/* No interrupts: with events the device reads used_event, which is set each time; without, this. */
	((struct vring_avail *)(f->memory + AVAIL_AT))->flags = VRING_AVAIL_F_NO_INTERRUPT;
	return f->kick < 0 || f->call < 0 ? -errno : 0;
}

static int negotiate(struct front *f)
{
	const uint64_t wanted = BIT_ULL(F_VERSION_1) | BIT_ULL(F_PROTOCOL) |
				BIT_ULL(VIRTIO_BLK_F_FLUSH) | BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
				BIT_ULL(VIRTIO_RING_F_EVENT_IDX);
	uint64_t protocol = 0;
	int r = ask_number(f, GET_FEATURES, &f->features);

	f->features &= wanted;
	if (r == 0)
		r = ask_number(f, GET_PROTOCOL_FEATURES, &protocol);
	if (r == 0)
		r = tell_number(f, SET_PROTOCOL_FEATURES, protocol & BIT_ULL(P_CONFIG), -1);
	if (r == 0)
		r = tell(f, SET_OWNER, "", 0, -1);
	return r < 0 ? r : tell_number(f, SET_FEATURES, f->features, -1);
}

static int config_read(struct front *f)
{
	struct {
		uint32_t offset, size, flags;
		uint8_t region[CONFIG_BYTES];
	} c = { 0, CONFIG_BYTES, 0, { 0 } };
	int r = tell(f, GET_CONFIG, &c, sizeof(c), -1);

	if (r == 0)
		r = hear(f, GET_CONFIG, &c, sizeof(c));
	f->blocks = get_le64(c.region) * 512 / FRONT_BLOCK;
	return r == 0 && f->blocks == 0 ? -EBADMSG : r;
}

static int rings_tell(struct front *f)
{
	const struct {
		uint32_t count, padding;
		uint64_t gpa, size, user, offset;
	} table = { 1, 0, 0, MEMORY, USER, 0 };
	const struct {
		uint32_t index, flags;
		uint64_t desc, used, avail, log;
	} addr = { 0, 0, USER + DESC_AT, USER + USED_AT, USER + AVAIL_AT, 0 };
	int r = tell(f, SET_MEM_TABLE, &table, sizeof(table), f->memfd);

	if (r == 0)
		r = tell_state(f, SET_VRING_NUM, FRONT_RING);
	if (r == 0)
		r = tell_state(f, SET_VRING_BASE, 0);
	if (r == 0)
		r = tell(f, SET_VRING_ADDR, &addr, sizeof(addr), -1);
	if (r == 0)
		r = tell_number(f, SET_VRING_KICK, 0, f->kick);
	if (r == 0)
		r = tell_number(f, SET_VRING_CALL, 0, f->call);
	return r < 0 ? r : tell_state(f, SET_VRING_ENABLE, 1);
}

static int address(struct sockaddr_un *at, const char *path)
{
	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (size_t)snprintf(at->sun_path, sizeof(at->sun_path), "%s", path) <
			       sizeof(at->sun_path)
		       ? 0
		       : -ENAMETOOLONG;
}

int front_listen(struct front *f, const char *path, struct err *e)
{
	struct sockaddr_un at;
	int r = address(&at, path);

	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r < 0 || f->listener < 0 || bind(f->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(f->listener, 1) < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int sock_get(struct front *f, const char *path)
{
	const struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	struct sockaddr_un at;
	int r = address(&at, path);

	if (r < 0)
		return r;
	if (f->listener >= 0) {
		(void)setsockopt(f->listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		f->sock = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	} else {
		f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (f->sock >= 0 && connect(f->sock, (struct sockaddr *)&at, sizeof(at)) < 0)
			return -errno;
	}
	if (f->sock < 0)
		return -errno;
	(void)setsockopt(f->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return 0;
}

int front_start(struct front *f, const char *path, struct err *e)
{
	uint64_t features;
	int r = sock_get(f, path);

	if (r == 0)
		r = memory_make(f);
	if (r == 0)
		r = negotiate(f);
	if (r == 0)
		r = config_read(f);
	if (r == 0)
		r = rings_tell(f);
	/* All before was taken in. */
	if (r == 0)
		r = ask_number(f, GET_FEATURES, &features);
	return r < 0 ? err_set(e, r, "%s: %s", path, strerror(-r)) : 0;
}

static uint16_t shared_u16(const void *p)
{
	return atomic_load_explicit((const _Atomic uint16_t *)p, memory_order_relaxed);
}

/* --- the ring -------------------------------------------------------------------------------- */

uint8_t *front_data(const struct front *f, unsigned int slot)
{
	return f->memory + DATA_AT + (size_t)slot * FRONT_BLOCK;
}

void front_put(struct front *f, unsigned int slot, bool is_write, uint64_t block)
{
	uint32_t at = TABLES_AT + slot * 128;
	struct vring_desc *table = (struct vring_desc *)(f->memory + at);
	struct virtio_blk_outhdr *header =
		(struct virtio_blk_outhdr *)(f->memory + at + HEADER_OFF);
	struct vring_desc *desc = (struct vring_desc *)(f->memory + DESC_AT) + slot;
	struct vring_avail *avail = (struct vring_avail *)(f->memory + AVAIL_AT);
	uint16_t next = VRING_DESC_F_NEXT, write = VRING_DESC_F_WRITE;

	*header = (struct virtio_blk_outhdr){ is_write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 0,
					      block * (FRONT_BLOCK / 512) };
	f->memory[at + STATUS_OFF] = 0xff;
	table[0] = (struct vring_desc){ at + HEADER_OFF, sizeof(*header), next, 1 };
	table[1] = (struct vring_desc){ DATA_AT + (uint64_t)slot * FRONT_BLOCK, FRONT_BLOCK,
					(uint16_t)(next | (is_write ? 0 : write)), 2 };
	table[2] = (struct vring_desc){ at + STATUS_OFF, 1, write, 0 };
	*desc = (struct vring_desc){ at, 3 * sizeof(*table), VRING_DESC_F_INDIRECT, 0 };
	avail->ring[f->next_avail++ % FRONT_RING] = (uint16_t)slot;
}

void front_publish(struct front *f)
{
	struct vring_avail *avail = (struct vring_avail *)(f->memory + AVAIL_AT);
	struct vring_used *used = (struct vring_used *)(f->memory + USED_AT);
	const uint64_t one = 1;
	bool wants;

	/* Far away: nothing that is used is told of. */
	avail->ring[FRONT_RING] = (uint16_t)(f->last_used + 0x8000);
	atomic_store_explicit((_Atomic uint16_t *)&avail->idx, f->next_avail, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	if ((f->features & BIT_ULL(VIRTIO_RING_F_EVENT_IDX)) != 0)
		wants = vring_need_event(shared_u16(&used->ring[FRONT_RING]), f->next_avail,
					 f->kicked_at);
	else
		wants = (shared_u16(&used->flags) & VRING_USED_F_NO_NOTIFY) == 0;
	f->kicked_at = f->next_avail;
	if (!wants)
		return;
	f->kicks++;
	(void)!write(f->kick, &one, sizeof(one));
}

int front_take(struct front *f, uint8_t *status)
{
	struct vring_used *used = (struct vring_used *)(f->memory + USED_AT);
	uint32_t slot;

	if (atomic_load_explicit((_Atomic uint16_t *)&used->idx, memory_order_acquire) ==
	    f->last_used)
		return -1;
	slot = used->ring[f->last_used++ % FRONT_RING].id;
	if (slot >= FRONT_SLOTS)
		return -1;
	*status = f->memory[TABLES_AT + slot * 128 + STATUS_OFF];
	return (int)slot;
}
