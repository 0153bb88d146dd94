/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtio over PCI, modern only (virtio 1.2, 4.1): configuration space with its capabilities, one BAR (common configuration,
 * ISR, device configuration, doorbells, MSI-X), status, feature negotiation, queues. What kind of device it is says
 * struct virtio_pci_ops; who serves the queues gets their eventfds: doorbells reach them by KVM's ioeventfd
 * and interrupts leave by irqfd, so that no access of a running queue comes here.
 *
 * A reset that the guest asks for while its queues are attached is not done at once: the device shows a status other
 * than 0 (2.4.2 lets it) until their server has let go and virtio_pci_detached() is called. No vCPU waits here.
 *
 * All functions need the machine's lock, but before and after there are vCPUs.
 */
#ifndef VIADUCT_VMM_VIRTIO_PCI_H
#define VIADUCT_VMM_VIRTIO_PCI_H

#include "vmm/bus.h"
#include "vmm/gmem.h"
#include "vmm/pci.h"
#include "vmm/pci_cfg.h"
#include "vmm/virtio_msix.h"

/* Feature bits of every device (6) */
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32
#define VIRTIO_F_RING_PACKED   34

/* Device status (2.1) */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01
#define VIRTIO_STATUS_DRIVER	  0x02
#define VIRTIO_STATUS_DRIVER_OK	  0x04
#define VIRTIO_STATUS_FEATURES_OK 0x08
#define VIRTIO_STATUS_NEEDS_RESET 0x40
#define VIRTIO_STATUS_FAILED	  0x80

#define VIRTIO_QUEUES_MAX (2 * VMM_MAX_PAIRS + 1)
#define VIRTIO_CONFIG_MAX 64 /* bytes of device configuration */

struct virtio_pci;

struct virtio_pci_ops {
	uint64_t (*features)(const struct virtio_pci *vp); /* offered now */
	/* The device configuration as the guest reads it; zeroes beyond. */
	void (*config)(const struct virtio_pci *vp, uint8_t out[VIRTIO_CONFIG_MAX]);
	/* virtio_pci_runs() or `stopping` may have changed. On any thread: it must not wait. */
	void (*changed)(struct virtio_pci *vp);
	/* The device's own state as at power-on; virtio_pci's is so already. */
	void (*reset)(struct virtio_pci *vp);
};

struct virtio_queue {
	uint16_t size_max;
	uint16_t size;
	bool enabled; /* checked: the rings lie in guest RAM */
	uint64_t desc, driver, device; /* guest-physical */
	int kick_fd;
	bool is_lent; /* others have kick_fd, or had it: here it is neither read nor written */
	bool is_rung; /* it is lent, and there was a kick that did not reach it */
	bool has_doorbell; /* KVM signals kick_fd */
};

struct virtio_pci_env {
	int vm_fd;
	const struct gmem *gmem;
	struct bus *mmio;
	struct irq_router *irq;
};

/* What kind of device it is. */
struct virtio_pci_kind {
	uint16_t id; /* virtio device id (5) */
	uint32_t class_code;
	unsigned int queue_count;
	bool is_integrated; /* on bus 0, behind no root port */
	const struct virtio_pci_ops *ops;
};

/* Embedded as the first member of each device. */
struct virtio_pci {
	struct pci_dev pci; /* first */
	struct virtio_pci_env env;
	struct virtio_pci_kind kind;
	struct pci_cfg cfg;
	struct io_region region; /* size 0: not decoded */
	uint64_t doorbell_base; /* where KVM has the doorbells */
	struct virtio_msix msix;
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
	uint64_t features; /* the driver's */
	uint64_t offered; /* to this driver, from its first look on: what it chooses from does not change */
	bool has_offered;
	uint32_t device_sel, driver_sel;
	uint16_t queue_sel;
	uint8_t status, generation, isr;
	bool attached; /* somebody else may use the rings; set by the device, ended by virtio_pci_detached() */
	bool stopping; /* the guest has asked for a reset and waits */
	uint64_t resets; /* that were done */
};

/* name: for logs, the owner's. The sizes of the queues are in vp->queues[].size_max already. On failure nothing is left. */
int virtio_pci_init(struct virtio_pci *vp, const struct virtio_pci_env *env,
		    const struct virtio_pci_kind *kind, const char *name, struct err *e);
void virtio_pci_fini(struct virtio_pci *vp); /* again: nothing */

/* True while the driver is ready, may do DMA and has broken nothing. */
bool virtio_pci_runs(const struct virtio_pci *vp);

/* Nobody uses the rings any more: does the reset that waits, if any. */
void virtio_pci_detached(struct virtio_pci *vp);

/* The device configuration has changed: the guest is told if its driver runs. */
void virtio_pci_config_changed(struct virtio_pci *vp);

/* The guest has broken the device's rules: DEVICE_NEEDS_RESET. */
void virtio_pci_break(struct virtio_pci *vp);

/* Before kick_fd goes to who serves the queue: it is a new one that nobody else has, and signalled, so that all that waits in
 * the queue is looked at. On failure the old one stays. */
int virtio_pci_queue_lend(struct virtio_pci *vp, unsigned int queue);

/* Interrupt of a queue. */
static inline void virtio_pci_queue_raise(struct virtio_pci *vp, unsigned int queue)
{
	virtio_msix_raise(&vp->msix, queue + 1);
}

/* Parts of it (virtio_regs.c): registers of the common configuration, and its reset. */
uint32_t virtio_common_read(struct virtio_pci *vp, unsigned int off, unsigned int len);
void virtio_common_write(struct virtio_pci *vp, unsigned int off, unsigned int len, uint32_t value);
void virtio_reset_request(struct virtio_pci *vp);

/* Parts of it (virtio_pci.c): doorbells of the queues that are enabled, where the BAR is. */
void virtio_doorbells_update(struct virtio_pci *vp);
int virtio_kick_replace(struct virtio_pci *vp, unsigned int queue, unsigned int count);

#endif
