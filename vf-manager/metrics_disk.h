/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VIADUCT_VF_MANAGER_METRICS_DISK_H
#define VIADUCT_VF_MANAGER_METRICS_DISK_H

#include "vf-manager/daemon.h"

#include <stdio.h>

/* What disks count. No lock held. */
void disk_metrics_write(struct daemon *d, FILE *out);

/* The process that serves them, into the families of all backends: its restarts, or whether it is up. Look of the polled engine
 * may be held. */
void disk_backend_metrics_write(struct daemon *d, FILE *out, bool is_restarts);

#endif
