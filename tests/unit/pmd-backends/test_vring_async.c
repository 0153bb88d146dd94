// SPDX-License-Identifier: BSD-3-Clause
/* Chains that are used in another order than they came, and what a successor takes again after a death at each step. */
#include "../../fake/ring_driver.h"

#include "pmd-backends/vring_async.h"
#include "pmd-backends/vring_core.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIZE	 8U
#define FEATURES (BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_RING_F_EVENT_IDX))

static struct {
	struct ring_guest g;
	struct ring_driver d;
	struct vring_async r;
	struct vring_start start;
	_Alignas(64) uint8_t region[1024];
} t;

static void start(void)
{
	struct err e = { 0 };

	assert_int_equal(vring_async_start(&t.r, &t.start, &e), 0);
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	ring_guest_create(&t.g, MIB(4));
	ring_driver_init(&t.d, t.g.at, SIZE, FEATURES);
	t.start = (struct vring_start){ .place = ring_place(&t.d),
					.features = FEATURES,
					.inflight = t.region,
					.memory = &t.g.memory };
	assert_true(vring_inflight_bytes(SIZE, false) <= sizeof(t.region));
	start();
	return 0;
}

static int teardown(void **state)
{
	(void)vring_async_stop(&t.r);
	ring_guest_destroy(&t.g);
	return 0;
}

static uint16_t offer(void)
{
	const struct ring_piece piece = { RING_BUFFERS, 16 };
	int id = ring_offer(&t.d, &piece, 1, false, RING_DIRECT);

	assert_true(id >= 0);
	return (uint16_t)id;
}

static uint16_t take(void)
{
	struct vring_chain chain;
	uint16_t head = UINT16_MAX;

	assert_true(vring_async_take(&t.r, &chain, &head));
	return head;
}

static bool is_empty(void)
{
	struct vring_chain chain;
	uint16_t head;

	return !vring_async_take(&t.r, &chain, &head);
}

static void put(uint16_t head, uint32_t len)
{
	vring_async_put(&t.r, head, len);
}

static void reap(uint16_t head, uint32_t len)
{
	uint16_t id;
	uint32_t got;

	assert_true(ring_reap(&t.d, &id, &got));
	assert_int_equal(id, head);
	assert_int_equal(got, len);
}

/* The process is gone: nothing of it but what is shared. */
static void die(void)
{
	free(t.r.again);
	memset(&t.r, 0, sizeof(t.r));
	start();
}

static void test_any_order(void **state)
{
	uint16_t a = offer(), b = offer(), c = offer();
	uint16_t id;
	uint32_t len;

	assert_int_equal(take(), a);
	assert_int_equal(take(), b);
	assert_int_equal(take(), c);
	assert_true(is_empty());
	put(c, 3);
	put(a, 1);
	assert_false(ring_reap(&t.d, &id, &len));
	vring_async_publish(&t.r);
	reap(c, 3);
	reap(a, 1);
	put(b, 2);
	vring_async_publish(&t.r);
	reap(b, 2);
	assert_int_equal(vring_async_stop(&t.r), 3);
}

static void test_taken_is_taken_again_in_order(void **state)
{
	uint16_t a = offer(), b = offer(), c = offer(), d = offer();

	(void)take(), (void)take(), (void)take();
	put(b, 0);
	vring_async_publish(&t.r);
	reap(b, 0);
	die();
	assert_int_equal(take(), a);
	assert_int_equal(take(), c);
	assert_int_equal(take(), d);
	assert_true(is_empty());
	/* And again, when that one has died, too. */
	die();
	assert_int_equal(take(), a);
	put(a, 0);
	vring_async_publish(&t.r);
	die();
	assert_int_equal(take(), c);
	assert_int_equal(take(), d);
	assert_true(is_empty());
}

/* The list is written and the index is not: the driver saw nothing. */
static void test_death_before_the_index(void **state)
{
	uint16_t a = offer(), b = offer();

	(void)take(), (void)take();
	put(b, 0);
	put(a, 0);
	die();
	assert_int_equal(take(), a);
	assert_int_equal(take(), b);
	put(a, 0), put(b, 0);
	vring_async_publish(&t.r);
	reap(a, 0);
	reap(b, 0);
}

/* The driver saw both, and the region still has them, or one of them. */
static void test_death_behind_the_index(void **state)
{
	for (unsigned int wiped = 0; wiped < 3; wiped++) {
		uint16_t a = offer(), b = offer(), c = offer();
		uint8_t before[sizeof(t.region)];
		uint16_t used_idx;

		(void)take(), (void)take(), (void)take();
		put(c, 0);
		put(a, 0);
		memcpy(before, t.region, sizeof(before));
		memcpy(&used_idx, before + 14, 2);
		vring_async_publish(&t.r);
		/* As it was, but for the marks that there was time for. */
		if (wiped < 2)
			memcpy(t.region + 16 + 16 * a, before + 16 + 16 * a, 16);
		if (wiped < 1)
			memcpy(t.region + 16 + 16 * c, before + 16 + 16 * c, 16);
		memcpy(t.region + 14, &used_idx, 2);
		die();
		reap(c, 0);
		reap(a, 0);
		assert_int_equal(take(), b);
		assert_true(is_empty());
		put(b, 0);
		vring_async_publish(&t.r);
		reap(b, 0);
	}
}

static void test_a_region_of_nonsense_ends_nowhere(void **state)
{
	memset(t.region, 0xff, sizeof(t.region));
	t.region[10] = SIZE, t.region[11] = 0; /* desc_num */
	die();
	assert_true(t.r.again_count <= SIZE);
}

static void test_a_ring_that_makes_no_sense_is_broken(void **state)
{
	uint16_t index = SIZE + 1;

	memcpy(t.g.at + RING_DRIVER + 2, &index, 2);
	assert_true(is_empty());
	assert_non_null(t.r.ring.broken);
	assert_false(vring_async_waits(&t.r));
}

static void test_packed_is_refused(void **state)
{
	struct vring_async r = { 0 };
	struct err e = { 0 };

	t.start.features |= BIT_ULL(VIRTIO_F_RING_PACKED);
	assert_int_equal(vring_async_start(&r, &t.start, &e), -EINVAL);
}

static void test_kicks(void **state)
{
	vring_async_want_kicks(&t.r, false);
	(void)offer();
	assert_false(ring_kick_is_wanted(&t.d, 0));
	(void)take();
	vring_async_want_kicks(&t.r, true);
	(void)offer();
	assert_true(ring_kick_is_wanted(&t.d, 1));
	assert_true(vring_async_waits(&t.r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_any_order),
		T(test_taken_is_taken_again_in_order),
		T(test_death_before_the_index),
		T(test_death_behind_the_index),
		T(test_a_region_of_nonsense_ends_nowhere),
		T(test_a_ring_that_makes_no_sense_is_broken),
		T(test_packed_is_refused),
		T(test_kicks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
