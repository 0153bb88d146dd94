// SPDX-License-Identifier: BSD-3-Clause
/* The everyday life of VMs: those that are defined start, stop, start again, go; all of them, with the host. */
#include "vf-manager/api_handlers.h"
#include "vf-manager/hoststop.h"
#include "vf-manager/operations.h"
#include "vf-manager/vmdefops.h"

#include "base/json.h"

#include <errno.h>

static int reply_vm(struct request *req, struct err *e)
{
	return vm_show(req->d, req->arg, &req->reply, e);
}

int api_vm_start(struct request *req, struct err *e)
{
	const struct def_start_wish wish = { .op = req->op,
					     .name = req->arg,
					     .cause = "vm start",
					     .uid = req->who.uid,
					     .is_manual = true };
	int r;

	/* What is wrong now is wrong with the file or the host. */
	req->is_valid = true;
	r = def_start(req->d, &wish, e);
	return r < 0 ? r : reply_vm(req, e);
}

/* What the VM's file says, if the request says nothing. */
static uint64_t timeout_of(struct request *req)
{
	uint64_t seconds = VM_STOP_DEFAULT_S;
	const struct vm *vm;

	state_lock(req->d);
	vm = vm_find(req->d, req->arg);
	if (vm != NULL)
		json_get_u64_opt(vm->facts, "stop_timeout_s", VM_STOP_MAX_S, &seconds, NULL);
	state_unlock(req->d);
	return seconds;
}

static int stop_wish(struct request *req, struct vm_stop_wish *out, struct err *e)
{
	uint64_t timeout_s = timeout_of(req);
	int r;

	*out = (struct vm_stop_wish){ .op = req->op, .uid = req->who.uid, .kill = true };
	r = json_get_u64_opt(req->body, "timeout_s", VM_STOP_MAX_S, &timeout_s, e);
	out->timeout_s = (unsigned int)timeout_s;
	return r == 0 ? json_get_bool_opt(req->body, "kill", &out->kill, e) : r;
}

int api_vm_stop(struct request *req, struct err *e)
{
	struct vm_stop_wish wish;
	int r = stop_wish(req, &wish, e);

	if (r == 0)
		r = def_stop(req->d, req->arg, &wish, e);
	return r < 0 ? r : reply_vm(req, e);
}

int api_vm_restart(struct request *req, struct err *e)
{
	struct vm_stop_wish wish;
	int r = stop_wish(req, &wish, e);

	req->is_valid = r == 0;
	if (r == 0)
		r = def_restart(req->d, req->arg, &wish, e);
	return r < 0 ? r : reply_vm(req, e);
}

int api_vm_kill(struct request *req, struct err *e)
{
	int r = def_kill(req->d, req->arg, req->who.uid, e);

	return r < 0 ? r : reply_vm(req, e);
}

int api_vm_delete(struct request *req, struct err *e)
{
	struct def_delete_wish wish = { .uid = req->who.uid };
	int r = json_get_bool_opt(req->body, "force", &wish.force, e);

	if (r == 0)
		r = def_delete(req->d, req->arg, &wish, e);
	if (r == 0)
		req->reply = json_pack("{s:s, s:b}", "name", req->arg, "deleted", 1);
	return r;
}

int api_vm_history(struct request *req, struct err *e)
{
	struct vm *vm;
	int r;

	state_lock(req->d);
	r = vm_get(req->d, req->arg, &vm, e);
	if (r == 0)
		req->reply = json_pack("{s:o}", "history",
				       def_ends_json(req->d, req->arg, HISTORY_KEPT));
	state_unlock(req->d);
	return r;
}

int api_host_stop_vms(struct request *req, struct err *e)
{
	struct host_stop_wish wish = { .op = req->op, .uid = req->who.uid };
	uint64_t timeout_s = HOST_STOP_DEFAULT_S;
	int r = json_get_u64_opt(req->body, "timeout_s", HOST_STOP_MAX_S, &timeout_s, e);

	wish.timeout_s = (unsigned int)timeout_s;
	return r < 0 ? r : vms_stop_all(req->d, &wish, &req->reply, e);
}

int api_host_start_vms(struct request *req, struct err *e)
{
	return vms_start_all(req->d, &req->reply, e);
}
