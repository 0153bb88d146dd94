// SPDX-License-Identifier: BSD-3-Clause
/*
 * A VMM's whole session with a disk, without socket and image: messages with fds, and its guest's writes into the rings
 * between them, requests taken and answered in another order. What is under way names memory that is mapped until it is
 * answered: messages that are not known to stop a ring leave it alone. In the end all fds are closed.
 *
 * A record: request (0: the guest writes), fds (low four bits how many, then of what kind; highest: a request is answered),
 * size, size bytes of payload.
 */
#include "base/fd.h"
#include "pmd-backends/block_config.h"
#include "pmd-backends/block_request.h"
#include "pmd-backends/vhost_check.h"
#include "pmd-backends/vhost_device.h"
#include "pmd-backends/vring_async.h"
#include "pmd-backends/vring_core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY	(64U << 10)
#define QUEUES	2U
#define FLIGHTS 4U /* of a ring */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct flight {
	struct block_request q;
	uint16_t head;
};

static struct ring {
	struct vring_async ring;
	struct flight flights[FLIGHTS];
	unsigned int count;
} rings[QUEUES];

static struct vhost_device device;
static struct vhost_kind kind;
static struct vhost_device_ops ops;
static const struct block_file file = {
	.fd = -1, .size = MIB(1), .block_size = 512, .align = 1, .can_discard = true
};
static int memory_fd, region_fd; /* region_fd: the last in-flight region */
static uint8_t *memory;

static int ring_start(void *arg, unsigned int i, const struct vring_start *start, struct err *e)
{
	if (i >= QUEUES)
		return err_set(e, EINVAL, "a queue that the disk has not");
	return vring_async_start(&rings[i].ring, start, e);
}

static uint32_t ring_stop(void *arg, unsigned int i)
{
	if (rings[i].count != 0 || rings[i].ring.taken != 0)
		abort();
	return vring_async_stop(&rings[i].ring);
}

static uint32_t config_get(void *arg, uint8_t config[VHOST_MAX_CONFIG])
{
	return block_config(&file, QUEUES, config);
}

static void on_lcore(void *arg, void (*fn)(void *fn_arg), void *fn_arg)
{
	fn(fn_arg);
}

static void ring_changed(void *arg, unsigned int ring, bool is_live)
{
	if (is_live != ((device.live & BIT(ring)) != 0))
		abort();
}

static void begin(void)
{
	memory_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ftruncate(memory_fd, MEMORY) < 0 || fcntl(memory_fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		abort();
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	region_fd = -1;
	kind = (struct vhost_kind){
		.features = block_features(&file, QUEUES),
		.protocol = BIT_ULL(VHOST_PROTOCOL_F_MQ) | BIT_ULL(VHOST_PROTOCOL_F_REPLY_ACK) |
			    BIT_ULL(VHOST_PROTOCOL_F_CONFIG) |
			    BIT_ULL(VHOST_PROTOCOL_F_INFLIGHT_SHMFD) |
			    BIT_ULL(VHOST_PROTOCOL_F_STATUS),
		.queues = QUEUES,
		.queue_rings = 1,
		.ring_start = ring_start,
		.ring_stop = ring_stop,
		.config_get = config_get,
	};
	ops = (struct vhost_device_ops){ .on_lcore = on_lcore,
					 .ring_changed = ring_changed,
					 .kind = &kind };
	vhost_device_init(&device, &ops, NULL);
}

static void answer_one(struct ring *r, uint8_t which)
{
	struct flight *f = &r->flights[which % r->count];

	/* As the image would: every byte of it, at the end. */
	for (uint32_t i = 0; i < f->q.iov_count; i++)
		*(volatile uint8_t *)f->q.iov[i].iov_base = which;
	*f->q.status_at = 0;
	vring_async_put(&r->ring, f->head, f->q.written);
	*f = r->flights[--r->count];
}

/* What is known to end rings waits for what is under way. */
static void answer_all(uint32_t stops)
{
	if ((stops & device.live) == 0)
		return;
	for (unsigned int i = 0; i < QUEUES; i++) {
		while (rings[i].count > 0)
			answer_one(&rings[i], 0);
		vring_async_publish(&rings[i].ring);
	}
}

static void take(struct ring *r)
{
	struct flight *f = &r->flights[r->count];
	struct vring_chain chain;

	if (!vring_async_take(&r->ring, &chain, &f->head))
		return;
	if (block_request_read(&f->q, &chain, &file) < 0)
		vring_async_put(&r->ring, f->head, 0);
	else
		r->count++;
}

static void requests_move(uint8_t which)
{
	for (unsigned int i = 0; i < QUEUES; i++) {
		struct ring *r = &rings[i];

		if ((device.live & BIT(i)) == 0)
			continue;
		while (r->count < FLIGHTS - 1 && vring_async_waits(&r->ring) &&
		       r->ring.ring.broken == NULL)
			take(r);
		if ((which & 128) != 0 && r->count > 0)
			answer_one(r, which);
		vring_async_publish(&r->ring);
		(void)vring_async_wants_call(&r->ring);
		if (r->ring.ring.broken != NULL && r->ring.taken == 0)
			vhost_device_ring_break(&device, i, r->ring.ring.broken);
	}
}

static int fd_make(unsigned int what)
{
	switch (what) {
	case 0:
		return fcntl(memory_fd, F_DUPFD_CLOEXEC, 3);
	case 1:
		return eventfd(0, EFD_CLOEXEC);
	case 2:
		return region_fd < 0 ? eventfd(0, EFD_CLOEXEC)
				     : fcntl(region_fd, F_DUPFD_CLOEXEC, 3);
	default:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	}
}

static void hang_up(void)
{
	answer_all(UINT32_MAX);
	vhost_device_reset(&device);
}

static void say(struct vhost_message *m, unsigned int kinds)
{
	struct vhost_answer answer = { .fd = -1 };
	int fds[VHOST_MAX_FDS];
	size_t count = (kinds & 15) % (VHOST_MAX_FDS + 1);
	struct err e = { 0 };

	for (size_t i = 0; i < count; i++)
		fds[i] = fd_make(kinds >> 4 & 3);
	if (vhost_message_check(m, fds, count, &e) == 0) {
		answer_all(vhost_message_stops(m));
		if (vhost_device_message(&device, m, fds, &answer, &e) < 0)
			hang_up();
		if (answer.is_due && answer.m.h.size > sizeof(answer.m.payload))
			abort();
		if (answer.fd >= 0) {
			fd_close(&region_fd);
			region_fd = fcntl(answer.fd, F_DUPFD_CLOEXEC, 3);
		}
	}
	for (size_t i = 0; i < count; i++)
		fd_close(&fds[i]);
}

static size_t record(const uint8_t *data, size_t size)
{
	struct vhost_message m = { .h = { (data[0] & 127) % VHOST_REQUESTS, data[0] & 128 ? 9 : 1,
					  data[2] } };
	size_t len = u64_min(data[2], size - 3);
	uint16_t at;

	if (m.h.request != 0) {
		memcpy(&m.payload, data + 3, len);
		say(&m, data[1]);
	} else if (len > sizeof(at)) {
		memcpy(&at, data + 3, sizeof(at));
		at = (uint16_t)u64_min(at, MEMORY - len);
		memcpy(memory + at, data + 3 + sizeof(at), len - sizeof(at));
	}
	requests_move(data[1]);
	return 3 + len;
}

/* The number that the next fd gets. */
static int fd_next(void)
{
	int fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, 3), number = fd;

	fd_close(&fd);
	return number;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int next;

	if (memory == NULL)
		begin();
	memset(memory, 0, MEMORY);
	next = fd_next();
	while (size > 3) {
		size_t n = record(data, size);

		data += n;
		size -= n;
	}
	hang_up();
	vhost_device_fini(&device);
	fd_close(&region_fd);
	if (device.live != 0 || fd_next() != next)
		abort();
	return 0;
}
