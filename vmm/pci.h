/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI Express as the guest sees it: a root complex with ECAM and CF8/CFC, bus 0, root ports, and
 * one device behind each. A device implements struct pci_dev_ops; configuration accesses arrive
 * checked (offset < 4096, aligned, 1, 2 or 4 bytes, inside one dword) with the machine's lock held.
 */
#ifndef VIADUCT_VMM_PCI_H
#define VIADUCT_VMM_PCI_H

#include "vmm/bus.h"
#include "vmm/irq.h"

struct pci_dev;
struct pci_bus;
struct pci_host;

struct pci_dev_ops {
	uint32_t (*cfg_read)(struct pci_dev *dev, unsigned int off, unsigned int len);
	void (*cfg_write)(struct pci_dev *dev, unsigned int off, unsigned int len, uint32_t value);
	void (*reset)(struct pci_dev *dev); /* system reset or hot reset of the bus above it */
	void (*destroy)(struct pci_dev *dev);
	/* Sizes for the VMM's own address assignment: bytes of BAR i (0: none), and its kind. */
	uint64_t (*bar_size)(struct pci_dev *dev, unsigned int bar, bool *is_64bit,
			     bool *prefetchable);
};

/* Embedded as the first member of each device. */
struct pci_dev {
	const struct pci_dev_ops *ops;
	const char *name; /* for logs; owned by the device */
	struct pci_bus *bus; /* where it is plugged; NULL before and after */
	uint8_t devfn;
	uint64_t cfg_reads, cfg_writes; /* by the guest */
};

/* A bus: bus 0, or the one behind a root port (then only devfn 0 answers). */
struct pci_bus {
	struct pci_dev *devs[256]; /* by devfn */
	struct pci_dev *bridge; /* NULL on bus 0 */
};

/* What the root complex needs of the machine; borrowed for its life. */
struct pci_host_env {
	struct bus *pio;
	struct bus *mmio;
	struct irq_router *irq;
	uint64_t mmio64_base; /* 64-bit window of the root complex */
	uint64_t mmio64_size;
	uint64_t low_ram_end; /* RAM below 4 GiB ends here */
};

int pci_host_create(const struct pci_host_env *env, struct pci_host **out, struct err *e);
void pci_host_destroy(struct pci_host *host); /* destroys every plugged device */
void pci_host_reset(struct pci_host *host);

/* Bus 0 device; the host owns it from now on. */
int pci_host_plug(struct pci_host *host, uint8_t devfn, struct pci_dev *dev, struct err *e);

/* Puts dev behind a root port made for it (cold plug, before the guest runs): its slot then reads
 * present and linked. The host owns dev. */
int pci_host_plug_behind_port(struct pci_host *host, struct pci_dev *dev, struct err *e);

/* Makes `count` empty hot-pluggable root ports. */
int pci_host_add_ports(struct pci_host *host, unsigned int count, struct err *e);

/* Plugs dev into an empty port while the guest runs (attention button and presence change): the
 * guest powers the slot on. The host owns dev. -ENOSPC if no port is empty. */
int pci_host_hot_plug(struct pci_host *host, struct pci_dev *dev, struct err *e);

/* Asks the guest to let go of dev (attention button); removal completes when the guest powers the
 * slot off, then ops->destroy runs. -ENODEV if it sits behind no port. */
int pci_host_unplug_request(struct pci_host *host, struct pci_dev *dev);

/* Takes dev away at once, as if the card were pulled (presence and link change): ops->destroy has run
 * when this returns, the guest learns it afterwards. -ENODEV if it sits behind no port. */
int pci_host_pull(struct pci_host *host, struct pci_dev *dev);

/* Direct boot: places ECAM and gives bus numbers, bridge windows and BARs, so that the guest keeps
 * them. Again after each pci_host_reset(). */
int pci_host_assign(struct pci_host *host, struct err *e);

/* Where the root complex decodes memory, as the guest has it now; sizes are 0 where there is none. */
struct pci_windows {
	uint64_t ecam_base, ecam_size;
	unsigned int bus_last; /* highest bus number behind a root port */
	uint64_t mmio32_base, mmio32_size;
	uint64_t mmio64_base, mmio64_size;
};

void pci_host_windows(const struct pci_host *host, struct pci_windows *w);

/* Port 0xCF9 lies inside the CF8/CFC block: one-byte accesses to it go to ops (offset 0). */
void pci_host_set_cf9(struct pci_host *host, const struct io_ops *ops, void *owner);

#endif
