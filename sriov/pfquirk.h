/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known of PF drivers beyond what every driver does: what their VFs need after a change of the count, which
 * attributes they cannot keep, and when attributes must be set. One table, each row with its public source.
 * It explains and warns, and adds waiting; what a driver really does is always read back.
 */
#ifndef VIADUCT_SRIOV_PFQUIRK_H
#define VIADUCT_SRIOV_PFQUIRK_H

#include "base/util.h"

struct pf_quirk {
	const char *driver;
	uint32_t cannot; /* BIT(enum vf_attr): has no operation for these */
	bool attrs_before_bind; /* a VF driver that runs already does not see them, or is stopped by them */
	bool no_min_rate;
	unsigned int appear_s; /* how long many VFs may take to appear; 0: as with every driver */
	unsigned int settle_ms; /* after they have appeared, before anything is set on them */
	const char *count_note; /* what a change of the count does to others; NULL: nothing special */
	const char *source;
};

/* NULL: nothing is known of this driver, and the order that suits all is kept to. */
const struct pf_quirk *pf_quirk_find(const char *driver);

/* Sentences for people about this driver, for a plan; calls fn for each. */
typedef void pf_quirk_fn(void *arg, const char *text);
void pf_quirk_each_note(const struct pf_quirk *quirk, pf_quirk_fn *fn, void *arg);

#endif
