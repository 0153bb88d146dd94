/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaduct-audit may do: first open what it needs with three capabilities, then only read it and write the reply.
 */
#ifndef VIADUCT_IOMMU_AUDIT_SANDBOX_H
#define VIADUCT_IOMMU_AUDIT_SANDBOX_H

#include "base/err.h"

/* Before anything is opened: all capabilities but CAP_SYS_RAWIO (kcore, /dev/mem), CAP_SYS_ADMIN (frame numbers in
 * pagemap) and CAP_SYS_PTRACE (another process's pagemap) go; no new ones, no core dump, limits of time. */
int audit_sandbox_begin(struct err *e);

/* After everything is open: no capability, and no system call that opens, makes or changes anything. */
int audit_sandbox_close(struct err *e);

#endif
