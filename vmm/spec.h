/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM as the daemon describes it in "launch" (vmm_msg.h), checked and turned into plain values.
 * The daemon is trusted to be right, not trusted to be well-formed: every limit is checked again.
 */
#ifndef VIADUCT_VMM_SPEC_H
#define VIADUCT_VMM_SPEC_H

#include "vmm/vmm_msg.h"

#include "base/err.h"
#include "base/parse.h"
#include "base/seqmsg.h"

#include <sched.h>

struct vmm_device_spec {
	char port[64];
	struct pci_addr address;
	uint32_t group;
	unsigned int member; /* of the spec's table: what it came with */
};

/* What joins the VM's DMA space: an IOMMU group, or, with iommufd, the bound device file of one function. */
struct vmm_member_spec {
	char name[32]; /* "group:26", "cdev:0000:01:10.0" */
	int fd;
};

/* A virtio-net device and the socket on which its backends connect. */
struct vmm_net_spec {
	char port[64];
	uint8_t mac[6];
	uint16_t mtu;
	unsigned int pairs;
	unsigned int ring_size;
	enum vmm_link link;
	unsigned int grace_ms;
	uid_t backend_uid;
	unsigned int socket; /* of the spec's table */
};

struct vmm_vhost_spec {
	char port[64];
	int fd; /* SOCK_STREAM, listening */
};

/* A virtio-blk device. */
struct vmm_disk_spec {
	char disk[64];
	unsigned int queues;
	unsigned int queue_size;
	uid_t backend_uid;
	unsigned int boot; /* place in the firmware's boot order, from 1 on; 0: not listed */
	unsigned int fds; /* of the spec's table */
};

struct vmm_disk_fds {
	char disk[64];
	int socket_fd; /* SOCK_STREAM, listening: where its backends connect */
	int image_fd; /* -1: none. Kept open until the VM ends, and nothing else: the image's lock is this description's */
};

struct vmm_spec {
	char name[64];
	uint64_t memory_size;
	uint64_t hugepage;
	bool hugepage_fallback; /* rather 4 KiB pages than no VM */
	uint64_t low_limit;
	int numa_node; /* of guest RAM; -1: any */
	bool numa_is_strict; /* else other nodes may help out */
	cpu_set_t numa_cpus; /* CPUs near it that may be used while the machine is built */
	unsigned int cpu_count;
	int cpu_pin[VMM_MAX_CPUS]; /* -1: not pinned */
	bool cpus_are_dedicated;
	cpu_set_t own_cpus; /* for threads that are not pinned; empty: as the process was started */
	char cmdline[VMM_MAX_CMDLINE + 1];
	uint8_t uuid[16]; /* big-endian; zeros: not set */
	char ready[VMM_MAX_READY + 1]; /* "": none */
	enum vmm_panic on_panic;
	enum vmm_watchdog watchdog;
	bool has_rng, has_virtio_console;
	uint32_t vsock_cid; /* 0: no vsock */
	struct vmm_device_spec devices[VMM_MAX_DEVICES];
	unsigned int device_count;
	struct vmm_net_spec nets[VMM_MAX_NETS];
	unsigned int net_count;
	struct vmm_disk_spec disks[VMM_MAX_DISKS];
	unsigned int disk_count;

	/* Owned fds; -1 when absent. */
	int kvm_fd, listener_fd, console_fd, exit_record_fd, console_log_fd, console_log_old_fd;
	int kernel_fd, initrd_fd;
	int firmware_fd, vars_fd; /* -1: direct boot; -1: variables are forgotten at the end */
	int hvc0_fd; /* SOCK_STREAM, listening: where clients of the virtio console connect */
	int vhost_vsock_fd; /* /dev/vhost-vsock, which has the CID */
	int container_fd, iommufd_fd; /* at most one of them */
	struct vmm_member_spec members[VMM_MAX_DEVICES]; /* that one's: groups, or device files */
	unsigned int member_count;
	struct vmm_vhost_spec vhosts[VMM_MAX_NETS];
	unsigned int vhost_count;
	struct vmm_disk_fds disk_fds[VMM_MAX_DISKS];
	unsigned int disk_fds_count;
};

void vmm_spec_init(struct vmm_spec *spec);
void vmm_spec_fini(struct vmm_spec *spec);

/* Takes the fds it uses out of m. -EINVAL/-ERANGE/-ENOENT with the member's name. */
int vmm_spec_parse(struct vmm_spec *spec, struct seqmsg *m, struct err *e);

#endif
