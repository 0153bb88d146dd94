// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/portpolicy.h"
#include "vf-manager/portpolled.h"
#include "vf-manager/ports.h"
#include "vf-manager/vm.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>

/* The parameter or member "port"; *out is NULL where there is none. */
static int port_read(const struct request *req, char buf[VM_NAME_TEXT], const char **out,
		     struct err *e)
{
	int r = json_get_str_opt(req->body, "port", buf, VM_NAME_TEXT, e);

	*out = r == 0 && json_object_get(req->body, "port") != NULL ? buf : NULL;
	return r;
}

static const char *vm_of(const struct request *req)
{
	return req->arg[0] != '\0' ? req->arg : NULL;
}

int api_ports(struct request *req, struct err *e)
{
	char buf[VM_NAME_TEXT] = "";
	const char *port;
	json_t *list;
	int r = port_read(req, buf, &port, e);

	if (r == 0)
		r = ports_list(req->d, vm_of(req), port, &list, e);
	if (r == 0)
		req->reply = json_pack("{s:o}", "ports", list);
	return r;
}

int api_ports_stats(struct request *req, struct err *e)
{
	char buf[VM_NAME_TEXT] = "";
	const char *port;
	int r = port_read(req, buf, &port, e);

	return r == 0 ? ports_stats(req->d, vm_of(req), port, &req->reply, e) : r;
}

/* 1: a VF has the port, and its address; 0: another. */
static int vf_of(struct request *req, const char *name, char addr[PCI_ADDR_TEXT], struct err *e)
{
	json_t *port;
	struct vm *vm;
	size_t i;
	int r;

	state_lock(req->d);
	r = vm_get(req->d, req->arg, &vm, e);
	if (r == 0)
		json_array_foreach(json_object_get(vm->facts, "ports"), i, port) {
			const char *is = json_string_value(json_object_get(port, "name"));
			const char *vf = json_string_value(json_object_get(port, "vf"));

			if (is == NULL || strcmp(is, name) != 0 || vf == NULL || vm->pid == 0)
				continue;
			snprintf(addr, PCI_ADDR_TEXT, "%s", vf);
			r = 1;
		}
	state_unlock(req->d);
	return r;
}

/* The same path as `vf set`, with its words. */
static int vf_set(struct request *req, const char *addr, struct err *e)
{
	struct request inner = *req;
	int r = port_wish_of_vf(req->body, &inner.body, e);

	if (r < 0)
		return r;
	inner.reply = NULL;
	snprintf(inner.arg, sizeof(inner.arg), "%s", addr);
	r = api_vf_set(&inner, e);
	req->is_valid = inner.is_valid;
	json_decref(inner.reply);
	json_decref(inner.body);
	return r;
}

static int polled_set(struct request *req, const char *name, struct err *e)
{
	const struct port_wish wish = {
		.vm = req->arg, .port = name, .words = req->body, .uid = req->who.uid
	};
	int r;

	op_lock(req->d);
	r = port_policy_set(req->d, &wish, e);
	op_unlock(req->d);
	return r;
}

int api_port_set(struct request *req, struct err *e)
{
	char buf[VM_NAME_TEXT] = "", addr[PCI_ADDR_TEXT] = "";
	auto_json json_t *list = NULL;
	const char *port;
	int r = port_read(req, buf, &port, e);

	if (r == 0 && port == NULL)
		r = err_set(e, EINVAL, "port: which one is missing");
	if (r == 0)
		r = port_wish_check(req->body, e);
	if (r == 0)
		r = vf_of(req, port, addr, e);
	if (r >= 0)
		r = r == 1 ? vf_set(req, addr, e) : polled_set(req, port, e);
	if (r == 0)
		r = ports_list(req->d, req->arg, port, &list, e);
	if (r == 0)
		req->reply = json_incref(json_array_get(list, 0));
	return r;
}
