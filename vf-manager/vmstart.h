/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting a VM: from a checked file to a process whose vCPUs run, or back to where it began.
 */
#ifndef VIADUCT_VF_MANAGER_VMSTART_H
#define VIADUCT_VF_MANAGER_VMSTART_H

#include "vf-manager/caller.h"
#include "vf-manager/daemon.h"
#include "vf-manager/vmcheck.h"
#include "vf-manager/vmowner.h"

struct operation;

struct vm_start_wish {
	struct operation *op; /* who follows it; NULL */
	const struct caller *who;
	const struct vm_spec *spec;
	const char *yaml;
	struct vm_files *files; /* are closed when no longer needed */
	struct vm_owner owner;
	const struct vm_unsafe *unsafe; /* NULL: nothing of the kind */
	uint64_t asked_ns; /* when the request came */
	const char *cause, *by; /* for its history: "vm run"; who asked, "" if nobody did */
	bool is_defined; /* by vmdefops.c; else its name must not be that of a definition */
	bool is_manual; /* of a defined one: its crashes so far do not count any more */
};

/* No lock held. On failure nothing is left of it: no VF, process, file or record. */
int vm_start(struct daemon *d, const struct vm_start_wish *wish, struct err *e);

#endif
