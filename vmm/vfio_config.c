// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a guest sees of a function's configuration space, as tables. Hidden because no row names it:
 * SR-IOV, ARI, ATS, PRI, PASID, resizable BARs, AER, DPC, L1SS, LTR, TPH and whatever comes later
 * (PCIe Base 5.0, 7.5 to 7.9).
 */
#include "vmm/vfio_config.h"

#include "vmm/pci_cfg.h"

#include <errno.h>
#include <linux/pci_regs.h>

#define STD_END	      256U
#define STD_CAPS      0x40U
#define STD_STEPS     48 /* capabilities are at least 4 bytes long */
#define EXT_STEPS     960
#define EXT_NONE      0xFFFF /* id of a place holder: the list must begin at 0x100 */
#define MSIX_CAP_SIZE 12

enum field_kind {
	FIELD_KEEP, /* as in the snapshot; `writable` bits are the guest's */
	FIELD_ZERO, /* reads 0 at reset; `writable` bits are the guest's */
	FIELD_PASS, /* the device's; only `writable` bits are passed on, the others as 0 */
};

struct field {
	uint8_t off; /* from the start of the header or the capability */
	uint8_t len; /* bytes, at most 4 */
	enum field_kind kind;
	uint32_t writable;
	uint32_t clear; /* bits of the snapshot that are not shown */
};

/* What is not here is 0: status but for its list bit, BIST, CIS, expansion ROM, interrupt pin. */
static const struct field header_fields[] = {
	{ PCI_VENDOR_ID, 4, FIELD_KEEP },
	{ PCI_COMMAND, 2, FIELD_ZERO,
	  PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
		  PCI_COMMAND_INTX_DISABLE },
	{ PCI_CLASS_REVISION, 4, FIELD_KEEP },
	{ PCI_CACHE_LINE_SIZE, 1, FIELD_ZERO, 0xFF },
	{ PCI_HEADER_TYPE, 1, FIELD_KEEP, 0, 0x80 }, /* alone in its slot */
	{ PCI_SUBSYSTEM_VENDOR_ID, 4, FIELD_KEEP },
	{ PCI_INTERRUPT_LINE, 1, FIELD_ZERO, 0xFF },
};

/* D0 and D3hot without effect on the device: it keeps its state (No_Soft_Reset), no PME. */
static const struct field pm_fields[] = {
	{ PCI_PM_PMC, 2, FIELD_KEEP, 0, 0xFFF8 },
	{ PCI_PM_CTRL, 2, FIELD_ZERO, PCI_PM_CTRL_STATE_MASK },
};

/* Reading only: what a guest wrote to the VPD would stay for the next one. */
static const struct field vpd_fields[] = {
	{ PCI_VPD_ADDR, 2, FIELD_PASS, PCI_VPD_ADDR_MASK },
	{ PCI_VPD_DATA, 4, FIELD_PASS },
};

static const struct field msi_fields[] = {
	{ PCI_MSI_FLAGS, 2, FIELD_KEEP, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE,
	  PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE },
	{ PCI_MSI_ADDRESS_LO, 4, FIELD_ZERO, 0xFFFFFFFC },
};

/* The rest of the MSI capability depends on its own flags: 64-bit address, mask bits. */
static const struct field msi_32_fields[] = {
	{ PCI_MSI_DATA_32, 2, FIELD_ZERO, 0xFFFF },
};
static const struct field msi_64_fields[] = {
	{ PCI_MSI_ADDRESS_HI, 4, FIELD_ZERO, 0xFFFFFFFF },
	{ PCI_MSI_DATA_64, 2, FIELD_ZERO, 0xFFFF },
};

static const struct field msix_fields[] = {
	{ PCI_MSIX_FLAGS, 2, FIELD_KEEP, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
	  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL },
	{ PCI_MSIX_TABLE, 4, FIELD_KEEP },
	{ PCI_MSIX_PBA, 4, FIELD_KEEP },
};

/* The device side is the function's own; the link is the virtual port's, and its control is nobody's.
 * Function-level reset is a real one, done by whoever sees the bit written. */
static const struct field pcie_fields[] = {
	{ PCI_EXP_FLAGS, 2, FIELD_KEEP, 0, PCI_EXP_FLAGS_TYPE | PCI_EXP_FLAGS_SLOT },
	{ PCI_EXP_DEVCAP, 4, FIELD_KEEP, 0, PCI_EXP_DEVCAP_PWR_VAL | PCI_EXP_DEVCAP_PWR_SCL },
	{ PCI_EXP_DEVCTL, 2, FIELD_PASS, 0xFFFF & ~PCI_EXP_DEVCTL_BCR_FLR },
	{ PCI_EXP_DEVSTA, 2, FIELD_PASS, 0x000F },
	{ PCI_EXP_LNKCAP, 4, FIELD_KEEP, 0, PCI_EXP_LNKCAP_ASPMS | PCI_EXP_LNKCAP_CLKPM },
	{ PCI_EXP_LNKCTL, 2, FIELD_ZERO, PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES },
	{ PCI_EXP_LNKSTA, 2, FIELD_KEEP, 0, 0xFC00 },
};
/* Version 2 only: completion time-out is offered as not programmable. */
static const struct field pcie_v2_fields[] = {
	{ PCI_EXP_DEVCAP2, 4, FIELD_KEEP, 0, ~PCI_EXP_DEVCAP2_COMP_TMOUT_DIS },
	{ PCI_EXP_DEVCTL2, 2, FIELD_ZERO, PCI_EXP_DEVCTL2_COMP_TMOUT_DIS },
	{ PCI_EXP_LNKCAP2, 4, FIELD_KEEP },
};

struct cap_row {
	uint16_t id;
	uint16_t size; /* bytes; 0: from the capability's own length field */
	const struct field *fields;
	size_t field_count;
};

#define FIELDS(f) f, ARRAY_SIZE(f)

static const struct cap_row std_caps[] = {
	{ PCI_CAP_ID_PM, PCI_PM_SIZEOF, FIELDS(pm_fields) },
	{ PCI_CAP_ID_VPD, 8, FIELDS(vpd_fields) },
	{ PCI_CAP_ID_MSI, 10, FIELDS(msi_fields) },
	{ PCI_CAP_ID_VNDR, 0 }, /* passed whole */
	{ PCI_CAP_ID_EXP, 20, FIELDS(pcie_fields) },
	{ PCI_CAP_ID_MSIX, MSIX_CAP_SIZE, FIELDS(msix_fields) },
};

/* Shown as in the snapshot, never writable. */
static const struct cap_row ext_caps[] = {
	{ PCI_EXT_CAP_ID_DSN, PCI_EXT_CAP_DSN_SIZEOF },
	{ PCI_EXT_CAP_ID_VNDR, 0 },
};

static const struct cap_row *row_find(const struct cap_row *rows, size_t count, uint16_t id)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].id == id)
			return &rows[i];
	return NULL;
}

static void field_set(struct vfio_config *c, unsigned int base, const struct field *f)
{
	for (unsigned int i = 0; i < f->len; i++) {
		unsigned int at = base + f->off + i;
		uint8_t keep = (uint8_t) ~(f->clear >> 8 * i);

		c->value[at] = f->kind == FIELD_KEEP ? c->host[at] & keep : 0;
		c->writable[at] = (uint8_t)(f->writable >> 8 * i);
		c->passed[at] = f->kind == FIELD_PASS;
	}
}

/* -EBADMSG if a field would lie outside the first 256 bytes. */
static int fields_set(struct vfio_config *c, unsigned int base, const struct field *fields,
		      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!range_fits(base + fields[i].off, fields[i].len, STD_END))
			return -EBADMSG;
		field_set(c, base, &fields[i]);
	}
	return 0;
}

static int msi_show(struct vfio_config *c, unsigned int at)
{
	uint16_t flags = get_le16(&c->host[at + PCI_MSI_FLAGS]);
	bool is_64bit = (flags & PCI_MSI_FLAGS_64BIT) != 0;
	unsigned int mask = is_64bit ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32;
	int r = is_64bit ? fields_set(c, at, FIELDS(msi_64_fields))
			 : fields_set(c, at, FIELDS(msi_32_fields));

	if (r == 0 && (flags & PCI_MSI_FLAGS_MASKBIT) != 0) {
		const struct field bits = { (uint8_t)mask, 4, FIELD_ZERO, 0xFFFFFFFF };

		r = fields_set(c, at, &bits, 1);
	}
	c->msi = (uint16_t)at;
	return r;
}

/* A VF's link registers read 0 (PCIe Base, 9.3.5.7): then the virtual port's own x16 at 8 GT/s. */
static int pcie_show(struct vfio_config *c, unsigned int at)
{
	uint16_t flags = get_le16(&c->host[at + PCI_EXP_FLAGS]);
	int r = 0;

	c->pcie = (uint16_t)at;
	c->has_flr = (get_le32(&c->host[at + PCI_EXP_DEVCAP]) & PCI_EXP_DEVCAP_FLR) != 0;
	if ((flags & PCI_EXP_FLAGS_VERS) >= 2)
		r = fields_set(c, at, FIELDS(pcie_v2_fields));
	if ((c->value[at + PCI_EXP_LNKCAP] & PCI_EXP_LNKCAP_SLS) == 0)
		put_le16(&c->value[at + PCI_EXP_LNKCAP], 0x0103);
	if ((c->value[at + PCI_EXP_LNKSTA] & PCI_EXP_LNKSTA_CLS) == 0)
		put_le16(&c->value[at + PCI_EXP_LNKSTA], 0x0103);
	return r;
}

static int vendor_show(struct vfio_config *c, unsigned int at)
{
	unsigned int len = c->host[at + 2];

	if (len < 3 || !range_fits(at, len, STD_END))
		return -EBADMSG;
	c->value[at + 2] = (uint8_t)len;
	for (unsigned int i = 3; i < len; i++) {
		c->passed[at + i] = 1;
		c->writable[at + i] = 0xFF;
	}
	return 0;
}

static int std_cap_show(struct vfio_config *c, const struct cap_row *row, unsigned int at)
{
	int r = range_fits(at, row->size, STD_END)
			? fields_set(c, at, row->fields, row->field_count)
			: -EBADMSG;

	if (r < 0)
		return r;
	switch (row->id) {
	case PCI_CAP_ID_MSI:
		return msi_show(c, at);
	case PCI_CAP_ID_EXP:
		return pcie_show(c, at);
	case PCI_CAP_ID_VNDR:
		return vendor_show(c, at);
	case PCI_CAP_ID_MSIX:
		c->msix = (uint16_t)at;
		return 0;
	case PCI_CAP_ID_PM:
		c->value[at + PCI_PM_CTRL] = PCI_PM_CTRL_NO_SOFT_RESET;
		return 0;
	default:
		return 0;
	}
}

/* The list of what is shown, in the device's own order. */
static int std_caps_show(struct vfio_config *c)
{
	unsigned int at = c->host[PCI_CAPABILITY_LIST] & ~3U;
	unsigned int link = PCI_CAPABILITY_LIST; /* where the next one's offset goes */
	bool seen[STD_END] = { false };

	if ((get_le16(&c->host[PCI_STATUS]) & PCI_STATUS_CAP_LIST) == 0)
		return 0;
	for (int step = 0; at != 0; step++) {
		const struct cap_row *row;
		int r;

		if (step == STD_STEPS || at < STD_CAPS || seen[at])
			return -EBADMSG;
		seen[at] = true;
		row = row_find(std_caps, ARRAY_SIZE(std_caps), c->host[at]);
		if (row != NULL) {
			r = std_cap_show(c, row, at);
			if (r < 0)
				return r;
			c->value[at] = c->host[at];
			c->value[link] = (uint8_t)at;
			link = at + PCI_CAP_LIST_NEXT;
			c->value[link] = 0;
			c->passed[at] = c->passed[link] = 0;
			c->writable[at] = c->writable[link] = 0;
			c->value[PCI_STATUS] = PCI_STATUS_CAP_LIST;
		}
		at = c->host[at + PCI_CAP_LIST_NEXT] & ~3U;
	}
	return 0;
}

static unsigned int ext_cap_size(const struct vfio_config *c, const struct cap_row *row,
				 unsigned int at)
{
	if (row->size != 0 || !range_fits(at, 8, VFIO_CONFIG_SIZE))
		return row->size;
	return get_le32(&c->host[at + 4]) >> 20;
}

static void ext_link(struct vfio_config *c, unsigned int from, unsigned int to)
{
	put_le16(&c->value[from + 2], (uint16_t)((c->value[from + 2] & 0xF) | to << 4));
}

static int ext_caps_show(struct vfio_config *c)
{
	unsigned int at = STD_END, last = 0;
	bool seen[VFIO_CONFIG_SIZE / 4] = { false };

	put_le32(&c->value[STD_END], EXT_NONE);
	for (int step = 0; at != 0; step++) {
		uint32_t head = get_le32(&c->host[at]);
		const struct cap_row *row;

		if (head == 0 || head == UINT32_MAX)
			break;
		if (step == EXT_STEPS || seen[at / 4])
			return -EBADMSG;
		seen[at / 4] = true;
		row = row_find(ext_caps, ARRAY_SIZE(ext_caps), (uint16_t)head);
		if (row != NULL) {
			unsigned int size = ext_cap_size(c, row, at);

			if (size < 4 || !range_fits(at, size, VFIO_CONFIG_SIZE))
				return -EBADMSG;
			memcpy(&c->value[at], &c->host[at], size);
			put_le32(&c->value[at], head & 0x000FFFFF);
			if (at != STD_END)
				ext_link(c, last != 0 ? last : STD_END, at);
			last = at;
		}
		at = PCI_EXT_CAP_NEXT(head);
		if (at != 0 && at < STD_END)
			return -EBADMSG;
	}
	if (last == 0)
		put_le32(&c->value[STD_END], 0);
	return 0;
}

static int snapshot_read(struct vfio_config *c, const struct vfio_device *dev, struct err *e)
{
	uint64_t size = dev->regions[VFIO_REGION_CONFIG].size;
	int r = vfio_device_read(dev, VFIO_REGION_CONFIG, 0, c->host, STD_END);

	if (r == 0 && size >= VFIO_CONFIG_SIZE)
		r = vfio_device_read(dev, VFIO_REGION_CONFIG, STD_END, &c->host[STD_END],
				     VFIO_CONFIG_SIZE - STD_END);
	if (r < 0)
		return err_set(e, r, "read configuration space: %s", strerror(-r));
	if (get_le16(&c->host[PCI_VENDOR_ID]) == UINT16_MAX)
		return err_set(e, ENODEV, "it does not answer: configuration space reads all ones");
	if ((c->host[PCI_HEADER_TYPE] & 0x7F) != PCI_HEADER_TYPE_NORMAL)
		return err_set(e, ENOTSUP, "it is a bridge");
	return 0;
}

int vfio_config_init(struct vfio_config *c, const struct vfio_device *dev, struct err *e)
{
	int r;

	memset(c, 0, sizeof(*c));
	r = snapshot_read(c, dev, e);
	if (r < 0)
		return r;
	r = fields_set(c, 0, FIELDS(header_fields));
	if (r == 0)
		r = std_caps_show(c);
	if (r == 0)
		r = ext_caps_show(c);
	if (r < 0)
		return err_set(e, r, "its list of capabilities is broken");
	memcpy(c->initial, c->value, sizeof(c->initial));
	return 0;
}

void vfio_config_reset(struct vfio_config *c)
{
	memcpy(c->value, c->initial, sizeof(c->value));
}

void vfio_config_set_bar(struct vfio_config *c, unsigned int bar, uint64_t size, bool is_64bit)
{
	unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint64_t mask = size == 0 ? 0 : ~(size - 1);
	uint32_t kind = get_le32(&c->host[at]) & ~(uint32_t)PCI_BASE_ADDRESS_MEM_MASK;

	put_le32(&c->writable[at], (uint32_t)mask);
	put_le32(&c->initial[at], size == 0 ? 0 : kind);
	if (is_64bit)
		put_le32(&c->writable[at + 4], (uint32_t)(mask >> 32));
	memcpy(&c->value[at], &c->initial[at], is_64bit ? 8 : 4);
}

static bool access_is_sound(unsigned int off, unsigned int len)
{
	return (len == 1 || len == 2 || len == 4) && off % len == 0 &&
	       range_fits(off, len, VFIO_CONFIG_SIZE);
}

uint32_t vfio_config_read(const struct vfio_config *c, const struct vfio_device *dev,
			  unsigned int off, unsigned int len)
{
	uint8_t bytes[8] = { 0 };
	bool any_passed = false;

	if (!access_is_sound(off, len))
		return UINT32_MAX;
	for (unsigned int i = 0; i < len; i++)
		any_passed |= c->passed[off + i] != 0;
	if (any_passed) /* all ones if it fails, as from a device that is gone */
		(void)vfio_device_read(dev, VFIO_REGION_CONFIG, off, bytes, len);
	for (unsigned int i = 0; i < len; i++)
		if (!c->passed[off + i])
			bytes[i] = c->value[off + i];
	return (uint32_t)get_le(bytes, len);
}

void vfio_config_write(struct vfio_config *c, const struct vfio_device *dev, unsigned int off,
		       unsigned int len, uint32_t value)
{
	uint8_t bytes[4] = { 0 };
	unsigned int first = len, last = 0;

	if (!access_is_sound(off, len))
		return;
	for (unsigned int i = 0; i < len; i++) {
		uint8_t writable = c->writable[off + i], byte = (uint8_t)(value >> 8 * i);

		bytes[i] = byte & writable;
		if (!c->passed[off + i]) {
			c->value[off + i] = (uint8_t)((c->value[off + i] & ~writable) | bytes[i]);
		} else if (writable != 0) {
			first = first < i ? first : i;
			last = i;
		}
	}
	if (first == len || dev == NULL)
		return;
	/* The device's own registers, as one write of their length: a field is never split. */
	(void)vfio_device_write(dev, VFIO_REGION_CONFIG, off + first, bytes + first,
				last - first + 1);
}
