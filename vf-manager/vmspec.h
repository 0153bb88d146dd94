/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a VM file asks for, as checked values. Pure: text in, values out; nothing of the host is
 * looked at and nothing changed. Everything that is wrong with the file alone is said here.
 */
#ifndef VIADUCT_VF_MANAGER_VMSPEC_H
#define VIADUCT_VF_MANAGER_VMSPEC_H

#include "sriov/vfattr.h"
#include "vmm/vmm_msg.h"

#include <jansson.h>

#include <limits.h>

#define VM_NAME_TEXT   64
#define VM_TARGET_TEXT 129 /* name of a network, PF, VF or lease */

/* memory.numa: near the pinned CPUs or the VFs if it fits there; anywhere; on this node or not at all. */
enum vm_numa { VM_NUMA_AUTO, VM_NUMA_OFF, VM_NUMA_NODE };

enum port_source { PORT_FROM_NETWORK, PORT_FROM_PF, PORT_FROM_VF };

struct vm_port {
	char name[VM_NAME_TEXT];
	enum port_source source;
	char target[VM_TARGET_TEXT];
	struct vf_attrs attrs; /* mask: what the file says; the rest has vf_attrs_default */
	unsigned int mtu; /* 0: not said */
};

/* A function of the host's as it is, without a network's policy. */
struct vm_function {
	char name[VM_NAME_TEXT];
	struct pci_addr addr;
	bool take; /* even if the host uses it */
};

struct vm_spec {
	char name[VM_NAME_TEXT];
	uint64_t memory_bytes;
	uint64_t hugepage_bytes; /* 0: none */
	bool hugepage_fallback; /* rather 4 KiB pages than no VM */
	uint64_t low_limit_bytes; /* 0: none */
	enum vm_numa numa;
	int numa_node; /* with VM_NUMA_NODE */
	unsigned int cpu_count;
	unsigned int pin[VMM_MAX_CPUS]; /* host CPU of each vCPU */
	unsigned int pin_count; /* 0 or cpu_count */
	bool is_dedicated;
	char kernel[PATH_MAX];
	char initrd[PATH_MAX]; /* "": none */
	char cmdline[VMM_MAX_CMDLINE + 1];
	char ready[VMM_MAX_READY + 1]; /* console text that says that the guest is up; "": none */
	enum vmm_panic on_panic;
	enum vmm_watchdog watchdog;
	struct vm_port ports[VMM_MAX_DEVICES];
	unsigned int port_count;
	struct vm_function functions[VMM_MAX_DEVICES];
	unsigned int function_count;
};

/* How many VFIO functions the VM has: ports and whole functions. */
static inline unsigned int vm_spec_devices(const struct vm_spec *spec)
{
	return spec->port_count + spec->function_count;
}

/* Paths that are not absolute start at base_dir ("": then they are refused). Appends texts to
 * warnings. -EINVAL or -ERANGE. The struct is large: keep it on the heap. */
struct vm_text {
	const char *yaml;
	const char *base_dir;
};
int vm_spec_parse(const struct vm_text *text, struct vm_spec *out, json_t *warnings, struct err *e);

/* Everything but the paths' content, for `vm check`. A new reference. */
json_t *vm_spec_json(const struct vm_spec *spec);

#endif
