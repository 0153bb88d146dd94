// SPDX-License-Identifier: BSD-3-Clause
/* Requests that are done while nobody waits, and the paths that tell of them. */
#include "vf-manager/api_handlers.h"
#include "vf-manager/operations.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

/* A request without its connection. */
struct deferred {
	struct request req;
	route_handler *handler;
};

static void deferred_free(void *arg)
{
	struct deferred *it = arg;

	json_decref(it->req.body);
	json_decref(it->req.reply);
	free(it);
}

static int deferred_run(void *arg, struct operation *op, struct operation_done *done, struct err *e)
{
	struct deferred *it = arg;
	int r;

	it->req.op = op;
	r = it->handler(&it->req, e);
	done->status = r < 0 ? http_status(&it->req, e) : HTTP_OK;
	done->reply = r < 0 ? NULL : ptr_take(&it->req.reply);
	return r;
}

int route_defer(struct request *req, const struct route *route, struct err *e)
{
	struct deferred *it = calloc(1, sizeof(*it));
	struct operation_plan plan = { .kind = route->operation,
				       .target = req->arg,
				       .uid = req->who.uid,
				       .run = deferred_run,
				       .free = deferred_free,
				       .arg = it };
	json_t *operation;
	int r;

	if (it == NULL)
		return err_set(e, ENOMEM, "no memory");
	it->handler = route->handler;
	it->req.d = req->d;
	it->req.who = req->who;
	memcpy(it->req.arg, req->arg, sizeof(it->req.arg));
	it->req.body = json_incref(req->body);
	r = operation_begin(req->d, &plan, &operation, e);
	if (r < 0) {
		deferred_free(it);
		return r;
	}
	req->status = HTTP_ACCEPTED;
	req->reply = json_pack("{s:o}", "operation", operation);
	return 0;
}

int api_operations(struct request *req, struct err *e)
{
	req->reply = json_pack("{s:o}", "operations", operations_json(req->d));
	return 0;
}

static int number_take(const struct request *req, const char *name, uint64_t max, uint64_t *out,
		       struct err *e)
{
	const json_t *member = json_object_get(req->body, name);
	const char *text = json_string_value(member);

	if (member == NULL)
		return 0;
	if (text == NULL || parse_u64(text, max, out) < 0)
		return err_set(e, EINVAL, "%s is no number from 0 to %llu", name,
			       (unsigned long long)max);
	return 0;
}

/* A result can say what its asker alone may know; its asker may have no other right than to have asked. */
int api_operation(struct request *req, struct err *e)
{
	struct operation_look look = { .steps = SIZE_MAX };
	uint64_t wait_s = 0, steps = UINT64_MAX;
	json_t *operation;
	uid_t uid;
	int r = number_take(req, "wait", OPERATION_WAIT_MAX_S, &wait_s, e);

	if (r == 0)
		r = number_take(req, "steps", OPERATION_STEPS, &steps, e);
	if (r == 0)
		r = operation_uid(req->d, req->arg, &uid, e);
	if (r < 0)
		return r;
	if (uid != req->who.uid && !caller_may_manage(&req->who, req->d->gid)) {
		err_set(e, EPERM, "uid %u may not read what an operation of uid %u has come to",
			req->who.uid, uid);
		err_code(e, "not-allowed");
		return err_hint(e, "use sudo, or become a member of the group %s",
				req->d->config.group);
	}
	look.wait_s = (unsigned int)wait_s;
	if (steps <= OPERATION_STEPS)
		look.steps = steps;
	r = operation_show(req->d, req->arg, &look, &operation, e);
	if (r == 0)
		req->reply = json_pack("{s:o}", "operation", operation);
	return r;
}
