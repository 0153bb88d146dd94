// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/backend.h"
#include "vf-manager/budget.h"
#include "vf-manager/fnpool.h"
#include "vf-manager/guard.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/irqlines.h"
#include "vf-manager/macuse.h"
#include "vf-manager/operations.h"
#include "vf-manager/pool.h"
#include "vf-manager/portfit.h"
#include "vf-manager/portset.h"
#include "vf-manager/posture.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmaudit.h"
#include "vf-manager/vmcheck.h"
#include "vf-manager/vmdefops.h"
#include "vf-manager/vmend.h"
#include "vf-manager/vmextra.h"
#include "vf-manager/vmfault.h"
#include "vf-manager/vmops.h"
#include "vf-manager/vmplace.h"
#include "vf-manager/vmstart.h"
#include "vf-manager/vmstart_disks.h"
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
	struct vm_unsafe unsafe;
};

static void vm_input_fini(struct vm_input *in)
{
	vm_files_close(&in->files);
	json_decref(in->warnings);
	free(in->spec);
}

/* Whoever takes the risk says why. */
static int unsafe_read(const struct request *req, struct vm_unsafe *out, struct err *e)
{
	int r = json_get_str_opt(req->body, "allow_unsafe_interrupts", out->reason,
				 sizeof(out->reason), e);

	if (r == 0 && out->reason[0] == '\0' &&
	    json_object_get(req->body, "allow_unsafe_interrupts") != NULL)
		return err_set(e, EINVAL, "allow_unsafe_interrupts: the reason is missing");
	return r;
}

static int vm_input_read(struct request *req, struct vm_input *out, struct err *e)
{
	char base_dir[PATH_MAX] = "", file[PATH_MAX] = "";
	const json_t *yaml = json_object_get(req->body, "yaml");
	struct vm_text text = { .base_dir = base_dir };
	int r = json_get_str_opt(req->body, "base_dir", base_dir, sizeof(base_dir), e);

	*out = (struct vm_input){ .files = VM_FILES_NONE };
	if (r == 0)
		r = json_get_str_opt(req->body, "file", file, sizeof(file), e);
	if (r == 0)
		r = unsafe_read(req, &out->unsafe, e);
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
	if (r == 0)
		r = vm_images_warn(out->spec, &out->files, out->warnings, e);
	return r < 0 && file[0] != '\0' ? err_wrap(e, "%s", file) : r;
}

/* State locked. What the start would refuse. */
static int plan_port_check(struct daemon *d, const struct vm_spec *spec, unsigned int i,
			   const struct pci_fn *vf, struct err *e)
{
	const struct vm_port *port = &spec->ports[i];
	const struct pci_fn *pf = vf->pf;
	const struct port_pf as = { .name = pci_fn_label(pf),
				    .driver = pf->driver,
				    .mtu = pf->ifindex != 0 ? pf->net.mtu : 0 };
	char owner[OWNER_TEXT];
	const struct mac_wish wish = {
		.vf = vf, .mac = port->attrs.mac, .vlan = port->attrs.vlan, .owner = owner
	};
	int r = port_fit_check(port, &as, e);

	snprintf(owner, sizeof(owner), "%s/%s", spec->name, port->name);
	if (r == 0)
		r = posture_alone_check(d, vf, e);
	if (r == 0 && (port->attrs.mask & BIT(VF_ATTR_MAC)) != 0 && pf->ifindex != 0)
		r = mac_use_check(d, &wish, e);
	return r;
}

/* The candidates of one port become rows of the whole VM's. */
static void placement_extend(json_t *all, const struct vm_port *port, json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		json_object_set_new(row, "port", json_string(port->name));
	json_array_extend(all, rows);
}

/* What a start would do, one text for each step, and the functions that it would give to the VM. */
struct plan {
	json_t *steps;
	struct pci_addr fns[VMM_MAX_DEVICES];
	unsigned int fn_count;
};

/* State locked. */
static int plan_vf(struct request *req, struct vf_kin *kin, struct plan *plan, struct err *e)
{
	const struct vm_port *port = &kin->spec->ports[kin->port];
	auto_json json_t *rows = req->placement != NULL ? json_array() : NULL;
	struct vf_want want = { .source = port->source,
				.target = port->target,
				.numa_node = -1,
				.kin = kin,
				.explain = rows };
	const struct pci_fn *vf;
	char id[VF_ID_TEXT];
	int r = pool_pick(req->d, &want, &vf, e);

	if (rows != NULL)
		placement_extend(req->placement, port, rows);
	if (r == 0)
		r = plan_port_check(req->d, kin->spec, kin->port, vf, e);
	if (r < 0)
		return r;
	kin->given[kin->port].pf = vf->pf->addr;
	kin->given[kin->port].addr = vf->addr;
	kin->given[kin->port].is_given = true;
	json_add_text(plan->steps,
		      "port %s: VF %s (%s) or another free one of its PF, IOMMU group %d, to "
		      "vfio-pci",
		      port->name, vf_id_text(vf, id), vf->name, vf->iommu_group);
	plan->fns[plan->fn_count++] = vf->addr;
	return 0;
}

/* State locked. why: of a fallback; NULL: the file wants it. */
static int plan_polled(struct request *req, struct vf_kin *kin, const char *why, struct plan *plan,
		       struct err *e)
{
	const struct vm_port *port = &kin->spec->ports[kin->port];
	char owner[OWNER_TEXT];
	const struct mac_wish wish = { .network = port->target,
				       .mac = port->attrs.mac,
				       .owner = owner };
	int r = backend_ready(req->d, port->target, e);

	snprintf(owner, sizeof(owner), "%s/%s", kin->spec->name, port->name);
	if (r == 0 && (port->attrs.mask & BIT(VF_ATTR_MAC)) != 0)
		r = mac_use_check(req->d, &wish, e);
	if (r < 0)
		return r;
	json_add_text(plan->steps, "port %s: the polled backend, network %s%s%s", port->name,
		      port->target, why != NULL ? "; no VF: " : "", why != NULL ? why : "");
	return 0;
}

/* State locked. */
static int plan_port(struct request *req, struct vf_kin *kin, struct plan *plan, struct err *e)
{
	const enum port_engine engine = kin->spec->ports[kin->port].engine;
	struct iommu_host host;
	struct err why = { 0 };
	int r;

	if (engine == PORT_VF)
		return plan_vf(req, kin, plan, e);
	if (engine == PORT_POLLED)
		return plan_polled(req, kin, NULL, plan, e);
	r = host_iommu_read(req->d, &host, &why);
	if (r == 0)
		r = iommu_host_check(&host, false, &why);
	if (r == 0) {
		r = plan_vf(req, kin, plan, &why);
		if (r < 0 && !port_may_fall_back(&why))
			*e = why;
		if (r == 0 || !port_may_fall_back(&why))
			return r;
	}
	kin->given[kin->port].is_out = true;
	return plan_polled(req, kin, why.text, plan, e);
}

/* State locked. In the order in which the start takes them. */
static int plan_ports(struct request *req, const struct vm_spec *spec, struct plan *plan,
		      struct err *e)
{
	static const enum port_engine turns[] = { PORT_VF, PORT_AUTO, PORT_POLLED };
	struct vf_kin kin = { .spec = spec, .numa_node = vm_near_node(req->d, spec) };
	int r;

	for (size_t turn = 0; turn < ARRAY_SIZE(turns); turn++) {
		vf_kin_turn(&kin, turns[turn]);
		for (unsigned int i = 0; i < spec->port_count; i++) {
			if (spec->ports[i].engine != turns[turn])
				continue;
			kin.port = i;
			r = plan_port(req, &kin, plan, e);
			if (r < 0)
				return err_wrap(e, "port %s", spec->ports[i].name);
		}
	}
	return 0;
}

static int plan_functions(struct daemon *d, const struct vm_spec *spec, struct plan *plan,
			  struct err *e)
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
		json_array_append_new(plan->steps, json_string(text));
		plan->fns[plan->fn_count++] = fn->addr;
	}
	return 0;
}

/* Neither locked. */
static int plan_make(struct request *req, const struct vm_spec *spec, struct plan *plan,
		     json_t *budget, struct err *e)
{
	auto_free char *interrupts = interrupts_read(req->d->opt->proc_dir);
	struct budget_fns fns = { .spec = spec, .addrs = plan->fns, .interrupts = interrupts };
	char text[200];
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		r = plan_ports(req, spec, plan, e);
	if (r == 0)
		r = plan_functions(req->d, spec, plan, e);
	fns.count = plan->fn_count;
	if (r == 0)
		r = budget_functions(req->d, &fns, budget, e);
	state_unlock(req->d);
	snprintf(text, sizeof(text), "start viaduct-vmm: %u vCPUs, %llu MiB", spec->cpu_count,
		 (unsigned long long)spec->memory_bytes >> 20);
	json_array_append_new(plan->steps, json_string(text));
	return r;
}

int api_vm_check(struct request *req, struct err *e)
{
	auto_json json_t *budget = json_array();
	struct plan plan = { .steps = json_array() };
	bool explain = false;
	struct vm_input in;
	int r = vm_input_read(req, &in, e);

	if (r == 0)
		r = json_get_bool_opt(req->body, "explain", &explain, e);
	if (r == 0) {
		const struct vm_notes notes = { in.warnings, budget };

		req->placement = explain ? json_array() : NULL;
		req->is_valid = true;
		r = vm_host_check(req->d, in.spec, &notes, &in.unsafe, e);
	}
	if (r == 0)
		r = plan_make(req, in.spec, &plan, budget, e);
	if (r == 0)
		r = vm_images_check(req->d, in.spec, &in.files, plan.steps, e);
	if (r == 0)
		req->reply = json_pack("{s:o, s:O, s:O, s:O, s:O*}", "spec", vm_spec_json(in.spec),
				       "warnings", in.warnings, "plan", plan.steps, "budget",
				       budget, "placement", req->placement);
	json_decref(plan.steps);
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

/* A transient VM has none of these. */
static void keep_warn(const struct vm_spec *spec, json_t *warnings)
{
	if (spec->keep.is_autostart || spec->keep.restarts)
		json_array_append_new(
			warnings,
			json_string("autostart and on_crash have no effect on a VM of `vm run`: "
				    "viaduct vm create FILE keeps it"));
}

/* That it could not start right now is no reason not to define it. */
static void create_look(struct request *req, struct vm_input *in)
{
	auto_json json_t *budget = json_array();
	const struct vm_notes notes = { in->warnings, budget };
	struct plan plan = { .steps = json_array() };
	struct err e = { 0 };
	char text[700];
	int r = vm_host_check(req->d, in->spec, &notes, &in->unsafe, &e);

	if (r == 0)
		r = plan_make(req, in->spec, &plan, budget, &e);
	json_decref(plan.steps);
	if (r == 0)
		return;
	snprintf(text, sizeof(text), "it could not start now: %.600s", e.text);
	json_array_append_new(in->warnings, json_string(text));
}

/* What follows waits for changes under way, and nobody who only looks waits with it. */
static void turn_end(struct request *req)
{
	if (req->has_turn)
		guard_turn_end(req->guard);
	req->has_turn = false;
}

int api_vm_create(struct request *req, struct err *e)
{
	struct def_create_wish wish = { .who = &req->who, .base_dir = "" };
	struct vm_input in;
	int r = vm_input_read(req, &in, e);

	if (r == 0)
		r = json_get_bool_opt(req->body, "replace", &wish.replace, e);
	if (r == 0)
		r = owner_take(req, in.spec->name, &wish.owner, e);
	if (r == 0) {
		const char *base_dir = json_string_value(json_object_get(req->body, "base_dir"));

		create_look(req, &in);
		turn_end(req);
		wish.spec = in.spec;
		wish.yaml = in.yaml;
		wish.unsafe = in.unsafe.reason;
		if (base_dir != NULL)
			wish.base_dir = base_dir;
		r = def_create(req->d, &wish, e);
	}
	if (r == 0)
		r = reply_vm(req, in.spec->name, e);
	if (r == 0)
		json_object_set(req->reply, "warnings", in.warnings);
	vm_input_fini(&in);
	return r;
}

int api_vm_run(struct request *req, struct err *e)
{
	struct vm_owner owner;
	const uint64_t asked_ns = now_ns();
	struct vm_input in;
	char by[96];
	int r = vm_input_read(req, &in, e);

	if (r == 0)
		r = owner_take(req, in.spec->name, &owner, e);
	if (r == 0) {
		const struct vm_notes notes = { .warnings = in.warnings };

		operation_target(req->op, in.spec->name);
		operation_step(req->op, "the host is checked");
		req->is_valid = true;
		r = vm_host_check(req->d, in.spec, &notes, &in.unsafe, e);
	}
	if (r == 0) {
		const struct vm_start_wish wish = { .op = req->op,
						    .who = &req->who,
						    .spec = in.spec,
						    .yaml = in.yaml,
						    .files = &in.files,
						    .owner = owner,
						    .unsafe = &in.unsafe,
						    .asked_ns = asked_ns,
						    .cause = "vm run",
						    .by = by };

		vm_who_text(req->who.uid, by, sizeof(by));
		keep_warn(in.spec, in.warnings);
		r = vm_start(req->d, &wish, e);
	}
	if (r == 0) {
		vm_audit_after_start(req->d, in.spec->name);
		r = reply_vm(req, in.spec->name, e);
	}
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

static int quarantine_set(struct request *req, bool on, struct err *e)
{
	char port[VM_NAME_TEXT] = "";
	struct vm_quarantine_wish wish = { .on = on, .uid = req->who.uid };
	int r = json_get_str_opt(req->body, "port", port, sizeof(port), e);

	/* One without a name is none, and never all of them. */
	if (json_object_get(req->body, "port") != NULL)
		wish.port = port;
	if (r == 0)
		r = vm_quarantine(req->d, req->arg, &wish, e);
	return r < 0 ? r : reply_vm(req, req->arg, e);
}

int api_vm_quarantine(struct request *req, struct err *e)
{
	return quarantine_set(req, true, e);
}

int api_vm_unquarantine(struct request *req, struct err *e)
{
	return quarantine_set(req, false, e);
}

int api_vm_console(struct request *req, struct err *e)
{
	bool is_named = json_object_get(req->body, "port") != NULL;
	char path[VM_PATH_TEXT], port[VM_NAME_TEXT] = "";
	struct vm *vm;
	int r = json_get_str_opt(req->body, "port", port, sizeof(port), e);

	if (r < 0)
		return r;
	state_lock(req->d);
	r = vm_get(req->d, req->arg, &vm, e);
	if (r == 0 && vm->pid == 0) {
		err_set(e, EBUSY, "the VM %s is %s: it has no console", vm->name,
			vm_state_text(vm->state));
		err_code(e, "vm-state");
		r = err_hint(e, "viaduct vm console %s --log   shows its last output", vm->name);
	}
	if (r == 0)
		r = vm_console_path(req->d, vm, is_named ? port : NULL, path, e);
	state_unlock(req->d);
	if (r == 0)
		req->reply = json_pack("{s:s}", "socket", path);
	return r;
}

int api_vm_stats(struct request *req, struct err *e)
{
	/* What comes now is wrong with the VM, not with the request. */
	req->is_valid = true;
	return vm_stats(req->d, req->arg, &req->reply, e);
}
