/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is wrong now, worked out anew at each look from inventory, ledger and VMs by one table of
 * conditions, and laid into the ledger: an alarm is raised when its condition appears, and cleared
 * when it is gone, whoever ended it. Nothing else raises or clears any.
 */
#ifndef VIADUCT_VF_MANAGER_ALARMS_H
#define VIADUCT_VF_MANAGER_ALARMS_H

#include "vf-manager/daemon.h"

#define ALARMS_MAX 8192

/* What conditions need to remember between looks. */
struct alarms;

int alarms_create(struct alarms **out, struct err *e);
void alarms_destroy(struct alarms *a); /* NULL-safe */

/* Op locked, state not. Looks at the machine. */
int alarms_check(struct alarms *a, struct daemon *d, struct err *e);

#endif
