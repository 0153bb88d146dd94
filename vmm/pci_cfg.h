/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space of an emulated function, described by a const table of registers: value at
 * reset, bits that software may write, bits that it clears by writing 1. What no row names reads 0.
 * Devices look at what changed after pci_cfg_write() and act on it.
 */
#ifndef VIADUCT_VMM_PCI_CFG_H
#define VIADUCT_VMM_PCI_CFG_H

#include "base/util.h"

#define PCI_CFG_SIZE 256 /* beyond it: no extended capabilities, reads 0 */

/* Registers of both header types (PCI 3.0, 6.1) */
#define PCI_CFG_ID	0x00
#define PCI_CFG_COMMAND 0x04
#define PCI_CFG_STATUS	0x06
#define PCI_CFG_CLASS	0x08
#define PCI_CFG_HEADER	0x0E
#define PCI_CFG_BAR0	0x10
#define PCI_CFG_CAPS	0x34

#define PCI_COMMAND_IO	   0x0001
#define PCI_COMMAND_MEM	   0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_STATUS_CAPS	   0x0010

struct pci_cfg_reg {
	uint8_t off;
	uint8_t len; /* 1, 2 or 4 bytes */
	uint32_t reset;
	uint32_t writable;
	uint32_t clear; /* write 1 to clear */
};

struct pci_cfg {
	uint8_t value[PCI_CFG_SIZE];
	uint8_t writable[PCI_CFG_SIZE];
	uint8_t clear[PCI_CFG_SIZE];
};

void pci_cfg_init(struct pci_cfg *cfg, const struct pci_cfg_reg *regs, size_t count);

/* off, len as the root complex promises them (pci.h). */
uint32_t pci_cfg_read(const struct pci_cfg *cfg, unsigned int off, unsigned int len);
void pci_cfg_write(struct pci_cfg *cfg, unsigned int off, unsigned int len, uint32_t value);

/* True if [off, off + len) shares a byte with [reg, reg + reg_len). */
static inline bool pci_cfg_touches(unsigned int off, unsigned int len, unsigned int reg,
				   unsigned int reg_len)
{
	return off < reg + reg_len && reg < off + len;
}

static inline uint16_t pci_cfg_get16(const struct pci_cfg *cfg, unsigned int off)
{
	return get_le16(&cfg->value[off]);
}

static inline uint32_t pci_cfg_get32(const struct pci_cfg *cfg, unsigned int off)
{
	return get_le32(&cfg->value[off]);
}

#endif
