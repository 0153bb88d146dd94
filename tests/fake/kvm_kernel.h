/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM as the kernel would answer, for link-time wrapping of ioctl(2): one VM with its vCPUs. What the
 * guest does is written in its kernel command line, which the fake reads out of guest RAM:
 *
 *   out@3f8=41 in@60 w@e0000000=1 r@fee00000    one access: port or MMIO, hexadecimal; reads are kept
 *   out@3f8=41*4                                a string instruction of four
 *   hlt intr window again                       exits and errors that mean nothing
 *   triple off reboot crash                     the guest's ends
 *   refused internal odd fault                  KVM's own failures
 *   1:hlt                                       vCPU 1 does it; without a number, vCPU 0
 *   |                                           what follows is done after the next reset
 *
 * A vCPU that has done all of its words sleeps until it is kicked. The only instruction that the fake knows is
 * a HLT at RIP.
 */
#ifndef VIADUCT_TESTS_FAKE_KVM_KERNEL_H
#define VIADUCT_TESTS_FAKE_KVM_KERNEL_H

#include "base/util.h"

#include <linux/kvm.h>

#define FAKE_KVM_VCPUS	   254
#define FAKE_KVM_SLOTS	   64
#define FAKE_KVM_READS	   32
#define FAKE_KVM_RUN_SIZE  8192
#define FAKE_KVM_DOORBELLS 64

struct fake_kvm_vcpu {
	int fd;
	struct kvm_run *run;
	unsigned int at; /* words of the script that are done */
	bool reads; /* the last exit was a read: its result is in the run page */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t tsc_khz;
};

struct fake_kvm {
	/* How the host is. */
	int lacks; /* this KVM_CAP is not there; 0: all are */
	int max_vcpus; /* KVM_CAP_MAX_VCPUS; 0: as many as one likes */
	unsigned int phys_bits; /* of the CPU; 0: 40 */
	int tsc_khz; /* 0: none */
	bool no_msr_writes; /* KVM_SET_MSRS takes nothing */
	int (*vfio)(unsigned long request, void *arg); /* VFIO's side of ioctl(2), or NULL */
	int (*vhost)(unsigned long request, void *arg); /* the same of vhost's */

	/* What the VM is made of. */
	struct fake_kvm_vcpu vcpus[FAKE_KVM_VCPUS];
	unsigned int vcpu_count;
	struct kvm_userspace_memory_region slots[FAKE_KVM_SLOTS];
	unsigned int smm_slots;
	int irqfds; /* attached */
	struct kvm_ioeventfd doorbells[FAKE_KVM_DOORBELLS];
	unsigned int doorbell_count;

	/* What was done. */
	unsigned int boots; /* resets of the interrupt controllers */
	unsigned int clock_pauses;
	unsigned int lines; /* changes of interrupt lines */
	uint64_t reads[FAKE_KVM_READS]; /* results of in@ and r@, in order */
	unsigned int read_count;
};

extern struct fake_kvm fake_kvm;

/* Forgets the VM: after machine_destroy(), or before the first. Settings stay. */
void fake_kvm_reset(void);

/* A guest's write to an address: true if an ioeventfd took it, which then is signalled. */
bool fake_kvm_doorbell(uint64_t addr);

/* The least that is a PVH kernel, in a memfd that the caller closes. */
int fake_kvm_kernel(void);

#endif
