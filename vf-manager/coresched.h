/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Core scheduling (Documentation/admin-guide/hw-vuln/core-scheduling.rst): threads of a core run at the same time only if
 * they have the same cookie. Each VM that wants it gets a cookie of its own when its process is made, so no other VM,
 * and nothing of the host's, runs beside it on a core. No lock.
 */
#ifndef VIADUCT_VF_MANAGER_CORESCHED_H
#define VIADUCT_VF_MANAGER_CORESCHED_H

#include "vf-manager/vmspec.h"

#include <sys/types.h>

enum core_state { CORE_OFF, CORE_ON, CORE_NO_SMT, CORE_UNSUPPORTED, CORE_STATES };

/* Of this host: CORE_ON (it can), CORE_NO_SMT (no core has two threads that run, so there is nothing to keep apart) or
 * CORE_UNSUPPORTED. */
enum core_state core_host_state(void);

const char *core_state_text(enum core_state state);

/* What the VM file says, or does not say: then a VM whose vCPUs the host places has a cookie; one that is pinned has been placed
 * by somebody who knows what runs beside it, and a dedicated one has its cores for itself anyway. */
bool core_is_wanted(const struct vm_spec *spec);

/* Of a VM's process, made with has_cookie or without: what came of what the file wants. */
enum core_state core_vm_state(const struct vm_spec *spec, bool has_cookie, pid_t pid);

/* Between fork and exec of the VM's process: a system call. 0, or -1 with errno. */
int core_cookie_make(void);

#endif
