/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why a vCPU cannot go on, in words: what KVM_RUN came back with, named by tables, and the state that
 * somebody needs who wants to find the cause (Documentation/virt/kvm/api.rst, struct kvm_run).
 */
#ifndef VIADUCT_VMM_VCPU_FAULT_H
#define VIADUCT_VMM_VCPU_FAULT_H

#include "base/util.h"

#include <linux/kvm.h>

struct gmem;

#define VCPU_CODE_BYTES 16

/* The instruction that the vCPU stands at. */
struct vcpu_code {
	uint64_t linear; /* CS base and RIP */
	uint64_t gpa;
	bool is_mapped; /* by the guest's page tables: gpa holds */
	unsigned int count; /* of bytes; 0: gpa is no RAM */
	uint8_t bytes[VCPU_CODE_BYTES];
};

/* The vCPU must not run. What KVM does not say stays zero. */
void vcpu_code_read(int vcpu_fd, const struct gmem *gm, struct vcpu_code *out);

/* What happened and what to do about it, in one line for the exit record. error: of KVM_RUN itself, 0
 * or a negative errno. Pure. */
void vcpu_fault_text(const struct kvm_run *run, int error, const struct vcpu_code *code, char *buf,
		     size_t cap);

/* The numbers behind it, in one line for the log. Pure. */
void vcpu_fault_data(const struct kvm_run *run, int error, char *buf, size_t cap);
void vcpu_code_text(const struct vcpu_code *code, char *buf, size_t cap);

#endif
