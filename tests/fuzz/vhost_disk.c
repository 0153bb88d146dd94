// SPDX-License-Identifier: BSD-3-Clause
/*
 * A VMM's whole session with a disk, without socket and image: messages with fds, and its guest's writes into the rings
 * between them, requests taken and answered in another order. What is under way names memory that is mapped until it is
 * answered: messages that are not known to stop a ring leave it alone. The highest bit of a record's fds: a request is answered.
 */
#include "vhost_records.h"

#include "pmd-backends/block_config.h"
#include "pmd-backends/block_request.h"
#include "pmd-backends/vring_async.h"
#include "pmd-backends/vring_core.h"

#include <errno.h>

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
	memory_make();
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

static void hang_up(void)
{
	answer_all(UINT32_MAX);
	vhost_device_reset(&device);
}

static void say(const struct vhost_message *m, int *fds, size_t count)
{
	struct vhost_answer answer;
	struct err e = { 0 };
	int r;

	if (vhost_message_check(m, fds, count, &e) < 0)
		return;
	answer_all(vhost_message_stops(m));
	r = vhost_device_message(&device, m, fds, &answer, &e);
	answer_keep(&device, &answer);
	if (r < 0)
		hang_up();
}

static void end(void)
{
	hang_up();
	vhost_device_fini(&device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct records_ops session = { say, requests_move, end };

	if (memory == NULL)
		begin();
	records_do(&session, &device, data, size);
	return 0;
}
