// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/fnpool.h"
#include "vf-manager/pool.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmcheck.h"
#include "vf-manager/vmops.h"
#include "vf-manager/vmstart.h"
#include "vf-manager/vmstats.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A VM file as it came, parsed and with its files open. */
struct vm_input {
	struct vm_spec *spec;
	json_t *warnings;
	const char *yaml; /* the request's */
	struct vm_files files;
};

static void vm_input_fini(struct vm_input *in)
{
	vm_files_close(&in->files);
	json_decref(in->warnings);
	free(in->spec);
}

static int vm_input_read(struct request *req, struct vm_input *out, struct err *e)
{
	char base_dir[PATH_MAX] = "", file[PATH_MAX] = "";
	const json_t *yaml = json_object_get(req->body, "yaml");
	struct vm_text text = { .base_dir = base_dir };
	int r = json_get_str_opt(req->body, "base_dir", base_dir, sizeof(base_dir), e);

	*out = (struct vm_input){ .files = { -1, -1 } };
	if (r == 0)
		r = json_get_str_opt(req->body, "file", file, sizeof(file), e);
	if (r < 0)
		return r;
	text.yaml = out->yaml = json_string_value(yaml);
	if (text.yaml == NULL)
		return err_set(e, EINVAL, "yaml: the text of the VM file is missing");
	if (strlen(text.yaml) != json_string_length(yaml))
		return err_set(e, EINVAL, "yaml: holds a zero byte");
	out->spec = malloc(sizeof(*out->spec));
	out->warnings = json_array();
	if (out->spec == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = vm_spec_parse(&text, out->spec, out->warnings, e);
	if (r == 0)
		r = vm_files_open(req->d, &req->who, out->spec, &out->files, e);
	return r < 0 && file[0] != '\0' ? err_wrap(e, "%s", file) : r;
}

/* What a start would do, one text for each step. State locked. */
static int plan_ports(struct daemon *d, const struct vm_spec *spec, json_t *plan, struct err *e)
{
	char text[300], id[VF_ID_TEXT];

	for (unsigned int i = 0; i < spec->port_count; i++) {
		const struct vm_port *port = &spec->ports[i];
		struct vf_want want = { .source = port->source,
					.target = port->target,
					.numa_node = -1 };
		const struct pci_fn *vf;
		int r = pool_pick(d, &want, &vf, e);

		if (r < 0)
			return err_wrap(e, "port %s", port->name);
		snprintf(text, sizeof(text),
			 "port %s: VF %s (%s) or another free one of its PF, IOMMU group %d, to "
			 "vfio-pci",
			 port->name, vf_id_text(vf, id), vf->name, vf->iommu_group);
		json_array_append_new(plan, json_string(text));
	}
	return 0;
}

static int plan_functions(struct daemon *d, const struct vm_spec *spec, json_t *plan, struct err *e)
{
	char text[300], addr[PCI_ADDR_TEXT], from[128];

	for (unsigned int i = 0; i < spec->function_count; i++) {
		const struct vm_function *f = &spec->functions[i];
		const struct fn_want want = { .addr = f->addr, .take = f->take };
		const struct pci_fn *fn;
		int r = fnpool_find(d, pci_addr_text(&f->addr, addr), &fn, e);

		if (r == 0)
			r = fnpool_check(d, fn, &want, e);
		if (r < 0)
			return err_wrap(e, "function %s", f->name);
		from[0] = '\0';
		if (fn->driver[0] != '\0')
			snprintf(from, sizeof(from), " from its driver %s", fn->driver);
		snprintf(text, sizeof(text),
			 "function %s: %s%s%s, IOMMU group %d,%s to vfio-pci until the VM ends",
			 f->name, fn->name, fn->dev_name[0] != '\0' ? " " : "", fn->dev_name,
			 fn->iommu_group, from);
		json_array_append_new(plan, json_string(text));
	}
	return 0;
}

int api_vm_check(struct request *req, struct err *e)
{
	json_t *plan = json_array();
	struct vm_input in;
	char text[200];
	int r = vm_input_read(req, &in, e);

	if (r == 0) {
		req->is_valid = true;
		r = vm_host_check(req->d, in.spec, in.warnings, e);
	}
	if (r == 0) {
		state_lock(req->d);
		r = daemon_scan(req->d, e);
		if (r == 0)
			r = plan_ports(req->d, in.spec, plan, e);
		if (r == 0)
			r = plan_functions(req->d, in.spec, plan, e);
		state_unlock(req->d);
	}
	if (r == 0) {
		snprintf(text, sizeof(text), "start viaduct-vmm: %u vCPUs, %llu MiB",
			 in.spec->cpu_count, (unsigned long long)in.spec->memory_bytes >> 20);
		json_array_append_new(plan, json_string(text));
		req->reply = json_pack("{s:o, s:O, s:O}", "spec", vm_spec_json(in.spec), "warnings",
				       in.warnings, "plan", plan);
	}
	json_decref(plan);
	vm_input_fini(&in);
	return r;
}

static int reply_vm(struct request *req, const char *name, struct err *e)
{
	return vm_show(req->d, name, &req->reply, e);
}

/* Whose it shall be, and that it is not somebody's already: his last words are in the folder of that name. */
static int owner_take(struct request *req, const char *name, struct vm_owner *out, struct err *e)
{
	char text[64] = "";
	int r = json_get_str_opt(req->body, "owner", text, sizeof(text), e);

	*out = (struct vm_owner){ 0 };
	if (r == 0 && json_object_get(req->body, "owner") != NULL)
		r = vm_owner_read(req->d, text, out, e);
	if (r < 0)
		return r;
	state_lock(req->d);
	r = vm_owner_check(req->d, name, &req->who, e);
	state_unlock(req->d);
	return r < 0 ? r : 0;
}

int api_vm_run(struct request *req, struct err *e)
{
	struct vm_owner owner;
	const uint64_t asked_ns = now_ns();
	struct vm_input in;
	int r = vm_input_read(req, &in, e);

	if (r == 0)
		r = owner_take(req, in.spec->name, &owner, e);
	if (r == 0) {
		req->is_valid = true;
		r = vm_host_check(req->d, in.spec, in.warnings, e);
	}
	if (r == 0) {
		const struct vm_start_wish wish = { .who = &req->who,
						    .spec = in.spec,
						    .yaml = in.yaml,
						    .files = &in.files,
						    .owner = owner,
						    .asked_ns = asked_ns };

		r = vm_start(req->d, &wish, e);
	}
	if (r == 0)
		r = reply_vm(req, in.spec->name, e);
	if (r == 0)
		json_object_set(req->reply, "warnings", in.warnings);
	vm_input_fini(&in);
	return r;
}

int api_vms(struct request *req, struct err *e)
{
	json_t *list;
	int r = vm_list(req->d, &list, e);

	if (r == 0)
		req->reply = json_pack("{s:o}", "vms", list);
	return r;
}

int api_vm(struct request *req, struct err *e)
{
	return reply_vm(req, req->arg, e);
}

int api_vm_stop(struct request *req, struct err *e)
{
	uint64_t timeout_s = VM_STOP_DEFAULT_S;
	bool kill = true;
	int r = json_get_u64_opt(req->body, "timeout_s", VM_STOP_MAX_S, &timeout_s, e);

	if (r == 0)
		r = json_get_bool_opt(req->body, "kill", &kill, e);
	if (r == 0) {
		const struct vm_stop_wish wish = { .uid = req->who.uid,
						   .timeout_s = (unsigned int)timeout_s,
						   .kill = kill };

		r = vm_stop(req->d, req->arg, &wish, e);
	}
	return r < 0 ? r : reply_vm(req, req->arg, e);
}

int api_vm_kill(struct request *req, struct err *e)
{
	int r = vm_kill(req->d, req->arg, req->who.uid, e);

	return r < 0 ? r : reply_vm(req, req->arg, e);
}

int api_vm_pause(struct request *req, struct err *e)
{
	int r = vm_pause(req->d, req->arg, e);

	return r < 0 ? r : reply_vm(req, req->arg, e);
}

int api_vm_resume(struct request *req, struct err *e)
{
	int r = vm_resume(req->d, req->arg, e);

	return r < 0 ? r : reply_vm(req, req->arg, e);
}

int api_vm_console(struct request *req, struct err *e)
{
	char path[VM_PATH_TEXT];
	struct vm *vm;
	int r;

	state_lock(req->d);
	r = vm_get(req->d, req->arg, &vm, e);
	if (r == 0 && vm->pid == 0) {
		err_set(e, EBUSY, "the VM %s is %s: it has no console", vm->name,
			vm_state_text(vm->state));
		err_code(e, "vm-state");
		r = err_hint(e, "viaduct vm console %s --log   shows its last output", vm->name);
	}
	state_unlock(req->d);
	if (r == 0)
		req->reply = json_pack("{s:s}", "socket",
				       vm_path(req->d, req->arg, "console.sock", path));
	return r;
}

int api_vm_stats(struct request *req, struct err *e)
{
	/* What comes now is wrong with the VM, not with the request. */
	req->is_valid = true;
	return vm_stats(req->d, req->arg, &req->reply, e);
}
