/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of the kernel's log from /dev/kmsg, without waiting; and how much processor time whoever reads them may
 * take. A log that is written faster than that is overwritten unread, which its numbers then show.
 */
#ifndef VIADUCT_VF_MANAGER_KMSGREAD_H
#define VIADUCT_VF_MANAGER_KMSGREAD_H

#include "base/err.h"
#include "iommu/kmsg_fault.h"

struct kmsg_reader {
	int fd; /* -1: it cannot be read */
	char buf[2 * KMSG_RECORD];
	size_t used;
	uint64_t cut; /* records that were no such thing, or too long */
};

/* DEV_DIR/kmsg from its oldest record on. */
int kmsg_reader_open(struct kmsg_reader *k, const char *dev_dir, struct err *e);
void kmsg_reader_close(struct kmsg_reader *k);

/* 0 with the next record; -EAGAIN: there is none yet. Anything else: it ended. */
int kmsg_reader_next(struct kmsg_reader *k, struct kmsg_record *out);

/* A token bucket of processor time. */
#define CPU_BUDGET_PERMILLE 20 /* of one CPU, for as long as there is work */
#define CPU_BUDGET_BURST_NS 200000000LL

struct cpu_budget {
	int64_t left_ns;
	uint64_t wall_ns, cpu_ns; /* when it was last settled */
};

void cpu_budget_init(struct cpu_budget *b, uint64_t wall_ns, uint64_t cpu_ns);

/* How long to do nothing; 0: go on. */
uint64_t cpu_budget_settle(struct cpu_budget *b, uint64_t wall_ns, uint64_t cpu_ns);

#endif
