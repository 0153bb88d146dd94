/* SPDX-License-Identifier: BSD-3-Clause */
/* Remapping units as the API shows them. State locked; new references. */
#ifndef VIADUCT_VF_MANAGER_IOMMUVIEW_H
#define VIADUCT_VF_MANAGER_IOMMUVIEW_H

#include "vf-manager/posture.h"

/* One unit in a list. */
json_t *iommu_unit_json(const struct posture_host *host, const struct iommu_unit *unit);

/* The same with registers, functions, and what the DMAR table says of it. */
json_t *iommu_unit_full(const struct posture_host *host, const struct iommu_unit *unit);

/* The DMAR table's header, or null. */
json_t *iommu_dmar_json(const struct posture_host *host);

#endif
