/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The self test of one free VF (message "selftest", vmm_msg.h): what only real hardware can show, in the sandbox that a
 * VM has, with the descriptors that a VM gets. Each step has a result and what it rests on; one that failed never hides
 * the rest. Nothing is mapped for DMA while the function may be a bus master.
 */
#ifndef VIADUCT_VMM_SELFTEST_H
#define VIADUCT_VMM_SELFTEST_H

#include "base/err.h"
#include "base/parse.h"
#include "base/seqmsg.h"

#define SELFTEST_TEXT 256

struct selftest_spec {
	struct pci_addr address;
	uint32_t group;
	int kvm, container, group_fd; /* owned */
	int interrupts; /* /proc/interrupts; owned, -1: not given */
};

void selftest_spec_init(struct selftest_spec *s);
void selftest_spec_fini(struct selftest_spec *s);

/* Takes the message's descriptors. -EINVAL names what is wrong. */
int selftest_spec_parse(struct selftest_spec *out, struct seqmsg *m, struct err *e);

/* All of it; enters SANDBOX_RUN before the function or the guest does anything. *result: what the reply holds, a new
 * reference. */
int selftest_run(const struct selftest_spec *spec, json_t **result, struct err *e);

/* The interrupts of that name's line of /proc/interrupts, over all CPUs; -1: it has no such line. */
int64_t selftest_irq_count(const char *text, const char *name);

#endif
