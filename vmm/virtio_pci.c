// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/virtio_pci.h"

#include "vmm/kvm.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VENDOR_VIRTIO 0x1AF4
#define DEVICE_MODERN 0x1040 /* plus the device id (4.1.2) */
#define REVISION      1

/* The BAR: one page of its own for each structure, so that a guest can give them away page by page. */
#define BAR	     0
#define BAR_SIZE     0x8000U
#define BAR_TYPE     (PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH)
#define PAGE	     0x1000U
#define COMMON_OFF   0x0000U
#define COMMON_BYTES 0x38U /* up to queue_device: no notification data, no queue reset */
#define ISR_OFF	     0x1000U
#define DEVICE_OFF   0x2000U
#define NOTIFY_OFF   0x3000U
#define NOTIFY_UNIT  4U
#define TABLE_OFF    0x4000U
#define PENDING_OFF  0x5000U

static_assert(COMMON_BYTES == offsetof(struct virtio_pci_common_cfg, queue_used_hi) + 4, "4.1.4.3");

/* Capabilities */
#define CAP_MSIX   0x40
#define CAP_COMMON 0x50
#define CAP_ISR	   0x60
#define CAP_DEVICE 0x70
#define CAP_NOTIFY 0x80
#define CAP_PCI	   0x98
#define CAP_EXP	   0xB0
#define CAP_PM	   0xF0

#define CAP_PCI_DATA (CAP_PCI + sizeof(struct virtio_pci_cap))

/* First dword of a capability of virtio's: id, next, length, what it describes (4.1.4). */
#define VIRTIO_CAP(next, len, type) \
	(PCI_CAP_ID_VNDR | (next) << 8 | (uint32_t)(len) << 16 | (uint32_t)(type) << 24)

#define CAP_BYTES sizeof(struct virtio_pci_cap)

static const struct pci_cfg_reg regs[] = {
	{ PCI_CFG_COMMAND, 2, 0, 0x0546 },
	{ PCI_CFG_STATUS, 2, PCI_STATUS_CAPS, 0, 0xF900 },
	{ 0x0C, 1, 0, 0xFF },
	{ PCI_CFG_BAR0, 4, BAR_TYPE, (uint32_t) ~(BAR_SIZE - 1) },
	{ PCI_CFG_BAR0 + 4, 4, 0, 0xFFFFFFFF },
	{ PCI_CFG_CAPS, 1, CAP_MSIX },
	{ 0x3C, 1, 0, 0xFF },

	{ CAP_MSIX, 2, PCI_CAP_ID_MSIX | CAP_COMMON << 8 },
	{ CAP_MSIX + PCI_MSIX_TABLE, 4, TABLE_OFF | BAR },
	{ CAP_MSIX + PCI_MSIX_PBA, 4, PENDING_OFF | BAR },

	{ CAP_COMMON, 4, VIRTIO_CAP(CAP_ISR, CAP_BYTES, VIRTIO_PCI_CAP_COMMON_CFG) },
	{ CAP_COMMON + VIRTIO_PCI_CAP_OFFSET, 4, COMMON_OFF },
	{ CAP_COMMON + VIRTIO_PCI_CAP_LENGTH, 4, COMMON_BYTES },
	{ CAP_ISR, 4, VIRTIO_CAP(CAP_DEVICE, CAP_BYTES, VIRTIO_PCI_CAP_ISR_CFG) },
	{ CAP_ISR + VIRTIO_PCI_CAP_OFFSET, 4, ISR_OFF },
	{ CAP_ISR + VIRTIO_PCI_CAP_LENGTH, 4, 1 },
	{ CAP_DEVICE, 4, VIRTIO_CAP(CAP_NOTIFY, CAP_BYTES, VIRTIO_PCI_CAP_DEVICE_CFG) },
	{ CAP_DEVICE + VIRTIO_PCI_CAP_OFFSET, 4, DEVICE_OFF },
	{ CAP_DEVICE + VIRTIO_PCI_CAP_LENGTH, 4, VIRTIO_CONFIG_MAX },
	{ CAP_NOTIFY, 4,
	  VIRTIO_CAP(CAP_PCI, sizeof(struct virtio_pci_notify_cap), VIRTIO_PCI_CAP_NOTIFY_CFG) },
	{ CAP_NOTIFY + VIRTIO_PCI_CAP_OFFSET, 4, NOTIFY_OFF },
	{ CAP_NOTIFY + VIRTIO_PCI_CAP_LENGTH, 4, PAGE },
	{ CAP_NOTIFY + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, NOTIFY_UNIT },
	{ CAP_PCI, 4,
	  VIRTIO_CAP(CAP_EXP, sizeof(struct virtio_pci_cfg_cap), VIRTIO_PCI_CAP_PCI_CFG) },
	{ CAP_PCI + VIRTIO_PCI_CAP_BAR, 1, 0, 0xFF },
	{ CAP_PCI + VIRTIO_PCI_CAP_OFFSET, 4, 0, 0xFFFFFFFF },
	{ CAP_PCI + VIRTIO_PCI_CAP_LENGTH, 4, 0, 0xFFFFFFFF },
	{ CAP_PCI_DATA, 4, 0, 0xFFFFFFFF },

	{ CAP_EXP, 4, PCI_CAP_ID_EXP | CAP_PM << 8 | 0x0002 << 16 }, /* version 2, endpoint */
	{ CAP_EXP + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER },
	{ CAP_EXP + PCI_EXP_DEVCTL, 2, 0, 0x00FF },
	{ CAP_EXP + PCI_EXP_DEVSTA, 2, 0, 0, 0x000F },
	{ CAP_EXP + PCI_EXP_LNKCAP, 4, 0x00000103 }, /* x16, 8 GT/s */
	{ CAP_EXP + PCI_EXP_LNKCTL, 2, 0, 0x00DB },
	{ CAP_EXP + PCI_EXP_LNKSTA, 2, 0x0103 },
	{ CAP_EXP + PCI_EXP_LNKCAP2, 4, 0x0000000E },
	{ CAP_EXP + PCI_EXP_LNKCTL2, 2, 0x0003, 0x000F },

	{ CAP_PM, 4, PCI_CAP_ID_PM | 0x0003 << 16 }, /* version 3, D0 and D3hot, no PME */
	{ CAP_PM + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK },
};

static struct virtio_pci *vp_of(struct pci_dev *dev)
{
	return container_of(dev, struct virtio_pci, pci);
}

/* --- doorbells ------------------------------------------------------------------------------- */

static int doorbell_set(const struct virtio_pci *vp, unsigned int queue, uint32_t flags)
{
	/* Length 0: a write of any length, without its data being looked at. */
	const struct kvm_ioeventfd doorbell = {
		.addr = vp->doorbell_base + NOTIFY_OFF + NOTIFY_UNIT * queue,
		.fd = vp->queues[queue].kick_fd,
		.flags = flags,
	};

	return kvm_ioeventfd(vp->env.vm_fd, &doorbell);
}

void virtio_doorbells_update(struct virtio_pci *vp)
{
	bool is_decoded = vp->region.size != 0;
	bool has_moved = !is_decoded || vp->region.base != vp->doorbell_base;

	for (unsigned int i = 0; i < vp->kind.queue_count; i++) {
		struct virtio_queue *q = &vp->queues[i];

		if (q->has_doorbell && (has_moved || !q->enabled)) {
			(void)doorbell_set(vp, i, KVM_IOEVENTFD_FLAG_DEASSIGN);
			q->has_doorbell = false;
		}
	}
	if (!is_decoded)
		return;
	vp->doorbell_base = vp->region.base;
	/* One that KVM does not take still works, by an exit (bar_write()). */
	for (unsigned int i = 0; i < vp->kind.queue_count; i++)
		if (vp->queues[i].enabled && !vp->queues[i].has_doorbell)
			vp->queues[i].has_doorbell = doorbell_set(vp, i, 0) == 0;
}

int virtio_kick_replace(struct virtio_pci *vp, unsigned int queue, unsigned int count)
{
	struct virtio_queue *q = &vp->queues[queue];
	int fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (q->has_doorbell)
		(void)doorbell_set(vp, queue, KVM_IOEVENTFD_FLAG_DEASSIGN);
	q->has_doorbell = q->is_lent = q->is_rung = false;
	fd_close(&q->kick_fd);
	q->kick_fd = fd;
	virtio_doorbells_update(vp);
	return 0;
}

int virtio_pci_queue_lend(struct virtio_pci *vp, unsigned int queue)
{
	int r = virtio_kick_replace(vp, queue, 1);

	if (r == 0)
		vp->queues[queue].is_lent = true;
	return r;
}

/* A kick that came as an exit. Who serves the queue can fill its eventfd and make it a blocking one at any time, so that no
 * write to it is safe: such a kick is left to the device, which may give the queue away once more. */
static void doorbell_ring(struct virtio_pci *vp, uint64_t off, bool is_past_kvm)
{
	const uint64_t one = 1;
	struct virtio_queue *q;

	if (off % NOTIFY_UNIT != 0 || off / NOTIFY_UNIT >= vp->kind.queue_count)
		return;
	q = &vp->queues[off / NOTIFY_UNIT];
	if (!q->is_lent) {
		(void)!write(q->kick_fd, &one, sizeof(one));
	} else if (is_past_kvm || !q->has_doorbell) {
		q->is_rung = true;
		vp->kind.ops->changed(vp);
	}
	/* Else it was on its way while the eventfd was replaced, and the new one was signalled from the start. */
}

/* --- BAR ------------------------------------------------------------------------------------- */

static uint64_t isr_read(struct virtio_pci *vp)
{
	uint8_t isr = vp->isr;

	vp->isr = 0; /* 4.1.4.5: reading clears */
	return isr;
}

static uint64_t device_read(const struct virtio_pci *vp, uint64_t off, unsigned int len)
{
	uint8_t bytes[VIRTIO_CONFIG_MAX] = { 0 };

	if (!range_fits(off, len, sizeof(bytes)))
		return 0;
	vp->kind.ops->config(vp, bytes);
	return get_le(bytes + off, len);
}

static uint64_t bar_read(void *owner, uint64_t off, unsigned int len)
{
	struct virtio_pci *vp = owner;
	uint64_t at = off % PAGE;

	if (at + len > PAGE)
		return UINT64_MAX;
	switch (off - at) {
	case COMMON_OFF:
		if (len != 8)
			return virtio_common_read(vp, (unsigned int)at, len);
		return virtio_common_read(vp, (unsigned int)at, 4) |
		       (uint64_t)virtio_common_read(vp, (unsigned int)at + 4, 4) << 32;
	case ISR_OFF:
		return at == 0 ? isr_read(vp) : 0;
	case DEVICE_OFF:
		return device_read(vp, at, len);
	case TABLE_OFF:
		return virtio_msix_table_read(&vp->msix, at, len);
	case PENDING_OFF:
		return virtio_msix_pending_read(&vp->msix, at, len);
	default:
		return 0;
	}
}

static void bar_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct virtio_pci *vp = owner;
	uint64_t at = off % PAGE;

	if (at + len > PAGE)
		return;
	switch (off - at) {
	case COMMON_OFF:
		virtio_common_write(vp, (unsigned int)at, len == 8 ? 4 : len, (uint32_t)value);
		if (len == 8)
			virtio_common_write(vp, (unsigned int)at + 4, 4, (uint32_t)(value >> 32));
		return;
	case NOTIFY_OFF:
		doorbell_ring(vp, at, false);
		return;
	case TABLE_OFF:
		virtio_msix_table_write(&vp->msix, at, len, value);
		return;
	default: /* the rest is read-only */
		return;
	}
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write };

static void bar_unmap(struct virtio_pci *vp)
{
	if (vp->region.size != 0)
		bus_del(vp->env.mmio, &vp->region);
	vp->region.size = 0;
	virtio_doorbells_update(vp);
}

/* Follows the BAR. On top of another trapped region it decodes nothing, until the guest moves it again. */
static void bar_update(struct virtio_pci *vp)
{
	bool decodes = (pci_cfg_get16(&vp->cfg, PCI_CFG_COMMAND) & PCI_COMMAND_MEM) != 0;
	uint64_t base = (uint64_t)pci_cfg_get32(&vp->cfg, PCI_CFG_BAR0 + 4) << 32 |
			(pci_cfg_get32(&vp->cfg, PCI_CFG_BAR0) & ~(BAR_SIZE - 1));

	if (decodes && vp->region.size != 0 && vp->region.base == base)
		return;
	bar_unmap(vp);
	if (!decodes)
		return;
	vp->region = (struct io_region){
		.name = vp->pci.name,
		.base = base,
		.size = BAR_SIZE,
		.ops = &bar_ops,
		.owner = vp,
	};
	if (bus_add(vp->env.mmio, &vp->region) < 0)
		vp->region.size = 0;
	virtio_doorbells_update(vp);
}

/* --- configuration space --------------------------------------------------------------------- */

/* The window that the PCI configuration access capability shows (4.1.4.9): true if it is one. */
static bool window_get(const struct virtio_pci *vp, uint32_t *off, unsigned int *len)
{
	*off = pci_cfg_get32(&vp->cfg, CAP_PCI + VIRTIO_PCI_CAP_OFFSET);
	*len = pci_cfg_get32(&vp->cfg, CAP_PCI + VIRTIO_PCI_CAP_LENGTH);
	return vp->cfg.value[CAP_PCI + VIRTIO_PCI_CAP_BAR] == BAR &&
	       (*len == 1 || *len == 2 || *len == 4) && *off % *len == 0 &&
	       range_fits(*off, *len, BAR_SIZE);
}

static uint32_t cfg_read(struct pci_dev *dev, unsigned int off, unsigned int len)
{
	struct virtio_pci *vp = vp_of(dev);
	unsigned int bytes;
	uint32_t at;

	if (pci_cfg_touches(off, len, CAP_PCI_DATA, 4) && window_get(vp, &at, &bytes))
		put_le(&vp->cfg.value[CAP_PCI_DATA], bytes, bar_read(vp, at, bytes));
	return pci_cfg_read(&vp->cfg, off, len);
}

static void cfg_write(struct pci_dev *dev, unsigned int off, unsigned int len, uint32_t value)
{
	struct virtio_pci *vp = vp_of(dev);
	unsigned int bytes;
	uint32_t at;

	pci_cfg_write(&vp->cfg, off, len, value);
	if (pci_cfg_touches(off, len, CAP_PCI_DATA, 4) && window_get(vp, &at, &bytes) &&
	    range_fits(at - NOTIFY_OFF, bytes, PAGE))
		doorbell_ring(vp, at - NOTIFY_OFF, true);
	else if (pci_cfg_touches(off, len, CAP_PCI_DATA, 4) && window_get(vp, &at, &bytes))
		bar_write(vp, at, bytes, get_le(&vp->cfg.value[CAP_PCI_DATA], bytes));
	if (pci_cfg_touches(off, len, PCI_CFG_COMMAND, 2) ||
	    pci_cfg_touches(off, len, PCI_CFG_BAR0, 8))
		bar_update(vp);
	if (pci_cfg_touches(off, len, PCI_CFG_COMMAND, 2))
		vp->kind.ops->changed(vp); /* bus mastering */
	if (pci_cfg_touches(off, len, CAP_MSIX + PCI_MSIX_FLAGS, 2))
		virtio_msix_control(&vp->msix, pci_cfg_get16(&vp->cfg, CAP_MSIX + PCI_MSIX_FLAGS));
}

/* PCIe Base, 7.5.3: what is integrated into the root complex has no link. */
static const struct pci_cfg_reg integrated_regs[] = {
	{ CAP_EXP, 4, PCI_CAP_ID_EXP | CAP_PM << 8 | 0x0092 << 16 },
	{ CAP_EXP + PCI_EXP_LNKCAP, 4, 0 },
	{ CAP_EXP + PCI_EXP_LNKCTL, 2, 0 },
	{ CAP_EXP + PCI_EXP_LNKSTA, 2, 0 },
	{ CAP_EXP + PCI_EXP_LNKCAP2, 4, 0 },
	{ CAP_EXP + PCI_EXP_LNKCTL2, 2, 0 },
};

static void cfg_init(struct virtio_pci *vp)
{
	const struct pci_cfg_reg own[] = {
		{ PCI_CFG_ID, 4, VENDOR_VIRTIO | (uint32_t)(DEVICE_MODERN + vp->kind.id) << 16 },
		{ PCI_CFG_CLASS, 4, vp->kind.class_code << 8 | REVISION },
		{ PCI_SUBSYSTEM_VENDOR_ID, 4,
		  VENDOR_VIRTIO | (uint32_t)(DEVICE_MODERN + vp->kind.id) << 16 },
		{ CAP_MSIX + PCI_MSIX_FLAGS, 2, vp->msix.count - 1,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL },
	};
	struct pci_cfg_reg all[ARRAY_SIZE(regs) + ARRAY_SIZE(own) + ARRAY_SIZE(integrated_regs)];
	size_t count = ARRAY_SIZE(regs) + ARRAY_SIZE(own);

	/* Of rows for the same register the last one counts. */
	memcpy(all, regs, sizeof(regs));
	memcpy(all + ARRAY_SIZE(regs), own, sizeof(own));
	memcpy(all + count, integrated_regs, sizeof(integrated_regs));
	pci_cfg_init(&vp->cfg, all, vp->kind.is_integrated ? ARRAY_SIZE(all) : count);
}

static void pci_reset(struct pci_dev *dev)
{
	struct virtio_pci *vp = vp_of(dev);

	cfg_init(vp);
	bar_update(vp);
	virtio_msix_reset(&vp->msix);
	virtio_reset_request(vp);
}

/* The device belongs to who made it; the guest just does not see it any more. */
static void pci_destroy(struct pci_dev *dev)
{
	virtio_pci_fini(vp_of(dev));
}

static uint64_t pci_bar_size(struct pci_dev *dev, unsigned int bar, bool *is_64bit,
			     bool *prefetchable)
{
	*is_64bit = *prefetchable = true;
	return bar == BAR ? BAR_SIZE : 0;
}

static const struct pci_dev_ops pci_ops = {
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.reset = pci_reset,
	.destroy = pci_destroy,
	.bar_size = pci_bar_size,
};

int virtio_pci_init(struct virtio_pci *vp, const struct virtio_pci_env *env,
		    const struct virtio_pci_kind *kind, const char *name, struct err *e)
{
	int r;

	vp->pci = (struct pci_dev){ .ops = &pci_ops, .name = name };
	vp->env = *env;
	vp->kind = *kind;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		vp->queues[i].kick_fd = -1;
	r = virtio_msix_init(&vp->msix, env->irq, kind->queue_count + 1, e);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < kind->queue_count; i++) {
		vp->queues[i].kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vp->queues[i].kick_fd < 0) {
			r = err_set(e, errno, "eventfd: %s", strerror(errno));
			virtio_pci_fini(vp);
			return r;
		}
	}
	cfg_init(vp);
	virtio_pci_detached(vp);
	virtio_reset_request(vp);
	return 0;
}

void virtio_pci_fini(struct virtio_pci *vp)
{
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		vp->queues[i].enabled = false;
	bar_unmap(vp);
	virtio_msix_fini(&vp->msix);
	for (unsigned int i = 0; i < vp->kind.queue_count; i++)
		fd_close(&vp->queues[i].kick_fd);
	vp->kind.queue_count = 0;
}

bool virtio_pci_runs(const struct virtio_pci *vp)
{
	const uint8_t must = VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK;
	const uint8_t may_not = VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED;

	return !vp->stopping && (vp->status & (must | may_not)) == must &&
	       (pci_cfg_get16(&vp->cfg, PCI_CFG_COMMAND) & PCI_COMMAND_MASTER) != 0;
}
