/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which host CPU a function's interrupt belongs to. Pure functions: what is known comes in as plain values.
 *
 * A driver asks for one vector a queue and spreads them in the order of the guest's CPUs, so vector v goes to the host CPU of vCPU
 * v modulo their number. A driver that keeps vector 0 for its link or its mailbox is off by one, which is why this is a
 * rule and no promise; a guest moves its vectors between its vCPUs without a word to the host.
 */
#ifndef VIADUCT_VF_MANAGER_IRQPLACE_H
#define VIADUCT_VF_MANAGER_IRQPLACE_H

#include "vf-manager/irqlines.h"

#include "vmm/vmm_msg.h"

/* Of one VM. */
struct irq_want {
	unsigned int pin_count; /* 0: it is not pinned */
	unsigned int pin[VMM_MAX_CPUS]; /* host CPU of each vCPU */
	cpu_set_t node; /* without pins: the CPUs of its memory's node; empty: it has none */
	cpu_set_t foreign; /* dedicated to other VMs */
};

/* Its vectors are placed at all. */
bool irq_want_is_any(const struct irq_want *want);

/* Host CPUs of the vector, never a foreign one. Empty: it stays where it is. */
void irq_want_cpus(const struct irq_want *want, uint32_t vector, cpu_set_t *out);

enum irq_verdict {
	IRQ_RIGHT,
	IRQ_ELSEWHERE, /* it may go to other CPUs than those */
	IRQ_NOT_FOLLOWED, /* it may go nowhere else, and does */
};

/* `has_fired`: since it was set. Without interrupt remapping the kernel moves an interrupt only when it comes. */
enum irq_verdict irq_judge(const cpu_set_t *asked, const struct irq_affinity *now, bool has_fired);

#endif
