/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the alarms: how a condition lays down what it finds, and the conditions that are not in alarms.c.
 */
#ifndef VIADUCT_VF_MANAGER_ALARMS_FOUND_H
#define VIADUCT_VF_MANAGER_ALARMS_FOUND_H

#include "vf-manager/alarms.h"
#include "vf-manager/ledger_event.h"

/* NULL: there are too many, or there is no memory. */
struct alarm *alarm_found(struct alarms *a, const char *object);

/* The condition under way has found it already. */
bool alarm_is_found(const struct alarms *a, const char *object);

void alarm_text_set(char out[ALARM_TEXT], const char *fmt, ...) PRINTF_LIKE(2, 3);

/* State locked. */
void alarms_backend_down(struct alarms *a, struct daemon *d);
void alarms_port_absent(struct alarms *a, struct daemon *d);
void alarms_port_unreachable(struct alarms *a, struct daemon *d);
void alarms_uplink_down(struct alarms *a, struct daemon *d);
void alarms_disks_backend(struct alarms *a, struct daemon *d);
void alarms_disk_down(struct alarms *a, struct daemon *d);
void alarms_disk_errors(struct alarms *a, struct daemon *d);
void alarms_disk_full(struct alarms *a, struct daemon *d);
void alarms_firmware_vars(struct alarms *a, struct daemon *d);
void alarms_dma_faults(struct alarms *a, struct daemon *d);
void alarms_faults_lost(struct alarms *a, struct daemon *d);
void alarms_faults_unseen(struct alarms *a, struct daemon *d);
void alarms_ports_quarantined(struct alarms *a, struct daemon *d);
void alarms_ports_fallen_back(struct alarms *a, struct daemon *d);
void alarms_hugepages_short(struct alarms *a, struct daemon *d);
void alarms_run_path_lost(struct alarms *a, struct daemon *d);
void alarms_state_disk_full(struct alarms *a, struct daemon *d);
void alarms_numa_drift(struct alarms *a, struct daemon *d);
void alarms_vm_crash_loop(struct alarms *a, struct daemon *d);
void alarms_vm_start_failed(struct alarms *a, struct daemon *d);
void alarms_vm_unlisted(struct alarms *a, struct daemon *d); /* after alarms_vm_unknown() */
void alarms_vm_unknown(struct alarms *a, struct daemon *d);

#endif
