// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/backend.h"
#include "vf-manager/fnpool.h"
#include "vf-manager/view.h"

#include "base/json.h"

#include <errno.h>

int api_fns(struct request *req, struct err *e)
{
	json_t *list = json_array();
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	for (size_t i = 0; r == 0 && i < inventory_count(req->d->inv); i++) {
		const struct pci_fn *fn = inventory_at(req->d->inv, i);

		if (view_fn_is_listed(fn))
			json_array_append_new(list, view_fn(req->d, fn));
	}
	state_unlock(req->d);
	req->reply = json_pack("{s:o}", "functions", list);
	return r;
}

int api_fn(struct request *req, struct err *e)
{
	const struct pci_fn *fn;
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		r = fnpool_find(req->d, req->arg, &fn, e);
	if (r == 0)
		req->reply = view_fn(req->d, fn);
	state_unlock(req->d);
	return r;
}

/* Of one that is quarantined. What a VM has goes back when the VM ends. */
static int release_check(struct request *req, const struct pci_fn *fn, struct err *e)
{
	const struct fn_row *row = ledger_fn_find(req->d->ledger, &fn->addr);

	if (row == NULL || row->state == FN_QUARANTINED)
		return 0;
	err_set(e, EBUSY, "function %s is %s: %s has it", fn->name, fn_state_text(row->state),
		row->owner);
	err_code(e, "function-in-use");
	if (strcmp(row->owner, BACKEND_OWNER) == 0)
		return err_hint(e, "take it out of `uplinks` of viaductd.yaml");
	return err_hint(e, "viaduct vm stop %.*s", (int)strcspn(row->owner, "/"), row->owner);
}

int api_fn_release(struct request *req, struct err *e)
{
	const struct pci_fn *fn;
	struct pci_addr addr;
	int r;

	op_lock(req->d);
	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		r = fnpool_find(req->d, req->arg, &fn, e);
	if (r == 0)
		r = release_check(req, fn, e);
	if (r == 0)
		addr = fn->addr;
	state_unlock(req->d);
	if (r == 0)
		r = fnpool_release(req->d, &addr, e);
	op_unlock(req->d);
	if (r < 0)
		return r;
	pci_addr_text(&addr, req->arg);
	return api_fn(req, e);
}
