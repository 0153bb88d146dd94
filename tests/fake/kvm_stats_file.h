/* SPDX-License-Identifier: BSD-3-Clause */
/* A statistics file as KVM makes it, with a few of the numbers that viaduct takes. */
#ifndef VIADUCT_TESTS_FAKE_KVM_STATS_FILE_H
#define VIADUCT_TESTS_FAKE_KVM_STATS_FILE_H

#define FAKE_KVM_EXITS	  1234
#define FAKE_KVM_HALTS	  56
#define FAKE_KVM_PAGES_4K 789

/* A memfd with exits, halt_exits and pages_4k, for a VM and a vCPU alike; or -1 and errno. */
int fake_kvm_stats_file(void);

#endif
