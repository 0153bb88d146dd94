// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api.h"
#include "vf-manager/api_handlers.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/selftest.h"
#include "vf-manager/vmspec.h"

#include "base/json.h"

#include <unistd.h>

int api_version(struct request *req, struct err *e)
{
	req->reply = json_pack("{s:s, s:i, s:i, s:I}", "version", VIADUCT_VERSION, "api",
			       API_VERSION, "pid", (int)getpid(), "uptime_s",
			       (json_int_t)((now_ns() - req->d->started_ns) / 1000000000ULL));
	return 0;
}

int api_host_check(struct request *req, struct err *e)
{
	req->reply = host_check(req->d);
	return 0;
}

int api_host_selftest(struct request *req, struct err *e)
{
	char pf[VM_TARGET_TEXT] = "";
	struct selftest_wish wish = { .op = req->op };
	int r = json_get_str_opt(req->body, "pf", pf, sizeof(pf), e);

	if (r < 0)
		return r;
	req->is_valid = true;
	wish.pf = pf[0] != '\0' ? pf : NULL;
	return host_selftest(req->d, &wish, &req->reply, e);
}
