/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to the machine: the main thread's side of the requests of machine.h. */
#ifndef VIADUCT_VMM_MACHINE_REQUESTS_H
#define VIADUCT_VMM_MACHINE_REQUESTS_H

#include "base/err.h"

struct machine;

/* Needs m->loop; half-built-safe. */
int machine_requests_init(struct machine *m, struct err *e);
void machine_requests_fini(struct machine *m);

/* All that a reset is, the vCPUs being parked: devices as at power-on, the kernel loaded again. */
int machine_reset(struct machine *m, struct err *e);

#endif
