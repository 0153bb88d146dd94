/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The list of system calls that sandbox.c lets through. The reason stands beside each row.
 */
#ifndef VIADUCT_VMM_SANDBOX_TABLE_H
#define VIADUCT_VMM_SANDBOX_TABLE_H

#include "vmm/sandbox.h"

#include "base/util.h"

/* As a value: the process id of who sets the filter. No value that a mask of 32 bits lets through. */
#define SANDBOX_OWN_PID UINT64_MAX

/* Argument `arg` of the call, masked, must be equal to `value`. mask 0: any. */
struct sandbox_call {
	int nr;
	unsigned int phases;
	unsigned int arg;
	uint64_t mask;
	uint64_t value;
};

struct sandbox_ioctl {
	uint32_t request;
	unsigned int phases;
};

extern const struct sandbox_call sandbox_calls[];
extern const size_t sandbox_call_count;
extern const struct sandbox_ioctl sandbox_ioctls[];
extern const size_t sandbox_ioctl_count;

#endif
