/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Firmware of VMs: the package's files that all of them start from, and what each has of its own, which lives as long as
 * the VM is known: its variables (vmm/flash_store.h) and the UUID by which its guest knows the machine.
 *
 *   STATE_DIR/firmware/NAME/vars.fd     made at the first start from the package's OVMF_VARS_4M.fd
 *   STATE_DIR/firmware/NAME/uuid
 */
#ifndef VIADUCT_VF_MANAGER_VMFIRMWARE_H
#define VIADUCT_VF_MANAGER_VMFIRMWARE_H

#include "vf-manager/daemon.h"

#define FIRMWARE_CODE "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define UUID_TEXT     37

/* What `firmware` of viaductd.yaml may be. -EINVAL. */
int firmware_path_check(const char *path, struct err *e);

/* The configured code, and the variables that lie beside it; both are the caller's. -EINVAL code "firmware-unfit" for
 * builds with Secure Boot and for sizes that are not those of the 4M build, "no-firmware" if there is none. */
int firmware_open(const struct config *config, int *code_out, int *vars_out, struct err *e);

/* Op locked. The VM's own, made of `fresh` (fd of the package's variables) where there is none yet; *fd_out is for the VMM.
 * A copy of the image alone, put there by an operator, is taken. Code "firmware-vars-broken" for any other size,
 * "firmware-vars-full". Never leaves half a file. */
int priv_vm_vars_open(struct daemon *d, const char *name, int fresh, int *fd_out, struct err *e);

/* Op locked. Made at the first call. */
int priv_vm_uuid_get(struct daemon *d, const char *name, char out[UUID_TEXT], struct err *e);

void priv_vm_vars_remove(struct daemon *d, const char *name);

/* "STATE_DIR/firmware/NAME/FILE" ("" for the folder). Returns buf. */
char *vm_firmware_path(const struct daemon *d, const char *name, const char *file,
		       char buf[PATH_MAX]);

#endif
