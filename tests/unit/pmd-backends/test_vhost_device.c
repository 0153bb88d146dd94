// SPDX-License-Identifier: BSD-3-Clause
#include "vhost_talk.h"

#include "pmd-backends/vhost_inflight.h"

#include <errno.h>

/* Whatever comes last starts the ring. */
static void a_ring_runs_when_all_is_there(void **state)
{
	for (unsigned int last = 0; last < 5; last++) {
		vhost_device_reset(&t.d);
		assert_int_equal(say_number(VHOST_SET_FEATURES, FEATURES), 0);
		for (unsigned int i = 1; i <= 5; i++) {
			assert_int_equal(t.d.live, 0);
			switch ((last + i) % 5) {
			case 0:
				assert_int_equal(say_memory(), 0);
				break;
			case 1:
				assert_int_equal(say_state(VHOST_SET_VRING_NUM, 1, SIZE), 0);
				break;
			case 2:
				assert_int_equal(say_addr(1, 0), 0);
				break;
			case 3:
				assert_int_equal(say_fd(VHOST_SET_VRING_KICK, 1), 0);
				break;
			case 4:
				assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, 1, 1), 0);
				break;
			}
		}
		assert_int_equal(t.d.live, BIT(1));
	}
}

static void without_protocol_features_rings_are_enabled(void **state)
{
	begin(BIT_ULL(32));
	assert_int_equal(say_state(VHOST_SET_VRING_NUM, 0, SIZE), 0);
	assert_int_equal(say_addr(0, 0), 0);
	assert_int_equal(say_number(VHOST_SET_VRING_KICK, VHOST_RING_NO_FD), 0);
	assert_int_equal(t.d.live, BIT(0));
}

static void a_ring_stops_and_comes_back_with_a_new_kick(void **state)
{
	begin(FEATURES);
	ring_tell(0);
	ring_tell(1);
	assert_int_equal(t.d.live, 3);
	assert_int_equal(say_state(VHOST_GET_VRING_BASE, 1, 0), 0);
	assert_int_equal(t.answer.m.payload.state.index, 1);
	assert_int_equal(t.d.live, 1);
	assert_int_equal(t.d.queues[1].kick, -1);
	assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(t.d.live, 1);
	assert_int_equal(say_fd(VHOST_SET_VRING_KICK, 1), 0);
	assert_int_equal(t.d.live, 3);
	assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(t.d.live, 2);
	assert_int_equal(say_number(VHOST_SET_STATUS, 0), 0);
	assert_int_equal(t.d.live, 0);
}

/* Kicks that nobody has read are counted when the fd goes. */
static void kicks_are_counted(void **state)
{
	uint64_t ring = 1;
	int kick = eventfd(5, EFD_CLOEXEC);

	begin(FEATURES);
	assert_int_equal(say(VHOST_SET_VRING_KICK, &ring, sizeof(ring), kick), 0);
	assert_int_equal(vhost_device_kicks(&t.d), 5);
	assert_int_equal(eventfd_write(kick, 2), 0);
	assert_int_equal(say_fd(VHOST_SET_VRING_KICK, 1), 0);
	assert_int_equal(vhost_device_kicks(&t.d), 7);
	vhost_device_reset(&t.d);
	assert_int_equal(vhost_device_kicks(&t.d), 7);
}

static void rings_move_to_a_new_table_of_memory(void **state)
{
	const uint8_t *before;

	begin(FEATURES);
	ring_tell(0);
	before = t.d.queues[0].ring.desc;
	t.changes = 0;
	assert_int_equal(say_memory(), 0);
	assert_int_equal(t.d.live, 1);
	assert_int_equal(t.changes, 2);
	assert_ptr_not_equal(t.d.queues[0].ring.desc, before);
}

static void what_makes_no_sense_is_refused(void **state)
{
	begin(FEATURES);
	assert_true(say_number(VHOST_SET_FEATURES, FEATURES | BIT_ULL(31)) < 0);
	assert_string_equal(t.e.text, "SET_FEATURES: features that were not offered");
	assert_true(t.answer.is_due && t.answer.m.payload.number == 1);
	assert_true(say_number(VHOST_SET_PROTOCOL_FEATURES, BIT_ULL(5)) < 0);
	ring_tell(0);
	assert_true(say_number(VHOST_SET_FEATURES, FEATURES | PACKED) < 0);
	assert_int_equal(say_number(VHOST_SET_FEATURES, FEATURES), 0);
	assert_true(say_addr(0, MEMORY) < 0);
	assert_non_null(strstr(t.e.text, "ring 0"));
	assert_int_equal(t.d.live, 0);
	vhost_device_reset(&t.d);
	begin(FEATURES);
	assert_true(say_number(VHOST_NET_SET_MTU, 67) < 0);
	assert_true(say_number(VHOST_NET_SET_MTU, 65536) < 0);
	assert_int_equal(say_number(VHOST_NET_SET_MTU, 9000), 0);
	assert_int_equal(t.d.mtu, 9000);
}

/* Answers: with a payload of their own, with success or failure, or none. */
static void answers_are_those_of_the_protocol(void **state)
{
	assert_int_equal(say(VHOST_GET_FEATURES, "", 0, -1), 0);
	assert_true(t.answer.is_due && t.answer.m.h.size == 8);
	assert_true(t.answer.m.payload.number & PACKED);
	assert_int_equal(say(VHOST_SET_OWNER, "", 0, -1), 0);
	assert_false(t.answer.is_due); /* REPLY_ACK is not agreed on */
	begin(FEATURES);
	assert_int_equal(say(VHOST_SET_OWNER, "", 0, -1), 0);
	assert_true(t.answer.is_due && t.answer.m.payload.number == 0);
	assert_int_equal(t.answer.m.h.flags, VHOST_VERSION | VHOST_FLAG_REPLY);
	assert_int_equal(say(VHOST_GET_QUEUE_NUM, "", 0, -1), 0);
	assert_int_equal(t.answer.m.payload.number, PMD_MAX_PAIRS);
	assert_int_equal(say(VHOST_SEND_RARP, "\2\0\0\0\0\1\0", 8, -1), 0);
	assert_memory_equal(t.announced, "\2\0\0\0\0\1", 6);
}

static int say_logged_addr(uint32_t ring, uint32_t flags, uint64_t log)
{
	uint64_t at = USER + 0x10000ULL * ring;
	const struct vhost_ring_addr a = { .index = ring,
					   .flags = flags,
					   .desc = at,
					   .avail = at + 0x1000,
					   .used = at + 0x2000,
					   .log = log };

	return say(VHOST_SET_VRING_ADDR, &a, sizeof(a), -1);
}

/* In the order of a VMM that begins a migration while its guest runs, and ends it again. */
static void pages_are_marked_while_a_vmm_wishes(void **state)
{
	uint8_t *bits, *others;
	int fd, other;

	begin(FEATURES);
	ring_tell(0);
	bits = log_make(&fd, 4096);
	others = log_make(&other, 4096);
	assert_int_equal(say_log(fd, 64, 1024), 0);
	assert_true(t.answer.is_due && t.answer.m.h.size == 0);
	/* All that the guest has, 256 pages, since what was written before is not known. */
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(bits[i], i >= 1024 && i < 1024 + MEMORY / 4096 / 8 ? 0xff : 0);
	memset(bits, 0, 4096);
	assert_false(vhost_device_is_marking(&t.d));
	assert_int_equal(say_number(VHOST_SET_FEATURES, FEATURES | BIT_ULL(VHOST_F_LOG_ALL)), 0);
	assert_int_equal(t.d.live, 1);
	assert_true(vhost_device_is_marking(&t.d));
	assert_true(t.d.queues[0].ring.marks.buffers && !t.d.queues[0].ring.marks.device);
	assert_int_equal(say_logged_addr(0, VHOST_RING_LOG, 0x7000), 0);
	assert_true(t.d.queues[0].ring.marks.device);
	vring_want_kicks(&t.d.queues[0].ring, true);
	assert_int_equal(bits[1024], 1 << 7);
	/* A second log begins empty: the first has what was before it. */
	assert_int_equal(say_log(other, 64, 0), 0);
	assert_int_equal(others[0], 1 << 7); /* the ring started anew */
	for (unsigned int i = 1; i < 4096; i++)
		assert_int_equal(others[i], 0);
	assert_int_equal(say_number(VHOST_SET_FEATURES, FEATURES), 0);
	assert_int_equal(say_logged_addr(0, 0, 0), 0);
	assert_false(vhost_device_is_marking(&t.d));
	assert_int_equal(t.d.live, 1);
	munmap(bits, 4096);
	munmap(others, 4096);
	fd_close(&fd);
	fd_close(&other);
}

static void logs_that_make_no_sense_are_refused(void **state)
{
	int fd, loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *bits = log_make(&fd, 4096);
	const struct vhost_log_wire w = { 4096, 0 };

	assert_int_equal(ftruncate(loose, 4096), 0);
	begin(FEATURES);
	assert_true(say_log(loose, 4096, 0) < 0);
	assert_true(say_log(fd, 4097, 0) < 0);
	assert_true(say_log(fd, 0, 0) < 0);
	assert_true(say_log(fd, 4096, UINT64_MAX - 4095) < 0);
	assert_true(say_log(fd, UINT64_MAX, 4096) < 0);
	assert_true(say(VHOST_SET_LOG_BASE, &w, sizeof(w), -1) < 0);
	assert_true(say_log(fd, MEMORY / 4096 / 8 - 1, 0) < 0);
	assert_non_null(strstr(t.e.text, "too short"));
	assert_true(say(VHOST_SET_LOG_FD, "", 0, fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0);
	assert_int_equal(say(VHOST_SET_LOG_FD, "", 0, eventfd(0, EFD_CLOEXEC)), 0);
	assert_int_equal(say_log(fd, 4096, 0), 0);
	/* A ring whose used area has no bits. */
	ring_tell(0);
	assert_true(say_logged_addr(0, VHOST_RING_LOG, 4096ULL * 8 * 4096 - 8) < 0);
	assert_non_null(strstr(t.e.text, "ring 0: a ring whose place in the log"));
	assert_int_equal(t.d.live, 0);
	munmap(bits, 4096);
	fd_close(&fd);
	fd_close(&loose);
}

static void an_inflight_region_has_a_part_for_each_ring(void **state)
{
	struct vhost_inflight_wire w = { .queues = 4, .queue_size = SIZE };
	struct vhost_inflight i = { 0 };
	struct err e = { 0 };
	int fd;

	begin(FEATURES | PACKED);
	assert_int_equal(say(VHOST_GET_INFLIGHT_FD, &w, sizeof(w), -1), 0);
	w = t.answer.m.payload.inflight;
	fd = fcntl(t.answer.fd, F_DUPFD_CLOEXEC, 3);
	assert_true(fd >= 0 && w.size >= 4 * vring_inflight_bytes(SIZE, true));
	assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK, F_SEAL_SHRINK);
	assert_int_equal(vhost_inflight_map(&i, &w, true, fd, &e), 0);
	for (unsigned int ring = 0; ring < 4; ring++) {
		uint8_t *part = vhost_inflight_queue(&i, ring, SIZE, true);

		assert_non_null(part);
		for (size_t at = 0; at < vring_inflight_bytes(SIZE, true); at++)
			assert_int_equal(part[at], 0);
		memset(part, 0xff, vring_inflight_bytes(SIZE, true));
	}
	assert_null(vhost_inflight_queue(&i, 4, SIZE, true));
	assert_null(vhost_inflight_queue(&i, 0, 2 * SIZE, true));
	/* A VMM that says more than its region has. */
	i.queue_size = VHOST_MAX_RING;
	assert_null(vhost_inflight_queue(&i, 0, SIZE, true));
	vhost_inflight_unmap(&i);
	/* Told again, rings use it. */
	assert_int_equal(say(VHOST_SET_INFLIGHT_FD, &w, sizeof(w), fd), 0);
	ring_tell(0);
	assert_int_equal(t.d.live, 1);
	assert_non_null(t.d.queues[0].ring.inflight);
}

/* By the way: say() sees to it that messages which stop rings are known to. */
static void an_mtu_is_told_while_rings_run(void **state)
{
	begin(FEATURES);
	ring_tell(0);
	assert_int_equal(say_number(VHOST_NET_SET_MTU, 1400), 0);
	assert_int_equal(t.d.mtu, 1400);
	assert_int_equal(t.d.live, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_ring_runs_when_all_is_there),
		T(without_protocol_features_rings_are_enabled),
		T(a_ring_stops_and_comes_back_with_a_new_kick),
		T(kicks_are_counted),
		T(rings_move_to_a_new_table_of_memory),
		T(what_makes_no_sense_is_refused),
		T(answers_are_those_of_the_protocol),
		T(pages_are_marked_while_a_vmm_wishes),
		T(logs_that_make_no_sense_are_refused),
		T(an_inflight_region_has_a_part_for_each_ring),
		T(an_mtu_is_told_while_rings_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
