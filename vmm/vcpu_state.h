/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers of one vCPU as KVM holds them: taken once at power-on, given back at guest reset,
 * and set for a direct boot. The vCPU must be parked.
 */
#ifndef VIADUCT_VMM_VCPU_STATE_H
#define VIADUCT_VMM_VCPU_STATE_H

#include "vmm/boot.h"

#include "base/err.h"

#include <linux/kvm.h>

#define VCPU_MSRS_MAX 512

/* The MSRs that this KVM saves and restores, less those that go on over a reset. */
struct vcpu_msr_list {
	uint32_t count;
	uint32_t indices[VCPU_MSRS_MAX];
};

int vcpu_msr_list_get(int kvm_fd, struct vcpu_msr_list *list, struct err *e);

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	uint32_t msr_count;
	struct kvm_msr_entry msrs[VCPU_MSRS_MAX];
	struct kvm_xsave xsave; /* last: the kernel's struct ends in a flexible array */
};

int vcpu_state_get(int vcpu_fd, const struct vcpu_msr_list *list, struct vcpu_state *state,
		   struct err *e);
int vcpu_state_set(int vcpu_fd, const struct vcpu_state *state, struct err *e);

/* Without firmware nobody else programs the MTRRs: all of memory write-back, the PAT does the rest.
 * Every vCPU alike, or Linux complains. */
int vcpu_state_mtrr_set(int vcpu_fd, struct err *e);

/* On top of the power-on state. */
int vcpu_state_boot(int vcpu_fd, const struct boot_entry *entry, struct err *e);

/* One line each for the log: where the vCPU is, and in what mode. "" if KVM does not say. */
#define VCPU_STATE_TEXT 640
void vcpu_state_text(int vcpu_fd, char *buf, size_t cap);
void vcpu_state_segments_text(int vcpu_fd, char *buf, size_t cap);

#endif
