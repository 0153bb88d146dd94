/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's words that something of the host's devices or links may have changed: uevents
 * (kobject_uevent) and rtnetlink's link changes. They only say "look again": nothing in them is
 * believed, and what was lost counts as said.
 */
#ifndef VIADUCT_SRIOV_KEVENTS_H
#define VIADUCT_SRIOV_KEVENTS_H

#include "base/err.h"

enum kevents_kind { KEVENTS_DEVICES, KEVENTS_LINKS, KEVENTS_KINDS };

/* A socket to poll for POLLIN; non-blocking. */
int kevents_open(enum kevents_kind kind, int *fd_out, struct err *e);

/* Takes what has come, a bounded part of it at a time. True: look again. */
bool kevents_take(int fd, enum kevents_kind kind);

/* One message: "ACTION@PATH", then KEY=VALUE texts, each with a NUL. Is it of a PCI function, a network
 * device, or an NVMe controller? Any bytes may be handed in. */
bool uevent_is_ours(const char *msg, size_t len);

#endif
