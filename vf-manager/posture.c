// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/posture.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/posture_checks.h"

#include "base/fd.h"

#include <stdio.h>
#include <stdlib.h>

const struct posture_check posture_checks[] = {
	/* id, title, is_essential, run */
	{ "unit", "Remapping unit in charge", true, posture_unit },
	{ "translation", "DMA translation", true, posture_translation },
	{ "interrupt-remapping", "Interrupt remapping", true, posture_intremap },
	{ "unsafe-interrupts", "No override of interrupt isolation", true, posture_unsafe },
	{ "group", "IOMMU group", true, posture_group },
	{ "acs", "ACS on the path", true, posture_acs },
	{ "firmware-memory", "Memory kept by firmware (RMRR)", true, posture_rmrr },
	{ "ats", "Address translation service (ATS)", false, posture_ats },
	{ "eim", "Extended interrupt mode", false, posture_eim },
	{ "posted-interrupts", "Posted interrupts", false, posture_posted },
	{ "snoop-control", "Snoop control", false, posture_snoop },
	{ "address-width", "Address width", false, posture_width },
	{ "page-sizes", "Page sizes", false, posture_pages },
	{ "cpu", "CPU virtualization", false, posture_cpu },
};
const size_t posture_check_count = ARRAY_SIZE(posture_checks);

static const char *const status_names[] = {
	[POSTURE_PASS] = "pass", [POSTURE_WARN] = "warn", [POSTURE_FAIL] = "fail", [POSTURE_UNKNOWN] = "unknown"
};

struct posture_host *posture_host_read(struct daemon *d)
{
	struct posture_host *h = calloc(1, sizeof(*h));
	struct err e = { 0 };
	int r;

	if (h == NULL)
		return NULL;
	h->d = d;
	h->root = host_root_open(d);
	h->has_iommu = iommu_host_read(h->root, &h->iommu, NULL) == 0;
	(void)iommu_units_read(h->root, &h->units, NULL);
	r = dmar_read(h->root, &h->dmar, &e);
	h->has_dmar = r == 0;
	h->dmar_errno = -r;
	snprintf(h->dmar_why, sizeof(h->dmar_why), "%.255s", r < 0 ? e.text : "");
	posture_cpu_read(h->root, &h->cpu);
	return h;
}

void posture_host_free(struct posture_host *host)
{
	if (host == NULL)
		return;
	fd_close(&host->root);
	dmar_fini(&host->dmar);
	free(host);
}

/* What the checks come to. */
struct verdict {
	bool has_fail, has_unknown;
	const char *code; /* of the first that failed, or is unknown */
	json_t *warnings; /* ids */
};

static void verdict_take(struct verdict *v, const struct posture_check *check,
			 const struct posture_result *r)
{
	switch (r->status) {
	case POSTURE_PASS:
		break;
	case POSTURE_WARN:
		json_array_append_new(v->warnings, json_string(check->id));
		break;
	case POSTURE_FAIL:
		if (!v->has_fail)
			v->code = r->code;
		v->has_fail = true;
		break;
	case POSTURE_UNKNOWN:
		if (check->is_essential && !v->has_fail && !v->has_unknown)
			v->code = r->code;
		v->has_unknown |= check->is_essential;
		break;
	}
}

static const char *verdict_text(const struct verdict *v)
{
	return v->has_fail ? "not-isolated" : v->has_unknown ? "not-known" : "isolated";
}

static json_t *text_or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

/* checks NULL: only the verdict is wanted. */
static json_t *verdict_make(const struct posture_host *host, const struct pci_fn *fn,
			    json_t *checks)
{
	struct posture_ask ask = { .host = host, .fn = fn };
	struct verdict v = { .warnings = json_array() };

	if (iommu_unit_of(host->root, fn->name, ask.unit_name) == 0)
		ask.unit = iommu_unit_find(&host->units, ask.unit_name);
	else
		ask.unit_name[0] = '\0';
	for (size_t i = 0; i < posture_check_count; i++) {
		const struct posture_check *check = &posture_checks[i];
		struct posture_result r = { .status = POSTURE_PASS };

		check->run(&ask, &r);
		verdict_take(&v, check, &r);
		if (checks != NULL)
			json_array_append_new(checks,
					      json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "id",
							check->id, "title", check->title, "status",
							status_names[r.status], "detail", r.detail,
							"source", r.source, "code",
							text_or_null(r.code)));
	}
	return json_pack("{s:s, s:o, s:o, s:o}", "verdict", verdict_text(&v), "code",
			 text_or_null(v.code), "unit", text_or_null(ask.unit_name), "warnings",
			 v.warnings);
}

json_t *posture_json(const struct posture_host *host, const struct pci_fn *fn)
{
	json_t *checks = json_array();
	json_t *j = verdict_make(host, fn, checks);

	json_object_set_new(j, "function", json_string(fn->name));
	json_object_set_new(j, "name", text_or_null(fn->dev_name));
	json_object_set_new(j, "group",
			    fn->iommu_group >= 0 ? json_integer(fn->iommu_group) : json_null());
	json_object_set_new(j, "checks", checks);
	return j;
}

json_t *posture_short(const struct posture_host *host, const struct pci_fn *fn)
{
	return verdict_make(host, fn, NULL);
}
