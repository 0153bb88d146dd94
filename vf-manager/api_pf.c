// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pool.h"
#include "vf-manager/view.h"

#include "base/json.h"

#include <errno.h>

int api_pfs(struct request *req, struct err *e)
{
	json_t *list = json_array();
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	for (size_t i = 0; r == 0 && i < inventory_count(req->d->inv); i++) {
		const struct pci_fn *fn = inventory_at(req->d->inv, i);

		if (fn->is_pf)
			json_array_append_new(list, view_pf(req->d, fn));
	}
	state_unlock(req->d);
	req->reply = json_pack("{s:o}", "pfs", list);
	return r;
}

int api_pf(struct request *req, struct err *e)
{
	const struct pci_fn *pf;
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		r = pool_pf_find(req->d, req->arg, &pf, e);
	if (r == 0) {
		req->reply = view_pf(req->d, pf);
		json_object_set_new(req->reply, "vfs", view_vfs_of(req->d, pf));
	}
	state_unlock(req->d);
	return r;
}

int api_pf_apply(struct request *req, struct err *e)
{
	uint64_t vfs;
	int r = json_get_u64(req->body, "vfs", UINT16_MAX, &vfs, e);

	if (r < 0)
		return r;
	op_lock(req->d);
	r = pf_apply(req->d, req->arg, &(struct pf_wish){ (uint16_t)vfs, req->who.uid }, e);
	op_unlock(req->d);
	return r < 0 ? r : api_pf(req, e);
}
