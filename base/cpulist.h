/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sets of host CPUs as the kernel writes them: "0-3,8" (Documentation/admin-guide/cputopology.rst).
 * Numbers go up to CPU_SETSIZE - 1.
 */
#ifndef VIADUCT_BASE_CPULIST_H
#define VIADUCT_BASE_CPULIST_H

#include "base/util.h"

#include <sched.h>

#define CPU_LIST_TEXT 4096 /* room for any set: "0,2,4,..,1022" */

/* "" is the empty set. -EINVAL (not of the form), -ERANGE (a number too large, or a range that goes
 * down); *out is written only on 0. */
int cpu_list_parse(const char *text, cpu_set_t *out);

/* Returns buf; what does not fit is cut behind a whole number, with "...". cap is at least 16. */
char *cpu_list_text(const cpu_set_t *set, char *buf, size_t cap);

void cpu_set_remove(cpu_set_t *set, const cpu_set_t *what);

#endif
