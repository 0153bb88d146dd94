/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The launch message (pmd_msg.h), checked: text to a struct, nothing is opened and no DPDK is needed.
 */
#ifndef VIADUCT_PMD_BACKENDS_LAUNCH_H
#define VIADUCT_PMD_BACKENDS_LAUNCH_H

#include "pmd-backends/pmd_msg.h"

#include "base/seqmsg.h"

#define PMD_MIN_MEMORY MIB(16)
#define PMD_MAX_MEMORY GIB(64)

struct pmd_launch {
	char name[PMD_NAME_TEXT];
	enum pmd_role role;
	unsigned int cpus[PMD_MAX_LCORES]; /* one lcore each */
	unsigned int cpu_count; /* 0: one lcore, on any CPU */
	uint64_t memory; /* bytes; 0 with PMD_ROLE_BLOCK */
	bool hugepages;
	enum pmd_idle idle;
	uint32_t guest_uid_first;
	uint32_t guest_uid_count;
	uint32_t uplink_kinds; /* BIT(enum pmd_uplink_kind) of those that may be added */
	int listener; /* owned */
};

void pmd_launch_init(struct pmd_launch *l);
void pmd_launch_fini(struct pmd_launch *l);

/* Takes the listener out of m. 0; with an error *l may be half filled, pmd_launch_fini() is right all the same. */
int pmd_launch_parse(struct pmd_launch *l, struct seqmsg *m, struct err *e);

/* A request that a process of this role does not know: -EOPNOTSUPP, code "unknown-request". */
int pmd_role_refuse(const struct pmd_launch *l, struct err *e);

/* Index of `text` in `words`; -EINVAL names `key` and the words. */
int pmd_word_find(const char *const *words, size_t count, const char *key, const char *text,
		  struct err *e);

#endif
