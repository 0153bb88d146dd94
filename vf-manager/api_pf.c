// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/pfadopt.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pfconfirm.h"
#include "vf-manager/pool.h"
#include "vf-manager/view.h"
#include "vf-manager/vmops.h"
#include "vf-manager/vmowner.h"

#include "base/json.h"

#include <errno.h>

#define DISRUPT_MAX 1024

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

/* VMs and leases that may be hurt, by name. */
static int disrupt_read(const struct request *req, const json_t **out, struct err *e)
{
	const json_t *item;
	json_t *list;
	size_t i;
	int r;

	*out = NULL;
	if (json_object_get(req->body, "disrupt") == NULL)
		return 0;
	r = json_get_array(req->body, "disrupt", DISRUPT_MAX, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);
		size_t prefix = strlen(PF_DISRUPT_LEASE);

		if (text != NULL && strncmp(text, PF_DISRUPT_LEASE, prefix) == 0)
			text += prefix;
		if (text == NULL || parse_name(text) < 0)
			return err_set(e, EINVAL,
				       "disrupt: item %zu names neither a VM nor " PF_DISRUPT_LEASE
				       "LEASE",
				       i + 1);
	}
	*out = list;
	return 0;
}

int api_pf_plan(struct request *req, struct err *e)
{
	struct pf_wish wish = { .timeout_s = VM_STOP_DEFAULT_S };
	const char *text = json_string_value(json_object_get(req->body, "vfs"));
	struct pf_plan plan = { 0 };
	uint64_t vfs;
	int r;

	if (parse_u64(text != NULL ? text : "", UINT16_MAX, &vfs) < 0)
		return err_set(e, EINVAL, "vfs is no number from 0 to %u", UINT16_MAX);
	wish.vfs = (uint16_t)vfs;
	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		r = pf_plan_make(req->d, req->arg, &wish, &plan, e);
	if (r == 0)
		req->reply = pf_plan_json(req->d, &plan);
	state_unlock(req->d);
	pf_plan_fini(&plan);
	return r;
}

/* VMs that belong to somebody are stopped by him and by root only, whatever the way. */
static int disrupt_is_his(const struct request *req, const json_t *names, struct err *e)
{
	const json_t *name;
	size_t i;
	int r = 0;

	state_lock(req->d);
	json_array_foreach(names, i, name) {
		r = vm_owner_check(req->d, json_string_value(name), &req->who, e);
		if (r < 0)
			break;
	}
	state_unlock(req->d);
	return r < 0 ? r : 0;
}

int api_pf_apply(struct request *req, struct err *e)
{
	uint64_t vfs, timeout_s = VM_STOP_DEFAULT_S, confirm_s = 0;
	struct pf_wish wish = { .uid = req->who.uid, .op = req->op };
	int r = json_get_u64(req->body, "vfs", UINT16_MAX, &vfs, e);

	if (r == 0)
		r = json_get_u64_opt(req->body, "timeout_s", VM_STOP_MAX_S, &timeout_s, e);
	if (r == 0)
		r = json_get_u64_opt(req->body, "confirm_s", CONFIRM_MAX_S, &confirm_s, e);
	if (r == 0 && confirm_s == 0 && json_object_get(req->body, "confirm_s") != NULL)
		r = err_set(e, EINVAL, "confirm_s: 1 to %d", CONFIRM_MAX_S);
	if (r == 0)
		r = disrupt_read(req, &wish.disrupt, e);
	if (r < 0)
		return r;
	r = disrupt_is_his(req, wish.disrupt, e);
	if (r < 0)
		return r;
	wish.confirm_s = (unsigned int)confirm_s;
	wish.vfs = (uint16_t)vfs;
	wish.timeout_s = (unsigned int)timeout_s;
	r = pf_apply_disrupting(req->d, req->arg, &wish, e);
	return r < 0 ? r : api_pf(req, e);
}

int api_pf_confirm(struct request *req, struct err *e)
{
	int r;

	op_lock(req->d);
	r = confirm_keep(req->d, req->arg, req->who.uid, e);
	op_unlock(req->d);
	return r < 0 ? r : api_pf(req, e);
}

int api_pf_adopt(struct request *req, struct err *e)
{
	int r;

	op_lock(req->d);
	r = pf_adopt(req->d, req->arg, req->who.uid, e);
	op_unlock(req->d);
	return r < 0 ? r : api_pf(req, e);
}
