// SPDX-License-Identifier: BSD-3-Clause
/*
 * The device of a ring whose chains are used in any order is killed at each instruction: whatever lay in the memory that it
 * shares is what its successor goes on with, and each chain comes back to the driver once, none twice, none never.
 */
#include "../../fake/ring_driver.h"

#include "pmd-backends/vring_async.h"
#include "pmd-backends/vring_core.h"

#include <linux/virtio_config.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE   8U
#define CHAINS 6U
#define REGION \
	0x8000U /* in flight; in the guest's memory, so that all that outlives the process lies together */
#define SHARED	 0x9000U
#define FEATURES (BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_RING_F_EVENT_IDX))

struct world {
	struct ring_guest g;
	struct ring_driver d;
	struct vring_async r;
	struct vring_start start;
};

static void world_make(struct world *w)
{
	memset(w, 0, sizeof(*w));
	ring_guest_create(&w->g, MIB(4));
	ring_driver_init(&w->d, w->g.at, SIZE, FEATURES);
	w->start = (struct vring_start){ .place = ring_place(&w->d),
					 .features = FEATURES,
					 .inflight = w->g.memory.regions[0].at + REGION,
					 .memory = &w->g.memory };
}

static uint16_t take(struct vring_async *r)
{
	struct vring_chain chain;
	uint16_t head = 0;

	if (!vring_async_take(r, &chain, &head))
		abort();
	return head;
}

/* What the process does that dies: takes, and uses in another order, in bursts of two, one and three. */
static void device(struct vring_async *r)
{
	uint16_t a = take(r), b = take(r), c = take(r), d, e, f;

	vring_async_put(r, c, 0);
	vring_async_put(r, a, 0);
	vring_async_publish(r);
	d = take(r);
	vring_async_put(r, d, 0);
	vring_async_publish(r);
	e = take(r);
	f = take(r);
	vring_async_put(r, f, 0);
	vring_async_put(r, b, 0);
	vring_async_put(r, e, 0);
	vring_async_publish(r);
}

/* A successor in a copy of what was left. Returns how many chains it had to do. */
static unsigned int successor(struct world *copy, const struct world *dead)
{
	struct vring_chain chain;
	unsigned int seen[SIZE] = { 0 }, done = 0;
	uint16_t head, before = 0, id;
	uint32_t len;

	memcpy(copy->g.at, dead->g.at, SHARED);
	copy->d = dead->d;
	copy->d.at = copy->g.at;
	assert_int_equal(vring_async_start(&copy->r, &copy->start, NULL), 0);
	for (uint32_t i = 1; i < copy->r.again_count; i++)
		assert_true(copy->r.again[i - 1] <
			    copy->r.again[i]); /* heads were offered in this order */
	while (vring_async_take(&copy->r, &chain, &head)) {
		assert_true(done == 0 || head > before || copy->r.again_at == copy->r.again_count);
		before = head;
		done++;
		vring_async_put(&copy->r, head, 0);
		vring_async_publish(&copy->r);
	}
	assert_null(copy->r.ring.broken);
	while (ring_reap(&copy->d, &id, &len))
		seen[id]++;
	for (unsigned int i = 0; i < CHAINS; i++)
		assert_int_equal(seen[i], 1);
	(void)vring_async_stop(&copy->r);
	return done;
}

static void offer(struct world *w)
{
	for (unsigned int i = 0; i < CHAINS; i++) {
		const struct ring_piece piece = { RING_BUFFERS, 16 };

		assert_int_equal(ring_offer(&w->d, &piece, 1, false, RING_DIRECT), i);
	}
}

static void test_killed_at_each_instruction(void **state)
{
	static struct world w, copy;
	unsigned int steps = 0, most = 0, least = CHAINS, done;
	int status = 0;
	pid_t pid;

	world_make(&w);
	world_make(&copy);
	/* Descriptors are given out from the end of the list: in the order of their numbers. */
	for (unsigned int i = 0; i < SIZE; i++)
		w.d.free_ids[i] = (uint16_t)(SIZE - 1 - i);
	assert_int_equal(vring_async_start(&w.r, &w.start, NULL), 0);
	offer(&w);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		device(&w.r);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	for (;;) {
		done = successor(&copy, &w);
		most = done > most ? done : most;
		least = done < least ? done : least;
		/* It is through. */
		if (steps > 0 && WSTOPSIG(status) == SIGSTOP)
			break;
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		steps++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	printf("killed at %u instructions\n", steps);
	/* From the first to the last chain. */
	assert_int_equal(most, CHAINS);
	assert_int_equal(least, 0);
	assert_true(steps > 500);
	(void)vring_async_stop(&w.r);
	ring_guest_destroy(&w.g);
	ring_guest_destroy(&copy.g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_each_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
