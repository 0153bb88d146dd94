// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest's accesses to a virtio-net or, if the first byte says DISK, a virtio-blk function: configuration space, every register of its BAR, doorbells, and what it
 * puts into guest RAM where the rings are, while a back end that is honest comes and goes. Eight bytes are one step:
 * what, how wide, where (2), value (4). At the end nothing may be left with KVM.
 */
#include "tests/fake/kvm_kernel.h"
#include "tests/fake/net_board.h"

#include "base/log.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#define STEP 8
#define DISK 0xFF

static void ram_write(struct net_board *b, uint16_t at, uint32_t value, unsigned int len)
{
	uint8_t bytes[4];

	put_le32(bytes, value);
	/* The control queue of a device with one pair: descriptors, available ring, commands. */
	(void)gmem_write(&b->gmem, NET_RING(2) + at, bytes, len);
}

static void backend_turn(struct net_board *b)
{
	if (b->backend.sock < 0)
		fake_backend_connect(b);
	else
		fake_backend_close(b);
	net_board_step(b, 0);
}

static void step(struct net_board *b, const uint8_t *p)
{
	static const unsigned int lens[] = { 1, 2, 4, 8 };
	unsigned int len = lens[p[1] & 3], at = get_le16(p + 2);
	uint32_t value = get_le32(p + 4);

	switch (p[0] & 15) {
	case 0:
	case 1:
		net_cfg_write(b, at & 0xFF, len, value);
		break;
	case 2:
		(void)net_cfg_read(b, at & 0xFFF, len);
		break;
	case 3:
	case 4:
		net_write(b, at & 0x3F, len, value); /* common configuration */
		break;
	case 5:
		net_write(b, at, len, value);
		break;
	case 6:
		(void)net_read(b, at, len);
		break;
	case 7:
	case 8:
		ram_write(b, (uint16_t)at, value, len > 4 ? 4 : len);
		break;
	case 9:
		(void)net_driver_start(b, ~(uint64_t)value);
		break;
	case 10:
		net_write(b, NET_DOORBELL + 4 * (value & 3), 2, value);
		net_board_step(b, 0);
		break;
	case 11:
		(void)net_command(b, 2, p + 2, at & 7);
		break;
	case 12:
		backend_turn(b);
		break;
	case 13:
		pci_host_reset(b->pci);
		(void)pci_host_assign(b->pci, NULL);
		net_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		break;
	default:
		net_board_step(b, 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_board b;

	log_init("fuzz", LOG_LEVEL_ERROR);
	if (size != 0 && data[0] == DISK) {
		disk_board_init(&b, &(struct vmm_disk_spec){ .queues = 2 });
		data++;
		size--;
	} else {
		net_board_init(&b, &(struct vmm_net_spec){ .grace_ms = 1 });
	}
	for (unsigned int i = 0; size >= STEP && i < 200; data += STEP, size -= STEP, i++)
		step(&b, data);
	net_board_fini(&b);
	if (fake_kvm.doorbell_count != 0 || fake_kvm.irqfds != 0)
		abort();
	fake_kvm_reset();
	return 0;
}
