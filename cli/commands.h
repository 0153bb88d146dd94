/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The functions of the table in command.c. Each returns 0, or a negative errno with the error
 * filled; what it has to say goes to cli->out.
 */
#ifndef VIADUCT_CLI_COMMANDS_H
#define VIADUCT_CLI_COMMANDS_H

#include "base/err.h"

struct cli;
struct args;

typedef int command_fn(struct cli *cli, const struct args *a, struct err *e);

command_fn bench_compare;
command_fn bench_list;
command_fn bench_report;
command_fn bench_run;
command_fn bench_selftest;
command_fn host_check;
command_fn host_selftest;
command_fn pf_list;
command_fn pf_show;
command_fn pf_plan;
command_fn pf_apply;
command_fn pf_confirm;
command_fn vf_list;
command_fn vf_show;
command_fn vf_alloc;
command_fn vf_set;
command_fn vf_release;
command_fn vf_scrub;
command_fn network_list;
command_fn network_show;
command_fn uplink_list;
command_fn uplink_show;
command_fn config_check;
command_fn config_diff;
command_fn state_backup;
command_fn state_restore;
command_fn image_import_run;
command_fn image_create_run;
command_fn image_info_run;
command_fn function_list;
command_fn function_show;
command_fn function_release;
command_fn iommu_list;
command_fn iommu_show;
command_fn iommu_group;
command_fn iommu_audit;
command_fn vm_check;
command_fn vm_run;
command_fn vm_list;
command_fn vm_show;
command_fn vm_create;
command_fn vm_start;
command_fn vm_restart;
command_fn vm_history;
command_fn vm_stop;
command_fn vm_kill;
command_fn vm_delete;
command_fn vm_pause;
command_fn vm_resume;
command_fn vm_quarantine;
command_fn vm_unquarantine;
command_fn vm_console;
command_fn vm_stats;
command_fn port_list;
command_fn port_show;
command_fn port_set;
command_fn port_stats;
command_fn disk_list;
command_fn disk_show;
command_fn disk_stats;
command_fn disk_set;
command_fn disk_resize;
command_fn operation_list;
command_fn operation_show;
command_fn events_show;
command_fn alarms_show;
command_fn iommu_faults;
command_fn explain_show;
command_fn version_show;
command_fn help_show;

#endif
