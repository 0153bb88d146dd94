/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel that the firmware starts: bzImage, initrd and command line as items of fw_cfg, read from their files when
 * the firmware asks. The files are the tenant's; only their size and the boot sector are looked at here.
 */
#ifndef VIADUCT_VMM_FIRMWARE_KERNEL_H
#define VIADUCT_VMM_FIRMWARE_KERNEL_H

#include "vmm/fwcfg.h"
#include "vmm/spec.h"

/* Nothing if the spec has no kernel. -ENOEXEC with a code if it is none that firmware can start. */
int firmware_kernel_add(struct fwcfg *fw, const struct vmm_spec *spec, struct err *e);

#endif
