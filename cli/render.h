/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replies of the API as people read them: one function a kind of reply. The reply is a peer's
 * input: a list that is none is -EBADMSG, a member that is missing or of another type shows as "-".
 */
#ifndef VIADUCT_CLI_RENDER_H
#define VIADUCT_CLI_RENDER_H

#include "base/err.h"

#include <jansson.h>

#include <stdio.h>

typedef int render_fn(FILE *out, const json_t *reply, struct err *e);

render_fn render_host_check;
render_fn render_host_selftest;
render_fn render_pf_list;
render_fn render_pf;
render_fn render_pf_plan;
render_fn render_pf_applied;
render_fn render_vf_list;
render_fn render_vf;
render_fn render_vf_allocated;
render_fn render_vf_set;
render_fn render_vf_released;
render_fn render_network_list;
render_fn render_network;
render_fn render_uplink_list;
render_fn render_uplink;
render_fn render_config_checked;
render_fn render_config_diff;
render_fn render_function_list;
render_fn render_function;
render_fn render_function_released;
render_fn render_iommu_list;
render_fn render_iommu;
render_fn render_iommu_group;
render_fn render_iommu_audit;
render_fn render_vm_list;
render_fn render_vm;
render_fn render_vm_checked;
render_fn render_vm_started;
render_fn render_vm_state;
render_fn render_vm_history;
render_fn render_vms_stopped;
render_fn render_vms_starting;
render_fn render_vm_stats; /* of two samples: {"before":STATS,"after":STATS} */
render_fn render_port_list;
render_fn render_port;
render_fn render_port_stats; /* of two samples, as render_vm_stats */
render_fn render_disk_list;
render_fn render_disk;
render_fn render_disk_stats;
render_fn render_operation_list;
render_fn render_operation;
render_fn render_events;
render_fn render_alarms;
render_fn render_faults;

#define RENDER_ROWS 65536 /* items of one list, at most */

/* The list at `key`; -EBADMSG if it is none. */
int render_rows(const json_t *reply, const char *key, json_t **rows, struct err *e);

/* Which PFs there were to choose from, if the reply says so: a table, for each port of a VM. */
int render_placement(FILE *out, const json_t *reply, struct err *e);

/* A line where the VM's interrupts are not isolated from the host's. */
void vm_unsafe_print(FILE *out, const json_t *vm);

/* What is kept of a VM that is defined; nothing of others. */
void vm_defined_print(FILE *out, const json_t *vm);

/* A line for each of its disks. */
void vm_disks_print(FILE *out, const json_t *vm);

/* How a polled port of a VM is served; nothing of a VF. */
void port_polled_print(FILE *out, const json_t *port);

/* VFs of a PF or of the host as a table. */
int render_vfs(FILE *out, const json_t *rows, struct err *e);

#endif
