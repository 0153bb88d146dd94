// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmshow_disks.h"

#include "vf-manager/disks.h"
#include "vf-manager/vmspec.h"

#include "base/json.h"

#include <stdio.h>

#define NOTE_TEXT 256

static void disk_defaults_add(json_t *disk)
{
	static const char *const inner[] = { "socket", "dev", "ino" };
	static const char *const nullable[] = { "boot",	    "warning", "state", "error",
						"io_error", "stats",   "vmm",	"backend" };

	for (size_t i = 0; i < ARRAY_SIZE(inner); i++)
		json_object_del(disk, inner[i]);
	for (size_t i = 0; i < ARRAY_SIZE(nullable); i++)
		if (json_object_get(disk, nullable[i]) == NULL)
			json_object_set_new(disk, nullable[i], json_null());
}

void disks_show_add(struct daemon *d, const struct vm *vm, json_t *j)
{
	json_t *disk;
	size_t i;

	if (json_object_get(j, "disks") == NULL)
		json_object_set_new(j, "disks", json_array());
	json_array_foreach(json_object_get(j, "disks"), i, disk) {
		const char *name = json_string_value(json_object_get(disk, "name"));
		char owner[OWNER_TEXT];

		disk_defaults_add(disk);
		if (vm->pid == 0 || name == NULL)
			continue;
		snprintf(owner, sizeof(owner), "%s/%s", vm->name, name);
		disk_view_add(d, owner, disk);
	}
}

static json_t *status_disk(const json_t *status, const char *name)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(status, "disks"), i, disk) {
		const char *is = json_string_value(json_object_get(disk, "disk"));

		if (i < VMM_MAX_DISKS && is != NULL && strcmp(is, name) == 0)
			return disk;
	}
	return NULL;
}

/* A peer's word. NULL: it is none. */
static json_t *vmm_take(const json_t *from)
{
	static const char *const states[] = { "waiting", "connected", "gone" };
	char backend[16] = "", features[32] = "", error[NOTE_TEXT] = "";
	uint64_t reconnects = 0;
	bool is_active = false, is_known = false;

	if (json_get_str(from, "backend", backend, sizeof(backend), NULL) < 0 ||
	    json_get_str_opt(from, "features", features, sizeof(features), NULL) < 0 ||
	    json_get_str_opt(from, "error", error, sizeof(error), NULL) < 0 ||
	    json_get_u64_opt(from, "reconnects", INT64_MAX, &reconnects, NULL) < 0 ||
	    json_get_bool_opt(from, "driver_active", &is_active, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		is_known |= strcmp(states[i], backend) == 0;
	if (!is_known)
		return NULL;
	return json_pack("{s:s, s:I, s:b, s:s, s:o}", "backend", backend, "reconnects",
			 (json_int_t)reconnects, "driver_active", (int)is_active, "features",
			 features, "error", error[0] != '\0' ? json_string(error) : json_null());
}

void disks_live_add(json_t *j, const json_t *status)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(j, "disks"), i, disk) {
		const char *name = json_string_value(json_object_get(disk, "name"));
		const json_t *from = name != NULL ? status_disk(status, name) : NULL;
		json_t *taken = from != NULL ? vmm_take(from) : NULL;

		if (taken != NULL)
			json_object_set_new(disk, "vmm", taken);
	}
}
