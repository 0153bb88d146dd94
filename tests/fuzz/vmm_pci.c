// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest's accesses to configuration space: CF8/CFC and MMIO (ECAM, wherever it moves it), in any
 * order and width, while devices are plugged, unplugged and pulled, and the guest is reset, with its
 * addresses assigned anew or left as they are. Twelve bytes are one step.
 */
#include "fake_board.h"

#include "vmm/layout.h"

#define STEP 12

/* Behind a port stands another one: a device like any other. */
static void plug(struct machine *m, struct pci_port *port, bool pull)
{
	struct pci_port *dev;

	if (!pci_port_is_empty(port)) {
		if (pull)
			(void)pci_host_pull(m->pci, port->bus.devs[0]);
		else
			(void)pci_host_unplug_request(m->pci, port->bus.devs[0]);
	} else if (pci_port_create(31, m->irq, &dev) == 0) {
		/* Into the first empty port, or the one that was meant. */
		if (!pull)
			pci_port_insert(port, &dev->dev, true);
		else if (pci_host_hot_plug(m->pci, &dev->dev, NULL) < 0)
			dev->dev.ops->destroy(&dev->dev);
	}
}

static void reset(struct machine *m, bool assign)
{
	pci_host_reset(m->pci);
	if (assign)
		(void)pci_host_assign(m->pci, NULL);
}

static void step(struct machine *m, const uint8_t *p)
{
	static const unsigned int lens[] = { 1, 2, 4, 8, 3, 1, 2, 4 };
	uint64_t addr = get_le32(p + 1) | (uint64_t)(p[5] & 0xF) << 32, value = get_le32(p + 6);
	unsigned int len = lens[p[0] >> 2 & 7];
	bool write = (p[0] & 1) != 0, mmio = (p[0] & 2) != 0;

	if (p[0] >> 6 == 1) /* likelier: ECAM where direct boot has it */
		addr = LAYOUT_ECAM | (addr & 0x03FFFFFF);
	if (p[0] >> 6 == 2)
		plug(m, m->pci->ports[p[10] % m->pci->port_count], (p[11] & 1) != 0);
	else if (p[0] >> 6 == 3 && p[11] >= 0xFE)
		reset(m, (p[11] & 1) != 0);
	else if (write)
		bus_write(mmio ? &m->mmio : &m->pio, 0, mmio ? addr : 0xCF8 | (addr & 7), &value,
			  len);
	else
		bus_read(mmio ? &m->mmio : &m->pio, 0, mmio ? addr : 0xCF8 | (addr & 7), &value,
			 len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = { .vm_fd = -1 };

	board_init(&m);
	if (pci_host_add_ports(m.pci, 3, NULL) < 0 || pci_host_assign(m.pci, NULL) < 0)
		abort();
	for (; size >= STEP; data += STEP, size -= STEP)
		step(&m, data);
	board_fini(&m);
	return 0;
}
