/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A board with the VM's small virtio devices (vmm/extras.h), for tests and fuzz targets without a machine: RAM, buses, root
 * complex, event loop, over tests/fake/kvm_kernel.h; a guest's driver that does what a driver does by register accesses; and
 * the kernel's vhost_vsock, which remembers what it was told. All in one thread.
 */
#ifndef VIADUCT_TESTS_FAKE_EXTRA_BOARD_H
#define VIADUCT_TESTS_FAKE_EXTRA_BOARD_H

#include "vmm/extras.h"
#include "vmm/machine.h"

#include <linux/vhost.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The devices' functions of 00:1f. */
#define EXTRA_RNG     1
#define EXTRA_CONSOLE 2
#define EXTRA_VSOCK   3

/* Registers of a device's BAR, and where the driver puts its rings and the buffers. */
#define EXTRA_CONFIG	  0x2000
#define EXTRA_DOORBELL(q) (0x3000ULL + 4 * (q))
#define EXTRA_TABLE	  0x4000
#define EXTRA_RING(q) \
	(0x100000ULL + 0x10000 * (q)) /* of the selected device; others use them, too */
#define EXTRA_AVAIL(q) (EXTRA_RING(q) + 0x4000)
#define EXTRA_USED(q)  (EXTRA_RING(q) + 0x8000)
#define EXTRA_BUFFERS  0x200000ULL

#define FAKE_VHOST_RINGS 2

struct fake_vhost {
	bool is_owned, runs;
	unsigned long fails; /* this request fails; 0: none */
	uint64_t features, acked;
	unsigned int regions;
	struct vhost_vring_state num[FAKE_VHOST_RINGS], base[FAKE_VHOST_RINGS];
	struct vhost_vring_addr addr[FAKE_VHOST_RINGS];
	int kick[FAKE_VHOST_RINGS], call[FAKE_VHOST_RINGS];
	unsigned int starts, stops;
};

extern struct fake_vhost fake_vhost;

struct extra_board {
	struct vmm_spec spec;
	pthread_mutex_t lock;
	struct gmem gmem;
	struct bus pio, mmio;
	struct irq_router *irq;
	struct pci_host *pci;
	struct loop *loop;
	struct extras *extras;
	unsigned int function; /* selected */
	uint64_t bar; /* its */
	uint16_t avail[4]; /* what the driver has put there */
	struct sockaddr_un address; /* of the console's socket */
	socklen_t address_len;
};

/* Bits by function: BIT(EXTRA_RNG) and so on. Aborts when it cannot be built. */
void extra_board_init(struct extra_board *b, unsigned int which);
void extra_board_fini(struct extra_board *b);

/* Lets the VMM work until so many milliseconds have passed, at least once. */
void extra_board_step(struct extra_board *b, int ms);

/* The device's part of STATUS; the caller's. */
json_t *extra_board_status(struct extra_board *b, unsigned int index);

/* The accesses below are to this device from now on. */
void extra_select(struct extra_board *b, unsigned int function);

uint64_t extra_read(struct extra_board *b, uint64_t off, unsigned int len);
void extra_write(struct extra_board *b, uint64_t off, unsigned int len, uint64_t value);
uint32_t extra_cfg_read(struct extra_board *b, unsigned int off, unsigned int len);
void extra_cfg_write(struct extra_board *b, unsigned int off, unsigned int len, uint32_t value);

/* From reset to DRIVER_OK with what is offered of `features`, all queues and their vectors. False: no FEATURES_OK. */
bool extra_driver_start(struct extra_board *b, uint64_t features);

/* Puts a chain of one buffer into the queue, at descriptor `desc`, without ringing. */
struct extra_buffer {
	uint64_t gpa;
	uint32_t len;
	bool is_writable;
};
void extra_put(struct extra_board *b, unsigned int queue, uint16_t desc,
	       const struct extra_buffer *buffer);
void extra_ring(struct extra_board *b, unsigned int queue);

/* Entries of the used ring so far, and what the n-th says was written. */
uint16_t extra_used(struct extra_board *b, unsigned int queue);
uint32_t extra_used_len(struct extra_board *b, unsigned int queue, uint16_t n);

/* A client of the console. */
int extra_client(struct extra_board *b);

#endif
