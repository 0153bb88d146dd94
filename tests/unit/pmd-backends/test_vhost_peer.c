// SPDX-License-Identifier: BSD-3-Clause
/* What a VMM that means harm may not have: numbers, fds, memory, and what it has not agreed on. */
#include "vhost_talk.h"

#include "pmd-backends/vhost_inflight.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

/* A guest's numbers are signed in JSON. */
static void kicks_beyond_all_numbers_are_the_most_there_are(void **state)
{
	uint64_t ring = 1;
	int kick = eventfd(0, EFD_CLOEXEC);

	begin(FEATURES);
	assert_int_equal(say(VHOST_SET_VRING_KICK, &ring, sizeof(ring), kick), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(eventfd_write(kick, UINT64_MAX - 1), 0);
		assert_int_equal(vhost_device_kicks(&t.d), INT64_MAX);
	}
	assert_int_equal(eventfd_write(kick, UINT64_MAX - 1), 0);
	vhost_device_reset(&t.d);
	assert_int_equal(vhost_device_kicks(&t.d), INT64_MAX);
}

static void only_eventfds_are_kicked_and_called(void **state)
{
	static const uint32_t requests[] = { VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL,
					     VHOST_SET_VRING_ERR, VHOST_SET_LOG_FD };
	int good = eventfd(0, EFD_CLOEXEC), pipes[2];
	char path[48];

	begin(FEATURES);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], path, sizeof(path)), sizeof(path));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", good);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		uint64_t ring = 0;
		const int fds[] = {
			fcntl(pipes[0], F_DUPFD_CLOEXEC, 3),
			fcntl(pipes[1], F_DUPFD_CLOEXEC, 3),
			fcntl(t.memfd, F_DUPFD_CLOEXEC, 3),
			open("/dev/zero", O_RDWR | O_CLOEXEC),
			open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
			socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
			timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
			/* An eventfd that can be neither read nor polled, and is always ready. */
			open(path, O_PATH | O_CLOEXEC),
		};

		for (size_t k = 0; k < ARRAY_SIZE(fds); k++) {
			assert_true(fds[k] >= 0);
			assert_int_equal(say(requests[i], &ring, sizeof(ring), fds[k]), -EBADMSG);
			assert_non_null(strstr(t.e.text, "an fd that is no eventfd"));
		}
		assert_int_equal(
			say(requests[i], &ring, sizeof(ring), fcntl(good, F_DUPFD_CLOEXEC, 3)), 0);
	}
	close(good);
	close(pipes[0]);
	close(pipes[1]);
}

/* Asks for a region, gives it to the device and lets a ring use it. The caller closes the fd. */
static int region_use(void)
{
	struct vhost_inflight_wire w = { .queues = 2, .queue_size = SIZE };
	int fd;

	assert_int_equal(say(VHOST_GET_INFLIGHT_FD, &w, sizeof(w), -1), 0);
	w = t.answer.m.payload.inflight;
	fd = fcntl(t.answer.fd, F_DUPFD_CLOEXEC, 3);
	assert_int_equal(say(VHOST_SET_INFLIGHT_FD, &w, sizeof(w), fcntl(fd, F_DUPFD_CLOEXEC, 3)),
			 0);
	ring_tell(0);
	assert_int_equal(t.d.live, 1);
	return fd;
}

static blkcnt_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fd_stat(fd, &st), 0);
	return st.st_blocks;
}

/* Pages that rings touched are charged to who serves them, however many regions a VMM keeps. */
static void only_the_last_inflight_region_has_memory(void **state)
{
	int fds[8];

	begin(FEATURES);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
		const struct vhost_inflight_wire w = { .queues = 2, .queue_size = SIZE };

		fds[i] = region_use();
		assert_true(blocks(fds[i]) > 0);
		for (unsigned int k = 0; k < i; k++)
			assert_int_equal(blocks(fds[k]), 0);
		/* That which is in use stays what it is. */
		assert_int_equal(say(VHOST_GET_INFLIGHT_FD, &w, sizeof(w), -1), -EBADMSG);
		assert_true(blocks(fds[i]) > 0);
		/* Every other time it is another connection. */
		if (i % 2 != 0) {
			vhost_device_reset(&t.d);
			begin(FEATURES);
		} else {
			assert_int_equal(say_state(VHOST_GET_VRING_BASE, 0, 0), 0);
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(&fds[i]);
}

static void an_inflight_region_must_hold_its_rings(void **state)
{
	struct vhost_inflight_wire w = { .queues = 2, .queue_size = SIZE };
	int fd;

	begin(FEATURES);
	assert_int_equal(say(VHOST_GET_INFLIGHT_FD, &w, sizeof(w), -1), 0);
	w = t.answer.m.payload.inflight;
	fd = fcntl(t.answer.fd, F_DUPFD_CLOEXEC, 3);
	w.queue_size *= 2;
	assert_int_equal(say(VHOST_SET_INFLIGHT_FD, &w, sizeof(w), fcntl(fd, F_DUPFD_CLOEXEC, 3)),
			 -EBADMSG);
	assert_non_null(strstr(t.e.text, "too small"));
	w.queue_size /= 2;
	w.queues++;
	assert_int_equal(say(VHOST_SET_INFLIGHT_FD, &w, sizeof(w), fcntl(fd, F_DUPFD_CLOEXEC, 3)),
			 -EBADMSG);
	w.queues--;
	assert_int_equal(say(VHOST_SET_INFLIGHT_FD, &w, sizeof(w), fd), 0);
}

/* One message, well-formed, of a VMM that has agreed on these features of the protocol. */
static int say_agreed(uint64_t protocol, uint32_t request)
{
	static const struct vhost_inflight_wire rings = { .queues = 2, .queue_size = SIZE };
	static const struct vhost_config_wire config = { .size = 8 };
	struct vhost_inflight_wire region = rings;
	struct err e = { 0 };
	uint8_t *bits;
	int fd = -1, r;

	vhost_device_reset(&t.d);
	assert_int_equal(say_number(VHOST_SET_PROTOCOL_FEATURES, protocol), 0);
	switch (request) {
	case VHOST_SET_LOG_BASE:
		bits = log_make(&fd, 4096);
		r = say_log(fd, 4096, 0);
		munmap(bits, 4096);
		break;
	case VHOST_SET_BACKEND_REQ_FD:
		return say(request, "", 0, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	case VHOST_GET_CONFIG:
		return say(request, &config, VHOST_CONFIG_HEAD + config.size, -1);
	case VHOST_GET_INFLIGHT_FD:
		return say(request, &rings, sizeof(rings), -1);
	case VHOST_SET_INFLIGHT_FD:
		assert_int_equal(vhost_inflight_make(&region, false, &fd, &e), 0);
		r = say(request, &region, sizeof(region), fcntl(fd, F_DUPFD_CLOEXEC, 3));
		break;
	case VHOST_GET_STATUS:
		return say(request, "", 0, -1);
	default:
		return say_number(request, 1500);
	}
	fd_close(&fd);
	return r;
}

static void what_was_not_agreed_on_is_refused(void **state)
{
	static const struct {
		uint32_t request;
		unsigned int needs;
	} rows[] = {
		{ VHOST_SET_LOG_BASE, VHOST_PROTOCOL_F_LOG_SHMFD },
		{ VHOST_SEND_RARP, VHOST_PROTOCOL_F_RARP },
		{ VHOST_NET_SET_MTU, VHOST_PROTOCOL_F_MTU },
		{ VHOST_SET_BACKEND_REQ_FD, VHOST_PROTOCOL_F_BACKEND_REQ },
		{ VHOST_GET_CONFIG, VHOST_PROTOCOL_F_CONFIG },
		{ VHOST_GET_INFLIGHT_FD, VHOST_PROTOCOL_F_INFLIGHT_SHMFD },
		{ VHOST_SET_INFLIGHT_FD, VHOST_PROTOCOL_F_INFLIGHT_SHMFD },
		{ VHOST_SET_STATUS, VHOST_PROTOCOL_F_STATUS },
		{ VHOST_GET_STATUS, VHOST_PROTOCOL_F_STATUS },
	};
	static struct vhost_kind all;
	static const struct vhost_device_ops all_ops = { on_lcore, ring_changed, announce, &all };

	all = vhost_kind_net;
	all.protocol = UINT64_MAX;
	vhost_device_init(&t.d, &all_ops, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t others = ~BIT_ULL(rows[i].needs);

		assert_int_equal(say_agreed(UINT64_MAX, rows[i].request), 0);
		assert_int_equal(say_agreed(others, rows[i].request), -EBADMSG);
		assert_non_null(strstr(t.e.text, "was not agreed on"));
		/* What is refused has left nothing behind. */
		assert_true(t.d.log.memory.count == 0 && t.d.inflight.memory.count == 0);
		assert_true(t.d.mtu == 0 && t.d.backend_fd == -1 && t.answer.fd == -1);
	}
}

/* Of one queue, both rings of a network device. */
static void without_mq_there_is_one_queue(void **state)
{
	static const uint32_t states[] = { VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE,
					   VHOST_GET_VRING_BASE, VHOST_SET_VRING_ENABLE };

	begin(FEATURES);
	assert_int_equal(say_number(VHOST_SET_PROTOCOL_FEATURES,
				    vhost_kind_net.protocol & ~BIT_ULL(VHOST_PROTOCOL_F_MQ)),
			 0);
	ring_tell(0);
	ring_tell(1);
	assert_int_equal(t.d.live, 3);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		assert_int_equal(say_state(states[i], 2, SIZE), -EBADMSG);
	assert_int_equal(say_addr(2, 0), -EBADMSG);
	assert_int_equal(say_fd(VHOST_SET_VRING_KICK, 3), -EBADMSG);
	assert_int_equal(say_fd(VHOST_SET_VRING_CALL, 3), -EBADMSG);
	assert_int_equal(t.d.live, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(kicks_beyond_all_numbers_are_the_most_there_are),
		T(only_eventfds_are_kicked_and_called),
		T(only_the_last_inflight_region_has_memory),
		T(an_inflight_region_must_hold_its_rings),
		T(what_was_not_agreed_on_is_refused),
		T(without_mq_there_is_one_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
