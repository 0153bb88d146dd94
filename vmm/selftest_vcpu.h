/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The self test's VM: one vCPU with the interrupt controllers in the kernel and a guest of some hundred bytes. It runs in
 * the caller's thread, from one report of the guest to the next.
 */
#ifndef VIADUCT_VMM_SELFTEST_VCPU_H
#define VIADUCT_VMM_SELFTEST_VCPU_H

#include "vmm/selftest_guest.h"

#include "base/err.h"

#include <stddef.h>

struct kvm_run;

struct selftest_vcpu {
	int vm, vcpu, groups; /* -1: not made */
	uint8_t *ram; /* NULL: not made */
	struct kvm_run *run;
	size_t run_bytes;
};

void selftest_vcpu_init(struct selftest_vcpu *v);

int selftest_vcpu_make(struct selftest_vcpu *v, int kvm_fd, struct err *e);
void selftest_vcpu_fini(struct selftest_vcpu *v); /* half-built-safe */

/* Tells KVM of the group, which is in its container: before a function of it is opened. */
int selftest_vcpu_group(struct selftest_vcpu *v, int group_fd, struct err *e);

/* The guest sees `bytes` at `host` from SELFTEST_GUEST_FUNCTION on. */
int selftest_vcpu_map(struct selftest_vcpu *v, void *host, uint64_t bytes, struct err *e);

/* What signals this eventfd is the guest's SELFTEST_IRQ_VECTOR from now on. */
int selftest_vcpu_irqfd(struct selftest_vcpu *v, int eventfd, struct err *e);

/* Until the guest reports that it is ready. -EIO: it did anything else. */
int selftest_vcpu_run(struct selftest_vcpu *v, struct err *e);

/* A copy, since the guest writes it; and the way back, of the part that the guest only reads. */
struct selftest_block selftest_vcpu_block(const struct selftest_vcpu *v);
void selftest_vcpu_tell(struct selftest_vcpu *v, uint32_t mode, uint32_t reg, uint32_t value);

/* Pages that the guest has written as it was told. */
unsigned int selftest_vcpu_touched(const struct selftest_vcpu *v);

#endif
