/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtual CPUs: one thread each, which runs KVM_RUN and hands trapped accesses to the buses.
 * vcpu_set_park() brings every thread to a point where its vCPU's state is whole and stays still;
 * only then may registers be read or written (pause, reset, end). Threads start parked.
 *
 * Life: vcpu_set_create -> vcpu_set_boot -> vcpu_set_start -> (resume, park, reset)* ->
 * vcpu_set_destroy. All of it from the main thread; counters may be read at any time.
 */
#ifndef VIADUCT_VMM_VCPU_H
#define VIADUCT_VMM_VCPU_H

#include "vmm/boot.h"

#include "base/err.h"

struct cpu_model;
struct machine;
struct vcpu_set;

/* What a return of KVM_RUN was about; the names are vcpu_exit_names[]. */
enum vcpu_exit { VCPU_EXIT_IO, VCPU_EXIT_MMIO, VCPU_EXIT_HLT, VCPU_EXIT_OTHER, VCPU_EXITS };

/* Creates spec->cpu_count vCPUs of m->vm_fd with the CPU model's CPUID and remembers their
 * power-on state, which vcpu_set_reset() restores. Sets the model's tsc_khz. */
int vcpu_set_create(struct machine *m, struct cpu_model *model, struct vcpu_set **out,
		    struct err *e);
void vcpu_set_destroy(struct vcpu_set *set); /* stops and joins the threads; NULL-safe */

/* Starts the threads, each on its host CPU if the spec pins it; all are parked when it returns. */
int vcpu_set_start(struct vcpu_set *set, struct err *e);

/* Returns when no vCPU runs any more and every pending access has been completed. The caller must
 * not hold the machine's lock (a handler may want it). */
void vcpu_set_park(struct vcpu_set *set);
void vcpu_set_resume(struct vcpu_set *set);

/* Tells each guest CPU that it was stopped, so that its watchdogs do not bark. Parked vCPUs only. */
void vcpu_set_clock_pause(struct vcpu_set *set);

/* Power-on state, parked vCPUs only. */
int vcpu_set_reset(struct vcpu_set *set, struct err *e);

/* Gives vCPU 0 the registers of a direct boot; the others wait for INIT and SIPI. */
int vcpu_set_boot(struct vcpu_set *set, const struct boot_entry *entry, struct err *e);

/* Returns of KVM_RUN so far, of one vCPU and summed over all of them. */
uint64_t vcpu_exits(const struct vcpu_set *set, unsigned int vcpu, enum vcpu_exit kind);
uint64_t vcpu_set_exits(const struct vcpu_set *set, enum vcpu_exit kind);

/* KVM's fd of a vCPU, which stays the set's. */
int vcpu_set_fd(const struct vcpu_set *set, unsigned int vcpu);

#endif
