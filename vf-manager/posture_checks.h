/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to posture: the table of checks. */
#ifndef VIADUCT_VF_MANAGER_POSTURE_CHECKS_H
#define VIADUCT_VF_MANAGER_POSTURE_CHECKS_H

#include "vf-manager/posture.h"

struct posture_ask {
	const struct posture_host *host;
	const struct pci_fn *fn; /* state locked */
	char unit_name[IOMMU_UNIT_NAME]; /* the kernel's word; "": none */
	const struct iommu_unit *unit; /* NULL: none, or not known */
};

struct posture_result {
	enum posture_status status;
	const char *code; /* of `explain`; NULL with POSTURE_PASS */
	char detail[400];
	char source[200];
};

struct posture_check {
	const char *id, *title;
	bool is_essential; /* what is unknown here makes the verdict "not-known" */
	void (*run)(const struct posture_ask *a, struct posture_result *out);
};

extern const struct posture_check posture_checks[];
extern const size_t posture_check_count;

/* Of the host and its unit (posture_unit.c). */
void posture_unit(const struct posture_ask *a, struct posture_result *out);
void posture_translation(const struct posture_ask *a, struct posture_result *out);
void posture_intremap(const struct posture_ask *a, struct posture_result *out);
void posture_eim(const struct posture_ask *a, struct posture_result *out);
void posture_posted(const struct posture_ask *a, struct posture_result *out);
void posture_snoop(const struct posture_ask *a, struct posture_result *out);
void posture_width(const struct posture_ask *a, struct posture_result *out);
void posture_pages(const struct posture_ask *a, struct posture_result *out);
void posture_cpu(const struct posture_ask *a, struct posture_result *out);
void posture_unsafe(const struct posture_ask *a, struct posture_result *out);

/* Of the function's place (posture_place.c). */
void posture_group(const struct posture_ask *a, struct posture_result *out);
void posture_acs(const struct posture_ask *a, struct posture_result *out);
void posture_rmrr(const struct posture_ask *a, struct posture_result *out);
void posture_ats(const struct posture_ask *a, struct posture_result *out);

#define POSTURE_SAY(out, ...)  snprintf((out)->detail, sizeof((out)->detail), __VA_ARGS__)
#define POSTURE_FROM(out, ...) snprintf((out)->source, sizeof((out)->source), __VA_ARGS__)

static inline void posture_set(struct posture_result *out, enum posture_status status,
			       const char *code)
{
	out->status = status;
	out->code = code;
}

#endif
