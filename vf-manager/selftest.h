/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `viaduct host selftest`: what this machine's CPU, IOMMU and one free VF of it really do, as a report that can be shared
 * (no serial number, MAC or host name is in it). The VF is had by the ledger's rules: it is leased to SELFTEST_OWNER, is
 * wiped afterwards as after a VM, and what a crash leaves is given back by the next start of the daemon, the next test
 * or `vf release`.
 */
#ifndef VIADUCT_VF_MANAGER_SELFTEST_H
#define VIADUCT_VF_MANAGER_SELFTEST_H

#include "vf-manager/daemon.h"

#include "iommu/host.h"

#include <jansson.h>

struct operation;

/* Of the VF meanwhile. No VM can have that name. */
#define SELFTEST_OWNER "@selftest/vf"

#define SELFTEST_REPORT 1 /* version of the report */

struct selftest_wish {
	const char *pf; /* whose VF it shall be; NULL: any's */
	struct operation *op; /* hears of the steps; or NULL */
};

/* No lock held. One at a time: -EBUSY code "selftest-running". -ENOENT code "no-such-pf". A machine that fails, or has
 * no free VF, is no error: the report says so. */
int host_selftest(struct daemon *d, const struct selftest_wish *wish, json_t **report,
		  struct err *e);

/* Who made what: {"version","kernel","cpu","board"}; a new reference. */
json_t *selftest_facts(const struct daemon *d);

/* State locked. {"address","id","vendor","device","pf":{...}} of the VF that is tested. */
json_t *selftest_vf_facts(const struct daemon *d, const struct pci_fn *vf);

/* Puts PCI addresses into the steps where error texts have the names of network devices, which may tell whose machine it is
 * (or be made of a MAC). */
struct selftest_name {
	const char *name, *address;
};
void selftest_names_hide(json_t *steps, const struct selftest_name *names, size_t count);

/* One step of the report. */
enum selftest_result { SELFTEST_PASS, SELFTEST_FAIL, SELFTEST_NOT_RUN, SELFTEST_RESULTS };
struct selftest_step {
	const char *id; /* of the table in selftest_steps.c */
	enum selftest_result result;
	const char *text, *hint; /* hint may be NULL or "" */
	uint64_t us;
};
void selftest_step_add(json_t *steps, const struct selftest_step *step);

/* What the tester says of its steps, which is a peer's word: those known, each once, in the table's order; what it leaves
 * out has failed. `why` (or NULL): it gave no answer. */
void selftest_steps_take(json_t *steps, const json_t *said, const struct err *why);

/* Whether the host has delivered interrupts itself that it could have posted. */
void selftest_posted_add(json_t *steps, const json_t *said, enum iommu_tristate cpu,
			 enum iommu_tristate unit);

/* The steps that need a VF, none of which could be run. */
void selftest_steps_skip(json_t *steps, const char *why, const char *hint);

/* "fail"; "incomplete": of what every machine and VF has, something was not tried; or "pass". */
const char *selftest_verdict(const json_t *steps);

#endif
