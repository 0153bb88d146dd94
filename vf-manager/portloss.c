// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portloss.h"

#include "vf-manager/ledger_event.h"

#include <stdio.h>
#include <time.h>

/* NULL: the VM has no such port, or did not come so far. */
static json_t *port_find(const struct vm *vm, const char *name)
{
	json_t *ports = json_object_get(vm->facts, "ports"), *port;
	size_t i;

	json_array_foreach(ports, i, port) {
		const char *is = json_string_value(json_object_get(port, "name"));

		if (is != NULL && strcmp(is, name) == 0)
			return port;
	}
	return NULL;
}

void port_lost(struct daemon *d, const struct vf_row *row)
{
	const char *name = strchr(row->owner, '/');
	char vm_name[64], addr[PCI_ADDR_TEXT], text[128];
	struct err e = { 0 };
	struct vm *vm;
	json_t *port;

	if (name == NULL)
		return;
	snprintf(vm_name, sizeof(vm_name), "%.*s", (int)(name - row->owner), row->owner);
	vm = vm_find(d, vm_name);
	port = vm != NULL ? port_find(vm, name + 1) : NULL;
	if (port == NULL)
		return;
	pci_addr_text(&row->addr, addr);
	json_object_set_new(port, "lost",
			    json_pack("{s:s, s:I}", "vf", addr, "at", (json_int_t)time(NULL)));
	json_object_set_new(port, "vf", json_null());
	json_object_set_new(port, "vf_id", json_null());
	snprintf(text, sizeof(text), "port %.64s has lost its VF %s", name + 1, addr);
	if (vm_save(d, vm, &e) < 0 || ledger_event_add(d->ledger, "vm", vm->name, text, &e) < 0)
		log_err(&e, vm->name);
}

char *ports_lost_text(const struct vm *vm, char buf[PORTS_LOST_TEXT])
{
	json_t *ports = json_object_get(vm->facts, "ports"), *port;
	size_t i, len = 0;

	buf[0] = '\0';
	json_array_foreach(ports, i, port) {
		const json_t *lost = json_object_get(port, "lost");
		const char *vf = json_string_value(json_object_get(lost, "vf"));

		if (vf != NULL && len < PORTS_LOST_TEXT)
			len += (size_t)snprintf(buf + len, PORTS_LOST_TEXT - len, "%s%s (%s)",
						len > 0 ? ", " : "",
						json_string_value(json_object_get(port, "name")),
						vf);
	}
	return buf;
}
