// SPDX-License-Identifier: BSD-3-Clause
/* The host's remapping units, and how well a function is isolated. */
#include "vf-manager/api_handlers.h"
#include "vf-manager/iommuview.h"
#include "vf-manager/pool.h"
#include "vf-manager/posture.h"

#include <errno.h>

static int host_read(struct request *req, struct posture_host **out, struct err *e)
{
	*out = posture_host_read(req->d);
	return *out == NULL ? err_set(e, ENOMEM, "no memory") : 0;
}

int api_iommu_units(struct request *req, struct err *e)
{
	struct posture_host *host;
	json_t *list;
	int r = host_read(req, &host, e);

	if (r < 0)
		return r;
	list = json_array();
	for (size_t i = 0; i < host->units.count; i++)
		json_array_append_new(list, iommu_unit_json(host, &host->units.units[i]));
	req->reply = json_pack("{s:s, s:o, s:o}", "kind",
			       host->has_iommu ? host->iommu.kind : "not known", "units", list,
			       "dmar", iommu_dmar_json(host));
	posture_host_free(host);
	return 0;
}

int api_iommu_unit(struct request *req, struct err *e)
{
	const struct iommu_unit *unit;
	struct posture_host *host;
	int r = host_read(req, &host, e);

	if (r < 0)
		return r;
	unit = iommu_unit_find(&host->units, req->arg);
	if (unit != NULL) {
		req->reply = iommu_unit_full(host, unit);
	} else {
		err_set(e, ENOENT, "there is no remapping unit %s", req->arg);
		err_code(e, "no-such-unit");
		r = err_hint(
			e,
			host->units.count > 0
				? "viaduct iommu list"
				: "this host has none that the kernel drives: viaduct host check");
	}
	posture_host_free(host);
	return r;
}

/* A VF by any of its names, or another function. */
static int function_find(struct daemon *d, const char *text, const struct pci_fn **out,
			 struct err *e)
{
	struct err other = { 0 };

	if (inventory_find_name(d->inv, text, out, &other) == 0 ||
	    pool_vf_find(d, text, out, &other) == 0)
		return 0;
	err_set(e, ENOENT, "there is no function %s", text);
	err_code(e, "no-such-function");
	return err_hint(e, "viaduct function list; viaduct vf list");
}

int api_iommu_function(struct request *req, struct err *e)
{
	struct posture_host *host;
	const struct pci_fn *fn;
	int r = host_read(req, &host, e);

	if (r < 0)
		return r;
	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		r = function_find(req->d, req->arg, &fn, e);
	if (r == 0)
		req->reply = posture_json(host, fn);
	state_unlock(req->d);
	posture_host_free(host);
	return r;
}
