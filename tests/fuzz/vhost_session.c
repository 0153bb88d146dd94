// SPDX-License-Identifier: BSD-3-Clause
/*
 * A VMM's whole session with viaduct-pmd, without the socket: messages with fds, and its guest's writes into the rings
 * between them, frames both ways after each. Whatever is said, nothing is read outside the memory that it shares, and in
 * the end all fds are closed and all frames are free. Rings end by messages that are known to stop them, or as all ends.
 */
#include "vhost_records.h"

#include "../fake/switch_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wire w;
static struct vhost_device device;
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
	memory_make();
	vhost_device_init(&device, &ops, NULL);
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

static void frames_move(uint8_t kinds)
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

static void say(const struct vhost_message *m, int *fds, size_t count)
{
	struct vhost_answer answer;
	struct err e = { 0 };
	int r = vhost_message_check(m, fds, count, &e);

	if (r == 0) {
		saying = m;
		r = vhost_device_message(&device, m, fds, &answer, &e);
		saying = NULL;
		answer_keep(&device, &answer);
		if (r < 0)
			vhost_device_reset(&device); /* hung up on */
	}
	if ((r < 0) != (e.text[0] != '\0'))
		abort();
}

static void end(void)
{
	vhost_device_fini(&device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct records_ops session = { say, frames_move, end };

	if (memory == NULL)
		begin();
	records_do(&session, &device, data, size);
	if (rte_mempool_in_use_count(w.pool) != 0)
		abort();
	return 0;
}
