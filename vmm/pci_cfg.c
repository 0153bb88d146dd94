// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/pci_cfg.h"

void pci_cfg_init(struct pci_cfg *cfg, const struct pci_cfg_reg *regs, size_t count)
{
	memset(cfg, 0, sizeof(*cfg));
	for (size_t i = 0; i < count; i++) {
		for (unsigned int b = 0; b < regs[i].len; b++) {
			cfg->value[regs[i].off + b] = (uint8_t)(regs[i].reset >> 8 * b);
			cfg->writable[regs[i].off + b] = (uint8_t)(regs[i].writable >> 8 * b);
			cfg->clear[regs[i].off + b] = (uint8_t)(regs[i].clear >> 8 * b);
		}
	}
}

uint32_t pci_cfg_read(const struct pci_cfg *cfg, unsigned int off, unsigned int len)
{
	uint32_t value = 0;

	if (!range_fits(off, len, PCI_CFG_SIZE))
		return 0;
	for (unsigned int b = 0; b < len; b++)
		value |= (uint32_t)cfg->value[off + b] << 8 * b;
	return value;
}

void pci_cfg_write(struct pci_cfg *cfg, unsigned int off, unsigned int len, uint32_t value)
{
	if (!range_fits(off, len, PCI_CFG_SIZE))
		return;
	for (unsigned int b = off; b < off + len; b++, value >>= 8) {
		uint8_t v = (uint8_t)value;

		cfg->value[b] =
			(uint8_t)((cfg->value[b] & ~cfg->writable[b] & ~(v & cfg->clear[b])) |
				  (v & cfg->writable[b]));
	}
}
