// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vfio_msix.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/pci_regs.h>

#define ENTRY_ADDR    0
#define ENTRY_DATA    8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED  0x1

/* In a BAR that there is and that the guest can have: not one of I/O ports, nor the upper half of a
 * 64-bit one, which has no region. */
static bool fits_bar(const struct vfio_config *c, const struct vfio_device *dev, unsigned int bar,
		     uint64_t off, uint64_t len)
{
	return bar <= VFIO_REGION_BAR5 && range_fits(off, len, dev->regions[bar].size) &&
	       (c->host[PCI_BASE_ADDRESS_0 + 4 * bar] & PCI_BASE_ADDRESS_SPACE_IO) == 0;
}

int vfio_msix_init(struct vfio_msix *m, const struct vfio_config *c, const struct vfio_device *dev,
		   struct err *e)
{
	uint32_t table, pba;

	memset(m, 0, sizeof(*m));
	if (c->msix == 0 || dev->irqs[VFIO_IRQ_MSIX].count == 0)
		return 0;
	table = vfio_config_get32(c, c->msix + PCI_MSIX_TABLE);
	pba = vfio_config_get32(c, c->msix + PCI_MSIX_PBA);
	m->count = (vfio_config_get16(c, c->msix + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U;
	m->table_bar = table & PCI_MSIX_TABLE_BIR;
	m->table_off = table & PCI_MSIX_TABLE_OFFSET;
	m->pba_bar = pba & PCI_MSIX_PBA_BIR;
	m->pba_off = pba & PCI_MSIX_PBA_OFFSET;
	m->pba_bytes = (m->count + 63) / 64 * 8;
	if (!fits_bar(c, dev, m->table_bar, m->table_off, m->count * MSIX_ENTRY_BYTES) ||
	    !fits_bar(c, dev, m->pba_bar, m->pba_off, m->pba_bytes))
		return err_set(e, EBADMSG, "its MSI-X table lies outside its BARs");
	m->table = calloc(m->count, MSIX_ENTRY_BYTES);
	if (m->table == NULL)
		return err_set(e, ENOMEM, "out of memory");
	vfio_msix_reset(m);
	return 0;
}

void vfio_msix_fini(struct vfio_msix *m)
{
	free(m->table);
	m->table = NULL;
	m->count = 0;
}

void vfio_msix_reset(struct vfio_msix *m)
{
	m->enabled = m->masked = false;
	for (uint32_t i = 0; i < m->count; i++) {
		uint8_t *entry = m->table + i * MSIX_ENTRY_BYTES;

		memset(entry, 0, MSIX_ENTRY_BYTES);
		entry[ENTRY_CONTROL] = ENTRY_MASKED;
	}
}

static bool overlaps(const struct vfio_access *at, unsigned int bar, uint64_t off, uint64_t size)
{
	return at->bar == bar && at->off < off + size && off < at->off + at->len;
}

static bool lies_in(const struct vfio_access *at, unsigned int bar, uint64_t off, uint64_t size)
{
	return at->bar == bar && at->off >= off && range_fits(at->off - off, at->len, size);
}

static bool in_table(const struct vfio_msix *m, const struct vfio_access *at)
{
	return lies_in(at, m->table_bar, m->table_off, m->count * MSIX_ENTRY_BYTES);
}

bool vfio_msix_owns(const struct vfio_msix *m, const struct vfio_access *at)
{
	return m->count != 0 &&
	       (overlaps(at, m->table_bar, m->table_off, m->count * MSIX_ENTRY_BYTES) ||
		overlaps(at, m->pba_bar, m->pba_off, m->pba_bytes));
}

uint64_t vfio_msix_read(const struct vfio_msix *m, const struct vfio_vectors *v,
			const struct vfio_access *at)
{
	uint8_t bytes[8] = { 0 };
	uint64_t bits = 0;
	uint32_t first;

	if (at->len > sizeof(bytes))
		return UINT64_MAX;
	if (in_table(m, at)) {
		memcpy(bytes, m->table + (at->off - m->table_off), at->len);
		return get_le64(bytes);
	}
	if (!lies_in(at, m->pba_bar, m->pba_off, m->pba_bytes))
		return UINT64_MAX;
	first = (uint32_t)(at->off - m->pba_off) * 8;
	for (uint32_t i = 0; i < at->len * 8 && first + i < m->count; i++)
		bits |= (uint64_t)vfio_vectors_is_pending(v, first + i) << i;
	return bits;
}

/* Brings one vector in line with its entry, the function mask and the enable bit. */
static int entry_update(const struct vfio_msix *m, struct vfio_vectors *v, uint32_t i)
{
	const uint8_t *entry = m->table + i * MSIX_ENTRY_BYTES;

	if (!v->enabled || v->kind != VFIO_IRQ_MSIX)
		return 0;
	if (m->masked || (entry[ENTRY_CONTROL] & ENTRY_MASKED) != 0) {
		vfio_vectors_mask(v, i);
		return 0;
	}
	return vfio_vectors_unmask(v, i, get_le64(entry + ENTRY_ADDR),
				   get_le32(entry + ENTRY_DATA));
}

int vfio_msix_write(struct vfio_msix *m, struct vfio_vectors *v, const struct vfio_access *at,
		    uint64_t value)
{
	int r = 0, first = 0;
	uint32_t start, end;

	if (!in_table(m, at))
		return 0;
	start = (uint32_t)(at->off - m->table_off);
	end = start + at->len;
	for (uint32_t i = start; i < end; i++, value >>= 8) {
		uint32_t field = i % MSIX_ENTRY_BYTES;

		/* Vector control has one bit, the others read 0. */
		if (field < ENTRY_CONTROL)
			m->table[i] = (uint8_t)value;
		else if (field == ENTRY_CONTROL)
			m->table[i] = value & ENTRY_MASKED;
	}
	for (uint32_t i = start / MSIX_ENTRY_BYTES; i <= (end - 1) / MSIX_ENTRY_BYTES; i++) {
		r = entry_update(m, v, i);
		first = first < 0 ? first : r;
	}
	return first;
}

int vfio_msix_control(struct vfio_msix *m, struct vfio_vectors *v, uint16_t control)
{
	bool enabled = (control & PCI_MSIX_FLAGS_ENABLE) != 0;
	bool masked = (control & PCI_MSIX_FLAGS_MASKALL) != 0;
	bool was_enabled = m->enabled;
	int r = 0, first = 0;

	if (m->count == 0 || (enabled == was_enabled && masked == m->masked))
		return 0;
	m->enabled = enabled;
	m->masked = masked;
	if (!enabled) {
		if (was_enabled)
			vfio_vectors_disable(v);
		return 0;
	}
	if (!was_enabled) {
		r = vfio_vectors_enable_msix(v);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < m->count; i++) {
		r = entry_update(m, v, i);
		first = first < 0 ? first : r;
	}
	return first;
}

static unsigned int msi_at(const struct vfio_config *c, unsigned int off32, unsigned int off64)
{
	bool is_64bit = (vfio_config_get16(c, c->msi + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_64BIT) != 0;

	return c->msi + (is_64bit ? off64 : off32);
}

unsigned int vfio_msi_size(const struct vfio_config *c)
{
	uint16_t flags = vfio_config_get16(c, c->msi + PCI_MSI_FLAGS);

	if ((flags & PCI_MSI_FLAGS_MASKBIT) != 0)
		return msi_at(c, PCI_MSI_MASK_32, PCI_MSI_MASK_64) + 4 - c->msi;
	return msi_at(c, PCI_MSI_DATA_32, PCI_MSI_DATA_64) + 2 - c->msi;
}

int vfio_msi_update(const struct vfio_config *c, struct vfio_vectors *v)
{
	uint16_t flags = vfio_config_get16(c, c->msi + PCI_MSI_FLAGS);
	uint32_t count = 1U << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4);
	uint16_t data = vfio_config_get16(c, msi_at(c, PCI_MSI_DATA_32, PCI_MSI_DATA_64));
	uint64_t addr = vfio_config_get32(c, c->msi + PCI_MSI_ADDRESS_LO);
	uint32_t mask = 0;
	int r = 0, first = 0;

	if ((flags & PCI_MSI_FLAGS_ENABLE) == 0) {
		if (v->enabled && v->kind == VFIO_IRQ_MSI)
			vfio_vectors_disable(v);
		return 0;
	}
	if (v->enabled && v->kind == VFIO_IRQ_MSIX)
		return 0; /* both enabled is undefined: the first one stays */
	if (count > v->dev->irqs[VFIO_IRQ_MSI].count)
		return -ERANGE;
	if ((flags & PCI_MSI_FLAGS_64BIT) != 0)
		addr |= (uint64_t)vfio_config_get32(c, c->msi + PCI_MSI_ADDRESS_HI) << 32;
	if ((flags & PCI_MSI_FLAGS_MASKBIT) != 0)
		mask = vfio_config_get32(c, msi_at(c, PCI_MSI_MASK_32, PCI_MSI_MASK_64));
	if (!v->enabled || v->host_count != count) {
		r = vfio_vectors_enable_msi(v, count);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < count; i++) {
		if ((mask >> i & 1) != 0)
			vfio_vectors_mask(v, i);
		else
			/* The device sets the low bits of data (PCI 3.0, 6.8.1.6). */
			r = vfio_vectors_unmask(v, i, addr, (data & ~(count - 1)) | i);
		first = first < 0 ? first : r;
	}
	return first;
}
