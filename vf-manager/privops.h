/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that takes root, in one place: sysfs and rtnetlink writes, VFIO and KVM devices, and
 * the VMM processes (privops_spawn.c). Each operation checks its own arguments against the machine
 * again, whatever the caller has checked. Policy and ledger are the callers'. The caller holds `op`.
 */
#ifndef VIADUCT_VF_MANAGER_PRIVOPS_H
#define VIADUCT_VF_MANAGER_PRIVOPS_H

#include "vf-manager/daemon.h"

#include "sriov/vfattr.h"

/* The VF as the machine has it now; state locked. -ENODEV: there is none. */
int priv_vf_now(struct daemon *d, const struct pci_addr *vf, const struct pci_fn **out,
		struct err *e);

/* The number of VFs of a PF; the PF is brought up afterwards, because VFs are dead without it. */
int priv_pf_vfs_set(struct daemon *d, const struct pci_addr *pf, uint16_t vfs, struct err *e);

/* Takes the VF from its host driver (vfio-pci stays), and keeps others from taking it. */
int priv_vf_leave_host(struct daemon *d, const struct pci_addr *vf, struct err *e);

/* Brings the PF of this VF up if it is down. */
int priv_pf_up(struct daemon *d, const struct pci_addr *vf, struct err *e);

/* Takes the VF from nobody to vfio-pci; -EBUSY if another driver has it. */
int priv_vf_bind(struct daemon *d, const struct pci_addr *vf, struct err *e);

/* Sets attrs->mask and reads all back into *attrs. A MAC that another VF of the PF or the PF itself
 * has: -EEXIST code "mac-in-use". */
int priv_vf_attrs_set(struct daemon *d, const struct pci_addr *vf, struct vf_attrs *attrs,
		      struct err *e);
int priv_vf_attrs_get(struct daemon *d, const struct pci_addr *vf, struct vf_attrs *attrs,
		      struct err *e);

/* Makes them the defaults with `want` over them; what the driver does not report is left alone, and what is
 * right already is not written. */
int priv_vf_attrs_restore(struct daemon *d, const struct pci_addr *vf, const struct vf_attrs *want,
			  struct err *e);

/*
 * Wipes a VF that nobody uses any more: its group opens again, bus mastering off, function-level
 * reset, attributes to their defaults and read back, no driver. 0 also if there is no such VF any
 * more. Any failure means that it must not be handed out. `evidence` (an array, or NULL) gets an object for each step
 * that was begun: {"step","ok","read" (what was read back, or why it failed)|null}.
 */
int priv_vf_scrub(struct daemon *d, const struct pci_addr *vf, json_t *evidence, struct err *e);

/* Takes a whole function from whatever driver it has to vfio-pci (privops_fn.c). */
int priv_fn_bind(struct daemon *d, const struct pci_addr *fn, struct err *e);

/* The way back of a function that nobody uses any more: its group opens again, bus mastering off, reset,
 * the driver it had, which then makes of it what it was. 0 also if there is no such function any more. */
int priv_fn_give_back(struct daemon *d, const struct fn_row *row, struct err *e);

/* For a VM; the fds are the caller's. */
int priv_group_open(struct daemon *d, const struct pci_addr *fn, int *fd_out, struct err *e);

/* Until the group opens: the last user's fds close with its process, which takes the kernel a moment. */
int priv_group_wait(struct daemon *d, const struct pci_addr *fn, struct err *e);
int priv_container_open(struct daemon *d, int *fd_out, struct err *e);
int priv_kvm_open(struct daemon *d, int *fd_out, struct err *e);

/* Lets the kernel make hugepages of ordinary memory for `bytes` of guest RAM, as far as the pool has
 * none free (nr_overcommit_hugepages, which is only raised). They go back when the VM ends. Not a
 * promise: memory may be too fragmented, and the VMM falls back. Op locked. */
void priv_hugepages_allow(uint64_t page_bytes, uint64_t bytes);

/* The run folder of a VM with its sockets and files, all or nothing. One that an ended VM of that name left
 * is kept aside until it is restored (the new one goes) or dropped. */
struct vm_run_files {
	int listener, console, exit_record, console_log, console_log_old, log; /* -1 when closed */
};
int priv_vm_files_make(struct daemon *d, const char *name, struct vm_run_files *out, struct err *e);
/* The console and its logs are the owner's alone from now on. */
int priv_vm_files_give(struct daemon *d, const char *name, uid_t owner, struct err *e);
void priv_vm_files_restore(struct daemon *d, const char *name);
void priv_vm_files_drop_kept(struct daemon *d, const char *name);
void vm_run_files_init(struct vm_run_files *files);
void vm_run_files_close(struct vm_run_files *files);

/* Sockets only (is_ended), or all of the folder. */
void priv_vm_files_remove(struct daemon *d, const char *name, bool is_ended);

struct spawn_wish {
	const char *name;
	uid_t uid; /* in the configured range */
	int sock; /* becomes fd 3 */
	int log; /* becomes stderr */
	int listener; /* is listened on again as the VMM, so that SO_PEERCRED names it */
	uint64_t memlock_bytes; /* 0: as it is */
};
int priv_vm_spawn(struct daemon *d, const struct spawn_wish *wish, pid_t *pid_out, int *pidfd_out,
		  struct err *e);

/* The cgroup of a VM that has ended. */
void priv_vm_cgroup_remove(struct daemon *d, const char *name);

#endif
