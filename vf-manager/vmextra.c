// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmextra.h"

#include "vf-manager/runpaths.h"
#include "vf-manager/yamlload.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define CID_MIN 3 /* the first that can be a guest's (linux/vm_sockets.h) */

/* --- the file --------------------------------------------------------------------------------- */

/* true, false, or a number. */
static int vsock_parse(const char *text, struct vm_spec *out, struct err *e)
{
	uint64_t cid;

	if (yaml_bool(text, "vsock", &out->has_vsock, NULL) == 0)
		return 0;
	out->has_vsock = true;
	if (parse_u64(text, UINT32_MAX - 1, &cid) < 0 || cid < CID_MIN) {
		err_set(e, EINVAL, "vsock: '%.16s' is not true, false or a CID (%d to %u)", text,
			CID_MIN, UINT32_MAX - 1);
		return err_hint(e, "vsock: true   takes a CID that nobody has");
	}
	out->vsock_cid = (uint32_t)cid;
	return 0;
}

int vm_extras_parse(const struct vmfile *file, struct vm_spec *out, struct err *e)
{
	int r;

	out->has_rng = true;
	r = yaml_bool(file->rng, "rng", &out->has_rng, e);
	if (r == 0)
		r = yaml_bool(file->virtio_console, "virtio_console", &out->has_virtio_console, e);
	return r == 0 ? vsock_parse(file->vsock, out, e) : r;
}

void vm_extras_json(const struct vm_spec *spec, uint32_t cid, json_t *to)
{
	json_object_set_new(to, "rng", json_boolean(spec->has_rng));
	json_object_set_new(to, "virtio_console", json_boolean(spec->has_virtio_console));
	if (spec->has_vsock)
		json_object_set_new(to, "vsock",
				    json_pack("{s:o}", "cid",
					      cid != 0 ? json_integer(cid) : json_null()));
}

/* --- the host --------------------------------------------------------------------------------- */

static json_t *device_find(const json_t *list, const char *device)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)list, i, one) {
		const char *name = json_string_value(json_object_get(one, "device"));

		if (name != NULL && strcmp(name, device) == 0)
			return one;
	}
	return NULL;
}

/* Which VM has it, or "". */
static void cid_owner(struct daemon *d, uint32_t cid, char out[VM_NAME_TEXT])
{
	out[0] = '\0';
	state_lock(d);
	for (unsigned int i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		const json_t *vsock = device_find(json_object_get(vm->facts, "virtio"), "vsock");

		if (vm->pid != 0 && json_integer_value(json_object_get(vsock, "cid")) == cid)
			snprintf(out, VM_NAME_TEXT, "%s", vm->name);
	}
	state_unlock(d);
}

static int cid_taken(struct daemon *d, uint32_t cid, struct err *e)
{
	char owner[VM_NAME_TEXT];

	cid_owner(d, cid, owner);
	err_set(e, EADDRINUSE, "vsock: %s%s has the CID %u", owner[0] != '\0' ? "VM " : "",
		owner[0] != '\0' ? owner : "another program", cid);
	err_code(e, "vsock-cid-in-use");
	return err_hint(e, "vsock: true   takes a CID that nobody has");
}

int vm_extras_check(struct daemon *d, const struct vm_spec *spec, struct err *e)
{
	char owner[VM_NAME_TEXT];
	int r;

	if (!spec->has_vsock)
		return 0;
	r = priv_vsock_check(d, e);
	if (r < 0 || spec->vsock_cid == 0)
		return r;
	cid_owner(d, spec->vsock_cid, owner);
	/* Its own: it is started anew. */
	if (owner[0] == '\0' || strcmp(owner, spec->name) == 0)
		return 0;
	return cid_taken(d, spec->vsock_cid, e);
}

/* The same at every start, if nobody has it then. */
static uint32_t cid_of(const char *name)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619U;
	return 1000 + hash % 1000000;
}

int start_extras_open(struct vm_start *s, struct err *e)
{
	const struct vm_spec *spec = s->wish->spec;
	uint32_t first = spec->vsock_cid != 0 ? spec->vsock_cid : cid_of(spec->name);
	uint32_t tries = spec->vsock_cid != 0 ? 1 : DAEMON_VMS + 1;
	int r = spec->has_vsock ? -EADDRINUSE : 0;

	for (uint32_t i = 0; r == -EADDRINUSE && i < tries; i++) {
		s->vsock_cid = first + i;
		r = priv_vsock_open(s->d, s->vsock_cid, &s->vsock, e);
	}
	return r == -EADDRINUSE ? cid_taken(s->d, first, e) : r;
}

/* --- what is shown ---------------------------------------------------------------------------- */

json_t *vm_extras_facts(const struct vm_start *s)
{
	const struct vm_spec *spec = s->wish->spec;
	json_t *list = json_array();
	char path[VM_PATH_TEXT];

	if (spec->has_rng)
		json_array_append_new(list, json_pack("{s:s}", "device", "rng"));
	if (spec->has_virtio_console)
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "device", VM_HVC0, "socket",
						vm_path(s->d, spec->name, "hvc0.sock", path)));
	if (spec->has_vsock)
		json_array_append_new(list, json_pack("{s:s, s:I}", "device", "vsock", "cid",
						      (json_int_t)s->vsock_cid));
	return list;
}

static void device_add_live(json_t *one, const json_t *now)
{
	static const char *const numbers[] = { "to_guest", "from_guest" };
	static const char *const nullable[] = { "cid", "socket" };
	char error[128] = "";
	bool is_active = false;
	uint64_t n;

	for (size_t i = 0; i < ARRAY_SIZE(nullable); i++)
		if (json_object_get(one, nullable[i]) == NULL)
			json_object_set_new(one, nullable[i], json_null());
	json_get_bool_opt(now, "driver_active", &is_active, NULL);
	json_object_set_new(one, "driver_active", json_boolean(is_active));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		json_object_set_new(one, numbers[i],
				    json_get_u64(now, numbers[i], INT64_MAX, &n, NULL) == 0
					    ? json_integer((json_int_t)n)
					    : json_null());
	json_get_str_opt(now, "error", error, sizeof(error), NULL);
	json_object_set_new(one, "error", error[0] != '\0' ? json_string(error) : json_null());
}

void vm_extras_add_live(json_t *vm, const json_t *status)
{
	const json_t *list = status != NULL ? json_object_get(status, "virtio") : NULL;
	json_t *one;
	size_t i;

	if (json_object_get(vm, "virtio") == NULL)
		json_object_set_new(vm, "virtio", json_array());
	json_array_foreach(json_object_get(vm, "virtio"), i, one) {
		const char *name = json_string_value(json_object_get(one, "device"));

		device_add_live(one, device_find(list, name != NULL ? name : ""));
	}
}

int vm_console_path(const struct daemon *d, const struct vm *vm, const char *port,
		    char path[VM_PATH_TEXT], struct err *e)
{
	bool is_hvc = port != NULL && strcmp(port, VM_HVC0) == 0;

	if (port != NULL && !is_hvc)
		return err_set(e, EINVAL, "port: '%.32s' is not " VM_HVC0, port);
	if (is_hvc && device_find(json_object_get(vm->facts, "virtio"), VM_HVC0) == NULL) {
		err_set(e, ENOENT, "the VM %s has no virtio console", vm->name);
		err_code(e, "no-virtio-console");
		return err_hint(e, "virtio_console: true   in its file, from its next start on");
	}
	vm_path(d, vm->name, is_hvc ? "hvc0.sock" : "console.sock", path);
	if (vm->pid == 0 || !run_path_is_gone(path))
		return 0;
	err_set(e, ENOENT, "somebody has removed %s", path);
	err_code(e, "run-path-lost");
	return err_hint(e, "viaduct vm restart %s   makes it again", vm->name);
}
