/* SPDX-License-Identifier: BSD-3-Clause */
/* A device and its VMM: the test is the VMM, and the lcore at once. */
#ifndef VIADUCT_TESTS_UNIT_PMD_BACKENDS_VHOST_TALK_H
#define VIADUCT_TESTS_UNIT_PMD_BACKENDS_VHOST_TALK_H

#include "pmd-backends/vhost_check.h"
#include "pmd-backends/vhost_device.h"

#include "base/fd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY	 (1U << 20)
#define USER	 0x40000000ULL
#define SIZE	 64U
#define FEATURES (BIT_ULL(32) | BIT_ULL(VHOST_F_PROTOCOL_FEATURES))
#define PACKED	 BIT_ULL(34)

static struct {
	struct vhost_device d;
	int memfd;
	unsigned int changes; /* rings that started or ended */
	const struct vhost_message *saying; /* NULL: nothing */
	uint8_t announced[6];
	struct vhost_answer answer;
	struct err e;
} t;

static inline void on_lcore(void *arg, void (*fn)(void *fn_arg), void *fn_arg)
{
	fn(fn_arg);
}

static inline void ring_changed(void *arg, unsigned int ring, bool is_live)
{
	assert_int_equal(is_live, (t.d.live & BIT(ring)) != 0);
	/* A disk's requests are done before such a message is, and no other. */
	if (!is_live && t.saying != NULL)
		assert_true(vhost_message_stops(t.saying) & BIT(ring));
	t.changes++;
}

static inline void announce(void *arg, const uint8_t mac[6])
{
	memcpy(t.announced, mac, 6);
}

static const struct vhost_device_ops ops = { on_lcore, ring_changed, announce };

static inline int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.answer.fd = -1;
	t.memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(t.memfd, MEMORY), 0);
	assert_int_equal(fcntl(t.memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	vhost_device_init(&t.d, &ops, NULL);
	return 0;
}

static inline int teardown(void **state)
{
	vhost_device_fini(&t.d);
	assert_true(t.d.live == 0 && t.d.region_fd == -1);
	fd_close(&t.memfd);
	return 0;
}

/* Says one message; fd -1: none. What the device does not keep is closed. */
static inline int say(uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vhost_message m = { .h = { request, VHOST_VERSION | VHOST_FLAG_NEED_REPLY, size } };
	int fds[1] = { fd }, r;

	memset(&t.e, 0, sizeof(t.e));
	memcpy(&m.payload, payload, size);
	t.saying = &m;
	r = vhost_message_check(&m, fds, fd >= 0, &t.e);
	if (r == 0)
		r = vhost_device_message(&t.d, &m, fds, &t.answer, &t.e);
	while (r == 0 && vhost_device_more(&t.d))
		continue;
	t.saying = NULL;
	fd_close(&fds[0]);
	assert_int_equal(r < 0, t.e.text[0] != '\0');
	return r;
}

static inline int say_number(uint32_t request, uint64_t number)
{
	return say(request, &number, sizeof(number), -1);
}

static inline int say_state(uint32_t request, uint32_t ring, uint32_t num)
{
	const struct vhost_ring_state s = { ring, num };

	return say(request, &s, sizeof(s), -1);
}

static inline int say_memory(void)
{
	const struct vhost_memory_table table = { .count = 1,
						  .regions = { { 0, MEMORY, USER, 0 } } };

	return say(VHOST_SET_MEM_TABLE, &table, 40, fcntl(t.memfd, F_DUPFD_CLOEXEC, 3));
}

static inline int say_addr(uint32_t ring, uint64_t offset)
{
	uint64_t at = USER + 0x10000ULL * ring + offset;
	const struct vhost_ring_addr a = {
		.index = ring, .desc = at, .avail = at + 0x1000, .used = at + 0x2000
	};

	return say(VHOST_SET_VRING_ADDR, &a, sizeof(a), -1);
}

static inline int say_fd(uint32_t request, uint64_t ring)
{
	return say(request, &ring, sizeof(ring), eventfd(0, EFD_CLOEXEC));
}

static inline void ring_tell(uint32_t ring)
{
	assert_int_equal(say_state(VHOST_SET_VRING_NUM, ring, SIZE), 0);
	assert_int_equal(say_state(VHOST_SET_VRING_BASE, ring, 0), 0);
	assert_int_equal(say_addr(ring, 0), 0);
	assert_int_equal(say_fd(VHOST_SET_VRING_CALL, ring), 0);
	assert_int_equal(say_fd(VHOST_SET_VRING_KICK, ring), 0);
	assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, ring, 1), 0);
}

static inline void begin(uint64_t features)
{
	assert_int_equal(say_number(VHOST_SET_PROTOCOL_FEATURES, vhost_kind_net.protocol), 0);
	assert_int_equal(say_number(VHOST_SET_FEATURES, features), 0);
	assert_int_equal(say_memory(), 0);
}

/* The log's file, with all its bits as the VMM sees them. */
static inline uint8_t *log_make(int *fd, uint64_t size)
{
	uint8_t *bits;

	*fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(*fd, (off_t)size), 0);
	assert_int_equal(fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	bits = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	assert_ptr_not_equal(bits, MAP_FAILED);
	return bits;
}

static inline int say_log(int fd, uint64_t size, uint64_t offset)
{
	const struct vhost_log_wire w = { size, offset };

	return say(VHOST_SET_LOG_BASE, &w, sizeof(w), fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

#endif
