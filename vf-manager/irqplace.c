// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/irqplace.h"

bool irq_want_is_any(const struct irq_want *want)
{
	return want->pin_count > 0 || CPU_COUNT(&want->node) > 0;
}

void irq_want_cpus(const struct irq_want *want, uint32_t vector, cpu_set_t *out)
{
	CPU_ZERO(out);
	if (want->pin_count > 0)
		CPU_SET(want->pin[vector % want->pin_count], out);
	else
		*out = want->node;
	cpu_set_remove(out, &want->foreign);
}

enum irq_verdict irq_judge(const cpu_set_t *asked, const struct irq_affinity *now, bool has_fired)
{
	cpu_set_t outside = now->effective;

	if (!CPU_EQUAL(asked, &now->allowed))
		return IRQ_ELSEWHERE;
	cpu_set_remove(&outside, asked);
	return now->has_effective && has_fired && CPU_COUNT(&outside) > 0 ? IRQ_NOT_FOLLOWED
									  : IRQ_RIGHT;
}
