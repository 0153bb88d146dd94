/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ports of a VM that starts: for each a VF, with its attributes set and read back before any
 * guest can see it, and its group open. And its whole functions, taken from their drivers.
 */
#ifndef VIADUCT_VF_MANAGER_PORTSET_H
#define VIADUCT_VF_MANAGER_PORTSET_H

#include "vf-manager/vmlaunch.h"

/* Op locked. On failure s->hold_count and s->fn_count say how many must be given back. */
int ports_take(struct vm_start *s, struct err *e);

/* The MAC of a port that names none: the configured prefix and a hash of "VM/PORT", so that it is
 * the same at every start. `attempt` gives another one where two ports collide. */
void port_mac(const struct config *config, const char *owner, unsigned int attempt, uint8_t out[6]);

#endif
