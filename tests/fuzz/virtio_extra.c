// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest's accesses to the small virtio devices: configuration space, every register of their BARs, doorbells, and what it
 * puts into guest RAM where the rings are, while a client of the console comes, types and goes, and the VM is paused and
 * reset. Eight bytes are one step: what, how wide, where (2), value (4). The kernel's vhost_vsock must never be told anything while it
 * runs, nor be left running (extra_board.c). At the end nothing may be left with KVM.
 */
#include "tests/fake/extra_board.h"
#include "tests/fake/kvm_kernel.h"

#include "base/fd.h"
#include "base/log.h"

#include <linux/pci_regs.h>
#include <stdlib.h>
#include <unistd.h>

#define STEP 8

struct fuzzed {
	struct extra_board b;
	int client;
	bool paused;
};

static void ram_write(struct extra_board *b, uint16_t at, uint32_t value, unsigned int len)
{
	uint8_t bytes[4];

	put_le32(bytes, value);
	/* Both rings that the VMM serves: descriptors, available ring. */
	(void)gmem_write(&b->board.gmem, NET_RING(at >> 15) + (at & 0x7FFF), bytes, len);
}

static void client_turn(struct fuzzed *f, const uint8_t *p)
{
	if (f->client < 0)
		f->client = extra_client(&f->b);
	else if (p[1] == 0)
		fd_close(&f->client);
	else
		(void)!write(f->client, p, STEP);
	extra_board_step(&f->b, 0);
}

static void life_turn(struct fuzzed *f, unsigned int what)
{
	if (what % 2 == 0) {
		f->paused = !f->paused;
		extras_pause(f->b.extras, f->paused);
		return;
	}
	/* As machine_reset() does. */
	extras_pause(f->b.extras, true);
	pci_host_reset(f->b.board.pci);
	(void)pci_host_assign(f->b.board.pci, NULL);
	extras_pause(f->b.extras, f->paused);
	board_select(&f->b.board, f->b.board.ecam);
}

static void step(struct fuzzed *f, const uint8_t *p)
{
	static const unsigned int lens[] = { 1, 2, 4, 8 };
	unsigned int len = lens[p[1] & 3], at = get_le16(p + 2);
	struct extra_board *b = &f->b;
	uint32_t value = get_le32(p + 4);
	const struct extra_buffer buffer = { EXTRA_BUFFERS + at, value & 0x1FFFF, p[1] & 1 };

	switch (p[0] & 15) {
	case 0:
		net_cfg_write(&b->board, at & 0xFF, len, value);
		break;
	case 1:
		(void)net_cfg_read(&b->board, at & 0xFFF, len);
		break;
	case 2:
	case 3:
		net_write(&b->board, at & 0x3F, len, value); /* common configuration */
		break;
	case 4:
		net_write(&b->board, at, len, value);
		break;
	case 5:
		(void)net_read(&b->board, at, len);
		break;
	case 6:
	case 7:
		ram_write(b, (uint16_t)at, value, len > 4 ? 4 : len);
		break;
	case 8:
		(void)extra_driver_start(b, ~(uint64_t)value);
		break;
	case 9:
		extra_put(b, p[1] >> 1 & 1, at & 127, &buffer);
		break;
	case 10:
		extra_ring(b, value & 3);
		extra_board_step(b, 0);
		break;
	case 11:
		client_turn(f, p);
		break;
	case 12:
		life_turn(f, value);
		break;
	case 13:
		extra_select(b, EXTRA_RNG + value % 3);
		break;
	default:
		extra_board_step(b, 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzzed f = { .client = -1 };

	log_init("fuzz", LOG_LEVEL_ERROR);
	extra_board_init(&f.b, BIT(EXTRA_RNG) | BIT(EXTRA_CONSOLE) | BIT(EXTRA_VSOCK));
	for (unsigned int i = 0; size >= STEP && i < 200; data += STEP, size -= STEP, i++)
		step(&f, data);
	extra_board_fini(&f.b);
	fd_close(&f.client);
	if (fake_kvm.doorbell_count != 0 || fake_kvm.irqfds != 0)
		abort();
	fake_kvm_reset();
	return 0;
}
