// SPDX-License-Identifier: BSD-3-Clause
/*
 * A VMM's whole session with viaduct-pmd, without the socket: messages with fds, and its guest's writes into the rings
 * between them, frames both ways after each. Whatever is said, nothing is read outside the memory that it shares, and in
 * the end all fds are closed and all frames are free. Rings end by messages that are known to stop them, or as all ends.
 *
 * A record: request (0: the guest writes), fds (low four bits how many, then of what kind), size, size bytes of payload.
 */
#include "../fake/switch_wire.h"
#include "base/fd.h"
#include "pmd-backends/vhost_check.h"
#include "pmd-backends/vhost_device.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY (64U << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wire w;
static struct vhost_device device;
static int memory_fd, region_fd; /* region_fd: the last in-flight region */
static uint8_t *memory;
static const struct vhost_message *saying; /* NULL: nothing */

static void on_lcore(void *arg, void (*fn)(void *fn_arg), void *fn_arg)
{
	fn(fn_arg);
}

static void ring_changed(void *arg, unsigned int ring, bool is_live)
{
	if (is_live != ((device.live & BIT(ring)) != 0))
		abort();
	/* What a disk has under way is waited for before such messages alone. */
	if (!is_live && saying != NULL && (vhost_message_stops(saying) & BIT(ring)) == 0)
		abort();
}

static void announce(void *arg, const uint8_t mac[6])
{
}

static const struct vhost_device_ops ops = { on_lcore, ring_changed, announce };

static void begin(void)
{
	wire_create(&w);
	memory_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ftruncate(memory_fd, MEMORY) < 0 || fcntl(memory_fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		abort();
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	region_fd = -1;
	vhost_device_init(&device, &ops, NULL);
}

static int fd_make(unsigned int kind)
{
	switch (kind) {
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

/* Marks are made within the log alone, and by rings that were told to. */
static void marks_verify(const struct vring *ring)
{
	if (!ring->is_marked)
		return;
	if (ring->marks.log != &device.log || device.log.memory.count != 1 ||
	    ring->marks.buffers != ((device.features & BIT_ULL(VHOST_F_LOG_ALL)) != 0) ||
	    (ring->marks.device && !dirty_log_covers(&device.log, ring->marks.device_at,
						     ring->is_packed ? 4 : 6 + 8ULL * ring->size)))
		abort();
}

/* What the guest sends on one ring it receives on all. */
static void frames_bounce(struct vring *from)
{
	struct rte_mbuf *frames[8];
	uint16_t n = vring_dequeue(from, w.pool, frames, ARRAY_SIZE(frames));

	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i += 2)
		if ((device.live & BIT(i)) != 0 &&
		    vring_enqueue(&device.queues[i].ring, frames, n) > n)
			abort();
	rte_pktmbuf_free_bulk(frames, n);
}

static void frames_move(void)
{
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++) {
		struct vring *ring = &device.queues[i].ring;

		if ((device.live & BIT(i)) == 0)
			continue;
		if (device.queues[i].place.size == 0 || device.memory.count == 0 ||
		    vring_available(ring, 7) > 7)
			abort();
		marks_verify(ring);
		if ((i & 1) != 0)
			frames_bounce(ring);
		(void)vring_wants_call(ring);
	}
	(void)vhost_device_rings_check(&device);
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
		int r;

		saying = m;
		r = vhost_device_message(&device, m, fds, &answer, &e);
		saying = NULL;
		if ((r < 0) != (e.text[0] != '\0'))
			abort();
		if (answer.fd >= 0) {
			fd_close(&region_fd);
			region_fd = fcntl(answer.fd, F_DUPFD_CLOEXEC, 3);
		}
		if (r < 0)
			vhost_device_reset(&device); /* hung up on */
	} else if (e.text[0] == '\0') {
		abort();
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
	frames_move();
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
	vhost_device_fini(&device);
	fd_close(&region_fd);
	if (device.live != 0 || rte_mempool_in_use_count(w.pool) != 0 || fd_next() != next)
		abort();
	return 0;
}
