/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine with one VFIO function, without KVM, VFIO or a device: real buses, root complex, interrupt
 * router and slots of vmm/, over a link-time wrapped ioctl(2). The device is a memfd that looks like
 * a VF of an 82576. fault.h makes the n-th system call fail.
 */
#ifndef VIADUCT_TESTS_FAKE_VFIO_GUEST_H
#define VIADUCT_TESTS_FAKE_VFIO_GUEST_H

#include "iommu/vfio_device.h"
#include "vmm/vfio.h"

#define FAKE_REGION_SHIFT 24 /* region n starts at n << 24 of the device's fd */
#define FAKE_BAR_BYTES	  0x4000
#define FAKE_VECTORS	  3 /* as on the card */
#define FAKE_VECTORS_MAX  2048
#define FAKE_AREAS	  4
#define FAKE_MSIX	  0x70 /* capabilities, as on the card */
#define FAKE_PCIE	  0xA0
#define FAKE_PM		  0x40
#define FAKE_MSI	  0x50
#define FAKE_SLOTS	  16

struct fake_slot {
	uint64_t gpa, size, host;
};

struct fake_guest {
	/* How the device is, before fake_guest_start(). */
	uint8_t config[4096];
	uint64_t region_bytes[9];
	/* What may be mapped of a region; none: all of it from a page on. */
	struct vfio_area areas[6][FAKE_AREAS];
	unsigned int area_count[6];
	bool no_mmap[6];
	bool msix_noresize;
	bool no_reset;
	bool over_iommufd; /* a device file of an iommufd; else a group of a container */
	uint32_t irq_count[5];
	uint32_t host_vectors_left; /* what the host's interrupt controllers have */

	/* What the kernel would hold. */
	struct fake_slot slots[FAKE_SLOTS];
	unsigned int irqfds; /* attached */
	unsigned int routes; /* MSI routes in the table */
	uint64_t last_route_addr;
	int trigger[5][FAKE_VECTORS_MAX]; /* eventfds by VFIO interrupt index; -1: none */
	bool has_vector[5][FAKE_VECTORS_MAX]; /* set up in the host */
	uint32_t enabled[5]; /* how many of them */
	unsigned int resets, dma_maps, groups, ioas;
	bool dma_hole; /* memory was unmapped from under a bus master */
	char order[64]; /* A attach, M map, K KVM told, D device opened, R reset, U unmap, k, G detach, X IOAS destroyed */

	/* The machine. */
	struct loop *loop;
	pthread_mutex_t lock;
	struct bus pio, mmio;
	struct slots kvm_slots;
	struct irq_router *irq;
	struct pci_host *pci;
	struct gmem gmem;
	struct vmm_spec spec;
	struct vfio_set *set;
	int memfd;
	bool ended, ended_by_request;
	char end_text[256];
};

extern struct fake_guest fake_guest;

/* For a program with a KVM and a machine of its own: VFIO's side of ioctl(2), and only the device, after
 * fake_guest_init(). */
int fake_vfio_ioctl(unsigned long request, void *arg);
int fake_guest_device(void);
void fake_guest_device_close(void);

/* Forgets everything; the device is as on the card. */
void fake_guest_init(void);

/* Root complex, set, function plugged; with `assign` also addresses, as at boot. */
int fake_guest_start(bool assign, struct err *e);
void fake_guest_stop(void);

/* The function's configuration space through ECAM, whole dwords or bytes. */
uint32_t fake_cfg_read(unsigned int off, unsigned int len);
void fake_cfg_write(unsigned int off, unsigned int len, uint32_t value);

/* Address of a BAR as the guest has it. */
uint64_t fake_bar(unsigned int bar);

/* What the guest reads and writes at an address: a slot's memory if one is there, else the bus. */
uint32_t fake_mem_read(uint64_t gpa);
void fake_mem_write(uint64_t gpa, uint32_t value);

/* Likewise, of 1 to 8 bytes; a piece that begins in a slot must end in it. */
void fake_mem_get(uint64_t gpa, void *bytes, unsigned int len);
void fake_mem_put(uint64_t gpa, const void *bytes, unsigned int len);

/* True if a slot is there: the guest gets at it without an exit. */
bool fake_is_mapped(uint64_t gpa);

/* A BAR register and what lies behind it; bytes 0: absent. `reg`: its low bits. Before the start. */
void fake_bar_set(unsigned int bar, uint64_t bytes, uint32_t reg);

/* What the device has at an offset of a BAR: 4 bytes. */
uint32_t fake_device_read(unsigned int bar, uint64_t off);

unsigned int fake_slot_count(void);

#endif
