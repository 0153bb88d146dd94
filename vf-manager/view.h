/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PFs and VFs as the API shows them (api.h). State locked; new references.
 */
#ifndef VIADUCT_VF_MANAGER_VIEW_H
#define VIADUCT_VF_MANAGER_VIEW_H

#include "vf-manager/daemon.h"

#include "sriov/vfattr.h"

#include <jansson.h>

json_t *view_pf(struct daemon *d, const struct pci_fn *pf);

/* All VFs of a PF, in order of index. */
json_t *view_vfs_of(struct daemon *d, const struct pci_fn *pf);

/* Whole functions: all endpoints that are no VFs. */
bool view_fn_is_listed(const struct pci_fn *fn);
json_t *view_fn(struct daemon *d, const struct pci_fn *fn);

/* One VF with "capabilities" and "isolation". */
json_t *view_vf_full(struct daemon *d, const struct pci_fn *vf);

/* {"ari","acs","ats","pri","pasid","flr"}, or API_NEEDS_ROOT. */
json_t *view_capabilities(const struct pci_caps *caps);

#endif
