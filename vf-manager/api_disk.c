// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/diskset.h"
#include "vf-manager/vmspec.h"

#include "base/json.h"

#include <errno.h>

static int name_read(const struct request *req, char buf[VM_NAME_TEXT], struct err *e)
{
	int r = json_get_str_opt(req->body, "disk", buf, VM_NAME_TEXT, e);

	if (r == 0 && buf[0] == '\0' && json_object_get(req->body, "disk") != NULL)
		return err_set(e, EINVAL, "disk: is empty");
	return r;
}

int api_disks(struct request *req, struct err *e)
{
	char disk[VM_NAME_TEXT] = "";
	json_t *list;
	int r = name_read(req, disk, e);

	if (r == 0)
		r = disks_list(req->d, req->arg[0] != '\0' ? req->arg : NULL,
			       disk[0] != '\0' ? disk : NULL, &list, e);
	if (r == 0)
		req->reply = json_pack("{s:o}", "disks", list);
	return r;
}

typedef int change_fn(struct daemon *d, const struct disk_wish *wish, struct err *e);

static int change(struct request *req, change_fn *fn, struct err *e)
{
	char disk[VM_NAME_TEXT] = "";
	const struct disk_wish wish = {
		.vm = req->arg, .disk = disk, .who = &req->who, .words = req->body
	};
	json_t *list;
	int r = name_read(req, disk, e);

	if (r == 0 && disk[0] == '\0')
		r = err_set(e, EINVAL, "disk: which one is missing");
	if (r < 0)
		return r;
	op_lock(req->d);
	r = fn(req->d, &wish, e);
	op_unlock(req->d);
	if (r == 0)
		r = disks_list(req->d, req->arg, disk, &list, e);
	if (r < 0)
		return r;
	req->reply = json_incref(json_array_get(list, 0));
	json_decref(list);
	return 0;
}

int api_disk_set(struct request *req, struct err *e)
{
	if (json_object_get(req->body, "iops") == NULL &&
	    json_object_get(req->body, "bandwidth") == NULL)
		return err_set(e, EINVAL, "neither iops nor bandwidth is there");
	return change(req, disk_set, e);
}

int api_disk_resize(struct request *req, struct err *e)
{
	return change(req, disk_resize, e);
}
