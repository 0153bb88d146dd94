/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the host check: the CPU, and KVM asked through viaduct-vmm.
 */
#ifndef VIADUCT_VF_MANAGER_HOSTKVM_H
#define VIADUCT_VF_MANAGER_HOSTKVM_H

#include <jansson.h>

/* Adds "cpu_family" and "not_exercised": what no test has run on such a host. */
void host_cpu_describe(const char *iommu_kind, json_t *reply);

#endif
