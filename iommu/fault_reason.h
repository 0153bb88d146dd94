/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why remapping hardware refused a request, in words: fault reason encodings of the VT-d
 * specification (Intel Virtualization Technology for Directed I/O, appendix A, "Non-Recoverable
 * Fault Reason Encodings"; interrupt remapping from 0x20 on, scalable mode from 0x30 on).
 */
#ifndef VIADUCT_IOMMU_FAULT_REASON_H
#define VIADUCT_IOMMU_FAULT_REASON_H

#include "base/util.h"

/* NULL: the table has no such reason. */
const char *fault_reason_text(uint8_t reason);

#endif
