// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/vmaudit.h"

#include "base/json.h"

#include <errno.h>

/* Said with every verdict. */
static const char caveat[] =
	"translations that a remapping unit or a device keeps in a cache are nowhere in memory: no audit sees them";

static int rank(const char *verdict)
{
	return strcmp(verdict, "violated") == 0 ? 2 : strcmp(verdict, "proven") == 0 ? 0 : 1;
}

/* One after the other: each has the machine's memory read by a process of its own. None is left out without a word. */
static void all_audit(struct daemon *d, const json_t *names, json_t *audits)
{
	const json_t *name;
	size_t i;

	json_array_foreach((json_t *)names, i, name) {
		json_t *audit = NULL;
		struct err why = { 0 };
		int r = vm_audit(d, json_string_value(name), &audit, &why);

		if (r == -ENOENT)
			continue; /* gone meanwhile */
		if (r < 0)
			audit = vm_audit_left_out(json_string_value(name), &why);
		json_array_append_new(audits, audit);
	}
}

int api_iommu_audit(struct request *req, struct err *e)
{
	auto_json json_t *audits = json_array(), *names = NULL;
	const char *worst = "proven", *verdict;
	json_t *audit = NULL;
	char name[64] = "";
	size_t i;
	int r = json_get_str_opt(req->body, "vm", name, sizeof(name), e);

	if (r == 0)
		r = vm_audit_begin(e);
	if (r < 0)
		return r;
	if (name[0] != '\0') {
		r = vm_audit(req->d, name, &audit, e);
		if (r == 0)
			json_array_append_new(audits, audit);
	} else {
		names = vm_audit_names(req->d);
		all_audit(req->d, names, audits);
	}
	vm_audit_end();
	if (r < 0)
		return r;
	json_array_foreach(audits, i, audit) {
		verdict = json_string_value(json_object_get(audit, "verdict"));
		if (rank(verdict) > rank(worst))
			worst = verdict;
	}
	/* Of no VM nothing is proven. */
	req->reply = json_pack("{s:s?, s:O, s:s}", "verdict",
			       json_array_size(audits) > 0 ? worst : NULL, "audits", audits,
			       "caveat", caveat);
	return 0;
}
