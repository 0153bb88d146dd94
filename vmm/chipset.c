// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset.h"

#include "vmm/chipset_console.h"
#include "vmm/chipset_lpc.h"
#include "vmm/chipset_pm.h"
#include "vmm/chipset_rtc.h"
#include "vmm/chipset_uart.h"
#include "vmm/layout.h"
#include "vmm/machine.h"

#include <errno.h>
#include <stdlib.h>

/* Reset control register of the ICH9 (13.7.5): writing bit 2 from 0 to 1 resets. */
#define CF9_RESET 0x04
#define CF9_KEPT  0x0E

/* Keyboard controller command port: 0xF0 to 0xFF pulse the output lines whose bit is 0; line 0 is
 * the CPU's reset. There is no keyboard controller: it reads as nothing. */
#define KBC_PORT  0x64
#define KBC_PULSE 0xF0
#define KBC_RESET 0x01

/* What firmware leaves behind */
#define BOOT_ACPI_CNTL 0x80

struct chipset {
	struct machine *m; /* borrowed */
	struct pm pm;
	struct lpc *lpc; /* owned by the PCI host once plugged */
	struct uart uart;
	struct rtc rtc;
	struct console *console;
	uint8_t cf9;
	struct io_region uart_region, rtc_region, kbc_region;
};

static void guest_powered_off(void *arg)
{
	struct chipset *cs = arg;

	machine_end_request(cs->m, MACHINE_POWEROFF, "the guest powered itself off");
}

static uint64_t cf9_read(void *owner, uint64_t off, unsigned int len)
{
	(void)off;
	(void)len;
	return ((struct chipset *)owner)->cf9;
}

static void cf9_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct chipset *cs = owner;
	bool rises = (cs->cf9 & CF9_RESET) == 0 && (value & CF9_RESET) != 0;

	(void)off;
	(void)len;
	cs->cf9 = (uint8_t)value & CF9_KEPT;
	if (rises)
		machine_reset_request(cs->m, "port 0xCF9");
}

static const struct io_ops cf9_ops = { .read = cf9_read, .write = cf9_write };

static void kbc_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct chipset *cs = owner;

	(void)off;
	(void)len;
	if ((value & KBC_PULSE) == KBC_PULSE && (value & KBC_RESET) == 0)
		machine_reset_request(cs->m, "port 0x64");
}

static const struct io_ops kbc_ops = { .write = kbc_write };

static void uart_tx(void *arg, uint8_t byte)
{
	console_put(((struct chipset *)arg)->console, byte);
}

static void uart_rx_ready(void *arg)
{
	console_refill(((struct chipset *)arg)->console);
}

static int lpc_plug(struct chipset *cs, struct err *e)
{
	struct lpc *lpc;
	int r = lpc_create(&cs->pm, &lpc);

	if (r < 0)
		return err_set(e, r, "LPC bridge: %s", strerror(-r));
	r = pci_host_plug(cs->m->pci, LPC_DEVFN, &lpc->dev, e);
	if (r < 0) {
		lpc->dev.ops->destroy(&lpc->dev);
		return r;
	}
	cs->lpc = lpc;
	return 0;
}

static int ports_add(struct chipset *cs, struct err *e)
{
	struct io_region *regions[] = { &cs->uart_region, &cs->rtc_region, &cs->kbc_region };
	int r = 0;

	cs->uart_region = (struct io_region){ "COM1",	 LAYOUT_PORT_COM1, UART_SIZE,
					      &uart_ops, &cs->uart,	   false };
	cs->rtc_region = (struct io_region){ "RTC", RTC_PORT, RTC_SIZE, &rtc_ops, &cs->rtc, false };
	cs->kbc_region = (struct io_region){ "reset port", KBC_PORT, 1, &kbc_ops, cs, false };
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(regions); i++) {
		r = bus_add(&cs->m->pio, regions[i]);
		if (r < 0)
			err_set(e, r, "%s: I/O ports at %#llx: %s", regions[i]->name,
				(unsigned long long)regions[i]->base, strerror(-r));
	}
	return r;
}

int chipset_create(struct machine *m, struct chipset **out, struct err *e)
{
	struct chipset *cs = calloc(1, sizeof(*cs));
	struct console_env env = {
		.loop = m->loop,
		.lock = &m->lock,
		.listener_fd = m->spec->console_fd,
		.log_fd = m->spec->console_log_fd,
	};
	int r;

	if (cs == NULL)
		return err_set(e, ENOMEM, "chipset: out of memory");
	cs->m = m;
	cs->pm = (struct pm){
		.pio = &m->pio, .irq = m->irq, .power_off = guest_powered_off, .arg = cs
	};
	pm_init(&cs->pm);
	cs->uart = (struct uart){ .irq = m->irq,
				  .gsi = LAYOUT_IRQ_COM1,
				  .tx = uart_tx,
				  .rx_ready = uart_rx_ready,
				  .arg = cs };
	cs->rtc = (struct rtc){ .irq = m->irq, .lock = &m->lock, .loop = m->loop, .timer_fd = -1 };
	env.uart = &cs->uart;
	env.ready = &m->ready;
	r = console_create(&env, &cs->console, e);
	if (r < 0)
		goto fail;
	uart_reset(&cs->uart);
	r = rtc_init(&cs->rtc);
	if (r < 0) {
		err_set(e, r, "RTC: %s", strerror(-r));
		goto fail;
	}
	r = lpc_plug(cs, e);
	if (r == 0)
		r = ports_add(cs, e);
	if (r < 0)
		goto fail;
	pci_host_set_cf9(m->pci, &cf9_ops, cs);
	*out = cs;
	return 0;
fail:
	chipset_destroy(cs);
	return r;
}

void chipset_destroy(struct chipset *cs)
{
	if (cs == NULL)
		return;
	pci_host_set_cf9(cs->m->pci, NULL, NULL);
	bus_del(&cs->m->pio, &cs->uart_region);
	bus_del(&cs->m->pio, &cs->rtc_region);
	bus_del(&cs->m->pio, &cs->kbc_region);
	if (cs->lpc != NULL)
		cs->lpc->pm = NULL;
	pm_fini(&cs->pm);
	rtc_fini(&cs->rtc);
	console_destroy(cs->console);
	free(cs);
}

void chipset_reset(struct chipset *cs)
{
	cs->cf9 = 0;
	cs->lpc->dev.ops->reset(&cs->lpc->dev);
	pm_reset(&cs->pm);
	uart_reset(&cs->uart);
	rtc_reset(&cs->rtc);
}

int chipset_boot_direct(struct chipset *cs, struct err *e)
{
	struct pci_dev *lpc = &cs->lpc->dev;

	lpc->ops->cfg_write(lpc, LPC_PMBASE, 4, LAYOUT_PORT_PM | 1);
	lpc->ops->cfg_write(lpc, LPC_ACPI_CNTL, 1, BOOT_ACPI_CNTL);
	if (!cs->pm.mapped)
		return err_set(e, EBUSY, "power management ports at %#x are taken", LAYOUT_PORT_PM);
	return 0;
}

void chipset_power_button(struct chipset *cs)
{
	pm_power_button(&cs->pm);
}

uint64_t chipset_console_bytes(const struct chipset *cs)
{
	return console_bytes(cs->console);
}
