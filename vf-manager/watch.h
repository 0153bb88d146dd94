/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread that waits for the ends of VMMs (pidfds) and cleans up after each: why it ended, VFs
 * wiped and free, sockets and cgroup gone.
 */
#ifndef VIADUCT_VF_MANAGER_WATCH_H
#define VIADUCT_VF_MANAGER_WATCH_H

#include "vf-manager/daemon.h"

struct watcher;

int watcher_create(struct daemon *d, struct watcher **out, struct err *e);
void watcher_destroy(struct watcher *w); /* NULL-safe; ends the thread */

/* Any thread: there are VMs that are not watched yet. */
void watcher_kick(struct watcher *w);

/* Op locked, state not. The VM's process is gone. */
void vm_ended(struct daemon *d, const char *name);

#endif
