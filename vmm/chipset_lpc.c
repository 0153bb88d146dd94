// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_lpc.h"

#include <errno.h>
#include <stdlib.h>

#define ACPI_CNTL_ENABLE 0x80
#define PMBASE_MASK	 0xFF80
#define RCBA_MASK	 0xFFFFC000U
#define RCBA_ENABLE	 0x01

static const struct pci_cfg_reg lpc_regs[] = {
	{ PCI_CFG_ID, 4, 0x29188086 },
	{ PCI_CFG_COMMAND, 2, 0x0007, 0x0140 },
	{ PCI_CFG_STATUS, 2, 0x0200, 0, 0xF900 },
	{ PCI_CFG_CLASS, 4, 0x06010002 },
	{ PCI_CFG_HEADER, 1, 0x80 },
	{ LPC_PMBASE, 4, 0x00000001, PMBASE_MASK },
	{ LPC_ACPI_CNTL, 1, 0, 0x87 },
	{ 0x60, 4, 0x80808080, 0x8F8F8F8F }, /* PIRQ A to D */
	{ 0x64, 1, 0x10, 0xFF },
	{ 0x68, 4, 0x80808080, 0x8F8F8F8F }, /* PIRQ E to H */
	{ 0xDC, 1, 0, 0x03 },
	{ LPC_RCBA, 4, 0, RCBA_MASK | RCBA_ENABLE },
};

static struct lpc *lpc_of(struct pci_dev *dev)
{
	return container_of(dev, struct lpc, dev);
}

/* A base on ports that are taken decodes nothing, as long as that is so. */
static void lpc_pm_update(struct lpc *lpc)
{
	if (lpc->pm != NULL)
		pm_map(lpc->pm, (lpc->cfg.value[LPC_ACPI_CNTL] & ACPI_CNTL_ENABLE) != 0,
		       pci_cfg_get16(&lpc->cfg, LPC_PMBASE) & PMBASE_MASK);
}

/* Of all that RCBA points to there is the watchdog's part only. */
static void lpc_rcba_update(struct lpc *lpc)
{
	uint32_t rcba = pci_cfg_get32(&lpc->cfg, LPC_RCBA);

	if (lpc->pm != NULL && lpc->pm->tco != NULL)
		tco_map(lpc->pm->tco, (rcba & RCBA_ENABLE) != 0, rcba & RCBA_MASK);
}

static uint32_t lpc_cfg_read(struct pci_dev *dev, unsigned int off, unsigned int len)
{
	return pci_cfg_read(&lpc_of(dev)->cfg, off, len);
}

static void lpc_cfg_write(struct pci_dev *dev, unsigned int off, unsigned int len, uint32_t value)
{
	struct lpc *lpc = lpc_of(dev);

	pci_cfg_write(&lpc->cfg, off, len, value);
	if (pci_cfg_touches(off, len, LPC_PMBASE, 5))
		lpc_pm_update(lpc);
	if (pci_cfg_touches(off, len, LPC_RCBA, 4))
		lpc_rcba_update(lpc);
}

static void lpc_reset(struct pci_dev *dev)
{
	struct lpc *lpc = lpc_of(dev);

	pci_cfg_init(&lpc->cfg, lpc_regs, ARRAY_SIZE(lpc_regs));
	lpc_pm_update(lpc);
	lpc_rcba_update(lpc);
}

static void lpc_destroy(struct pci_dev *dev)
{
	free(lpc_of(dev));
}

static const struct pci_dev_ops lpc_ops = {
	.cfg_read = lpc_cfg_read,
	.cfg_write = lpc_cfg_write,
	.reset = lpc_reset,
	.destroy = lpc_destroy,
};

int lpc_create(struct pm *pm, struct lpc **out)
{
	struct lpc *lpc = calloc(1, sizeof(*lpc));

	if (lpc == NULL)
		return -ENOMEM;
	lpc->dev.ops = &lpc_ops;
	lpc->dev.name = "LPC bridge";
	lpc->pm = pm;
	lpc_reset(&lpc->dev);
	*out = lpc;
	return 0;
}
