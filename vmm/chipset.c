// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset.h"

#include "vmm/chipset_console.h"
#include "vmm/chipset_lpc.h"
#include "vmm/chipset_pm.h"
#include "vmm/chipset_reset.h"
#include "vmm/chipset_rtc.h"
#include "vmm/chipset_tco.h"
#include "vmm/chipset_uart.h"
#include "vmm/layout.h"
#include "vmm/machine.h"

#include <errno.h>
#include <stdlib.h>

/* What firmware leaves behind */
#define BOOT_ACPI_CNTL 0x80

struct chipset {
	struct machine *m; /* borrowed */
	struct pm pm;
	struct lpc *lpc; /* owned by the PCI host once plugged */
	struct uart uart;
	struct rtc rtc;
	struct tco tco;
	struct reset_ports reset;
	struct console *console;
	struct io_region uart_region, rtc_region;
};

static void guest_powered_off(void *arg)
{
	struct chipset *cs = arg;

	machine_end_request(cs->m, MACHINE_POWEROFF, "the guest powered itself off");
}

static void watchdog_expired(void *arg)
{
	struct chipset *cs = arg;

	machine_watchdog_request(cs->m, tco_seconds(&cs->tco));
}

static void uart_tx(void *arg, uint8_t byte)
{
	console_put(((struct chipset *)arg)->console, &byte, 1);
}

static void uart_rx_ready(void *arg)
{
	console_refill(((struct chipset *)arg)->console);
}

static size_t uart_input(void *arg, const uint8_t *data, size_t len)
{
	return uart_receive(arg, data, len);
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
	struct io_region *regions[] = { &cs->uart_region, &cs->rtc_region };
	int r = 0;

	cs->uart_region = (struct io_region){ "COM1",	 LAYOUT_PORT_COM1, UART_SIZE,
					      &uart_ops, &cs->uart,	   false };
	cs->rtc_region = (struct io_region){ "RTC", RTC_PORT, RTC_SIZE, &rtc_ops, &cs->rtc, false };
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
		.log_old_fd = m->spec->console_log_old_fd,
	};
	int r;

	if (cs == NULL)
		return err_set(e, ENOMEM, "chipset: out of memory");
	cs->m = m;
	cs->pm = (struct pm){
		.pio = &m->pio, .irq = m->irq, .power_off = guest_powered_off, .arg = cs
	};
	cs->tco = (struct tco){ .mmio = &m->mmio,
				.loop = m->loop,
				.lock = &m->lock,
				.expired = watchdog_expired,
				.arg = cs,
				.timer_fd = -1 };
	if (m->spec->watchdog != VMM_WATCHDOG_OFF)
		cs->pm.tco = &cs->tco;
	pm_init(&cs->pm);
	cs->uart = (struct uart){ .irq = m->irq,
				  .gsi = LAYOUT_IRQ_COM1,
				  .tx = uart_tx,
				  .rx_ready = uart_rx_ready,
				  .arg = cs };
	cs->rtc = (struct rtc){ .irq = m->irq, .lock = &m->lock, .loop = m->loop, .timer_fd = -1 };
	env.receive = uart_input;
	env.arg = &cs->uart;
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
	r = cs->pm.tco != NULL ? tco_init(&cs->tco) : 0;
	if (r < 0) {
		err_set(e, r, "watchdog: %s", strerror(-r));
		goto fail;
	}
	r = lpc_plug(cs, e);
	if (r == 0)
		r = ports_add(cs, e);
	if (r == 0)
		r = reset_ports_init(&cs->reset, m, e);
	if (r < 0)
		goto fail;
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
	reset_ports_fini(&cs->reset);
	bus_del(&cs->m->pio, &cs->uart_region);
	bus_del(&cs->m->pio, &cs->rtc_region);
	if (cs->lpc != NULL)
		cs->lpc->pm = NULL;
	pm_fini(&cs->pm);
	tco_fini(&cs->tco);
	rtc_fini(&cs->rtc);
	console_destroy(cs->console);
	free(cs);
}

void chipset_reset(struct chipset *cs)
{
	reset_ports_reset(&cs->reset);
	if (cs->pm.tco != NULL)
		tco_reset(&cs->tco);
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
	if (cs->pm.tco != NULL)
		lpc->ops->cfg_write(lpc, LPC_RCBA, 4, LAYOUT_RCBA | 1);
	return reset_vector_load(cs->m, e);
}

void chipset_pause(struct chipset *cs, bool paused)
{
	if (cs->pm.tco != NULL)
		tco_pause(&cs->tco, paused);
}

void chipset_power_button(struct chipset *cs)
{
	pm_power_button(&cs->pm);
}

uint64_t chipset_console_bytes(const struct chipset *cs)
{
	return console_bytes(cs->console);
}
