/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the start of a VM: what it has collected so far, the launch message, and the facts
 * that remain of it.
 */
#ifndef VIADUCT_VF_MANAGER_VMLAUNCH_H
#define VIADUCT_VF_MANAGER_VMLAUNCH_H

#include "vf-manager/dmachoice.h"
#include "vf-manager/fnpool.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"
#include "vf-manager/vmfirmware.h"
#include "vf-manager/vmplace.h"
#include "vf-manager/vmstart.h"

/* What joins the VM's DMA space: a group, or with iommufd the bound device file of a function. */
struct start_member {
	char name[32]; /* as the launch message calls it: "group:26", "cdev:0000:01:10.0" */
	int fd;
};

/* A port that the polled backend serves. */
struct start_net {
	unsigned int port; /* which of wish->spec->ports */
	uint8_t mac[6];
	char socket[PMD_SOCKET_TEXT];
	int fd; /* listening there; -1 when closed */
	json_t *policy;
	char why[256]; /* no VF for it; "": the file wants the backend */
	bool is_added; /* the backend has it */
};

/* A disk, beside wish->spec->disks and wish->files->images. */
struct start_disk {
	char socket[PMD_SOCKET_TEXT];
	int listener; /* listening there; -1 when closed */
	struct image_id id;
	struct image_open how;
	uint64_t size; /* bytes */
	const char *warning; /* NULL: none */
	bool is_added; /* the backend has it */
};

struct vm_start {
	struct daemon *d;
	const struct vm_start_wish *wish;
	bool is_reserved;
	bool has_files;
	struct vm *replaced; /* an ended one of the same name; NULL: there was none */
	uid_t uid;
	pid_t pid; /* 0: not spawned */
	int pidfd, sock, kvm;
	enum dma_api dma;
	int dma_fd; /* the container, or the iommufd */
	struct vm_run_files files;
	int vars; /* of its firmware; -1: none */
	int vsock; /* the kernel's, with the CID; -1: none */
	uint32_t vsock_cid;
	char uuid[UUID_TEXT]; /* with firmware */
	struct vf_hold holds[VMM_MAX_DEVICES]; /* of those of wish->spec->ports that have a VF */
	unsigned int hold_ports[VMM_MAX_DEVICES]; /* which of them */
	unsigned int hold_count;
	struct start_net nets[VMM_MAX_DEVICES];
	unsigned int net_count;
	struct start_disk disks[VMM_MAX_DISKS];
	uid_t disks_uid; /* of the viaduct-pmd that serves them */
	unsigned int disk_count;
	struct fn_hold fns[VMM_MAX_DEVICES]; /* of wish->spec->functions, in order */
	unsigned int fn_count;
	struct start_member members[VMM_MAX_DEVICES];
	unsigned int member_count;
	struct vm_place place;
	json_t *steps;
	uint64_t step_ns; /* when the last step ended */
};

/* Everything that the VMM now has its own copy of. */
void start_fds_close(struct vm_start *s);

/* Where the VM goes; before its process is made. */
void launch_place(struct vm_start *s);

int launch_send(struct vm_start *s, struct err *e);

/* "vcpus", "memory", "ports" and so on for `vm show`. */
void launch_facts(const struct vm_start *s, json_t *facts);

/* "numa": where RAM should be, and where it is by the VMM's status. */
json_t *launch_numa(const struct vm_start *s, const json_t *status);

/* The VMM died without an answer: its last words become the error's. */
void launch_log_tail(const struct vm_start *s, struct err *e);

#endif
