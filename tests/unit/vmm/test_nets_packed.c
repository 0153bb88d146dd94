// SPDX-License-Identifier: BSD-3-Clause
/*
 * A polled port with packed rings (virtio 1.2, 2.8): its control queue, which the VMM serves, and what its back ends are
 * told of where the rings stand.
 */
#include "tests/fake/net_look.h"

#include "base/log.h"
#include "vmm/virtio_net.h"

#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>

#define ALL	    UINT64_MAX
#define STEP_MS	    30
#define QUICK_MS    4
#define DOORBELL(q) (NET_DOORBELL + 4U * (q))
#define START	    0x80008000
#define RING_SIZE   256U
#define AVAIL	    0x0080
#define USED	    0x8000

static struct net_board board;

static int setup(void **state)
{
	struct net_board *b = &board;

	log_init("test", LOG_LEVEL_ERROR);
	net_board_init(b, &(struct vmm_net_spec){ .pairs = 4, .grace_ms = 300 });
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	*state = b;
	return 0;
}

static void driver_start(struct net_board *b, uint64_t features)
{
	assert_true(net_driver_start(b, features));
	assert_true(b->is_packed);
	net_board_step(b, STEP_MS);
}

static bool needs_reset(struct net_board *b)
{
	return (net_read(b, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET) != 0;
}

static void flags_put(struct net_board *b, unsigned int q, unsigned int at, uint16_t flags)
{
	put_le16(gmem_host(&b->gmem, NET_RING(q) + 16ULL * at + 14, 2), flags);
}

/* --- who chooses them ------------------------------------------------------------------------ */

static void they_are_offered_on_the_word_of_a_backend(void **state)
{
	struct net_board *b = *state;

	assert_true((net_driver_features(b) & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0);
	assert_int_equal(net_driver_features(b) & BIT_ULL(VIRTIO_NET_F_STANDBY), 0);
	expect_word(b, "ring", "split");
	driver_start(b, ALL);
	expect_word(b, "ring", "packed");
	fake_backend_close(b);
	net_board_step(b, STEP_MS);
	assert_true(net_driver_start(b, ALL));
	assert_false(b->is_packed);
	/* The next one lacks them, and a guest that uses them has none that serves it. */
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	driver_start(b, ALL);
	fake_backend_close(b);
	b->backend.features &= ~BIT_ULL(VIRTIO_F_RING_PACKED);
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	expect_word(b, "error", "lacks features 0x400000000");
}

static void areas_lie_in_ram(void **state)
{
	static const struct {
		unsigned int reg;
		uint64_t address;
	} rows[] = {
		{ VIRTIO_PCI_COMMON_Q_DESCLO, MIB(64) - 16 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, NET_RINGS + 8 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, MIB(64) },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, NET_RINGS + 2 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, MIB(64) },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, NET_RINGS + 2 },
	};
	struct net_board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(net_driver_reset(b));
		net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 3);
		net_write(b, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
		net_write(b, VIRTIO_PCI_COMMON_GF, 4, 5);
		net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 11);
		net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
		/* Four bytes are enough for an area beside the descriptors. */
		net_write(b, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, MIB(64) - 4);
		net_write(b, VIRTIO_PCI_COMMON_Q_USEDLO, 4, MIB(64) - 4);
		net_write(b, rows[i].reg, 4, rows[i].address);
		net_write(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		if (net_read(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2) != 0)
			fail_msg("row %zu is taken", i);
	}
	assert_true(net_driver_reset(b));
	driver_start(b, ALL);
}

/* --- control queue --------------------------------------------------------------------------- */

static void commands_are_answered_lap_after_lap(void **state)
{
	static const uint8_t on[] = { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 };
	static const uint8_t odd[] = { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 2 };
	static const uint8_t pairs[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 3,
					 0 };
	struct net_board *b = *state;
	uint8_t *ring = gmem_host(&b->gmem, NET_RING(8), 16);
	uint8_t *event = gmem_host(&b->gmem, NET_USED(8), 4);

	/* 64 entries, two for a command. */
	driver_start(b, ALL);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(net_command(b, 8, on, sizeof(on)), VIRTIO_NET_OK);
		assert_int_equal(net_command(b, 8, odd, sizeof(odd)), VIRTIO_NET_ERR);
	}
	/* 400 entries: six laps and 16 entries. It asks to be rung for the next one. */
	assert_int_equal(get_le16(event), 16 | 0x8000);
	assert_int_equal(get_le16(event + 2), 2);
	assert_int_equal(get_le32(ring + 8), 1); /* a byte was written */
	assert_int_equal(get_le16(ring + 12), 7); /* the buffer's id */
	assert_int_equal(get_le16(ring + 14), AVAIL | USED | 2);
	assert_int_equal(net_command(b, 8, pairs, sizeof(pairs)), VIRTIO_NET_OK);
	net_board_step(b, STEP_MS);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(b->backend.enabled[i], i < 6);
}

static void interrupts_are_as_the_guest_wishes(void **state)
{
	static const uint8_t on[] = { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 };
	static const struct {
		uint16_t place, flags;
		bool is_raised;
	} rows[] = {
		{ 0, 0, true }, /* each time */
		{ 0, 1, false }, /* never */
		{ 4 | 0x8000, 2, true }, /* when entry 4 is used, which is now */
		{ 5 | 0x8000, 2, true }, /* in the middle of this chain */
		{ 6 | 0x8000, 2, false }, /* the next */
		{ 3 | 0x8000, 2, false }, /* was */
		{ 4, 2, false }, /* in the next lap */
	};
	struct net_board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t *event = gmem_host(&b->gmem, NET_AVAIL(8), 4);

		driver_start(b, ALL);
		put_le16(event + 2, 1);
		(void)net_command(b, 8, on, sizeof(on));
		(void)net_command(b, 8, on, sizeof(on));
		put_le16(event, rows[i].place);
		put_le16(event + 2, rows[i].flags);
		net_write(b, NET_TABLE + 16 * 9 + 12, 4, 1); /* masked, to see what is pending */
		assert_int_equal(net_read(b, NET_PENDING, 8) & 1 << 9, 0);
		assert_int_equal(net_command(b, 8, on, sizeof(on)), VIRTIO_NET_OK);
		if (((net_read(b, NET_PENDING, 8) & 1 << 9) != 0) != rows[i].is_raised)
			fail_msg("row %zu", i);
	}
}

/* The command and room for its answer in a table of their own; and a second time, where nothing may be but WRITE. */
static void indirect_tables_are_taken(void **state)
{
	struct net_board *b = *state;
	uint8_t *desc = gmem_host(&b->gmem, NET_RING(8), 16);
	uint8_t *table = gmem_host(&b->gmem, NET_RING(8) + 0xD000, 64);

	for (uint16_t odd = 0; odd < 3; odd++) {
		driver_start(b, ALL);
		memcpy(table + 32, (uint8_t[]){ VIRTIO_NET_CTRL_RX, 0, 1, 0xEE }, 4);
		put_le64(table, NET_RING(8) + 0xD020);
		put_le32(table + 8, 3);
		put_le16(table + 14, odd == 0 ? 0 : odd == 1 ? 1 : 4);
		put_le64(table + 16, NET_RING(8) + 0xD023);
		put_le32(table + 24, 1);
		put_le16(table + 30, 2);
		put_le64(desc, NET_RING(8) + 0xD000);
		put_le32(desc + 8, 32);
		flags_put(b, 8, 0, 4 | AVAIL);
		net_write(b, DOORBELL(8), 2, 8);
		net_board_step(b, QUICK_MS);
		assert_int_equal(table[35], odd == 0 ? VIRTIO_NET_OK : 0xEE);
		assert_int_equal(needs_reset(b), odd != 0);
	}
	/* Not where they were not chosen. */
	driver_start(b, ~BIT_ULL(VIRTIO_F_INDIRECT_DESC));
	put_le64(desc, NET_RING(8) + 0xD000);
	put_le32(desc + 8, 32);
	flags_put(b, 8, 0, 4 | AVAIL);
	net_write(b, DOORBELL(8), 2, 8);
	net_board_step(b, QUICK_MS);
	assert_true(needs_reset(b));
}

static void broken_control_queue_needs_a_reset(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags;
	} rows[] = {
		{ MIB(64) - 2, 4, 0 }, /* past RAM */
		{ UINT64_MAX - 1, 4, 0 },
		{ NET_RING(8), 0, 0 }, /* nothing */
		{ NET_RING(8), 17, 4 }, /* an indirect table of odd size */
		{ NET_RING(8), 16 * 65, 4 }, /* one that is too long */
		{ NET_RING(8), 16, 5 }, /* one that goes on */
		{ MIB(64), 16, 4 }, /* one outside RAM */
		{ NET_RING(8) + 0xC000, 1, 0 }, /* half a command */
		{ NET_RING(8) + 0xC000, 4, 0 }, /* no room for the answer */
		{ NET_RING(8) + 0xC000, 4, 1 }, /* a chain that never ends */
	};
	struct net_board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		driver_start(b, ALL);
		for (unsigned int at = 0; at < 64; at++) {
			uint8_t *desc = gmem_host(&b->gmem, NET_RING(8) + 16ULL * at, 16);

			put_le64(desc, rows[i].addr);
			put_le32(desc + 8, rows[i].len);
			flags_put(b, 8, at, rows[i].flags | AVAIL);
		}
		net_write(b, DOORBELL(8), 2, 8);
		net_board_step(b, QUICK_MS);
		if (!needs_reset(b))
			fail_msg("row %zu is taken", i);
	}
}

/* --- back ends ------------------------------------------------------------------------------- */

static void they_begin_at_the_start(void **state)
{
	struct net_board *b = *state;
	const struct fake_backend *k = &b->backend;

	driver_start(b, ALL);
	assert_true((k->acked & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(k->base[i], START);
		assert_int_equal(k->addr[i].desc, NET_RING(i));
		assert_int_equal(k->addr[i].avail, NET_AVAIL(i)); /* the driver's area */
		assert_int_equal(k->addr[i].used, NET_USED(i)); /* the device's */
	}
}

/* Bus mastering off and on again takes the rings away and gives them back. */
static void rings_rest(struct net_board *b)
{
	net_cfg_write(b, 4, 2, 2);
	net_board_step(b, STEP_MS);
	assert_false(b->backend.enabled[0]);
	net_cfg_write(b, 4, 2, 6);
	net_board_step(b, STEP_MS);
	assert_true(b->backend.enabled[0]);
}

static void what_a_backend_says_is_given_back(void **state)
{
	struct net_board *b = *state;
	struct fake_backend *k = &b->backend;

	driver_start(b, ALL);
	k->base[0] = 0x00058009; /* five of the last lap are used, nine of this one are taken */
	k->base[1] = 0x8007; /* a back end that says half of it */
	k->base[2] = 255 | 255 << 16;
	rings_rest(b);
	assert_int_equal(k->base[0], 0x00058009);
	assert_int_equal(k->base[1], 0x80078007);
	assert_int_equal(k->base[2], 255 | 255 << 16);
	/* Another one is told what the first has said, and so it is after a reset no more. */
	net_cfg_write(b, 4, 2, 2);
	net_board_step(b, STEP_MS);
	fake_backend_close(b);
	net_board_step(b, STEP_MS);
	fake_backend_connect(b);
	net_cfg_write(b, 4, 2, 6);
	net_board_step(b, STEP_MS);
	assert_int_equal(k->base[1], 0x80078007);
	driver_start(b, ALL);
	assert_int_equal(k->base[1], START);
}

static void a_place_outside_the_ring_is_a_lie(void **state)
{
	static const uint32_t places[] = { 256, 256 << 16, 0x7FFF | 1 << 16 };
	struct net_board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		driver_start(b, ALL);
		b->backend.base[1] = places[i];
		net_cfg_write(b, 4, 2, 2);
		net_board_step(b, STEP_MS);
		expect_word(b, "error", "GET_VRING_BASE");
		expect_word(b, "backend", "gone");
		net_cfg_write(b, 4, 2, 6);
		fake_backend_close(b);
		fake_backend_connect(b);
		net_board_step(b, 1100);
		expect_word(b, "backend", "connected");
	}
}

/* So many laps were used, and then `used` entries; the guest has made some available beyond. */
static void ring_draw(struct net_board *b, unsigned int laps, unsigned int used)
{
	for (unsigned int i = 0; i < RING_SIZE; i++) {
		unsigned int lap = i < used ? laps : laps - 1; /* in which it was used last */
		uint16_t flags = lap % 2 == 0 ? AVAIL | USED : 0;

		if (laps == 0 && i >= used)
			flags = 0;
		/* Available for the next lap: its wrap counter, and the opposite of it. */
		if (i >= used && i < used + 20)
			flags = laps % 2 == 0 ? AVAIL : USED;
		flags_put(b, 0, i, flags);
	}
}

static void the_next_goes_on_where_the_last_one_died(void **state)
{
	static const struct {
		unsigned int laps, used;
		uint32_t base;
	} rows[] = {
		{ 0, 0, START },	  { 0, 1, 0x80018001 }, { 0, 255, 0x80FF80FF }, { 1, 0, 0 },
		{ 1, 77, 77 | 77 << 16 }, { 2, 0, START },	{ 2, 200, 0x80C880C8 },
	};
	struct net_board *b = *state;
	struct fake_backend *k = &b->backend;
	uint64_t region;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		driver_start(b, ALL);
		region = k->inflight_ino;
		ring_draw(b, rows[i].laps, rows[i].used);
		fake_backend_close(b);
		net_board_step(b, QUICK_MS);
		fake_backend_connect(b);
		net_board_step(b, STEP_MS);
		if (k->base[0] != rows[i].base)
			fail_msg("row %zu: 0x%x", i, k->base[0]);
		/* What it keeps account in knows best: it gets the last one's. */
		assert_int_equal(k->inflight_ino, region);
	}
	/* Flags that tell nothing, as after chains: the last place that was known. */
	k->base[0] = 0x00058005;
	rings_rest(b);
	for (unsigned int i = 0; i < RING_SIZE; i += 3)
		flags_put(b, 0, i, USED);
	fake_backend_close(b);
	net_board_step(b, QUICK_MS);
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_equal(k->base[0], 0x00058005);
}

/* A region that one back end has left is no use after another has served the rings without it. */
static void an_old_region_is_not_passed_on(void **state)
{
	struct net_board *b = *state;
	struct fake_backend *k = &b->backend;
	uint64_t region;

	driver_start(b, ALL);
	region = k->inflight_ino;
	fake_backend_close(b);
	k->protocol = ~BIT_ULL(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
	k->inflight_ino = 0;
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_true(k->enabled[0]);
	assert_int_equal(k->inflight_ino, 0);
	fake_backend_close(b);
	k->protocol = UINT64_MAX;
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_not_equal(k->inflight_ino, 0);
	assert_int_not_equal(k->inflight_ino, region);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(they_are_offered_on_the_word_of_a_backend),
		CASE(areas_lie_in_ram),
		CASE(commands_are_answered_lap_after_lap),
		CASE(interrupts_are_as_the_guest_wishes),
		CASE(indirect_tables_are_taken),
		CASE(broken_control_queue_needs_a_reset),
		CASE(they_begin_at_the_start),
		CASE(what_a_backend_says_is_given_back),
		CASE(a_place_outside_the_ring_is_a_lie),
		CASE(the_next_goes_on_where_the_last_one_died),
		CASE(an_old_region_is_not_passed_on),
	};

	return cmocka_run_group_tests_name("vmm-nets-packed", tests, NULL, NULL);
}
