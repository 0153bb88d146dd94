// SPDX-License-Identifier: BSD-3-Clause
/*
 * The 82576's VF through its own registers (Intel 82576 datasheet, 7.8.2.6 and 8.26 to 8.28): its
 * rings pointed at anything, its mailbox filled with anything.
 */
#include "tests/guest/hostile/hostile.h"
#include "tests/guest/hostile/hw.h"

#define VF_BAR_BYTES	 0x4000
#define CTRL		 0x0000
#define CTRL_RESET	 0x04000000
#define EICS		 0x1520
#define EIMS		 0x1524
#define EIAC		 0x152C
#define IVAR0		 0x1700
#define MAILBOX_MEM	 0x0800
#define MAILBOX		 0x0C40
#define MB_REQUEST	 0x01
#define MB_ACK		 0x02
#define MB_OWN		 0x04
#define MB_PF_ACK	 0x20
#define MB_MESSAGE_RESET 1
#define RX_QUEUE	 0x2800
#define TX_QUEUE	 0x3800
#define QUEUE_STEP	 0x100
#define Q_BASE_LO	 0x00
#define Q_BASE_HI	 0x04
#define Q_LENGTH	 0x08
#define Q_SRRCTL	 0x0C
#define Q_TAIL		 0x18
#define Q_CONTROL	 0x28
#define Q_ENABLE	 0x02000000
#define DESCRIPTORS	 64

/* The registers of a VF, or 0 if there is nothing that may be touched. */
static uint64_t registers(struct cpu *c)
{
	const struct vf_place *p = &vf_places[random_below(c, VFS)];
	uint64_t at = p->bar[0];

	return at == 0 || ram_overlaps(at, VF_BAR_BYTES) ? 0 : at;
}

static void reg_write(uint64_t at, unsigned int reg, uint32_t v)
{
	mmio_write(at + reg, 4, v);
}

void op_vf_register(struct cpu *c)
{
	uint64_t at = registers(c);

	for (int n = 0; at != 0 && n < 8; n++) {
		unsigned int reg = random_below(c, VF_BAR_BYTES) & ~3U;

		if (one_in(c, 2))
			reg_write(at, reg, (uint32_t)random_value(c));
		else
			(void)mmio_read(at + reg, 4);
	}
}

/* The PF's driver switches a VF's queues on when the VF says that it was reset. */
static void queues_on(uint64_t at)
{
	reg_write(at, MAILBOX, MB_OWN);
	reg_write(at, MAILBOX_MEM, MB_MESSAGE_RESET);
	reg_write(at, MAILBOX, MB_REQUEST);
	for (int n = 0; n < 100 && (mmio_read(at + MAILBOX, 4) & MB_PF_ACK) == 0; n++)
		pause();
	reg_write(at, MAILBOX, MB_ACK);
}

static void descriptors_fill(struct cpu *c, uint64_t ring)
{
	for (int n = 0; n < DESCRIPTORS; n++) {
		volatile uint64_t *d = (volatile uint64_t *)(ring + 16ULL * (unsigned int)n);

		d[0] = random_dma(c);
		/* 60 to 1500 bytes, end of packet, checksum, report: or nothing of it */
		d[1] = one_in(c, 4) ? random_get(c) : 0x2B000000ULL | (60 + random_below(c, 1440));
	}
}

/* A ring in scratch RAM with wild buffers, or a wild ring; started in any case. */
void op_vf_rings(struct cpu *c)
{
	uint64_t at = registers(c), ring = SCRATCH + 0x1000ULL * random_below(c, 0x1000);
	unsigned int queue = (one_in(c, 2) ? RX_QUEUE : TX_QUEUE) + QUEUE_STEP * random_below(c, 2);

	if (at == 0)
		return;
	if (one_in(c, 8))
		queues_on(at);
	if (one_in(c, 2))
		descriptors_fill(c, ring);
	else
		ring = random_dma(c);
	reg_write(at, queue + Q_BASE_LO, (uint32_t)ring);
	reg_write(at, queue + Q_BASE_HI, (uint32_t)(ring >> 32));
	reg_write(at, queue + Q_LENGTH, one_in(c, 8) ? (uint32_t)random_get(c) : 16 * DESCRIPTORS);
	reg_write(at, queue + Q_SRRCTL, one_in(c, 2) ? 2 : (uint32_t)random_get(c));
	reg_write(at, queue + Q_CONTROL, Q_ENABLE | (uint32_t)(random_get(c) & 0x1F1F1F));
	reg_write(at, queue + Q_TAIL, random_below(c, DESCRIPTORS));
}

/* What the PF's driver is asked for: the messages of its protocol, and others. */
void op_vf_mailbox(struct cpu *c)
{
	uint64_t at = registers(c);

	if (at == 0)
		return;
	reg_write(at, MAILBOX, MB_OWN);
	reg_write(at, MAILBOX_MEM, one_in(c, 4) ? 1 : (uint32_t)random_below(c, 10));
	for (unsigned int n = 1; n < 4; n++)
		reg_write(at, MAILBOX_MEM + 4 * n, (uint32_t)random_get(c));
	reg_write(at, MAILBOX, MB_REQUEST);
	(void)mmio_read(at + MAILBOX, 4);
	reg_write(at, MAILBOX, MB_ACK);
	if (one_in(c, 8))
		reg_write(at, CTRL, CTRL_RESET);
}

/* Raises its own interrupts, as many as it can. */
void op_vf_interrupt(struct cpu *c)
{
	uint64_t at = registers(c);

	if (at == 0)
		return;
	reg_write(at, IVAR0, 0x81808180);
	reg_write(at, EIAC, 7);
	reg_write(at, EIMS, 7);
	for (int n = 0; n < 8; n++)
		reg_write(at, EICS, 1 + random_below(c, 7));
}
