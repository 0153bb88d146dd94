/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handlers of the API's paths (api.h describes them): what the request says, checked; the work
 * done by the files named after it; the reply. One file for each noun: api_host.c, api_pf.c,
 * api_vf.c, api_fn.c (functions), api_iommu.c, api_config.c (networks too), api_vm.c, api_life.c (VMs that are defined), api_port.c, api_disk.c, api_event.c (events and
 * alarms), api_operation.c, api_fault.c, api_metrics.c.
 */
#ifndef VIADUCT_VF_MANAGER_API_HANDLERS_H
#define VIADUCT_VF_MANAGER_API_HANDLERS_H

#include "vf-manager/routes.h"

route_handler api_version, api_host_check, api_host_selftest;
route_handler api_pfs, api_pf, api_pf_plan, api_pf_apply, api_pf_confirm, api_pf_adopt;
route_handler api_vfs, api_vf, api_vf_alloc, api_vf_set, api_vf_release, api_vf_scrub;
route_handler api_networks, api_network, api_uplinks, api_uplink, api_config, api_config_check;
route_handler api_iommu_units, api_iommu_unit, api_iommu_function;
route_handler api_fns, api_fn, api_fn_release;
route_handler api_vm_check, api_vm_run, api_vms, api_vm, api_vm_stop, api_vm_kill, api_vm_pause,
	api_vm_create, api_vm_start, api_vm_restart, api_vm_delete, api_vm_history, api_vm_resume,
	api_vm_quarantine, api_vm_unquarantine, api_vm_console, api_vm_stats;
route_handler api_host_stop_vms, api_host_start_vms;
route_handler api_ports, api_ports_stats, api_port_set;
route_handler api_disks, api_disk_set, api_disk_resize;
route_handler api_operations, api_operation;
route_handler api_events, api_alarms, api_faults, api_metrics;
route_handler api_iommu_audit;

#endif
