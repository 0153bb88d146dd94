// SPDX-License-Identifier: BSD-3-Clause
/*
 * Random numbers, the virtio console and vsock between a guest's driver and the host (tests/fake/extra_board.h): what each
 * sees of the other, what a guest may cost, and when nobody may touch its memory.
 */
#include "tests/fake/extra_board.h"
#include "tests/fake/kvm_kernel.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "vmm/chipset_console.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ALL  UINT64_MAX
#define ROOM 4096U

static struct extra_board board;

static int make(void **state, unsigned int which)
{
	log_init("test", LOG_LEVEL_ERROR);
	extra_board_init(&board, which);
	*state = &board;
	return 0;
}

static int with_rng(void **state)
{
	return make(state, BIT(EXTRA_RNG));
}

static int with_console(void **state)
{
	return make(state, BIT(EXTRA_CONSOLE));
}

static int with_vsock(void **state)
{
	return make(state, BIT(EXTRA_VSOCK));
}

static int with_all(void **state)
{
	return make(state, BIT(EXTRA_RNG) | BIT(EXTRA_CONSOLE) | BIT(EXTRA_VSOCK));
}

static int teardown(void **state)
{
	extra_board_fini(*state);
	assert_int_equal(fake_kvm.doorbell_count, 0);
	assert_int_equal(fake_kvm.irqfds, 0);
	fake_kvm_reset();
	return 0;
}

static int64_t number(struct extra_board *b, const char *key)
{
	auto_json json_t *s = extra_board_status(b, 0);

	return json_integer_value(json_object_get(s, key));
}

static bool runs(struct extra_board *b)
{
	auto_json json_t *s = extra_board_status(b, 0);

	return json_is_true(json_object_get(s, "driver_active"));
}

static bool is_broken(struct extra_board *b)
{
	return (net_read(&b->board, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET) != 0;
}

static void buffer_put(struct extra_board *b, unsigned int queue, uint32_t len, bool is_writable)
{
	const struct extra_buffer buffer = { EXTRA_BUFFERS, len, is_writable };

	extra_put(b, queue, 0, &buffer);
}

/* --- where they are --------------------------------------------------------------------------- */

static void they_sit_beside_the_lpc_bridge_without_a_port(void **state)
{
	static const struct {
		unsigned int function;
		uint32_t id, class, queues;
	} rows[] = { { EXTRA_RNG, 0x10441AF4, 0x00FF0001, 1 },
		     { EXTRA_CONSOLE, 0x10431AF4, 0x07800001, 2 },
		     { EXTRA_VSOCK, 0x10531AF4, 0x07800001, 3 } };
	struct extra_board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		extra_select(b, rows[i].function);
		assert_int_equal(net_cfg_read(&b->board, PCI_VENDOR_ID, 4), rows[i].id);
		assert_int_equal(net_cfg_read(&b->board, PCI_CLASS_REVISION, 4), rows[i].class);
		assert_int_equal(net_read(&b->board, VIRTIO_PCI_COMMON_NUMQ, 2), rows[i].queues);
		assert_true(b->board.bar >= GIB(4));
		/* Integrated into the root complex: no link (PCIe Base, 7.5.3.2). */
		assert_int_equal(net_cfg_read(&b->board, 0xB2, 2) >> 4 & 0xF, 9);
		assert_int_equal(net_cfg_read(&b->board, 0xBC, 4), 0);
	}
}

static void a_vm_without_them_has_none(void **state)
{
	struct extra_board *b = *state;

	extra_select(b, EXTRA_CONSOLE);
	assert_int_equal(net_cfg_read(&b->board, PCI_VENDOR_ID, 4), UINT32_MAX);
}

/* --- random numbers --------------------------------------------------------------------------- */

static void numbers_differ(void **state)
{
	struct extra_board *b = *state;
	uint8_t first[64];

	assert_true(extra_driver_start(b, ALL));
	for (uint16_t n = 0; n < 2; n++) {
		buffer_put(b, 0, sizeof(first), true);
		extra_ring(b, 0);
		extra_board_step(b, 2);
		assert_int_equal(extra_used(b, 0), n + 1);
		assert_int_equal(extra_used_len(b, 0, n), sizeof(first));
		if (n == 0)
			memcpy(first, gmem_host(&b->board.gmem, EXTRA_BUFFERS, 64), sizeof(first));
	}
	assert_memory_not_equal(first, gmem_host(&b->board.gmem, EXTRA_BUFFERS, 64), sizeof(first));
	assert_int_equal(number(b, "to_guest"), 2 * sizeof(first));
	assert_true(runs(b));
}

static void a_guest_that_reads_without_end_is_held_back(void **state)
{
	struct extra_board *b = *state;
	uint64_t begin = now_ns(), ms;

	assert_true(extra_driver_start(b, ALL));
	while (number(b, "to_guest") < 700 << 10) {
		if (extra_used(b, 0) == b->avail[0])
			buffer_put(b, 0, 1 << 20, true);
		extra_ring(b, 0);
		extra_board_step(b, 0);
	}
	ms = (now_ns() - begin) / 1000000;
	/* 1 MiB a second, a quarter of it at once, and what is left over of the last turn. */
	assert_true((uint64_t)number(b, "to_guest") < (ms << 20) / 1000 + (256 << 10) + 70000);
	assert_false(is_broken(b));
}

static void kicks_alone_are_paid_for(void **state)
{
	struct extra_board *b = *state;
	uint64_t begin = now_ns();
	unsigned int wakes = 0;

	assert_true(extra_driver_start(b, ALL));
	extra_board_step(b, 2);
	while (wakes < 5000) {
		struct pollfd p = { .events = POLLIN };

		extra_ring(b, 0);
		for (unsigned int i = 0; i < fake_kvm.doorbell_count; i++)
			if (fake_kvm.doorbells[i].addr == b->board.bar + NET_DOORBELL)
				p.fd = fake_kvm.doorbells[i].fd;
		assert_int_equal(loop_step(b->board.loop, 0), 0);
		wakes += poll(&p, 1, 0) == 0; /* it was looked at */
	}
	/* 4096 a second, and a quarter of them at once. */
	assert_true(now_ns() - begin > (5000 - 1024 - 300) * 1000000000ULL / 4096);
}

static void buffers_of_a_byte_are_paid_for(void **state)
{
	struct extra_board *b = *state;
	uint64_t begin = now_ns();

	assert_true(extra_driver_start(b, ALL));
	while (number(b, "to_guest") < 5000) {
		bool is_idle = extra_used(b, 0) == b->avail[0];

		for (int i = 0; is_idle && i < 32; i++)
			buffer_put(b, 0, 1, true);
		extra_ring(b, 0);
		extra_board_step(b, 0);
	}
	/* Each is 257 bytes of a mebibyte a second, of which a quarter is there at once. */
	assert_true(now_ns() - begin > 900000000);
}

static void a_buffer_without_room_breaks_the_device_until_its_reset(void **state)
{
	struct extra_board *b = *state;

	assert_true(extra_driver_start(b, ALL));
	buffer_put(b, 0, 64, false);
	extra_ring(b, 0);
	extra_board_step(b, 2);
	assert_true(is_broken(b));
	assert_int_equal(extra_used(b, 0), 0);
	numbers_differ(state);
}

static void a_paused_vm_stands_still(void **state)
{
	struct extra_board *b = *state;

	assert_true(extra_driver_start(b, ALL));
	extras_pause(b->extras, true);
	buffer_put(b, 0, 64, true);
	extra_ring(b, 0);
	extra_board_step(b, 5);
	assert_int_equal(extra_used(b, 0), 0);
	extras_pause(b->extras, false);
	extra_board_step(b, 5);
	assert_int_equal(extra_used(b, 0), 1);
}

static void what_came_before_bus_mastering_is_not_lost(void **state)
{
	struct extra_board *b = *state;

	assert_true(extra_driver_start(b, ALL));
	net_cfg_write(&b->board, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	buffer_put(b, 0, 64, true);
	extra_ring(b, 0);
	extra_board_step(b, 5);
	assert_int_equal(extra_used(b, 0), 0);
	net_cfg_write(&b->board, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	extra_board_step(b, 5);
	assert_int_equal(extra_used(b, 0), 1);
}

/* --- console ---------------------------------------------------------------------------------- */

static size_t said(int fd, char *buf, size_t cap)
{
	size_t n = 0;
	ssize_t r;

	while (n < cap - 1 && (r = recv(fd, buf + n, cap - 1 - n, MSG_DONTWAIT)) > 0)
		n += (size_t)r;
	buf[n] = '\0';
	return n;
}

static void guest_says(struct extra_board *b, const char *text)
{
	memcpy(gmem_host(&b->board.gmem, EXTRA_BUFFERS, ROOM), text, strlen(text));
	buffer_put(b, 1, (uint32_t)strlen(text), false);
	extra_ring(b, 1);
	extra_board_step(b, 12);
}

static void both_ways(void **state)
{
	struct extra_board *b = *state;
	auto_fd int client = extra_client(b);
	char buf[256];

	extra_board_step(b, 2);
	assert_int_equal(write(client, "early\n", 6), 6); /* before there is a driver */
	extra_board_step(b, 2);
	assert_true(extra_driver_start(b, ALL));
	guest_says(b, "hello\n");
	said(client, buf, sizeof(buf));
	assert_string_equal(buf, "hello\n");
	buffer_put(b, 0, 4, true);
	extra_ring(b, 0);
	extra_board_step(b, 5);
	assert_int_equal(extra_used(b, 0), 1);
	assert_int_equal(extra_used_len(b, 0, 0), 4);
	assert_memory_equal(gmem_host(&b->board.gmem, EXTRA_BUFFERS, 4), "earl", 4);
	buffer_put(b, 0, 100, true);
	extra_ring(b, 0);
	extra_board_step(b, 5);
	assert_int_equal(extra_used_len(b, 0, 1), 2);
	assert_memory_equal(gmem_host(&b->board.gmem, EXTRA_BUFFERS, 2), "y\n", 2);
	assert_int_equal(number(b, "to_guest"), 6);
	assert_int_equal(number(b, "from_guest"), 6);
}

static void one_buffer_larger_than_all_that_is_kept(void **state)
{
	struct extra_board *b = *state;
	uint32_t len = 4 << 20;
	uint8_t *text = gmem_host(&b->board.gmem, EXTRA_BUFFERS, len);
	auto_free char *buf = malloc(CONSOLE_RING + 256);
	auto_fd int client = extra_client(b);
	size_t n;

	extra_board_step(b, 2);
	assert_true(extra_driver_start(b, ALL));
	memset(text, 'x', len);
	memcpy(text + len - 5, "<end>", 5);
	buffer_put(b, 1, len, false);
	extra_ring(b, 1);
	extra_board_step(b, 30);
	assert_int_equal(extra_used(b, 1), 1);
	n = said(client, buf, CONSOLE_RING + 256);
	assert_non_null(strstr(buf, "[4128768 bytes of console output lost]"));
	assert_true(n > CONSOLE_RING);
	assert_string_equal(buf + n - 5, "<end>");
	assert_int_equal(number(b, "from_guest"), len);
}

static void a_flood_is_held_back_and_nothing_of_it_is_lost_to_the_guest(void **state)
{
	struct extra_board *b = *state;
	uint64_t begin = now_ns(), ms;

	assert_true(extra_driver_start(b, ALL));
	while (number(b, "from_guest") < 5 << 20) {
		if (extra_used(b, 1) == b->avail[1])
			buffer_put(b, 1, CONSOLE_RING, false);
		extra_ring(b, 1);
		extra_board_step(b, 0);
	}
	ms = (now_ns() - begin) / 1000000;
	assert_true((uint64_t)number(b, "from_guest") < (ms << 23) / 1000 + (2 << 20) + (1 << 18));
	for (int i = 0; i < 1000 && extra_used(b, 1) != b->avail[1]; i++)
		extra_board_step(b, 10);
	assert_int_equal(extra_used(b, 1), b->avail[1]);
	assert_false(is_broken(b));
}

static void an_input_buffer_that_is_for_reading_breaks_the_device(void **state)
{
	struct extra_board *b = *state;
	auto_fd int client = extra_client(b);

	extra_board_step(b, 2);
	assert_true(extra_driver_start(b, ALL));
	buffer_put(b, 0, 64, false);
	extra_ring(b, 0);
	extra_board_step(b, 5);
	assert_false(is_broken(b)); /* nobody has looked at it */
	assert_int_equal(write(client, "x", 1), 1);
	extra_board_step(b, 5);
	assert_true(is_broken(b));
	/* What was typed waits for the next driver. */
	assert_true(extra_driver_start(b, ALL));
	buffer_put(b, 0, 64, true);
	extra_ring(b, 0);
	extra_board_step(b, 5);
	assert_int_equal(extra_used_len(b, 0, 0), 1);
}

/* --- vsock ------------------------------------------------------------------------------------ */

static void the_kernel_gets_the_rings_while_the_driver_runs(void **state)
{
	struct extra_board *b = *state;

	assert_int_equal(net_read(&b->board, NET_CONFIG, 4), 42);
	assert_int_equal(net_read(&b->board, NET_CONFIG + 4, 4), 0);
	assert_true(extra_driver_start(b, ALL));
	extra_board_step(b, 2);
	assert_true(fake_vhost.runs && fake_vhost.starts == 1);
	assert_int_equal(fake_vhost.regions, b->board.gmem.slot_count);
	/* stream and seqpacket sockets; nothing that is not asked for, such as the log of what is dirty */
	assert_int_equal(fake_vhost.acked, BIT_ULL(32) | BIT_ULL(29) | BIT_ULL(28) | BIT_ULL(1));
	for (unsigned int q = 0; q < 2; q++) {
		assert_int_equal(fake_vhost.num[q].num, 128);
		assert_ptr_equal((void *)(uintptr_t)fake_vhost.addr[q].desc_user_addr,
				 gmem_host(&b->board.gmem, NET_RING(q), 16));
		assert_ptr_equal((void *)(uintptr_t)fake_vhost.addr[q].used_user_addr,
				 gmem_host(&b->board.gmem, NET_USED(q), 16));
	}
	/* The device's reset is over when the kernel has let go, and not before. */
	net_write(&b->board, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_not_equal(net_read(&b->board, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_true(fake_vhost.runs);
	extra_board_step(b, 2);
	assert_false(fake_vhost.runs);
	assert_int_equal(net_read(&b->board, VIRTIO_PCI_COMMON_STATUS, 1), 0);
}

static void a_pause_takes_the_rings_and_gives_them_back_where_they_stood(void **state)
{
	struct extra_board *b = *state;

	assert_true(extra_driver_start(b, ALL));
	extra_board_step(b, 2);
	fake_vhost.base[0].num = 17;
	fake_vhost.base[1].num = 65535;
	extras_pause(b->extras, true);
	assert_false(fake_vhost.runs);
	extra_ring(b, 1);
	extra_board_step(b, 2);
	assert_false(fake_vhost.runs);
	fake_vhost.base[0].num = fake_vhost.base[1].num = 0;
	extras_pause(b->extras, false);
	assert_true(fake_vhost.runs && fake_vhost.starts == 2);
	assert_int_equal(fake_vhost.base[0].num, 17);
	assert_int_equal(fake_vhost.base[1].num, 65535);
	/* A machine's reset: nobody has the memory, and the next driver begins at the beginning. */
	extras_pause(b->extras, true);
	pci_host_reset(b->board.pci);
	assert_int_equal(pci_host_assign(b->board.pci, NULL), 0);
	extras_pause(b->extras, false);
	assert_false(fake_vhost.runs);
	extra_select(b, EXTRA_VSOCK);
	assert_true(extra_driver_start(b, ALL));
	extra_board_step(b, 2);
	assert_true(fake_vhost.runs && fake_vhost.base[0].num == 0 && fake_vhost.base[1].num == 0);
}

static void a_kick_always_reaches_the_kernel(void **state)
{
	struct extra_board *b = *state;
	struct pollfd p = { .events = POLLIN };

	assert_true(extra_driver_start(b, ALL));
	extra_board_step(b, 2);
	for (unsigned int q = 0; q < 2; q++) {
		p.fd = fake_vhost.kick[q];
		assert_int_equal(poll(&p, 1, 0), 1); /* from the start: it looks at what is there */
		fd_event_drain(p.fd);
		extra_ring(b, q);
		assert_int_equal(poll(&p, 1, 0), 1);
		fd_event_drain(p.fd);
	}
	/* One that comes as an exit, through the window of the configuration space. */
	net_cfg_write(&b->board, 0x98 + 8, 4, (uint32_t)(NET_DOORBELL + 4));
	net_cfg_write(&b->board, 0x98 + 12, 4, 2);
	net_cfg_write(&b->board, 0x98 + 16, 2, 1);
	extra_board_step(b, 2);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(fake_vhost.starts, 1);
}

static void what_the_kernel_refuses_is_said_and_breaks_the_device(void **state)
{
	static const unsigned long requests[] = { VHOST_SET_OWNER,	  VHOST_SET_FEATURES,
						  VHOST_SET_MEM_TABLE,	  VHOST_SET_VRING_NUM,
						  VHOST_SET_VRING_BASE,	  VHOST_SET_VRING_ADDR,
						  VHOST_SET_VRING_KICK,	  VHOST_SET_VRING_CALL,
						  VHOST_VSOCK_SET_RUNNING };
	struct extra_board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		auto_json json_t *s = NULL;

		fake_vhost.fails = requests[i];
		assert_true(extra_driver_start(b, ALL));
		extra_board_step(b, 2);
		s = extra_board_status(b, 0);
		assert_true(is_broken(b));
		assert_false(fake_vhost.runs);
		assert_non_null(
			strstr(json_string_value(json_object_get(s, "error")), "Invalid argument"));
		fake_vhost.fails = 0;
	}
	assert_true(extra_driver_start(b, ALL));
	extra_board_step(b, 2);
	assert_true(fake_vhost.runs);
}

static void a_driver_without_its_queues_gets_no_kernel(void **state)
{
	struct extra_board *b = *state;
	uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
			 VIRTIO_STATUS_FEATURES_OK;

	net_write(&b->board, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	net_write(&b->board, VIRTIO_PCI_COMMON_GF, 4, 1);
	net_write(&b->board, VIRTIO_PCI_COMMON_STATUS, 1, status);
	net_write(&b->board, VIRTIO_PCI_COMMON_STATUS, 1, status | VIRTIO_STATUS_DRIVER_OK);
	extra_board_step(b, 2);
	assert_true(is_broken(b));
	assert_false(fake_vhost.runs);
}

int main(void)
{
#define RNG(f)	   cmocka_unit_test_setup_teardown(f, with_rng, teardown)
#define CONSOLE(f) cmocka_unit_test_setup_teardown(f, with_console, teardown)
#define VSOCK(f)   cmocka_unit_test_setup_teardown(f, with_vsock, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(they_sit_beside_the_lpc_bridge_without_a_port,
						with_all, teardown),
		RNG(a_vm_without_them_has_none),
		RNG(numbers_differ),
		RNG(a_guest_that_reads_without_end_is_held_back),
		RNG(kicks_alone_are_paid_for),
		RNG(buffers_of_a_byte_are_paid_for),
		RNG(a_buffer_without_room_breaks_the_device_until_its_reset),
		RNG(a_paused_vm_stands_still),
		RNG(what_came_before_bus_mastering_is_not_lost),
		CONSOLE(both_ways),
		CONSOLE(one_buffer_larger_than_all_that_is_kept),
		CONSOLE(a_flood_is_held_back_and_nothing_of_it_is_lost_to_the_guest),
		CONSOLE(an_input_buffer_that_is_for_reading_breaks_the_device),
		VSOCK(the_kernel_gets_the_rings_while_the_driver_runs),
		VSOCK(a_pause_takes_the_rings_and_gives_them_back_where_they_stood),
		VSOCK(a_kick_always_reaches_the_kernel),
		VSOCK(what_the_kernel_refuses_is_said_and_breaks_the_device),
		VSOCK(a_driver_without_its_queues_gets_no_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
