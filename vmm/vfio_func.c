// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vfio_func.h"

#include "vmm/pci_cfg.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>

static struct vfio_func *func_of(struct pci_dev *dev)
{
	return container_of(dev, struct vfio_func, pci);
}

/* A guest can cause this as often as it likes, so it is said once. */
static void trouble_tell(struct vfio_func *f, const char *what, int r)
{
	if (r >= 0 || f->trouble_told)
		return;
	f->trouble_told = true;
	log_warn("port %s: %s: %s", f->name, what, strerror(-r));
}

static void vector_failed(void *arg, int r)
{
	trouble_tell(arg, "an interrupt vector could not be set up", r);
}

/* The device's own command register: memory stays on, so that no mapping of a BAR can fault; bus
 * mastering and error reporting are the guest's. */
static int command_forward(struct vfio_func *f, uint16_t guest)
{
	uint8_t bytes[2];

	if (f->quarantined)
		guest &= (uint16_t)~PCI_COMMAND_MASTER;
	put_le16(bytes, PCI_COMMAND_MEMORY | (guest & (PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
						       PCI_COMMAND_SERR)));
	return vfio_device_write(&f->device, VFIO_REGION_CONFIG, PCI_COMMAND, bytes, sizeof(bytes));
}

static void command_written(struct vfio_func *f)
{
	uint16_t command = vfio_config_get16(&f->config, PCI_COMMAND);
	int r = command_forward(f, command);

	f->bus_master = r == 0 && !f->quarantined && (command & PCI_COMMAND_MASTER) != 0;
}

int vfio_func_quarantine(struct vfio_func *f, bool on)
{
	uint8_t bytes[2];
	int r;

	f->quarantined = on;
	command_written(f);
	r = vfio_device_read(&f->device, VFIO_REGION_CONFIG, PCI_COMMAND, bytes, sizeof(bytes));
	if (r == 0 && on && (get_le16(bytes) & PCI_COMMAND_MASTER) != 0)
		r = -EIO;
	return r;
}

/* Back to what a guest finds after power-on, the device included. */
static int func_reset(struct vfio_func *f)
{
	int r;

	/* The kernel restores the command register after the reset: bus mastering must be off before. */
	(void)command_forward(f, 0);
	f->bus_master = false;
	vfio_vectors_disable(&f->vectors);
	vfio_msix_reset(&f->msix);
	vfio_config_reset(&f->config);
	vfio_bars_update(&f->bars, &f->config);
	r = vfio_device_reset(&f->device);
	if (command_forward(f, 0) < 0 && r == 0)
		r = -EIO;
	return r;
}

static void func_reset_or_tell(struct vfio_func *f)
{
	trouble_tell(f, "reset", func_reset(f));
	vfio_set_moved(f);
}

static uint32_t func_cfg_read(struct pci_dev *dev, unsigned int off, unsigned int len)
{
	struct vfio_func *f = func_of(dev);

	return vfio_config_read(&f->config, &f->device, off, len);
}

static bool flr_is_written(const struct vfio_config *c, unsigned int off, unsigned int len,
			   uint32_t value)
{
	unsigned int high = c->pcie + PCI_EXP_DEVCTL + 1U; /* its bit 15 lies in this byte */

	return c->pcie != 0 && c->has_flr && pci_cfg_touches(off, len, high, 1) &&
	       (value >> 8 * (high - off) & (PCI_EXP_DEVCTL_BCR_FLR >> 8)) != 0;
}

static void func_cfg_write(struct pci_dev *dev, unsigned int off, unsigned int len, uint32_t value)
{
	struct vfio_func *f = func_of(dev);
	struct vfio_config *c = &f->config;
	int r = 0;

	if (flr_is_written(c, off, len, value)) {
		f->flr_count++;
		func_reset_or_tell(f);
		return;
	}
	/* Vendor registers may lead anywhere: the device gets none of them while it is quarantined. */
	vfio_config_write(c, f->quarantined ? NULL : &f->device, off, len, value);
	if (pci_cfg_touches(off, len, PCI_COMMAND, 2))
		command_written(f);
	if (pci_cfg_touches(off, len, PCI_COMMAND, 2) ||
	    pci_cfg_touches(off, len, PCI_BASE_ADDRESS_0, 4 * VFIO_BARS)) {
		vfio_bars_update(&f->bars, c);
		vfio_set_moved(f);
	}
	if (c->msix != 0 && pci_cfg_touches(off, len, c->msix + PCI_MSIX_FLAGS, 2))
		r = vfio_msix_control(&f->msix, &f->vectors,
				      vfio_config_get16(c, c->msix + PCI_MSIX_FLAGS));
	if (c->msi != 0 && pci_cfg_touches(off, len, c->msi, vfio_msi_size(c)))
		r = vfio_msi_update(c, &f->vectors);
	vector_failed(f, r);
}

static void func_pci_reset(struct pci_dev *dev)
{
	func_reset_or_tell(func_of(dev));
}

static void func_pci_destroy(struct pci_dev *dev)
{
	struct vfio_func *f = func_of(dev);

	vfio_func_silence(f);
	vfio_set_retire(f);
}

static uint64_t func_bar_size(struct pci_dev *dev, unsigned int bar, bool *is_64bit,
			      bool *prefetchable)
{
	const struct vfio_func *f = func_of(dev);

	if (bar >= VFIO_BARS)
		return 0;
	*is_64bit = f->bars.bar[bar].is_64bit;
	*prefetchable = f->bars.bar[bar].is_prefetchable;
	return f->bars.bar[bar].size;
}

static const struct pci_dev_ops func_ops = {
	.cfg_read = func_cfg_read,
	.cfg_write = func_cfg_write,
	.reset = func_pci_reset,
	.destroy = func_pci_destroy,
	.bar_size = func_bar_size,
};

void vfio_func_silence(struct vfio_func *f)
{
	if (f->retired || f->device.fd < 0)
		return;
	(void)command_forward(f, 0);
	f->bus_master = false;
	vfio_vectors_disable(&f->vectors);
	vfio_bars_fini(&f->bars);
	/* Also ERR and REQ off, and the reset after which the device does no DMA by itself. */
	(void)vfio_device_quiesce(&f->device);
}

static int func_build(struct vfio_func *f, struct err *e)
{
	const struct vfio_env *env = vfio_set_env(f->set);
	int r;

	if (!f->device.can_reset) {
		err_set(e, ENOTSUP, "it cannot be reset, so it would keep its last owner's state");
		err_code(e, "no-reset");
		return err_hint(e, "take a VF, or a function with function-level reset (FLR)");
	}
	/* The kernel says that it can be reset only after it has been, at this opening. */
	r = vfio_config_init(&f->config, &f->device, e);
	if (r == 0)
		r = vfio_vectors_init(&f->vectors, &f->device, env->irq, e);
	if (r == 0)
		r = vfio_msix_init(&f->msix, &f->config, &f->device, e);
	if (r < 0)
		return r;
	f->bars.name = f->name;
	f->bars.dev = &f->device;
	f->bars.msix = &f->msix;
	f->bars.vectors = &f->vectors;
	f->bars.mmio = env->mmio;
	f->bars.slots = env->slots;
	f->bars.vector_failed = vector_failed;
	f->bars.arg = f;
	r = vfio_bars_init(&f->bars, &f->config, e);
	if (r < 0)
		return r;
	vfio_traps_tell(&f->bars);
	r = command_forward(f, 0);
	if (r < 0)
		return err_set(e, r, "switch memory decoding on: %s", strerror(-r));
	return vfio_events_init(f, e);
}

int vfio_func_create(struct vfio_set *set, const struct vmm_device_spec *spec,
		     struct vfio_device *opened, struct vfio_func **out, struct err *e)
{
	struct vfio_func *f = calloc(1, sizeof(*f));
	char address[PCI_ADDR_TEXT];
	int r;

	if (f == NULL)
		return err_set(e, ENOMEM, "port %s: out of memory", spec->port);
	f->pci.ops = &func_ops;
	f->pci.name = f->name;
	f->set = set;
	f->group = spec->group;
	f->member = spec->member;
	f->err_fd = f->req_fd = -1;
	f->device = *opened;
	opened->fd = -1;
	snprintf(f->port, sizeof(f->port), "%s", spec->port);
	snprintf(f->name, sizeof(f->name), "%s (%s)", spec->port,
		 pci_addr_text(&spec->address, address));
	r = func_build(f, e);
	if (r < 0) {
		err_wrap(e, "port %s", f->name);
		vfio_func_free(f);
		return r;
	}
	*out = f;
	return 0;
}

void vfio_func_free(struct vfio_func *f)
{
	if (f == NULL)
		return;
	vfio_func_silence(f);
	vfio_events_fini(f);
	vfio_vectors_fini(&f->vectors);
	vfio_msix_fini(&f->msix);
	vfio_device_close(&f->device);
	free(f);
}
