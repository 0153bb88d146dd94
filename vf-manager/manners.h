/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the daemon tells whoever started it (sd_notify): that it is ready, what it does, that it ends, and, if a watchdog
 * waits for it, that it gets on. All of it does nothing where nobody listens.
 */
#ifndef VIADUCT_VF_MANAGER_MANNERS_H
#define VIADUCT_VF_MANAGER_MANNERS_H

#include "vf-manager/daemon.h"

#include <signal.h>

void manners_ready(struct daemon *d);
void manners_ending(void);

/* Waits for one of the signals; meanwhile the watchdog is told that the daemon gets on, if it does. Returns the signal. */
int manners_wait(struct daemon *d, const sigset_t *set);

/* Does the daemon get on: its memory can be looked at, and the change of the world that is under way, if any, takes no longer
 * than any should. Waits a second at most. */
bool daemon_gets_on(struct daemon *d);

#endif
