// SPDX-License-Identifier: BSD-3-Clause
/*
 * A disk between a guest's driver and a vhost-user back end (tests/fake/net_board.h): what the guest is offered by what the
 * first back end says, what later ones are held to, where the rings go on, and what a back end that lies costs.
 */
#include "tests/fake/net_look.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "vmm/virtio_blk.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define ALL	  UINT64_MAX
#define QUICK_MS  4
#define CONFIG(m) (NET_CONFIG + (unsigned int)offsetof(struct virtio_blk_config, m))
#define BLK(f)	  BIT_ULL(VIRTIO_BLK_F_##f)

static struct net_board board;

static int setup(void **state)
{
	log_init("test", LOG_LEVEL_ERROR);
	disk_board_init(&board, &(struct vmm_disk_spec){ .boot = 1 });
	*state = &board;
	return 0;
}

static void connect_and_look(struct net_board *b)
{
	fake_backend_connect(b);
	net_board_step(b, QUICK_MS);
}

/* Its driver runs, and its back end serves it. */
static void start(struct net_board *b)
{
	connect_and_look(b);
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, QUICK_MS);
	assert_true(b->backend.enabled[0] && b->backend.enabled[1]);
}

static bool is_signalled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&p, 1, 0) == 1;
}

/* --- what the guest finds -------------------------------------------------------------------- */

static void it_is_a_modern_disk(void **state)
{
	struct net_board *b = *state;
	const char *why = NULL;
	uint64_t f;

	assert_int_equal(net_cfg_read(b, PCI_VENDOR_ID, 4), 0x10421AF4);
	assert_int_equal(net_cfg_read(b, PCI_CLASS_REVISION, 4), 0x01000001);
	assert_string_equal(disks_waiting(b->disks, &why), "root");
	assert_string_equal(why, "");
	assert_int_equal(number(b, "size"), 0);
	expect_word(b, "backend", "waiting");

	connect_and_look(b);
	assert_null(disks_waiting(b->disks, &why));
	assert_int_equal(number(b, "size"), GIB(1));
	f = net_driver_features(b);
	assert_int_equal(f, BLK(SIZE_MAX) | BLK(SEG_MAX) | BLK(BLK_SIZE) | BLK(FLUSH) |
				    BLK(TOPOLOGY) | BLK(MQ) | BLK(DISCARD) | BLK(WRITE_ZEROES) |
				    BIT_ULL(VIRTIO_F_INDIRECT_DESC) | BIT_ULL(VIRTIO_F_EVENT_IDX) |
				    BIT_ULL(VIRTIO_F_VERSION_1));
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_NUMQ, 2), 2);
	assert_int_equal(net_read(b, CONFIG(capacity), 8), GIB(1) / 512);
	assert_int_equal(net_read(b, CONFIG(num_queues), 2), 2);
	/* What fits the ring without indirect descriptors; and nothing that was not offered. */
	assert_int_equal(net_read(b, CONFIG(seg_max), 4), 254);
	assert_int_equal(net_read(b, CONFIG(geometry), 4), 0);
	assert_int_equal(net_read(b, CONFIG(wce), 1), 0);
	assert_int_equal(net_read(b, CONFIG(max_discard_seg), 4), 16);
	assert_int_equal(net_read(b, CONFIG(write_zeroes_may_unmap), 4), 1);
}

static void the_firmware_is_told_where_it_is(void **state)
{
	struct net_board *b = *state;
	char order[DISKS_BOOTORDER];

	assert_int_equal(disks_bootorder(b->disks, order), 41);
	assert_string_equal(order, "/pci@i0cf8/pci-bridge@1/scsi@0/disk@0,0\n");
	b->spec.disks[0].boot = 0;
	assert_int_equal(disks_bootorder(b->disks, order), 0);
	assert_int_equal(disks_bootorder(NULL, order), 0);
}

/* --- what back ends say ---------------------------------------------------------------------- */

static void fault_capacity_none(struct fake_backend *k)
{
	fake_disk_config(k)->capacity = 0;
}

static void fault_capacity_absurd(struct fake_backend *k)
{
	fake_disk_config(k)->capacity = UINT64_MAX / 512;
}

static void fault_block_odd(struct fake_backend *k)
{
	fake_disk_config(k)->blk_size = 513;
}

static void fault_block_small(struct fake_backend *k)
{
	fake_disk_config(k)->blk_size = 256;
}

static void fault_block_large(struct fake_backend *k)
{
	fake_disk_config(k)->blk_size = 65536;
}

static void fault_old(struct fake_backend *k)
{
	k->features &= ~BIT_ULL(VIRTIO_F_VERSION_1);
}

static void fault_queues(struct fake_backend *k)
{
	k->pairs = 1;
}

static void fault_no_config(struct fake_backend *k)
{
	k->protocol &= ~BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIG);
}

static void fault_no_inflight(struct fake_backend *k)
{
	k->protocol &= ~BIT_ULL(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
}

static void fault_no_mq(struct fake_backend *k)
{
	k->protocol &= ~BIT_ULL(VHOST_USER_PROTOCOL_F_MQ);
}

static void a_disk_that_cannot_be_is_refused(void **state)
{
	static const struct {
		void (*make)(struct fake_backend *k);
		const char *text;
	} rows[] = {
		{ fault_capacity_none, "a disk of 0 sectors" },
		{ fault_capacity_absurd, "a disk of 36028797018963967 sectors" },
		{ fault_block_odd, "blocks of 513 bytes" },
		{ fault_block_small, "blocks of 256 bytes" },
		{ fault_block_large, "blocks of 65536 bytes" },
		{ fault_old, "lacks the feature VERSION_1" },
		{ fault_queues, "it has 1 queues, the disk 2" },
		{ fault_no_config, "lacks the protocol feature CONFIG" },
		{ fault_no_inflight, "lacks the protocol feature INFLIGHT_SHMFD" },
		{ fault_no_mq, "it has 1 queue, the disk 2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *why = "";

		disk_board_init(&board, &(struct vmm_disk_spec){ .queues = 2 });
		rows[i].make(&board.backend);
		connect_and_look(&board);
		expect_word(&board, "error", rows[i].text);
		assert_string_equal(disks_waiting(board.disks, &why), "root");
		assert_non_null(strstr(why, rows[i].text));
		net_board_fini(&board);
		fake_kvm_reset();
	}
}

/* A feature whose numbers make no sense is not offered. */
static void features_without_their_numbers_are_left_out(void **state)
{
	struct net_board *b = *state;
	struct virtio_blk_config *c = fake_disk_config(&b->backend);

	c->max_discard_seg = 0;
	c->max_write_zeroes_sectors = 0;
	c->size_max = c->seg_max = 0;
	c->physical_block_exp = 200;
	connect_and_look(b);
	assert_int_equal(net_driver_features(b) & (BLK(SIZE_MAX) | BLK(SEG_MAX) | BLK(DISCARD) |
						   BLK(WRITE_ZEROES) | BLK(TOPOLOGY)),
			 0);
	assert_true((net_driver_features(b) & BLK(FLUSH)) != 0);
}

static void later_smaller(struct fake_backend *k)
{
	fake_disk_config(k)->capacity--;
}

static void later_readonly(struct fake_backend *k)
{
	k->features |= BLK(RO);
}

static void later_blocks(struct fake_backend *k)
{
	fake_disk_config(k)->blk_size = 4096;
}

static void later_segments(struct fake_backend *k)
{
	fake_disk_config(k)->seg_max = 100;
}

static void later_no_discard(struct fake_backend *k)
{
	k->features &= ~BLK(DISCARD);
}

static void a_later_backend_is_held_to_what_the_guest_has(void **state)
{
	static const struct {
		void (*make)(struct fake_backend *k);
		const char *text;
	} rows[] = {
		{ later_smaller, "has 1073741312 bytes, fewer than the 1073741824" },
		{ later_readonly, "read-only, the guest's writable" },
		{ later_blocks, "blocks of 4096 bytes, not 512" },
		{ later_segments, "takes less in one request" },
		{ later_no_discard, "lacks features 0x2000 that the guest uses" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		disk_board_init(&board, &(struct vmm_disk_spec){ .queues = 2 });
		start(&board);
		fake_backend_close(&board);
		net_board_step(&board, QUICK_MS);
		expect_word(&board, "backend", "gone");
		rows[i].make(&board.backend);
		connect_and_look(&board);
		expect_word(&board, "error", rows[i].text);
		assert_false(board.backend.enabled[0]);
		assert_int_equal(number(&board, "size"), GIB(1));
		net_board_fini(&board);
		fake_kvm_reset();
	}
}

/* One that has more is welcome, and the guest goes on with what it was offered. */
static void a_feature_that_the_guest_left_may_go(void **state)
{
	struct net_board *b = *state;

	connect_and_look(b);
	assert_true(net_driver_start(b, ALL & ~BLK(DISCARD)));
	net_board_step(b, QUICK_MS);
	fake_backend_close(b);
	net_board_step(b, QUICK_MS);
	b->backend.features &= ~BLK(DISCARD);
	connect_and_look(b);
	assert_true(b->backend.enabled[0]);
	assert_true(net_driver_reset(b));
	assert_int_equal(net_driver_features(b) & BLK(DISCARD), 0);
}

/* --- rings ----------------------------------------------------------------------------------- */

static void used_index_set(struct net_board *b, unsigned int ring, uint16_t index)
{
	uint8_t *used = gmem_host(&b->gmem, NET_USED(ring), 4);

	put_le16(used + 2, index);
}

/* It died: nobody asked where it stood. What it had begun is in its region, beyond the used index. */
static void the_next_one_goes_on_where_the_last_died(void **state)
{
	struct net_board *b = *state;
	uint8_t *avail = gmem_host(&b->gmem, NET_AVAIL(0), 4);
	uint64_t region;

	start(b);
	region = b->backend.inflight_ino;
	assert_int_not_equal(region, 0);
	assert_int_equal(b->backend.inflight.num_queues, 2);
	assert_int_equal(b->backend.inflight.queue_size, 256);
	used_index_set(b, 0, 5);
	used_index_set(b, 1, 65535);
	put_le16(avail + 2, 9);
	net_write(b, NET_TABLE + 16 * 1 + 12, 4, 1); /* masked: the wake-up stays pending */
	fake_backend_close(b);
	net_board_step(b, QUICK_MS);
	assert_int_equal(net_read(b, NET_PENDING, 8) & 2, 2);
	expect_word(b, "error", "");
	b->backend.messages[VHOST_USER_GET_INFLIGHT_FD] = 0;

	connect_and_look(b);
	assert_int_equal(b->backend.base[0], 5);
	assert_int_equal(b->backend.base[1], 65535);
	assert_int_equal(b->backend.messages[VHOST_USER_GET_INFLIGHT_FD], 0);
	assert_true(b->backend.inflight_ino == region);
	assert_true(is_signalled(b->backend.kick[0]) && is_signalled(b->backend.kick[1]));
	assert_int_equal(number(b, "reconnects"), 1);
}

/* A reset ends what was in flight, whether a back end is there or not. */
static void a_reset_forgets_what_was_in_flight(void **state)
{
	struct net_board *b = *state;
	uint64_t region;

	start(b);
	region = b->backend.inflight_ino;
	assert_true(net_driver_reset(b));
	assert_false(b->backend.enabled[0]);
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, QUICK_MS);
	assert_true(b->backend.enabled[0] && b->backend.inflight_ino != region);
	region = b->backend.inflight_ino;
	fake_backend_close(b);
	net_board_step(b, QUICK_MS);
	assert_true(net_driver_start(b, ALL));
	connect_and_look(b);
	assert_true(b->backend.enabled[0] && b->backend.inflight_ino != region);
}

static void base_say(struct fake_backend *k, unsigned int ring)
{
	const struct {
		struct vhost_user_header h;
		struct vhost_user_vring_state s;
	} m = { { VHOST_USER_GET_VRING_BASE, VHOST_USER_VERSION | VHOST_USER_REPLY, sizeof(m.s) },
		{ ring, 0 } };

	assert_int_equal(send(k->sock, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
}

/* Requests under way: the guest's reset, and the VM's, wait for them. */
static void a_backend_with_requests_under_way_is_waited_for(void **state)
{
	struct net_board *b = *state;
	uint64_t begin = now_ns();

	start(b);
	b->backend.lie = LIE_SILENT;
	b->backend.lie_at = VHOST_USER_GET_VRING_BASE;
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	net_board_step(b, QUICK_MS);
	assert_int_not_equal(net_read(b, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_false(disks_pause(b->disks, true));
	assert_true(now_ns() - begin < 2000000000ULL);
	expect_word(b, "backend", "connected");
	/* Longer than a dialogue may take otherwise. */
	while (now_ns() - begin < 5300000000ULL)
		net_board_step(b, 100);
	expect_word(b, "error", "requests are under way");
	expect_word(b, "backend", "connected");
	base_say(&b->backend, 0);
	net_board_step(b, QUICK_MS);
	base_say(&b->backend, 1);
	net_board_step(b, QUICK_MS);
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_true(disks_pause(b->disks, true));
	expect_word(b, "error", "");
	assert_true(disks_pause(b->disks, false));
}

static void ack_say(struct fake_backend *k, uint32_t request)
{
	const struct {
		struct vhost_user_header h;
		uint32_t number[2];
	} m = { { request, VHOST_USER_VERSION | VHOST_USER_REPLY, sizeof(m.number) }, { 0 } };

	assert_int_equal(send(k->sock, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
}

/* Each answer has its five seconds: a slow one with many queues is no silent one. */
static void a_slow_backend_is_not_dropped_for_its_many_answers(void **state)
{
	struct net_board *b = *state;

	connect_and_look(b);
	b->backend.lie = LIE_SILENT;
	b->backend.lie_at = VHOST_USER_SET_VRING_ENABLE;
	assert_true(net_driver_start(b, ALL));
	for (unsigned int ring = 0; ring < 2; ring++) {
		uint64_t begin = now_ns();

		while (now_ns() - begin < 2800000000ULL)
			net_board_step(b, 100);
		assert_true(b->backend.enabled[ring]);
		ack_say(&b->backend, VHOST_USER_SET_VRING_ENABLE);
		net_board_step(b, QUICK_MS);
	}
	expect_word(b, "backend", "connected");
	b->backend.lie = LIE_NONE;
	assert_true(net_driver_reset(b));
	assert_int_equal(number(b, "reconnects"), 0);
}

/* --- a new size ------------------------------------------------------------------------------ */

static void change_say(struct fake_backend *k, uint32_t request, uint32_t flags)
{
	const struct vhost_user_header h = { request, flags, 0 };

	assert_int_equal(send(k->channel, &h, sizeof(h), MSG_NOSIGNAL), sizeof(h));
}

static void a_new_size_is_told_while_the_disk_runs(void **state)
{
	struct net_board *b = *state;
	uint64_t generation;

	start(b);
	generation = net_read(b, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	net_write(b, NET_TABLE + 12, 4, 1); /* masked: the interrupt stays pending */
	fake_disk_config(&b->backend)->capacity = GIB(2) / 512;
	change_say(&b->backend, VHOST_USER_BACKEND_CONFIG_CHANGE, VHOST_USER_VERSION);
	net_board_step(b, QUICK_MS);
	assert_int_equal(net_read(b, CONFIG(capacity), 8), GIB(2) / 512);
	assert_int_equal(number(b, "size"), GIB(2));
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation + 1);
	assert_int_equal(net_read(b, NET_PENDING, 8) & 1, 1);
	assert_true(b->backend.enabled[0]);
	assert_int_equal(b->backend.messages[VHOST_USER_GET_VRING_BASE], 0);
	/* A later back end may not have less than that. */
	fake_backend_close(b);
	net_board_step(b, QUICK_MS);
	fake_disk_config(&b->backend)->capacity = GIB(1) / 512;
	connect_and_look(b);
	expect_word(b, "error", "fewer than");
}

/* The image grows while a back end that is new says what it is. */
static void a_new_size_is_not_lost_as_it_comes(void **state)
{
	struct net_board *b = *state;

	b->backend.grows = GIB(2) / 512;
	connect_and_look(b);
	net_board_step(b, QUICK_MS);
	assert_int_equal(number(b, "size"), GIB(2));
}

static void what_it_says_by_itself_is_bounded(void **state)
{
	struct net_board *b = *state;
	uint8_t answer[64];

	start(b);
	b->backend.messages[VHOST_USER_GET_CONFIG] = 0;
	for (unsigned int i = 0; i < 100; i++)
		change_say(&b->backend, VHOST_USER_BACKEND_CONFIG_CHANGE, VHOST_USER_VERSION);
	net_board_step(b, QUICK_MS);
	assert_true(b->backend.messages[VHOST_USER_GET_CONFIG] < 10);
	assert_true(b->backend.enabled[0]);
	fake_backend_close(b);
	net_board_step(b, QUICK_MS);

	connect_and_look(b);
	change_say(&b->backend, VHOST_USER_BACKEND_CONFIG_CHANGE,
		   VHOST_USER_VERSION | VHOST_USER_NEED_REPLY);
	net_board_step(b, QUICK_MS);
	assert_int_equal(recv(b->backend.channel, answer, sizeof(answer), MSG_DONTWAIT), 20);
	/* Any other message costs it the disk; the channel's end does not. */
	net_board_step(b, 80);
	change_say(&b->backend, 3, VHOST_USER_VERSION);
	net_board_step(b, QUICK_MS);
	expect_word(b, "error", "message 3 through its own channel");
	fake_backend_close(b);
	net_board_step(b, 1100);
	connect_and_look(b);
	assert_true(b->backend.enabled[0]);
	fd_close(&b->backend.channel);
	net_board_step(b, 80);
	assert_true(b->backend.enabled[0]);
	expect_word(b, "backend", "connected");
}

/* --- lies ------------------------------------------------------------------------------------ */

static const uint32_t questions[] = {
	VHOST_USER_GET_FEATURES,     VHOST_USER_GET_PROTOCOL_FEATURES,
	VHOST_USER_GET_QUEUE_NUM,    VHOST_USER_SET_OWNER,
	VHOST_USER_GET_CONFIG,	     VHOST_USER_SET_BACKEND_REQ_FD,
	VHOST_USER_SET_MEM_TABLE,    VHOST_USER_SET_FEATURES,
	VHOST_USER_SET_VRING_NUM,    VHOST_USER_SET_VRING_BASE,
	VHOST_USER_SET_VRING_ADDR,   VHOST_USER_GET_INFLIGHT_FD,
	VHOST_USER_SET_VRING_CALL,   VHOST_USER_SET_VRING_KICK,
	VHOST_USER_SET_VRING_ENABLE, VHOST_USER_GET_VRING_BASE,
};

static void lie_try(uint32_t at, enum fake_lie lie)
{
	struct net_board *b = &board;

	disk_board_init(b, &(struct vmm_disk_spec){ .queues = 2 });
	b->backend.lie = lie;
	b->backend.lie_at = at;
	connect_and_look(b);
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, QUICK_MS);
	if (at == VHOST_USER_GET_VRING_BASE)
		assert_true(net_driver_reset(b)); /* whatever its answer is */
	net_board_step(b, QUICK_MS);
	if (b->backend.messages[at] == 0)
		fail_msg("%s was never said", vhost_user_request_name(at));
	{
		auto_json json_t *s = net_board_status(b);
		const char *error = json_string_value(json_object_get(s, "error"));

		if (error[0] == '\0')
			fail_msg("%s: lie %u is taken", vhost_user_request_name(at), lie);
	}
	net_board_fini(b);
	fake_kvm_reset();
}

static void every_lie_costs_the_disk_its_backend(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
		for (enum fake_lie lie = LIE_REQUEST; lie < LIE_SILENT; lie++)
			lie_try(questions[i], lie);
}

#define WITH_BOARD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BOARD(it_is_a_modern_disk),
		WITH_BOARD(the_firmware_is_told_where_it_is),
		cmocka_unit_test(a_disk_that_cannot_be_is_refused),
		WITH_BOARD(features_without_their_numbers_are_left_out),
		cmocka_unit_test(a_later_backend_is_held_to_what_the_guest_has),
		WITH_BOARD(a_feature_that_the_guest_left_may_go),
		WITH_BOARD(the_next_one_goes_on_where_the_last_died),
		WITH_BOARD(a_reset_forgets_what_was_in_flight),
		WITH_BOARD(a_backend_with_requests_under_way_is_waited_for),
		WITH_BOARD(a_slow_backend_is_not_dropped_for_its_many_answers),
		WITH_BOARD(a_new_size_is_told_while_the_disk_runs),
		WITH_BOARD(a_new_size_is_not_lost_as_it_comes),
		WITH_BOARD(what_it_says_by_itself_is_bounded),
		cmocka_unit_test(every_lie_costs_the_disk_its_backend),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("vmm-disks", tests, NULL, NULL);
}
