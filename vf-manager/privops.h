/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that takes root, in one place: sysfs and rtnetlink writes, VFIO and KVM devices, and
 * the VMM processes (privops_spawn.c). Each operation checks its own arguments against the machine
 * again, whatever the caller has checked. Policy and ledger are the callers'. The caller holds `op`.
 */
#ifndef VIADUCT_VF_MANAGER_PRIVOPS_H
#define VIADUCT_VF_MANAGER_PRIVOPS_H

#include "vf-manager/daemon.h"
#include "vf-manager/irqlines.h"

#include "sriov/macfilter.h"
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

int priv_container_open(struct daemon *d, int *fd_out, struct err *e);
int priv_iommufd_open(struct daemon *d, int *fd_out, struct err *e);

/* The function's device file, bound to the iommufd: nobody else can have its group from now on, or bind it. */
int priv_cdev_open(struct daemon *d, const struct pci_addr *fn, int iommufd, int *fd_out,
		   struct err *e);
bool priv_cdev_is_there(struct daemon *d, const struct pci_addr *fn);

/* 0: nobody has a function that is on vfio-pci. Its group opens, which it does not while a device file of it is bound; or, in a
 * kernel without groups' files, its device file can be bound. */
int priv_fn_is_idle(struct daemon *d, const struct pci_addr *fn, struct err *e);

/* Until that is so: the last user's fds close with its process, which takes the kernel a moment. */
int priv_fn_idle_wait(struct daemon *d, const struct pci_addr *fn, struct err *e);
int priv_kvm_open(struct daemon *d, int *fd_out, struct err *e);

/* The kernel's vsock device, with that CID; op need not be held. -EADDRINUSE: somebody has it. It is not there: code "no-vsock". */
int priv_vsock_open(struct daemon *d, uint32_t cid, int *fd_out, struct err *e);
int priv_vsock_check(const struct daemon *d, struct err *e);
bool priv_vsock_is_there(const struct daemon *d);

/* Lets the kernel make hugepages of ordinary memory for all VMs and processes that are about to take some, as far as the pool has
 * none free: raises nr_overcommit_hugepages until priv_hugepages_settle() (privops_hugepages.c). They go back when the VM ends. Not
 * a promise: memory may be too fragmented, and the VMM falls back. Any thread; state not locked, here and in all that follow. */
void priv_hugepages_allow(struct daemon *d, uint64_t page_bytes);

/* The same for a viaduct-pmd that starts and is to have so much; 0 bytes: it has them, or has ended. */
void priv_hugepages_allow_pmd(struct daemon *d, uint64_t page_bytes, uint64_t bytes);

/* When a start or the daemon's part in it is over: nr_overcommit_hugepages is what it was again, unless somebody is about to take
 * pages. What is taken stays its owner's until he ends. */
void priv_hugepages_settle(struct daemon *d);

/* A pool that was changed in this boot: what it had before the first change, and what it was given last. */
struct hugepool_raise {
	uint64_t page_bytes;
	unsigned int node;
	uint64_t from, to;
};

/* How many, at most cap. */
unsigned int priv_hugepool_raises(struct daemon *d, struct hugepool_raise *out, unsigned int cap);

/* Op locked. Gives the pool's node so many pages; from: what it has without viaduct. The kernel does as much as it can: read
 * it back. */
int priv_hugepool_set(struct daemon *d, const struct config_hugepages *pool, uint64_t from,
		      uint64_t count, struct err *e);

/* The run folder of a VM with its sockets and files, all or nothing. One that an ended VM of that name left
 * is kept aside until it is restored (the new one goes) or dropped. */
struct vm_run_files {
	int listener, console, exit_record, console_log, console_log_old, log; /* -1 when closed */
	int hvc0;
	bool has_hvc0; /* set before they are made: the socket of a virtio console, too */
};
int priv_vm_files_make(struct daemon *d, const char *name, struct vm_run_files *out, struct err *e);
/* The console and its logs are the owner's alone from now on. */
int priv_vm_files_give(struct daemon *d, const char *name, uid_t owner, struct err *e);
void priv_vm_files_restore(struct daemon *d, const char *name);
void priv_vm_files_drop_kept(struct daemon *d, const char *name);
void vm_run_files_init(struct vm_run_files *files);
void vm_run_files_close(struct vm_run_files *files);
/* Those of a VM that runs, which the daemon must reach (runpaths.h). */
void vm_run_files_keep(struct daemon *d, const char *name);

/* Sockets only (is_ended), or all of the folder. */
void priv_vm_files_remove(struct daemon *d, const char *name, bool is_ended);

/* Of a VM's cgroup. */
struct vm_limits {
	unsigned int tasks; /* threads and processes; 0: no limit */
	unsigned int weight; /* cpu.weight, 1 to 10000; 0: not said, which is 100 */
	cpu_set_t cpus; /* where all of its threads stay; empty: anywhere */
};

struct spawn_wish {
	const char *name; /* NULL: it is no VM's, and stays in the daemon's cgroup */
	uid_t uid; /* in the configured range */
	int sock; /* becomes fd 3 */
	int log; /* becomes stderr */
	int listener; /* is listened on again as the VMM, so that SO_PEERCRED names it; -1: none */
	uint64_t memlock_bytes; /* 0: as it is */
	bool ends_with_thread; /* that started it: killed when that, or the daemon, has gone */
	bool is_pmd; /* viaduct-pmd, with its own uid, and cgroup "pmd-NAME" */
	uid_t kept_uid; /* of viaduct-pmd, from a configuration before; 0: none */
	gid_t group; /* that it is in beside its uid's own; 0: none */
	uint64_t caps; /* of viaduct-pmd: it keeps these, and the host's network */
	bool has_cookie; /* for core scheduling, of its own, if the host can */
	struct vm_limits limits;
};
int priv_vm_spawn(struct daemon *d, const struct spawn_wish *wish, pid_t *pid_out, int *pidfd_out,
		  struct err *e);

/* Takes the end of a child that has answered, or was killed: its wait status. One that does not end within 2 s is killed,
 * and not waited for (whatever keeps it in the kernel): 0. `what` for the log. */
int priv_child_end(pid_t pid, const char *what);

/* Has a viaduct-vmm without a VM test a VF that is on vfio-pci (privops_selftest.c); *result is a peer's word. At most
 * 20 s; when it returns, the process has ended, or was killed and hangs in the kernel: then the group does not open. */
int priv_selftest_run(struct daemon *d, const struct pci_addr *vf, uid_t uid, json_t **result,
		      struct err *e);

/* Runs viaduct-audit (privops_audit.c) with a request of iommu/audit_msg.h; the reply is a peer's word. Takes as long as it
 * takes, at most a minute; no lock held. Code "audit-failed". */
int priv_audit_run(struct daemon *d, const json_t *request, json_t **reply, struct err *e);

/* The host CPUs that may take this interrupt (privops_irq.c). -ENOENT: it is gone, or another's; -EIO: the kernel lets nobody
 * move it; -EINVAL: none of them is online; -ENOSPC: they have no room for it. */
int priv_irq_place(struct daemon *d, const struct irq_line *line, const cpu_set_t *cpus);

#define SCOPE_UNIT_TEXT 96

/* Moves the VMM's process from its cgroup into a scope of systemd's with the same limits (privops_scope.c); unit is its
 * name, "" where systemd is not PID 1. On failure the process stays where it is, which is as good for the VM. */
int priv_vm_scope_make(struct daemon *d, const struct spawn_wish *wish, pid_t pid,
		       char unit[SCOPE_UNIT_TEXT], struct err *e);

/* The same for viaduct-pmd. */
int priv_backend_scope_make(struct daemon *d, const char *name, pid_t pid,
			    char unit[SCOPE_UNIT_TEXT], struct err *e);

/* Is this text of /proc/PID/cgroup that of a process in the unit? */
bool priv_vm_scope_has(const char *cgroup_text, const char *unit);

/* The cgroup in which the process is to begin, with its limits; an fd of its cgroup.procs. -1: there are none here (no cgroup2, not
 * writable), and it begins in the daemon's. */
int priv_cgroup_open(const struct daemon *d, const struct spawn_wish *wish);

/* {"tasks","cpu_weight","cpus"} as the kernel has them of the process's cgroup; null: no limit. */
json_t *priv_vm_limits_json(const struct daemon *d, pid_t pid);

/* The cgroup of a VM, or of viaduct-pmd, that has ended or is in a scope. */
void priv_vm_cgroup_remove(struct daemon *d, const char *name);
void priv_backend_cgroup_remove(struct daemon *d, const char *name);

/* viaduct-pmd's run folder RUN_DIR/pmd/NAME, which root alone changes and the group may pass through; its control socket,
 * which listens, and its log, which is appended to (privops_backend.c). */
struct backend_files {
	int listener, log; /* -1 when closed */
};
int priv_backend_files_make(struct daemon *d, const char *name, gid_t gid,
			    struct backend_files *out, struct err *e);

/* "net0", or "disk-" and the name of a VM, which may be as long as one may be; else -EINVAL, -ERANGE. */
int backend_name_parse(const char *name);

/* "RUN_DIR/pmd/NAME" and "RUN_DIR/pmd/NAME/FILE" ("" for the folder). Returns buf. */
#define BACKEND_PATH_TEXT 512
char *backend_path(const struct daemon *d, const char *name, const char *file,
		   char buf[BACKEND_PATH_TEXT]);

/* The folder alone. */
int priv_backend_folder_make(struct daemon *d, const char *name, gid_t gid, struct err *e);
/* With all that is in it; in one that is not of a VM sockets stay, and the folder with them. */
void priv_backend_folder_remove(struct daemon *d, const char *name);

/* A port's socket of that path in that folder: only uid and root may connect. -ENAMETOOLONG. */
int priv_backend_listen(struct daemon *d, const char *path, uid_t uid, int *fd_out, struct err *e);

/* The addresses that a PF takes beside its own (privops_filter.c): mac_filter_*() with what they return. The device must have
 * index and name. Op need not be held. -ENODEV: it is not there any more. */
struct filter_dev {
	unsigned int ifindex;
	const char *name;
};
int priv_filter_read(struct daemon *d, const struct filter_dev *dev, struct mac_filter *out,
		     struct err *e);
int priv_filter_add(struct daemon *d, const struct filter_dev *dev, const uint8_t mac[6],
		    struct err *e);
int priv_filter_del(struct daemon *d, const struct filter_dev *dev, const uint8_t mac[6],
		    struct err *e);

/* The file of the function's group is the uid's; 0: root's again. */
int priv_group_give(struct daemon *d, const struct pci_addr *fn, uid_t uid, struct err *e);

#endif
