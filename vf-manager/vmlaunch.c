// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmlaunch.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/portpolled.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmextra.h"
#include "vf-manager/vmport.h"
#include "vf-manager/vmstart_disks.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TAIL_BYTES 400

void start_fds_close(struct vm_start *s)
{
	vm_run_files_close(&s->files);
	start_disks_close(s);
	vm_files_close(s->wish->files);
	fd_close(&s->kvm);
	fd_close(&s->vars);
	fd_close(&s->vsock);
	fd_close(&s->dma_fd);
	for (unsigned int i = 0; i < s->net_count; i++)
		fd_close(&s->nets[i].fd);
	for (unsigned int i = 0; i < s->member_count; i++)
		fd_close(&s->members[i].fd);
}

/* The node of all VFs; -1: none, or more than one. */
static int vf_node(const struct vm_start *s)
{
	int node = s->hold_count > 0 ? s->holds[0].numa_node : -1;

	for (unsigned int i = 1; i < s->hold_count; i++)
		if (s->holds[i].numa_node != node)
			return -1;
	return node;
}

void launch_place(struct vm_start *s)
{
	state_lock(s->d);
	vm_place(s->d, s->wish->spec, vf_node(s), &s->place);
	state_unlock(s->d);
}

static json_t *memory_json(const struct vm_start *s)
{
	const struct vm_spec *spec = s->wish->spec;
	json_t *memory = json_pack("{s:I, s:I, s:b, s:I}", "size", (json_int_t)spec->memory_bytes,
				   "hugepage", (json_int_t)s->place.hugepage_bytes,
				   "hugepage_fallback", (int)spec->hugepage_fallback, "low_limit",
				   (json_int_t)spec->low_limit_bytes);
	char cpus[CPU_LIST_TEXT];

	if (s->place.node >= 0)
		json_object_set_new(
			memory, "numa",
			json_pack("{s:i, s:b, s:s}", "node", s->place.node, "strict",
				  (int)s->place.is_strict, "cpus",
				  cpu_list_text(&s->place.node_cpus, cpus, sizeof(cpus))));
	return memory;
}

static json_t *devices_json(const struct vm_start *s)
{
	const struct vm_spec *spec = s->wish->spec;
	json_t *devices = json_array();
	char addr[PCI_ADDR_TEXT];

	for (unsigned int i = 0; i < s->hold_count; i++)
		json_array_append_new(devices,
				      json_pack("{s:s, s:s, s:i}", "port",
						spec->ports[s->hold_ports[i]].name, "address",
						pci_addr_text(&s->holds[i].addr, addr), "group",
						s->holds[i].group));
	for (unsigned int i = 0; i < s->fn_count; i++)
		json_array_append_new(devices,
				      json_pack("{s:s, s:s, s:i}", "port", spec->functions[i].name,
						"address", pci_addr_text(&s->fns[i].addr, addr),
						"group", s->fns[i].group));
	return devices;
}

static json_t *spec_json(const struct vm_start *s)
{
	static const char *const panics[VMM_PANICS] = VMM_PANIC_WORDS;
	static const char *const watchdogs[VMM_WATCHDOGS] = VMM_WATCHDOG_WORDS;
	const struct vm_spec *spec = s->wish->spec;
	json_t *cpus = vm_place_cpus(spec);
	char own[CPU_LIST_TEXT];
	json_t *j;

	json_object_set_new(cpus, "count", json_integer(spec->cpu_count));
	json_object_set_new(cpus, "own",
			    json_string(cpu_list_text(&s->place.own, own, sizeof(own))));
	j = json_pack("{s:s, s:o, s:o, s:{s:s, s:s*}, s:o, s:o*, s:o*, s:s, s:s, s:s*}", "name",
		      spec->name, "memory", memory_json(s), "cpus", cpus, "boot", "cmdline",
		      spec->cmdline, "ready", spec->ready[0] != '\0' ? spec->ready : NULL,
		      "devices", devices_json(s), "nets",
		      s->net_count > 0 ? start_nets_json(s) : NULL, "disks",
		      s->disk_count > 0 ? start_disks_json(s) : NULL, "on_panic",
		      panics[spec->on_panic], "watchdog", watchdogs[spec->watchdog], "uuid",
		      s->uuid[0] != '\0' ? s->uuid : NULL);
	vm_extras_json(spec, s->vsock_cid, j);
	return j;
}

int launch_send(struct vm_start *s, struct err *e)
{
	const struct {
		const char *name;
		int fd;
	} rows[] = {
		{ "kvm", s->kvm },
		{ "listener", s->files.listener },
		{ "console", s->files.console },
		{ "exit_record", s->files.exit_record },
		{ "console_log", s->files.console_log },
		{ "console_log_old", s->files.console_log_old },
		{ "kernel", s->wish->files->kernel },
		{ "initrd", s->wish->files->initrd },
		{ "firmware", s->wish->files->firmware },
		{ "vars", s->vars },
		{ "hvc0", s->files.hvc0 },
		{ "vhost_vsock", s->vsock },
		{ s->dma == DMA_IOMMUFD ? "iommufd" : "container", s->dma_fd },
	};
	auto_json json_t *body = NULL;
	json_t *names = json_array();
	int fds[SEQMSG_FDS], r;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].fd < 0)
			continue;
		json_array_append_new(names, json_string(rows[i].name));
		fds[count++] = rows[i].fd;
	}
	for (unsigned int i = 0; i < s->member_count; i++) {
		json_array_append_new(names, json_string(s->members[i].name));
		fds[count++] = s->members[i].fd;
	}
	for (unsigned int i = 0; i < s->net_count; i++) {
		json_add_text(names, "vhost:%s", s->wish->spec->ports[s->nets[i].port].name);
		fds[count++] = s->nets[i].fd;
	}
	count += start_disks_fds(s, names, fds + count);
	body = json_pack("{s:i, s:s, s:o, s:o}", "v", VMM_MSG_VERSION, "op", "launch", "fds", names,
			 "spec", spec_json(s));
	r = seqmsg_send(s->sock, body, fds, count);
	if (r == -EPIPE || r == -ECONNRESET) {
		err_set(e, r, "viaduct-vmm died at once");
		launch_log_tail(s, e);
		return r;
	}
	return r < 0 ? err_set(e, r, "send to viaduct-vmm: %s", strerror(-r)) : 0;
}

static json_t *port_facts(const struct vm_start *s, unsigned int i)
{
	const struct vf_hold *h = &s->holds[i];
	const struct vf_attrs *a = &h->attrs;
	const struct vm_port *port = &s->wish->spec->ports[s->hold_ports[i]];
	char addr[PCI_ADDR_TEXT], mac[MAC_TEXT];
	bool has_mac = (a->mask & BIT(VF_ATTR_MAC)) != 0;
	bool has_vlan = (a->mask & BIT(VF_ATTR_VLAN)) != 0 && a->vlan != 0;

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:I, s:s}", "name",
			 port->name, "engine", "vf", "wanted", port_engine_text(port->engine), "vf",
			 pci_addr_text(&h->addr, addr), "vf_id", h->id, "pf", h->pf_name,
			 "iommu_group", h->group, "mac",
			 has_mac ? json_string(mac_text(a->mac, mac)) : json_null(), "vlan",
			 has_vlan ? json_integer(a->vlan) : json_null(), "generation",
			 (json_int_t)h->generation, "on_fault", on_fault_text(port->on_fault));
}

/* In the order of the file, whoever serves them. */
static json_t *ports_facts(const struct vm_start *s)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < s->wish->spec->port_count; i++) {
		for (unsigned int k = 0; k < s->hold_count; k++)
			if (s->hold_ports[k] == i)
				json_array_append_new(list, port_facts(s, k));
		for (unsigned int k = 0; k < s->net_count; k++)
			if (s->nets[k].port == i)
				json_array_append_new(list, port_polled_facts(s, &s->nets[k]));
	}
	return list;
}

static json_t *function_facts(const struct vm_start *s, unsigned int i)
{
	const struct fn_hold *h = &s->fns[i];
	char addr[PCI_ADDR_TEXT];

	return json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:i, s:s}", "name",
			 s->wish->spec->functions[i].name, "address", pci_addr_text(&h->addr, addr),
			 "kind", fn_kind_text(h->kind), "host_name",
			 h->dev_name[0] != '\0' ? h->dev_name : NULL, "host_driver",
			 h->was.driver[0] != '\0' ? h->was.driver : NULL, "iommu_group", h->group,
			 "on_fault", on_fault_text(s->wish->spec->functions[i].on_fault));
}

static json_t *firmware_facts(const struct vm_start *s)
{
	char path[PATH_MAX];

	return json_pack("{s:s, s:s, s:s}", "code", s->d->config.firmware, "vars",
			 vm_firmware_path(s->d, s->wish->spec->name, "vars.fd", path), "uuid",
			 s->uuid);
}

void launch_facts(const struct vm_start *s, json_t *facts)
{
	const struct vm_spec *spec = s->wish->spec;
	struct iommu_host host = { 0 };
	json_t *ports = ports_facts(s), *functions = json_array();
	bool is_known = host_iommu_read(s->d, &host, NULL) == 0;

	for (unsigned int i = 0; i < s->fn_count; i++)
		json_array_append_new(functions, function_facts(s, i));
	json_object_set_new(facts, "vcpus", json_integer(spec->cpu_count));
	json_object_set_new(facts, "memory", json_integer((json_int_t)spec->memory_bytes));
	json_object_set_new(facts, "ports", ports);
	json_object_set_new(facts, "functions", functions);
	json_object_set_new(facts, "disks", start_disks_facts(s));
	json_object_set_new(facts, "dma_remapping",
			    json_boolean(is_known && host.dma_remapping == IOMMU_ON));
	json_object_set_new(facts, "interrupt_remapping",
			    json_boolean(is_known && host.interrupt_remapping == IOMMU_ON));
	json_object_set_new(facts, "virtio", vm_extras_facts(s));
	if (spec->has_firmware)
		json_object_set_new(facts, "firmware", firmware_facts(s));
	if (s->hold_count + s->fn_count > 0)
		json_object_set_new(facts, "dma", json_string(dma_api_text(s->dma)));
	json_object_set_new(facts, "owner_uid", json_integer(s->wish->who->uid));
}

/* The VMM's word is a peer's: numbers, and no more of them than there are nodes. */
json_t *launch_numa(const struct vm_start *s, const json_t *status)
{
	json_t *nodes = json_array(), *row;
	size_t i;

	json_array_foreach(json_object_get(status, "ram_nodes"), i, row) {
		uint64_t node, bytes;

		if (i < VMM_MAX_NODE && json_get_u64(row, "node", VMM_MAX_NODE, &node, NULL) == 0 &&
		    json_get_u64(row, "bytes", VMM_MAX_MEMORY, &bytes, NULL) == 0)
			json_array_append_new(nodes,
					      json_pack("{s:I, s:I}", "node", (json_int_t)node,
							"bytes", (json_int_t)bytes));
	}
	return json_pack("{s:o, s:s, s:o}", "node",
			 s->place.node >= 0 ? json_integer(s->place.node) : json_null(), "policy",
			 s->place.node < 0    ? "none"
			 : s->place.is_strict ? "strict"
					      : "preferred",
			 "nodes", nodes);
}

void launch_log_tail(const struct vm_start *s, struct err *e)
{
	char path[VM_PATH_TEXT], text[TAIL_BYTES + 1];
	auto_fd int fd = open(vm_path(s->d, s->wish->spec->name, "vmm.log", path),
			      O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
	ssize_t n;
	char *last;

	if (size <= 0)
		return;
	n = pread(fd, text, TAIL_BYTES, size > TAIL_BYTES ? size - TAIL_BYTES : 0);
	if (n <= 0)
		return;
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	last = strrchr(text, '\n');
	err_set(e, EIO, "viaduct-vmm died: %s", last != NULL ? last + 1 : text);
}
