// SPDX-License-Identifier: BSD-3-Clause
/* Faults of devices. */
#include "vf-manager/api_handlers.h"
#include "vf-manager/faultwatch.h"

int api_faults(struct request *req, struct err *e)
{
	return fault_watch_json(req->d, &req->reply, e);
}
