/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine that starts in stock OVMF instead of in a kernel: the code below 4 GiB as a read-only slot, the variable
 * flash below that with the file behind it, and fw_cfg, by which the firmware learns of RAM, CPUs, tables and of a
 * kernel that it is to start. The firmware places PCI itself, so nothing else is prepared.
 */
#ifndef VIADUCT_VMM_FIRMWARE_H
#define VIADUCT_VMM_FIRMWARE_H

#include "base/err.h"

#include <jansson.h>

struct machine;
struct firmware;

/* Needs m->{spec, gmem, slots, pio, mmio, pci, lock}; before the first vCPU runs and the sandbox closes (it starts a
 * thread). Borrows the spec's fds. */
int firmware_create(struct machine *m, struct firmware **out, struct err *e);

/* After the vCPUs have ended. Puts the variables on the disk. NULL-safe. */
void firmware_destroy(struct firmware *fw);

/* System reset: the flash keeps its contents. Lock held, vCPUs parked. */
void firmware_reset(struct firmware *fw);

/* The "firmware" of STATUS; NULL when out of memory. */
json_t *firmware_status(struct firmware *fw);

#endif
