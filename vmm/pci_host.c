// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/pci_host.h"

#include "vmm/layout.h"

#include <errno.h>
#include <stdlib.h>

#define CF8_PORT   0xCF8
#define CF8_SIZE   8
#define CF8_ENABLE 0x80000000U
#define CF8_MASK   0x80FFFFFCU
#define CF9_OFFSET 1
#define CFC_OFFSET 4

#define PCIEXBAR_ENABLE	      0x1
#define PCIEXBAR_LENGTH_SHIFT 1
#define PCIEXBAR_LENGTH_MASK  0x3

static const struct pci_cfg_reg mch_regs[] = {
	{ PCI_CFG_ID, 4, 0x29C08086 },
	{ PCI_CFG_COMMAND, 2, 0x0006, 0x0100 },
	{ PCI_CFG_STATUS, 2, 0x0080, 0, 0x7900 },
	{ PCI_CFG_CLASS, 4, 0x06000002 },
	{ MCH_PCIEXBAR, 4, 0xE0000000, 0xFC000007 },
	{ MCH_PCIEXBAR_HI, 4, 0, 0x0000000F },
};

static struct pci_dev *dev_find(struct pci_host *host, unsigned int bus_nr, unsigned int devfn)
{
	if (bus_nr == 0)
		return host->root.devs[devfn];
	for (unsigned int i = 0; i < host->port_count; i++) {
		if (pci_port_routes(host->ports[i], bus_nr))
			return pci_port_find(host->ports[i], bus_nr, devfn);
	}
	return NULL;
}

/* One function's register, as ECAM addresses it (PCIe Base, 7.2.2): bus, device, function, offset. */
#define ECAM_BUS_SHIFT	 20
#define ECAM_DEVFN_SHIFT 12
#define ECAM_OFF_MASK	 0xFFF

static uint32_t cfg_read_aligned(struct pci_host *host, uint32_t addr, unsigned int len)
{
	struct pci_dev *dev =
		dev_find(host, addr >> ECAM_BUS_SHIFT & 0xFF, addr >> ECAM_DEVFN_SHIFT & 0xFF);

	if (dev == NULL)
		return UINT32_MAX;
	dev->cfg_reads++;
	return dev->ops->cfg_read(dev, addr & ECAM_OFF_MASK, len);
}

static void cfg_write_aligned(struct pci_host *host, uint32_t addr, unsigned int len, uint32_t v)
{
	struct pci_dev *dev =
		dev_find(host, addr >> ECAM_BUS_SHIFT & 0xFF, addr >> ECAM_DEVFN_SHIFT & 0xFF);

	if (dev == NULL)
		return;
	dev->cfg_writes++;
	dev->ops->cfg_write(dev, addr & ECAM_OFF_MASK, len, v);
}

/* The largest naturally aligned piece at addr, at most 4 bytes. */
static unsigned int piece_len(uint32_t addr, unsigned int len)
{
	unsigned int n = 4;

	while (n > len || (addr & (n - 1)) != 0)
		n /= 2;
	return n;
}

static uint64_t cfg_read(struct pci_host *host, uint32_t addr, unsigned int len)
{
	uint64_t value = 0;

	for (unsigned int done = 0, n; done < len; done += n) {
		n = piece_len(addr + done, len - done);
		value |= (uint64_t)(cfg_read_aligned(host, addr + done, n) &
				    UINT32_MAX >> (32 - 8 * n))
			 << 8 * done;
	}
	return value;
}

static void cfg_write(struct pci_host *host, uint32_t addr, unsigned int len, uint64_t value)
{
	for (unsigned int done = 0, n; done < len; done += n) {
		n = piece_len(addr + done, len - done);
		cfg_write_aligned(host, addr + done, n, (uint32_t)(value >> 8 * done));
	}
}

static uint64_t ecam_read(void *owner, uint64_t off, unsigned int len)
{
	return cfg_read(owner, (uint32_t)off, len);
}

static void ecam_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	cfg_write(owner, (uint32_t)off, len, value);
}

static const struct io_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* The register that CF8 selects, in ECAM's terms, and the byte lane. */
static uint32_t cf8_addr(const struct pci_host *host, unsigned int lane)
{
	return (host->cf8 & 0x00FFFF00) << 4 | (host->cf8 & 0xFC) | lane;
}

static uint64_t cf8_read(void *owner, uint64_t off, unsigned int len)
{
	struct pci_host *host = owner;

	if (off >= CFC_OFFSET) {
		if ((host->cf8 & CF8_ENABLE) == 0)
			return UINT64_MAX;
		return cfg_read(host, cf8_addr(host, (unsigned int)off - CFC_OFFSET), len);
	}
	if (off == 0 && len == 4)
		return host->cf8;
	if (off == CF9_OFFSET && len == 1 && host->cf9_ops != NULL)
		return host->cf9_ops->read(host->cf9_owner, 0, 1);
	return UINT64_MAX;
}

static void cf8_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct pci_host *host = owner;

	/* An access across both registers is neither. */
	if (off >= CFC_OFFSET) {
		if ((host->cf8 & CF8_ENABLE) != 0)
			cfg_write(host, cf8_addr(host, (unsigned int)off - CFC_OFFSET), len, value);
	} else if (off == 0 && len == 4) {
		host->cf8 = (uint32_t)value & CF8_MASK;
	} else if (off == CF9_OFFSET && len == 1 && host->cf9_ops != NULL) {
		host->cf9_ops->write(host->cf9_owner, 0, 1, value);
	}
}

static const struct io_ops cf8_ops = { .read = cf8_read, .write = cf8_write };

static void ecam_unmap(struct pci_host *host)
{
	if (host->ecam_region.size != 0)
		bus_del(host->env.mmio, &host->ecam_region);
	host->ecam_region.size = 0;
}

/* Follows PCIEXBAR. A base on top of another trapped region decodes nothing, as long as that is so. */
static void ecam_update(struct pci_host *host)
{
	static const uint64_t sizes[] = { MIB(256), MIB(128), MIB(64) };
	uint32_t lo = pci_cfg_get32(&host->mch_cfg, MCH_PCIEXBAR);
	uint64_t hi = pci_cfg_get32(&host->mch_cfg, MCH_PCIEXBAR_HI);
	uint32_t length = lo >> PCIEXBAR_LENGTH_SHIFT & PCIEXBAR_LENGTH_MASK;

	ecam_unmap(host);
	if ((lo & PCIEXBAR_ENABLE) == 0 || length >= ARRAY_SIZE(sizes))
		return;
	host->ecam_region = (struct io_region){
		.name = "ECAM",
		.base = align_down(hi << 32 | (lo & 0xFC000000), sizes[length]),
		.size = sizes[length],
		.ops = &ecam_ops,
		.owner = host,
	};
	if (bus_add(host->env.mmio, &host->ecam_region) < 0)
		host->ecam_region.size = 0;
}

static struct pci_host *host_of_mch(struct pci_dev *dev)
{
	return container_of(dev, struct pci_host, mch);
}

static uint32_t mch_cfg_read(struct pci_dev *dev, unsigned int off, unsigned int len)
{
	return pci_cfg_read(&host_of_mch(dev)->mch_cfg, off, len);
}

static void mch_cfg_write(struct pci_dev *dev, unsigned int off, unsigned int len, uint32_t value)
{
	struct pci_host *host = host_of_mch(dev);

	pci_cfg_write(&host->mch_cfg, off, len, value);
	if (pci_cfg_touches(off, len, MCH_PCIEXBAR, 8))
		ecam_update(host);
}

static void mch_reset(struct pci_dev *dev)
{
	struct pci_host *host = host_of_mch(dev);

	pci_cfg_init(&host->mch_cfg, mch_regs, ARRAY_SIZE(mch_regs));
	ecam_update(host);
}

static void mch_destroy(struct pci_dev *dev)
{
	ecam_unmap(host_of_mch(dev));
}

static const struct pci_dev_ops mch_ops = {
	.cfg_read = mch_cfg_read,
	.cfg_write = mch_cfg_write,
	.reset = mch_reset,
	.destroy = mch_destroy,
};

int pci_host_create(const struct pci_host_env *env, struct pci_host **out, struct err *e)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	int r;

	if (host == NULL)
		return err_set(e, ENOMEM, "PCI root complex: out of memory");
	host->env = *env;
	host->mch.ops = &mch_ops;
	host->mch.name = "host bridge";
	mch_reset(&host->mch);
	host->root.devs[0] = &host->mch;
	host->mch.bus = &host->root;
	host->cf8_region = (struct io_region){
		.name = "PCI configuration",
		.base = CF8_PORT,
		.size = CF8_SIZE,
		.ops = &cf8_ops,
		.owner = host,
	};
	r = bus_add(env->pio, &host->cf8_region);
	if (r < 0) {
		free(host);
		return err_set(e, r, "PCI root complex: ports 0xCF8 to 0xCFF: %s", strerror(-r));
	}
	*out = host;
	return 0;
}

void pci_host_destroy(struct pci_host *host)
{
	if (host == NULL)
		return;
	bus_del(host->env.pio, &host->cf8_region);
	for (size_t i = ARRAY_SIZE(host->root.devs); i-- > 0;) {
		struct pci_dev *dev = host->root.devs[i];

		host->root.devs[i] = NULL;
		if (dev != NULL)
			dev->ops->destroy(dev);
	}
	free(host);
}

void pci_host_reset(struct pci_host *host)
{
	host->cf8 = 0;
	host->is_assigned = false;
	for (size_t i = 0; i < ARRAY_SIZE(host->root.devs); i++) {
		struct pci_dev *dev = host->root.devs[i];

		if (dev != NULL && dev->ops->reset != NULL)
			dev->ops->reset(dev);
	}
}

int pci_host_plug(struct pci_host *host, uint8_t devfn, struct pci_dev *dev, struct err *e)
{
	if (host->root.devs[devfn] != NULL)
		return err_set(e, EBUSY, "PCI device %s: 00:%02x.%u is taken by %s", dev->name,
			       devfn >> 3, devfn & 7, host->root.devs[devfn]->name);
	dev->bus = &host->root;
	dev->devfn = devfn;
	host->root.devs[devfn] = dev;
	return 0;
}

static int port_add(struct pci_host *host, struct pci_port **out, struct err *e)
{
	unsigned int index = host->port_count;
	struct pci_port *port;
	int r;

	if (index == PCI_PORTS_MAX) {
		r = err_set(e, ENOSPC, "all %d PCI Express root ports are in use", PCI_PORTS_MAX);
		err_hint(e, "give the VM fewer ports and devices");
		return r;
	}
	r = pci_port_create(index + 1, host->env.irq, &port);
	if (r < 0)
		return err_set(e, r, "PCI Express root port: %s", strerror(-r));
	r = pci_host_plug(host, (uint8_t)((PCI_PORT_DEV_FIRST + index) << 3), &port->dev, e);
	if (r < 0) {
		port->dev.ops->destroy(&port->dev);
		return r;
	}
	host->ports[host->port_count++] = port;
	if (out != NULL)
		*out = port;
	return 0;
}

int pci_host_plug_behind_port(struct pci_host *host, struct pci_dev *dev, struct err *e)
{
	struct pci_port *port;
	int r = port_add(host, &port, e);

	if (r < 0)
		return err_wrap(e, "PCI device %s", dev->name);
	pci_port_insert(port, dev, false);
	return 0;
}

int pci_host_add_ports(struct pci_host *host, unsigned int count, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < count; i++)
		r = port_add(host, NULL, e);
	return r;
}

int pci_host_hot_plug(struct pci_host *host, struct pci_dev *dev, struct err *e)
{
	for (unsigned int i = 0; i < host->port_count; i++) {
		if (!pci_port_is_empty(host->ports[i]))
			continue;
		pci_port_insert(host->ports[i], dev, true);
		return 0;
	}
	err_set(e, ENOSPC, "PCI device %s: none of the VM's %u root ports is empty", dev->name,
		host->port_count);
	err_hint(e, "detach a port first, or start the VM with more spare ports");
	return -ENOSPC;
}

static struct pci_port *port_above(struct pci_host *host, const struct pci_dev *dev)
{
	for (unsigned int i = 0; i < host->port_count; i++)
		if (host->ports[i]->bus.devs[0] == dev)
			return host->ports[i];
	return NULL;
}

int pci_host_unplug_request(struct pci_host *host, struct pci_dev *dev)
{
	struct pci_port *port = port_above(host, dev);

	if (port == NULL)
		return -ENODEV;
	pci_port_unplug_request(port);
	return 0;
}

int pci_host_pull(struct pci_host *host, struct pci_dev *dev)
{
	struct pci_port *port = port_above(host, dev);

	if (port == NULL)
		return -ENODEV;
	pci_port_pull(port);
	return 0;
}

void pci_host_set_cf9(struct pci_host *host, const struct io_ops *ops, void *owner)
{
	host->cf9_ops = ops;
	host->cf9_owner = owner;
}
