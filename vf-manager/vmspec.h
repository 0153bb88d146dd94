/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a VM file asks for, as checked values. Pure: text in, values out; nothing of the host is
 * looked at and nothing changed. Everything that is wrong with the file alone is said here.
 */
#ifndef VIADUCT_VF_MANAGER_VMSPEC_H
#define VIADUCT_VF_MANAGER_VMSPEC_H

#include "vf-manager/cloudinit.h"
#include "vf-manager/vmkeep.h"

#include "base/range.h"
#include "pmd-backends/pmd_msg.h"
#include "sriov/vfattr.h"
#include "vmm/vmm_msg.h"

#include <jansson.h>

#include <limits.h>

#define VM_NAME_TEXT   64
#define VM_PORT_WORDS  8
#define VM_TARGET_TEXT 129 /* name of a network, PF, VF or lease */

/* memory.numa: near the pinned CPUs or the VFs if it fits there; anywhere; on this node or not at all. */
enum vm_numa { VM_NUMA_AUTO, VM_NUMA_OFF, VM_NUMA_NODE };

/* cpus.core_scheduling (coresched.h) */
enum vm_core { VM_CORE_AUTO, VM_CORE_ON, VM_CORE_OFF };

#define VM_SHARES_MAX 10000 /* cpu.weight of cgroups */

/* What the guest sees when the PF has no link: the same, or a link that stays. */
enum uplink_loss { UPLINK_LOSS_UNSAID, UPLINK_LOSS_PROPAGATE, UPLINK_LOSS_KEEP };

/* What follows when the port's device faults (vmfault.h). */
enum on_fault { ON_FAULT_REPORT, ON_FAULT_QUARANTINE, ON_FAULT_STOP, ON_FAULTS };

/* Who serves the port: a VF; the polled backend; a VF where one is free and fit at the start, else the backend. */
enum port_engine { PORT_VF, PORT_POLLED, PORT_AUTO, PORT_ENGINES };
enum port_trust { PORT_TRUST_NONE, PORT_TRUST_MULTICAST, PORT_TRUST_PROMISC, PORT_TRUSTS };
enum port_vlan { PORT_VLAN_NONE, PORT_VLAN_ACCESS, PORT_VLAN_TRUNK, PORT_VLAN_QINQ, PORT_VLANS };

enum port_source { PORT_FROM_NETWORK, PORT_FROM_PF, PORT_FROM_VF };

struct vm_port {
	char name[VM_NAME_TEXT];
	enum port_engine engine;
	enum port_source source;
	char target[VM_TARGET_TEXT];
	struct vf_attrs attrs; /* mask: what the file says; the rest has vf_attrs_default */
	unsigned int mtu; /* 0: not said */
	char words[VM_PORT_WORDS][VM_NAME_TEXT]; /* anti_affinity */
	unsigned int word_count;
	enum uplink_loss uplink_loss; /* in attrs as the link state that does it */
	enum on_fault on_fault;
	enum port_trust trust; /* a VF has two of them: in attrs */
	enum port_vlan vlan_mode;
	/* Words that no driver of a VF can follow (portfit.h); 0: not said. Lists are cut at what a polled port may have, their
	 * counts are not. */
	unsigned int trunk_count, mac_count, queues, queue_size;
	uint16_t trunk[PMD_MAX_VLANS];
	uint8_t macs[PMD_MAX_MACS][6];
	unsigned int storm; /* broadcasts and multicasts a second from the guest */
	unsigned int grace_ms; /* carrier without a backend; the VM's where the port says nothing */
	bool has_grace;
};

/* A function of the host's as it is, without a network's policy. */
struct vm_function {
	char name[VM_NAME_TEXT];
	struct pci_addr addr;
	bool take; /* even if the host uses it */
	enum on_fault on_fault;
};

/* A disk: an image of the host's, served by viaduct-pmd. */
struct vm_disk {
	char name[VM_NAME_TEXT];
	char path[PATH_MAX];
	char serial[PMD_SERIAL_TEXT];
	bool is_readonly;
	bool is_seed; /* of cloud_init: no file, made at the start */
	bool is_raw; /* says the file, whatever its image begins with */
	bool is_buffered; /* through the host's page cache; else O_DIRECT, where the file system can */
	unsigned int queues, queue_size;
	unsigned int boot; /* place in the firmware's order, from 1; 0: none */
	uint64_t iops, bandwidth; /* operations, bytes a second; 0: no limit */
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
	enum vm_core core_sched;
	unsigned int shares; /* of the host's CPUs beside others; 0: not said */
	bool has_firmware; /* OVMF starts, and then the kernel if there is one */
	char kernel[PATH_MAX]; /* "": none, with firmware */
	char initrd[PATH_MAX]; /* "": none */
	char cmdline[VMM_MAX_CMDLINE + 1];
	char ready[VMM_MAX_READY + 1]; /* console text that says that the guest is up; "": none */
	enum vmm_panic on_panic;
	enum vmm_watchdog watchdog;
	bool has_rng, has_virtio_console, has_vsock;
	uint32_t vsock_cid; /* 0: one that nobody has */
	struct vm_keep keep;
	struct vm_port ports[VMM_MAX_DEVICES];
	unsigned int port_count;
	struct vm_disk disks[VMM_MAX_DISKS];
	unsigned int disk_count;
	struct cloud_init cloud_init;
	struct vm_function functions[VMM_MAX_DEVICES];
	unsigned int function_count;
};

static inline unsigned int vm_spec_ports(const struct vm_spec *spec, enum port_engine engine)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < spec->port_count; i++)
		n += spec->ports[i].engine == engine;
	return n;
}

/* How many VFIO functions the VM needs: VFs and whole functions. */
static inline unsigned int vm_spec_devices(const struct vm_spec *spec)
{
	return vm_spec_ports(spec, PORT_VF) + spec->function_count;
}

/* How many it may get: ports that take a VF where one is free, too. */
static inline unsigned int vm_spec_devices_max(const struct vm_spec *spec)
{
	return vm_spec_devices(spec) + vm_spec_ports(spec, PORT_AUTO);
}

/* Paths that are not absolute start at base_dir ("": then they are refused). Appends texts to
 * warnings. -EINVAL or -ERANGE. The struct is large: keep it on the heap. */
struct vm_text {
	const char *yaml;
	const char *base_dir;
};
int vm_spec_parse(const struct vm_text *text, struct vm_spec *out, json_t *warnings, struct err *e);

/* A path of the file made absolute. -EINVAL names the key. */
int vm_path_parse(const char *path, const char *key, const char *base_dir, char out[PATH_MAX],
		  struct err *e);

/* Everything but the paths' content, for `vm check`. A new reference. */
json_t *vm_spec_json(const struct vm_spec *spec);

/* Where the VMM puts guest RAM: one slot, or one below and one above the hole (vmm_msg.h); inclusive bounds. */
unsigned int vm_ram_slots(const struct vm_spec *spec, struct range out[2]);

#endif
