// SPDX-License-Identifier: BSD-3-Clause
/*
 * A request as far as the dispatcher and the parsing of bodies: method, path and body, a line each.
 * The daemon behind it is one-shot, so nothing of the machine is changed.
 */
#include "base/json.h"
#include "vf-manager/routes.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct daemon *daemon_get(void)
{
	static const struct options opt = { .config = "/nonexistent",
					    .sysfs_root = "/nonexistent",
					    .dev_dir = "/nonexistent",
					    .proc_dir = "/nonexistent",
					    .vmm_path = "/nonexistent",
					    .is_oneshot = true };
	static struct daemon d = { .opt = &opt, .is_oneshot = true, .gid = (gid_t)-1 };

	return &d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1), *path, *body;
	struct request req = { .d = daemon_get(), .who = { .uid = 65534, .gid = 65534 } };
	struct route_call call = { 0 };
	struct err e = { 0 };

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	path = strchr(text, '\n');
	body = path != NULL ? strchr(path + 1, '\n') : NULL;
	if (body != NULL) {
		*path++ = *body++ = '\0';
		call = (struct route_call){ .method = text, .path = path, .body = body };
		call.body_len = strlen(body);
		/* Only what needs no machine behind it. */
		if (strcmp(path, "/v1/vms/check") == 0 || strcmp(text, "GET") != 0) {
			route_dispatch(&req, &call, &e);
			http_status(&req, &e);
		}
	}
	json_decref(req.reply);
	json_decref(req.body);
	free(text);
	return 0;
}
