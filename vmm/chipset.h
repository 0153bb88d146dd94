/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a q35 board has beside PCI Express: the ICH9 LPC bridge (00:1f.0) with its power management
 * block and watchdog, the 16550 at COM1 with the console behind it, the RTC, pvpanic and the reset ports. Registers are
 * handled with the machine's lock held, the PM timer without; the console's sockets belong to the
 * main thread's loop.
 */
#ifndef VIADUCT_VMM_CHIPSET_H
#define VIADUCT_VMM_CHIPSET_H

#include "base/err.h"

struct machine;
struct chipset;

/* Needs m->{spec, loop, lock, pio, irq, pci} and plugs the LPC bridge into m->pci (which owns it:
 * destroy the chipset after the vCPUs have ended and before m->pci). Borrows the spec's console_fd
 * (-1: no console) and console_log_fd. Opens all it needs here, before the sandbox closes. Power off
 * and reset by the guest end in machine_end_request() and machine_reset_request(). */
int chipset_create(struct machine *m, struct chipset **out, struct err *e);
void chipset_destroy(struct chipset *cs); /* NULL-safe; sends what the console still holds */

/* System reset: registers as at power on; console clients stay. Lock held, vCPUs stopped. */
void chipset_reset(struct chipset *cs);

/* Direct boot, after chipset_create and after each chipset_reset: what firmware would have set up
 * (PMBASE, ACPI_CNTL, RCBA, a reset vector). Lock held. pci_host_assign() does the same for PCI. */
int chipset_boot_direct(struct chipset *cs, struct err *e);

/* The guest's watchdog does not count the time that the VM is paused. Lock held. */
void chipset_pause(struct chipset *cs, bool paused);

/* Presses the power button: the guest gets an SCI if it listens. Lock held. */
void chipset_power_button(struct chipset *cs);

/* Bytes that the guest has written to its console so far. Lock held. */
uint64_t chipset_console_bytes(const struct chipset *cs);

#endif
