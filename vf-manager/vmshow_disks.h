/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks in `vm show`, and alone. */
#ifndef VIADUCT_VF_MANAGER_VMSHOW_DISKS_H
#define VIADUCT_VF_MANAGER_VMSHOW_DISKS_H

#include "vf-manager/vm.h"

/* State locked. Facts of a VM's disks, all members there; with what viaduct-pmd says of them while it runs. */
void disks_show_add(struct daemon *d, const struct vm *vm, json_t *j);

/* What its VMM says of them; status NULL: nothing. */
void disks_live_add(json_t *j, const json_t *status);

#endif
