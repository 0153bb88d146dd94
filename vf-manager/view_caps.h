/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the views: the SR-IOV capability.
 */
#ifndef VIADUCT_VF_MANAGER_VIEW_CAPS_H
#define VIADUCT_VF_MANAGER_VIEW_CAPS_H

#include "sriov/inventory.h"

#include <jansson.h>

json_t *view_sriov(const struct pci_fn *pf);

#endif
