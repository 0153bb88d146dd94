// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/routes.h"

#include "vf-manager/api_handlers.h"
#include "vf-manager/guard.h"
#include "vf-manager/operations.h"
#include "vf-manager/portpolicy.h"
#include "vf-manager/vmowner.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

static const char *const no_members[] = { NULL };
static const char *const release_members[] = { "generation", NULL };
static const char *const apply_members[] = { "vfs", "disrupt", "timeout_s", "confirm_s", NULL };
static const char *const plan_members[] = { "vfs", NULL };
static const char *const alloc_members[] = { "name", "pf", "network", "numa", "explain", NULL };
static const char *const set_members[] = { "mac",	  "vlan",  "qos",	 "proto",
					   "spoofchk",	  "trust", "link_state", "min_tx_rate",
					   "max_tx_rate", NULL };
static const char *const config_members[] = { "yaml", "file", NULL };
static const char *const check_members[] = {
	"yaml", "file", "base_dir", "explain", "allow_unsafe_interrupts", NULL
};
static const char *const run_members[] = {
	"yaml", "file", "base_dir", "owner", "allow_unsafe_interrupts", NULL
};
static const char *const create_members[] = {
	"yaml", "file", "base_dir", "owner", "allow_unsafe_interrupts", "replace", NULL
};
static const char *const delete_members[] = { "force", NULL };
static const char *const stop_all_members[] = { "timeout_s", NULL };
static const char *const stop_members[] = { "timeout_s", "kill", NULL };
static const char *const port_members[] = { "port", NULL };
static const char *const disk_members[] = { "disk", NULL };
static const char *const disk_set_members[] = { "disk", "iops", "bandwidth", NULL };
static const char *const disk_resize_members[] = { "disk", "size", NULL };
static const char *const event_members[] = { "since", "limit", NULL };
static const char *const selftest_members[] = { "pf", NULL };
static const char *const audit_members[] = { "vm", NULL };
static const char *const operation_members[] = { "wait", "steps", NULL };

const struct route routes[] = {
	/* method, path, needs_manage, is_oneshot, is_costly, members, handler, operation */
	{ "GET", "/v1/version", false, true, false, NULL, api_version },
	{ "GET", "/v1/host/check", false, true, true, NULL, api_host_check },
	{ "POST", "/v1/host/selftest", true, false, false, selftest_members, api_host_selftest,
	  "host-selftest" },
	{ "GET", "/v1/pfs", false, true, true, NULL, api_pfs },
	{ "GET", "/v1/pfs/*", false, true, true, NULL, api_pf },
	{ "GET", "/v1/pfs/*/plan", false, false, true, plan_members, api_pf_plan },
	{ "POST", "/v1/pfs/*/apply", true, false, false, apply_members, api_pf_apply, "pf-apply" },
	{ "POST", "/v1/pfs/*/confirm", true, false, false, no_members, api_pf_confirm },
	{ "POST", "/v1/pfs/*/adopt", true, false, false, no_members, api_pf_adopt, "pf-adopt" },
	{ "GET", "/v1/vfs", false, true, true, NULL, api_vfs },
	{ "GET", "/v1/vfs/*", false, true, true, NULL, api_vf },
	{ "POST", "/v1/vfs/alloc", true, false, false, alloc_members, api_vf_alloc },
	{ "POST", "/v1/vfs/*/set", true, false, false, set_members, api_vf_set },
	{ "POST", "/v1/vfs/*/release", true, false, false, release_members, api_vf_release,
	  "vf-release" },
	{ "POST", "/v1/vfs/*/scrub", true, false, false, no_members, api_vf_scrub, "vf-scrub" },
	{ "GET", "/v1/networks", false, true, true, NULL, api_networks },
	{ "GET", "/v1/networks/*", false, true, true, NULL, api_network },
	{ "GET", "/v1/uplinks", false, true, true, NULL, api_uplinks },
	{ "GET", "/v1/uplinks/*", false, true, true, NULL, api_uplink },
	{ "GET", "/v1/config", false, false, true, NULL, api_config },
	{ "POST", "/v1/config/check", false, true, true, config_members, api_config_check },
	{ "GET", "/v1/functions", false, true, true, NULL, api_fns },
	{ "GET", "/v1/functions/*", false, true, true, NULL, api_fn },
	{ "POST", "/v1/functions/*/release", true, false, false, no_members, api_fn_release,
	  "function-release" },
	{ "GET", "/v1/iommu/units", false, true, true, NULL, api_iommu_units },
	{ "GET", "/v1/iommu/units/*", false, true, true, NULL, api_iommu_unit },
	{ "GET", "/v1/iommu/functions/*", false, true, true, NULL, api_iommu_function },
	{ "POST", "/v1/vms/check", false, true, true, check_members, api_vm_check },
	{ "POST", "/v1/vms", true, false, false, run_members, api_vm_run, "vm-run" },
	{ "GET", "/v1/vms", false, false, true, NULL, api_vms },
	{ "POST", "/v1/vms/create", true, false, true, create_members, api_vm_create },
	{ "GET", "/v1/vms/*", false, false, false, NULL, api_vm },
	{ "POST", "/v1/vms/*/stop", true, false, false, stop_members, api_vm_stop, "vm-stop" },
	{ "POST", "/v1/vms/*/start", true, false, false, no_members, api_vm_start, "vm-start" },
	{ "POST", "/v1/vms/*/restart", true, false, false, stop_members, api_vm_restart,
	  "vm-restart" },
	{ "POST", "/v1/vms/*/delete", true, false, false, delete_members, api_vm_delete,
	  "vm-delete" },
	{ "GET", "/v1/vms/*/history", false, false, false, NULL, api_vm_history },
	{ "POST", "/v1/host/stop-vms", true, false, false, stop_all_members, api_host_stop_vms,
	  "host-stop-vms", .needs_root = true },
	{ "POST", "/v1/host/start-vms", true, false, false, no_members, api_host_start_vms,
	  .needs_root = true },
	{ "POST", "/v1/vms/*/kill", true, false, false, no_members, api_vm_kill, "vm-kill" },
	{ "POST", "/v1/vms/*/pause", true, false, false, no_members, api_vm_pause },
	{ "POST", "/v1/vms/*/resume", true, false, false, no_members, api_vm_resume },
	{ "POST", "/v1/vms/*/quarantine", true, false, false, port_members, api_vm_quarantine },
	{ "POST", "/v1/vms/*/unquarantine", true, false, false, port_members, api_vm_unquarantine },
	{ "GET", "/v1/vms/*/console", true, false, false, port_members, api_vm_console },
	{ "GET", "/v1/vms/*/stats", false, false, false, NULL, api_vm_stats },
	{ "GET", "/v1/vms/*/ports", false, false, false, port_members, api_ports },
	{ "GET", "/v1/vms/*/ports/stats", false, false, false, port_members, api_ports_stats },
	{ "POST", "/v1/vms/*/ports/set", true, false, false, port_set_members, api_port_set },
	{ "GET", "/v1/ports", false, false, true, NULL, api_ports },
	{ "GET", "/v1/ports/stats", false, false, true, NULL, api_ports_stats },
	{ "GET", "/v1/vms/*/disks", false, false, false, disk_members, api_disks },
	{ "POST", "/v1/vms/*/disks/set", true, false, false, disk_set_members, api_disk_set },
	{ "POST", "/v1/vms/*/disks/resize", true, false, false, disk_resize_members,
	  api_disk_resize },
	{ "GET", "/v1/disks", false, false, true, NULL, api_disks },
	{ "POST", "/v1/iommu/audit", true, false, false, audit_members, api_iommu_audit },
	{ "GET", "/v1/operations", false, false, true, NULL, api_operations },
	{ "GET", "/v1/operations/*", false, false, false, operation_members, api_operation },
	{ "GET", "/v1/events", false, false, true, event_members, api_events },
	{ "GET", "/v1/alarms", false, false, true, NULL, api_alarms },
	{ "GET", "/v1/iommu/faults", false, true, true, NULL, api_faults },
	{ "GET", "/metrics", false, false, true, NULL, api_metrics },
};
const size_t route_count = ARRAY_SIZE(routes);

/* One "*" at most in a pattern; it stands for one part of the path, which is not empty. */
static bool path_matches(const char *pattern, const char *path, char arg[256])
{
	const char *star = strchr(pattern, '*');
	size_t before, len;

	arg[0] = '\0';
	if (star == NULL)
		return strcmp(pattern, path) == 0;
	before = (size_t)(star - pattern);
	if (strncmp(pattern, path, before) != 0)
		return false;
	len = strcspn(path + before, "/");
	if (len == 0 || len >= 256 || strcmp(star + 1, path + before + len) != 0)
		return false;
	memcpy(arg, path + before, len);
	arg[len] = '\0';
	return true;
}

static const struct route *route_find(struct request *req, const struct route_call *call,
				      struct err *e)
{
	bool is_path = false;

	for (size_t i = 0; i < route_count; i++) {
		if (!path_matches(routes[i].path, call->path, req->arg))
			continue;
		is_path = true;
		if (strcmp(routes[i].method, call->method) == 0)
			return &routes[i];
	}
	if (is_path) {
		err_set(e, EOPNOTSUPP, "%.200s does not take %.16s", call->path, call->method);
		err_code(e, "method");
	} else {
		err_set(e, ENOENT, "there is no path %.200s", call->path);
		err_code(e, "no-such-path");
	}
	return NULL;
}

/* Of a path below a VM, and of an operation: 1 if it is the caller's own, 0 if it is nobody's, else the refusal. */
static int owner_check(const struct request *req, const struct route *route, struct err *e)
{
	static const char vms[] = "/v1/vms/*";
	uid_t uid;
	int r;

	if (route->handler == api_operation && !req->d->is_oneshot)
		return operation_uid(req->d, req->arg, &uid, NULL) == 0 && uid == req->who.uid;
	if (!route->needs_manage || strncmp(route->path, vms, sizeof(vms) - 1) != 0)
		return 0;
	state_lock(req->d);
	r = vm_owner_check(req->d, req->arg, &req->who, e);
	state_unlock(req->d);
	return r;
}

static int access_check(const struct request *req, const struct route *route, struct err *e)
{
	bool may_manage = caller_may_manage(&req->who, req->d->gid);
	int r;

	if (req->d->is_oneshot && !route->is_oneshot) {
		err_set(e, EPERM, "this takes the daemon viaductd, which is not running");
		err_code(e, "needs-daemon");
		return err_hint(e, "systemctl start viaductd, or run viaductd as root");
	}
	if (route->needs_root && caller_class(&req->who, req->d->gid) != CALLER_ROOT) {
		err_set(e, EPERM, "this is about the VMs of all owners: for root alone, not uid %u",
			req->who.uid);
		err_code(e, "not-allowed");
		return err_hint(e, "use sudo, or name the VM: viaduct vm stop NAME");
	}
	r = owner_check(req, route, e);
	if (r != 0)
		return r < 0 ? r : 0;
	if (may_manage || (!route->needs_manage && req->d->config.read != CONFIG_READ_GROUP))
		return 0;
	err_set(e, EPERM,
		route->needs_manage ? "uid %u may look but not change anything"
				    : "uid %u may not even look (access.read in viaductd.yaml)",
		req->who.uid);
	err_code(e, "not-allowed");
	return err_hint(e, "use sudo, or become a member of the group %s", req->d->config.group);
}

/* Parameters of the URL stand in for the body of GET; nothing else takes any. */
static int query_take(struct request *req, const struct route *route, const struct route_call *call,
		      struct err *e)
{
	static const char *const none[] = { NULL };
	bool is_get = strcmp(route->method, "GET") == 0;

	req->body = call->query != NULL ? json_incref(call->query) : json_object();
	return json_check_keys(req->body, is_get && route->members != NULL ? route->members : none,
			       e);
}

static int body_parse(struct request *req, const struct route *route, const struct route_call *call,
		      struct err *e)
{
	json_error_t why;
	int r;

	r = query_take(req, route, call, e);
	if (r < 0 || call->body_len == 0)
		return r;
	json_decref(ptr_take(&req->body));
	if (route->members == NULL || strcmp(route->method, "GET") == 0)
		return err_set(e, EINVAL, "%s takes no body", call->path);
	req->body = json_loadb(call->body, call->body_len, JSON_REJECT_DUPLICATES, &why);
	if (req->body == NULL)
		return err_set(e, EINVAL, "the body is no JSON: line %d: %s", why.line, why.text);
	return json_check_keys(req->body, route->members, e);
}

int route_dispatch(struct request *req, const struct route_call *call, struct err *e)
{
	const struct route *route = route_find(req, call, e);
	int r;

	if (route == NULL)
		return -e->errnum;
	r = access_check(req, route, e);
	if (r == 0 && route->is_costly) {
		r = guard_turn_take(req->guard, caller_class(&req->who, req->d->gid), e);
		req->has_turn = r == 0;
	}
	if (r == 0)
		r = body_parse(req, route, call, e);
	if (r < 0)
		return r;
	if (req->wants_async && route->operation != NULL)
		return route_defer(req, route, e);
	return route->handler(req, e);
}
