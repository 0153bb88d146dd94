/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread that keeps the alarms true: it looks at the machine when the kernel says that a device or
 * a link changed, when the ledger changed, and every rescan_s seconds. Words that come close together
 * make one look, MONITOR_DELAY_MS after the first. Interrupts, of which the kernel says nothing, are looked at with all else, and
 * every 2 s while a VM is young (irqwatch.h).
 */
#ifndef VIADUCT_VF_MANAGER_MONITOR_H
#define VIADUCT_VF_MANAGER_MONITOR_H

#include "vf-manager/daemon.h"

#define MONITOR_DELAY_MS 100

struct monitor;

/* The ledger is read, nobody is served yet. Writes the event of the daemon's start. */
int monitor_create(struct daemon *d, struct monitor **out, struct err *e);
void monitor_destroy(struct monitor *m); /* NULL-safe; ends the thread */

/* Any thread: something outside the ledger has changed that alarms may come of. */
void monitor_kick(struct monitor *m);

#endif
