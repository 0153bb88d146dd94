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
struct attr_drifts;
struct irq_watch;

int alarms_create(struct alarms **out, struct err *e);
void alarms_destroy(struct alarms *a); /* NULL-safe */

/* State not locked. 1 if the alarms are not those that the ledger has, else 0. Without `op` the answer may
 * be about what is just being changed: alarms_check() says what is so.
 */
enum alarms_look { ALARMS_LAST_SEEN, ALARMS_SCAN, ALARMS_SCAN_DEEP };
int alarms_look(struct alarms *a, struct daemon *d, enum alarms_look how, struct err *e);

/* VFs that the last look found with other attributes than viaduct has given them; valid until the next. */
const struct attr_drifts *alarms_attr_drifts(const struct alarms *a);

/* Where to find interrupts that are not where they belong; they must stay. */
void alarms_irqs_set(struct alarms *a, const struct irq_watch *irqs);

/* Op locked, state not. Looks at the machine. */
int alarms_check(struct alarms *a, struct daemon *d, struct err *e);

#endif
