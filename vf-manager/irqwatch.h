/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interrupts of VMs' functions on the host CPUs that irqplace.h says. A line of /proc/interrupts is there only while the
 * guest's driver has its vectors enabled, comes back under another number, and nothing tells of it: so they are
 * looked for, by the monitor's thread alone. A line is set once; what does not hold after that is somebody else's
 * doing, and stays until it is right again or repaired.
 */
#ifndef VIADUCT_VF_MANAGER_IRQWATCH_H
#define VIADUCT_VF_MANAGER_IRQWATCH_H

#include "vf-manager/irqplace.h"
#include "vf-manager/vm.h"

#define IRQ_YOUNG_S    60 /* a VM's guest is starting its drivers */
#define IRQ_YOUNG_MS   2000
#define IRQ_PUT_OFF_MS 1000

struct irq_watch;

int irq_watch_create(struct irq_watch **out, struct err *e);
void irq_watch_destroy(struct irq_watch *w); /* NULL-safe */

/* No lock held. Sets what was never set, unless `op` is taken. True: what does not hold is not what it was.
 * *next_ms is when to look again; 0: with everything else. */
bool irq_watch_look(struct daemon *d, struct irq_watch *w, unsigned int *next_ms);

/* What the last look found is an alarm now: it may be repaired. */
void irq_watch_told(struct irq_watch *w);

/* No lock held. Where `drift: repair` is said of a VF's PF, what does not hold is set again, not too often. True: something was. */
bool irq_watch_repair(struct daemon *d, struct irq_watch *w);

/* What does not hold of one function: its first vector, and how many more. */
struct irq_drift {
	const char *vm, *port;
	uint32_t irq, vector;
	const cpu_set_t *asked;
	const struct irq_affinity *now;
	int error; /* why it could not be set; 0: it was set */
	unsigned int more;
};

/* From *at (0 for the first) on, and moves it; false: there is no more. */
bool irq_drift_next(const struct irq_watch *w, size_t *at, struct irq_drift *out);

/* State locked. What the VM wants. `dedicated`: of all VMs. */
void irq_want_of(const struct daemon *d, const struct vm *vm, const cpu_set_t *dedicated,
		 struct irq_want *out);

/* [{"vector","irq","asked"|null,"allowed","effective"|null}] of the function, as lists of host CPUs. */
json_t *irq_lines_json(const char *proc, const struct irq_want *want, const char *interrupts,
		       const char *addr);

#endif
