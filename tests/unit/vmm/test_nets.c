// SPDX-License-Identifier: BSD-3-Clause
/*
 * A polled port between a guest's driver and a vhost-user back end (tests/fake/net_board.h): what each sees of the
 * other, and what becomes of a back end that lies.
 */
#include "tests/fake/net_look.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "vmm/virtio_net.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <unistd.h>

#define ALL	    (~BIT_ULL(VIRTIO_F_RING_PACKED)) /* which is test_nets_packed.c's */
#define STEP_MS	    30
#define QUICK_MS    4
#define DOORBELL(q) (NET_DOORBELL + 4U * (q))
#define CAP_MSIX    0x40
#define CAP_WINDOW  0x98

static struct net_board board;

static int setup(void **state)
{
	log_init("test", LOG_LEVEL_ERROR);
	net_board_init(&board, &(struct vmm_net_spec){ .grace_ms = 300 });
	*state = &board;
	return 0;
}

static int setup_pairs(void **state)
{
	log_init("test", LOG_LEVEL_ERROR);
	net_board_init(&board, &(struct vmm_net_spec){ .pairs = 4, .grace_ms = 300 });
	*state = &board;
	return 0;
}

static bool flag(struct net_board *b, const char *key)
{
	auto_json json_t *s = net_board_status(b);

	return json_is_true(json_object_get(s, key));
}

static uint16_t guest_link(struct net_board *b)
{
	return (uint16_t)net_read(b, NET_CONFIG + 6, 2);
}

static bool is_signalled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count;

	return fd >= 0 && poll(&p, 1, 0) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

/* --- the device as the guest finds it -------------------------------------------------------- */

static void it_is_a_modern_network_card(void **state)
{
	struct net_board *b = *state;
	uint64_t f = net_driver_features(b);

	assert_int_equal(net_cfg_read(b, PCI_VENDOR_ID, 4), 0x10411AF4);
	assert_int_equal(net_cfg_read(b, PCI_CLASS_REVISION, 4), 0x02000001);
	assert_true(b->bar >= GIB(4));
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_NUMQ, 2), 3);
	assert_int_equal(net_read(b, NET_CONFIG, 1), 2);
	assert_int_equal(net_read(b, NET_CONFIG + 8, 2), 1);
	assert_int_equal(net_read(b, NET_CONFIG + 10, 2), 1500);
	assert_true((f & BIT_ULL(VIRTIO_F_VERSION_1)) != 0 && (f & BIT_ULL(VIRTIO_NET_F_MTU)) != 0);
	/* one pair: no MQ; never the standby bit; no packed rings while nobody is there who has them */
	assert_int_equal(f & (BIT_ULL(VIRTIO_NET_F_MQ) | BIT_ULL(62) | BIT_ULL(34)), 0);
	/* The same register through the window of the configuration space. */
	net_cfg_write(b, CAP_WINDOW + 8, 4, VIRTIO_PCI_COMMON_NUMQ);
	net_cfg_write(b, CAP_WINDOW + 12, 4, 2);
	assert_int_equal(net_cfg_read(b, CAP_WINDOW + 16, 2), 3);
	net_cfg_write(b, CAP_WINDOW + 8, 4, 0x7FFF);
	net_cfg_write(b, CAP_WINDOW + 16, 4, 1); /* odd, or past the end: nothing */
}

static void features_and_queues_are_held_to_the_rules(void **state)
{
	struct net_board *b = *state;

	/* Without VERSION_1 it is no device of ours; what was not offered is not to be had. */
	assert_false(net_driver_start(b, BIT_ULL(VIRTIO_NET_F_MAC)));
	assert_true(net_driver_reset(b));
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	net_write(b, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	net_write(b, VIRTIO_PCI_COMMON_GF, 4, 5); /* bit 34: packed rings */
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 15);
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_STATUS, 1), 3);

	/* Rings outside RAM break the device, until it is reset. */
	assert_true(net_driver_start(b, ALL));
	assert_true(net_driver_reset(b));
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	net_write(b, VIRTIO_PCI_COMMON_GF, 4, 1);
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	net_write(b, VIRTIO_PCI_COMMON_Q_DESCLO, 4, MIB(64) - 16);
	net_write(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_true(net_driver_reset(b));
	assert_true(net_driver_start(b, ALL));
	/* A size that is no power of two, or too large, is not taken. */
	net_driver_reset(b);
	net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	net_write(b, VIRTIO_PCI_COMMON_Q_SIZE, 2, 100);
	net_write(b, VIRTIO_PCI_COMMON_Q_SIZE, 2, 512);
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, 3);
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
}

static void doorbells_follow_the_bar_and_the_queues(void **state)
{
	struct net_board *b = *state;
	uint64_t bar = b->bar;

	assert_int_equal(fake_kvm.doorbell_count, 0);
	assert_true(net_driver_start(b, ALL));
	assert_int_equal(fake_kvm.doorbell_count, 3);
	assert_true(fake_kvm_doorbell(bar + DOORBELL(1)));
	net_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(fake_kvm.doorbell_count, 0);
	net_cfg_write(b, PCI_BASE_ADDRESS_0, 4, (uint32_t)bar + 0x100000);
	net_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	assert_false(fake_kvm_doorbell(bar + DOORBELL(1)));
	assert_true(fake_kvm_doorbell(bar + 0x100000 + DOORBELL(1)));
	b->bar = bar + 0x100000;
	assert_true(net_driver_reset(b));
	assert_int_equal(fake_kvm.doorbell_count, 0);
	/* On top of ECAM it decodes nothing, and gets no doorbell there either. */
	net_cfg_write(b, PCI_BASE_ADDRESS_1, 4, 0);
	net_cfg_write(b, PCI_BASE_ADDRESS_0, 4, 0xE0000000);
	assert_int_equal(net_cfg_read(b, PCI_VENDOR_ID, 4), 0x10411AF4);
}

static void masked_vectors_keep_what_is_pending(void **state)
{
	struct net_board *b = *state;

	assert_true(net_driver_start(b, ALL));
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_equal(fake_kvm.irqfds, 4); /* three queues and the configuration */
	net_write(b, NET_TABLE + 16 * 1 + 12, 4, 1);
	assert_int_equal(fake_kvm.irqfds, 3);
	assert_int_equal(net_read(b, NET_PENDING, 8) & 2, 0);
	assert_int_equal(write(b->backend.call[0], &(uint64_t){ 1 }, 8), 8);
	assert_int_equal(net_read(b, NET_PENDING, 8) & 2, 2);
	net_write(b, NET_TABLE + 16 * 1 + 12, 4, 0);
	assert_int_equal(fake_kvm.irqfds, 4);
	assert_int_equal(net_read(b, NET_PENDING, 8), 0);
	net_cfg_write(b, CAP_MSIX + PCI_MSIX_FLAGS, 2,
		      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(fake_kvm.irqfds, 0);
	net_cfg_write(b, CAP_MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	/* Two queues may share a vector; one that there is not is none. */
	net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	net_write(b, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	assert_int_equal(fake_kvm.irqfds, 4);
	net_write(b, VIRTIO_PCI_COMMON_Q_MSIX, 2, 4);
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_NO_VECTOR);
	assert_int_equal(fake_kvm.irqfds, 3);
}

/* --- control queue --------------------------------------------------------------------------- */

static void control_queue_answers(void **state)
{
	static const struct {
		uint8_t bytes[24];
		uint32_t len;
		uint8_t answer;
	} rows[] = {
		{ { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 }, 3, VIRTIO_NET_OK },
		{ { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 2 }, 3, VIRTIO_NET_ERR },
		{ { VIRTIO_NET_CTRL_RX, 6, 1 }, 3, VIRTIO_NET_ERR },
		{ { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC }, 2, VIRTIO_NET_ERR },
		{ { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 100, 0 }, 4, VIRTIO_NET_OK },
		{ { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, 0, 16 }, 4, VIRTIO_NET_ERR },
		{ { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 1, 0, 0, 0, 2, 0, 0, 0, 0,
		    1 },
		  16,
		  VIRTIO_NET_OK },
		{ { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 9, 0, 0, 0, 2, 0, 0, 0, 0,
		    1 },
		  16,
		  VIRTIO_NET_ERR },
		{ { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2 }, 8, VIRTIO_NET_ERR },
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 3, 0 }, 4, VIRTIO_NET_OK },
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 5, 0 }, 4, VIRTIO_NET_ERR },
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 0, 0 }, 4, VIRTIO_NET_ERR },
		{ { 77, 0 }, 2, VIRTIO_NET_ERR },
	};
	struct net_board *b = *state;

	assert_true(net_driver_start(b, ALL & ~BIT_ULL(VIRTIO_F_EVENT_IDX)));
	net_board_step(b, QUICK_MS);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(net_command(b, 8, rows[i].bytes, rows[i].len), rows[i].answer);
	assert_int_equal(number(b, "queues"), 3);
}

/* As many commands as the queue holds, and then one more, for which the guest rings as avail_event asks it to. */
static void a_full_control_queue_is_rung_for_again(void **state)
{
	static const uint8_t on[] = { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 };
	struct net_board *b = *state;
	uint8_t *avail = gmem_host(&b->gmem, NET_AVAIL(8), 256);
	uint8_t *used = gmem_host(&b->gmem, NET_USED(8), 1024);
	uint16_t at, size;

	assert_true(net_driver_start(b, ALL));
	net_board_step(b, QUICK_MS);
	assert_int_equal(net_command(b, 8, on, sizeof(on)), VIRTIO_NET_OK);
	size = (uint16_t)net_read(b, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	at = get_le16(avail + 2);
	for (unsigned int i = 0; i < size; i++)
		put_le16(avail + 4 + 2 * i, 0);
	put_le16(avail + 2, (uint16_t)(at + size));
	net_write(b, NET_DOORBELL + 4 * 8, 2, 8);
	net_board_step(b, 2);
	net_board_step(b, 2);
	assert_int_equal(get_le16(used + 2), at + size);
	assert_int_equal(get_le16(used + 4 + 8 * size), at + size);
}

static void pairs_in_use_are_enabled_at_the_backend(void **state)
{
	static const uint8_t two[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0 };
	struct net_board *b = *state;

	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, STEP_MS);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(b->backend.num[i], 256);
		assert_int_equal(b->backend.enabled[i], i < 2);
	}
	assert_int_equal(net_command(b, 8, two, sizeof(two)), VIRTIO_NET_OK);
	net_board_step(b, STEP_MS);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(b->backend.enabled[i], i < 4);
	/* Without MQ the control queue is the third one, and no back end gets it. */
	assert_true(net_driver_start(b, ALL & ~BIT_ULL(VIRTIO_NET_F_MQ)));
	net_board_step(b, STEP_MS);
	assert_int_equal(net_command(b, 2, two, sizeof(two)), VIRTIO_NET_ERR);
}

/* Descriptors that no driver would write: the queue, what is wrong with it. */
static void broken_control_queue_needs_a_reset(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next, head;
	} rows[] = {
		{ NET_RING(2), 4, 1, 0, 0 }, /* a loop */
		{ NET_RING(2), 4, 1, 64, 0 }, /* past the table */
		{ NET_RING(2), 4, 0, 0, 64 }, /* a head past the table */
		{ MIB(64) - 2, 4, 0, 0, 0 }, /* past RAM */
		{ UINT64_MAX - 1, 4, 0, 0, 0 },	      { NET_RING(2), 0, 0, 0, 0 }, /* nothing */
		{ NET_RING(2), 4, 8, 0, 0 }, /* a flag that there is not */
		{ NET_RING(2), 32, 4, 0, 0 }, /* an indirect table whose first entry is indirect: itself */
		{ NET_RING(2), 17, 4, 0, 0 }, /* an indirect table of odd size */
		{ NET_RING(2), 16 * 65, 4, 0, 0 }, /* an indirect table that is too long */
		{ NET_RING(2), 16, 5, 0, 0 }, /* indirect and more */
		{ NET_RING(2) + 0x4000, 1, 0, 0, 0 }, /* half a command */
		{ NET_RING(2) + 0x4000, 4, 0, 0, 0 }, /* no room for the answer */
	};
	struct net_board *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t *desc = gmem_host(&b->gmem, NET_RING(2), 64);
		uint8_t *avail = gmem_host(&b->gmem, NET_AVAIL(2), 64);

		assert_true(net_driver_start(b, ALL));
		net_board_step(b, QUICK_MS);
		put_le64(desc, rows[i].addr);
		put_le32(desc + 8, rows[i].len);
		put_le16(desc + 12, rows[i].flags);
		put_le16(desc + 14, rows[i].next);
		put_le16(avail + 4, rows[i].head);
		put_le16(avail + 2, 1);
		net_write(b, DOORBELL(2), 2, 2);
		net_board_step(b, QUICK_MS);
		if ((net_read(b, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET) == 0)
			fail_msg("row %zu is taken", i);
		assert_false(flag(b, "driver_active"));
	}
	/* More entries than the ring has. */
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, QUICK_MS);
	put_le16(gmem_host(&b->gmem, NET_AVAIL(2) + 2, 2), 65);
	net_write(b, DOORBELL(2), 2, 2);
	net_board_step(b, QUICK_MS);
	assert_true((net_read(b, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET) != 0);
}

/* --- back ends ------------------------------------------------------------------------------- */

static void backend_gets_the_rings_that_the_guest_made(void **state)
{
	struct net_board *b = *state;
	struct fake_backend *k = &b->backend;

	expect_word(b, "backend", "waiting");
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	expect_word(b, "backend", "connected");
	assert_int_equal(number(b, "backend_pid"), getpid());
	assert_int_equal(k->memory.count, 1);
	assert_int_equal(k->memory.regions[0].size, MIB(64));
	assert_int_equal(k->memory.regions[0].user, 0); /* no address of the VMM */
	assert_int_equal(k->messages[VHOST_USER_SET_VRING_KICK], 0);

	assert_true(net_driver_start(b, ALL));
	net_board_step(b, STEP_MS);
	assert_true(k->enabled[0] && k->enabled[1]);
	assert_int_equal(k->num[1], 256);
	assert_int_equal(k->mtu, 1500);
	assert_int_equal(k->addr[1].desc, NET_RING(1));
	assert_int_equal(k->addr[1].used, NET_USED(1));
	assert_int_equal(k->acked & BIT_ULL(VIRTIO_NET_F_MAC), 0); /* not a back end's */
	assert_true((k->acked & BIT_ULL(VIRTIO_NET_F_MRG_RXBUF)) != 0);
	assert_true(flag(b, "driver_active"));
	/* It may have come after the guest rang. */
	assert_true(is_signalled(k->kick[0]) && is_signalled(k->kick[1]));
	net_write(b, DOORBELL(1), 2, 1);
	assert_true(is_signalled(k->kick[1]) && !is_signalled(k->kick[0]));

	/* A reset is done when the back end has let go, not before. */
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_not_equal(net_read(b, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	net_board_step(b, STEP_MS);
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(k->messages[VHOST_USER_GET_VRING_BASE], 2);
	assert_false(k->enabled[0]);
	expect_word(b, "error", "");
}

static void next_backend_goes_on_where_the_last_one_died(void **state)
{
	struct net_board *b = *state;
	struct fake_backend *k = &b->backend;
	uint64_t region;

	assert_true(net_driver_start(b, ALL));
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	region = k->inflight_ino;
	assert_true(region != 0 && k->inflight.mmap_size == 4096 && k->inflight.num_queues == 2);
	put_le16(gmem_host(&b->gmem, NET_USED(0) + 2, 2), 77);
	put_le16(gmem_host(&b->gmem, NET_USED(1) + 2, 2), 65535);
	net_write(b, NET_TABLE + 16 * 1 + 12, 4, 1); /* to see what is raised */
	fake_backend_close(b);
	net_board_step(b, STEP_MS);
	expect_word(b, "backend", "gone");
	expect_word(b, "error", "");
	assert_int_equal(net_read(b, NET_PENDING, 8) & 2, 2); /* the guest looks what is done */

	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_equal(k->base[0], 77);
	assert_int_equal(k->base[1], 65535);
	assert_int_equal(k->inflight_ino, region); /* the first one's */
	assert_int_equal(k->messages[VHOST_USER_GET_INFLIGHT_FD], 1);
	assert_int_equal(number(b, "reconnects"), 1);
	assert_int_equal(guest_link(b), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	{
		const uint8_t ack[] = { VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK };

		assert_int_equal(net_command(b, 2, ack, sizeof(ack)), VIRTIO_NET_OK);
	}
	assert_int_equal(guest_link(b), VIRTIO_NET_S_LINK_UP);

	/* What the guest had in flight is gone with a reset. */
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, STEP_MS);
	assert_int_not_equal(k->inflight_ino, region);
	assert_int_equal(k->base[0], 0);
}

static void carrier_stays_for_the_grace(void **state)
{
	struct net_board *b = *state;
	uint8_t generation;

	assert_true(net_driver_start(b, ALL));
	net_board_step(b, STEP_MS);
	assert_int_equal(guest_link(b), 0); /* nobody was there yet */
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_equal(guest_link(b), 1);
	generation = (uint8_t)net_read(b, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	fake_backend_close(b);
	net_board_step(b, 150);
	assert_int_equal(guest_link(b), 1);
	assert_true(flag(b, "link"));
	fake_backend_connect(b);
	net_board_step(b, 250); /* past the first grace */
	assert_int_equal(guest_link(b) & 1, 1);
	/* One change since: the wish for an announcement. */
	assert_int_equal(net_read(b, VIRTIO_PCI_COMMON_CFGGENERATION, 1),
			 (uint8_t)(generation + 1));
	fake_backend_close(b);
	net_board_step(b, 400);
	assert_int_equal(guest_link(b) & 1, 0);
	assert_true((net_read(b, NET_ISR, 1) & 2) != 0);
	assert_int_equal(net_read(b, NET_ISR, 1), 0);
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_equal(guest_link(b) & 1, 1);
}

static void link_word_overrides(void **state)
{
	struct net_board *b = *state;
	struct err e = { 0 };

	assert_int_equal(nets_link_set(b->nets, "mgt", VMM_LINK_UP, &e), 0);
	assert_int_equal(guest_link(b), 1);
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_equal(nets_link_set(b->nets, "mgt", VMM_LINK_DOWN, &e), 0);
	assert_int_equal(guest_link(b), 0);
	assert_int_equal(nets_link_set(b->nets, "mgt", VMM_LINK_AUTO, &e), 0);
	assert_int_equal(guest_link(b), 1);
	assert_int_equal(nets_link_set(b->nets, "lan", VMM_LINK_UP, &e), -ENOENT);
}

static void backend_that_lacks_what_the_guest_uses_is_refused(void **state)
{
	struct net_board *b = *state;

	assert_true(net_driver_start(b, ALL)); /* nobody there: everything is offered */
	b->backend.features &= ~BIT_ULL(VIRTIO_NET_F_HOST_TSO4);
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	expect_word(b, "error", "lacks features 0x800");
	expect_word(b, "backend", "gone");
	assert_int_equal(guest_link(b), 0);
	/* A second later the next one may come; a guest that starts anew takes what there is. */
	fake_backend_close(b);
	fake_backend_connect(b);
	assert_true(net_driver_reset(b));
	net_board_step(b, 1200);
	expect_word(b, "backend", "connected");
	assert_int_equal(net_driver_features(b) & BIT_ULL(VIRTIO_NET_F_HOST_TSO4), 0);
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, STEP_MS);
	assert_true(b->backend.enabled[0]);
	expect_word(b, "error", "");
}

static void second_backend_waits_for_the_first_to_leave(void **state)
{
	struct net_board *b = *state;
	int first;

	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	first = fd_take(&b->backend.sock);
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_int_equal(number(b, "reconnects"), 0);
	close(first);
	net_board_step(b, STEP_MS);
	expect_word(b, "backend", "connected");
	assert_int_equal(number(b, "reconnects"), 1);
}

static void pause_and_reset_take_the_rings_away(void **state)
{
	struct net_board *b = *state;
	struct fake_backend *k = &b->backend;

	assert_true(net_driver_start(b, ALL));
	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	/* This thread is the back end, too: it cannot answer, and is dropped when its time is over. */
	nets_pause(b->nets, true);
	expect_word(b, "error", "within 1000 ms");
	assert_true(flag(b, "link"));
	fake_backend_close(b);
	fake_backend_connect(b);
	net_board_step(b, 1200);
	expect_word(b, "backend", "connected");
	assert_false(k->enabled[0]);
	put_le16(gmem_host(&b->gmem, NET_USED(0) + 2, 2), 5);
	nets_pause(b->nets, false);
	net_board_step(b, STEP_MS);
	assert_true(k->enabled[0]);
	assert_int_equal(k->base[0], 5);
	/* Without bus mastering the rings are nobody's. */
	net_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	net_board_step(b, STEP_MS);
	assert_false(k->enabled[0] || flag(b, "driver_active"));
	net_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	net_board_step(b, STEP_MS);
	assert_true(k->enabled[0]);
}

static void silence_is_answered_by_dropping(void **state)
{
	struct net_board *b = *state;
	uint64_t begin;

	fake_backend_connect(b);
	net_board_step(b, STEP_MS);
	assert_true(net_driver_start(b, ALL));
	net_board_step(b, STEP_MS);
	assert_int_equal(guest_link(b), 1);
	b->backend.lie = LIE_SILENT;
	b->backend.lie_at = VHOST_USER_GET_VRING_BASE;
	/* The guest's reset goes on when the back end's time is over, and no access of it waits. */
	begin = now_ns();
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_not_equal(net_read(b, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_true(now_ns() - begin < 1000000000);
	assert_true(net_driver_reset(b));
	expect_word(b, "error", "no answer to GET_VRING_BASE within 5 s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_a_modern_network_card, setup, teardown),
		cmocka_unit_test_setup_teardown(features_and_queues_are_held_to_the_rules, setup,
						teardown),
		cmocka_unit_test_setup_teardown(doorbells_follow_the_bar_and_the_queues, setup,
						teardown),
		cmocka_unit_test_setup_teardown(masked_vectors_keep_what_is_pending, setup,
						teardown),
		cmocka_unit_test_setup_teardown(control_queue_answers, setup_pairs, teardown),
		cmocka_unit_test_setup_teardown(a_full_control_queue_is_rung_for_again, setup_pairs,
						teardown),
		cmocka_unit_test_setup_teardown(pairs_in_use_are_enabled_at_the_backend,
						setup_pairs, teardown),
		cmocka_unit_test_setup_teardown(broken_control_queue_needs_a_reset, setup,
						teardown),
		cmocka_unit_test_setup_teardown(backend_gets_the_rings_that_the_guest_made, setup,
						teardown),
		cmocka_unit_test_setup_teardown(next_backend_goes_on_where_the_last_one_died, setup,
						teardown),
		cmocka_unit_test_setup_teardown(carrier_stays_for_the_grace, setup, teardown),
		cmocka_unit_test_setup_teardown(link_word_overrides, setup, teardown),
		cmocka_unit_test_setup_teardown(backend_that_lacks_what_the_guest_uses_is_refused,
						setup, teardown),
		cmocka_unit_test_setup_teardown(second_backend_waits_for_the_first_to_leave, setup,
						teardown),
		cmocka_unit_test_setup_teardown(pause_and_reset_take_the_rings_away, setup,
						teardown),
		cmocka_unit_test_setup_teardown(silence_is_answered_by_dropping, setup, teardown),
	};

	return cmocka_run_group_tests_name("vmm-nets", tests, NULL, NULL);
}
