// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_reset.h"

#include "vmm/layout.h"
#include "vmm/machine.h"

#include <errno.h>

/* Reset control register: writing bit 2 from 0 to 1 resets. */
#define CF9_RESET 0x04
#define CF9_KEPT  0x0E

/* Keyboard controller command port: 0xF0 to 0xFF pulse the output lines whose bit is 0; line 0 is
 * the CPU's reset. */
#define KBC_PORT  0x64
#define KBC_PULSE 0xF0
#define KBC_RESET 0x01

/* Fast A20 and reset: A20 is always on. */
#define PORT92	     0x92
#define PORT92_RESET 0x01
#define PORT92_A20   0x02

#define PVPANIC_EVENTS (MACHINE_PANICKED | MACHINE_CRASH_LOADED | MACHINE_SHUTDOWN)

static uint64_t cf9_read(void *owner, uint64_t off, unsigned int len)
{
	(void)off;
	(void)len;
	return ((struct reset_ports *)owner)->cf9;
}

static void cf9_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct reset_ports *rp = owner;
	bool rises = (rp->cf9 & CF9_RESET) == 0 && (value & CF9_RESET) != 0;

	(void)off;
	(void)len;
	rp->cf9 = (uint8_t)value & CF9_KEPT;
	if (rises)
		machine_reset_request(rp->m, RESET_PORT_CF9);
}

static void kbc_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	(void)off;
	(void)len;
	if ((value & KBC_PULSE) == KBC_PULSE && (value & KBC_RESET) == 0)
		machine_reset_request(((struct reset_ports *)owner)->m, RESET_PORT_64);
}

static uint64_t port92_read(void *owner, uint64_t off, unsigned int len)
{
	(void)off;
	(void)len;
	return ((struct reset_ports *)owner)->port92 | PORT92_A20;
}

static void port92_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct reset_ports *rp = owner;
	bool rises = (rp->port92 & PORT92_RESET) == 0 && (value & PORT92_RESET) != 0;

	(void)off;
	(void)len;
	rp->port92 = value & PORT92_RESET;
	if (rises)
		machine_reset_request(rp->m, RESET_PORT_92);
}

static uint64_t pvpanic_read(void *owner, uint64_t off, unsigned int len)
{
	(void)owner;
	(void)off;
	(void)len;
	return PVPANIC_EVENTS;
}

static void pvpanic_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	(void)off;
	(void)len;
	machine_panic_request(((struct reset_ports *)owner)->m, value & PVPANIC_EVENTS);
}

static const struct io_ops cf9_ops = { .read = cf9_read, .write = cf9_write };

static const struct {
	const char *name;
	uint16_t port;
	struct io_ops ops;
} port_rows[RESET_REGIONS] = {
	{ "reset port", KBC_PORT, { .write = kbc_write } },
	{ "fast reset port", PORT92, { .read = port92_read, .write = port92_write } },
	{ "pvpanic", LAYOUT_PORT_PVPANIC, { .read = pvpanic_read, .write = pvpanic_write } },
};

int reset_ports_init(struct reset_ports *rp, struct machine *m, struct err *e)
{
	*rp = (struct reset_ports){ .m = m };
	for (size_t i = 0; i < RESET_REGIONS; i++) {
		int r;

		rp->regions[i] = (struct io_region){ .name = port_rows[i].name,
						     .base = port_rows[i].port,
						     .size = 1,
						     .ops = &port_rows[i].ops,
						     .owner = rp };
		r = bus_add(&m->pio, &rp->regions[i]);
		if (r < 0)
			return err_set(e, r, "%s: I/O port %#x: %s", port_rows[i].name,
				       port_rows[i].port, strerror(-r));
	}
	pci_host_set_cf9(m->pci, &cf9_ops, rp);
	return 0;
}

void reset_ports_fini(struct reset_ports *rp)
{
	if (rp->m == NULL)
		return;
	pci_host_set_cf9(rp->m->pci, NULL, NULL);
	for (size_t i = 0; i < RESET_REGIONS; i++)
		if (rp->regions[i].size != 0)
			bus_del(&rp->m->pio, &rp->regions[i]);
	rp->m = NULL;
}

void reset_ports_reset(struct reset_ports *rp)
{
	rp->cf9 = rp->port92 = 0;
}

int reset_vector_load(struct machine *m, struct err *e)
{
	/* mov $1, %al; out %al, $0x92; hlt; jmp to the hlt */
	static const uint8_t code[] = { 0xB0, PORT92_RESET, 0xE6, PORT92, 0xF4, 0xEB, 0xFD };
	int r = gmem_write(&m->gmem, LAYOUT_RESET_VECTOR, code, sizeof(code));

	return r < 0 ? err_set(e, r, "reset vector: %s", strerror(-r)) : 0;
}
