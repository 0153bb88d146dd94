/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the disks: disks_list.c (the VMs that have some), disks.c (what is wished of one), disks_sync.c (its process
 * brought to it), disks_view.c, and the alarms and metrics of them.
 */
#ifndef VIADUCT_VF_MANAGER_DISKS_CORE_H
#define VIADUCT_VF_MANAGER_DISKS_CORE_H

#include "vf-manager/backendproc.h"
#include "vf-manager/disks.h"
#include "vf-manager/pmd_disks.h"

#include "vmm/vmm_msg.h"

struct wish_disk {
	char name[PMD_PORT_TEXT];
	char socket[PMD_SOCKET_TEXT];
	char serial[PMD_SERIAL_TEXT];
	char path[PATH_MAX];
	struct image_id id;
	struct image_open how;
	unsigned int queues;
	struct disk_limits limits;
	int handle; /* O_PATH on the image: it is this one whatever its name; -1: not found yet */
	pid_t vmm; /* whose descriptors have it, too; 0: not known */
	bool is_stale; /* whether the process has heard of these limits is not known */
	struct err why; /* it is not there; errnum 0: nothing is known against it */
	uint64_t down_ns; /* since when nobody serves it; 0: somebody does */
	bool is_down; /* for so long that it is an alarm */
	bool is_counted; /* false: what the process has counted by now is of a daemon before */
	uint64_t errors, no_space; /* counted at the look before */
	uint64_t written; /* bytes, when a write last found no room */
	uint64_t errors_at,
		no_space_at; /* when they last grew, now_ns(); 0: never, or that is over */
	char io_error[PMD_DISK_NOTE]; /* of the last that failed, but for want of space */
	bool flush_failed; /* a process has said so: each later one is told, since it cannot know */
};

/* Those of a VM. `disks`, `status`: written under work and look, read under either. */
struct vm_disks {
	struct vm_disks *next;
	struct daemon *d;
	struct backend_proc p;
	struct wish_disk disks[VMM_MAX_DISKS];
	unsigned int count;
	bool is_left; /* its process was found without a row: it stays as long as a viaduct-vmm of that name does */
	struct pmd_disks status; /* of the last look; p.has_status: of this process */
	struct pmd_disks fresh;
};

struct disks {
	pthread_mutex_t list;
	struct vm_disks *first; /* written with op and list locked, read with either */
	bool is_watched; /* who is added from now on has a thread */
};

/* NULL: it has none. `name`: of a VM, or "VM/DISK". Op or list locked. */
struct vm_disks *vm_disks_find(struct daemon *d, const char *name);
/* The same, made if it is not there; its process is not looked for. Op locked. NULL: *e. */
struct vm_disks *vm_disks_make(struct daemon *d, const char *name, struct err *e);

/* With the list and each one's look locked; nothing in --oneshot. */
void vm_disks_each(struct daemon *d, void (*each)(struct vm_disks *b, void *arg), void *arg);

static inline void disks_work_lock(struct vm_disks *b)
{
	pthread_mutex_lock(&b->p.work);
}

static inline void disks_work_unlock(struct vm_disks *b)
{
	pthread_mutex_unlock(&b->p.work);
}

static inline void disks_look_lock(struct vm_disks *b)
{
	pthread_mutex_lock(&b->p.look);
}

static inline void disks_look_unlock(struct vm_disks *b)
{
	pthread_mutex_unlock(&b->p.look);
}

/* The process that listens at the control socket of a VM's folder, whatever the ledger says; 0: none. -1: nobody can tell. */
pid_t disks_vmm_find(const struct vm_disks *b);

/* Work locked in all of them. */

/* NULL: there is none. Under look, too. */
struct wish_disk *wish_disk_find(struct vm_disks *b, const char *name);

/* Asks the process for this disk, with a description of its own. */
int disk_sync_add(struct vm_disks *b, struct wish_disk *w, struct err *e);
int disk_sync_limit(struct vm_disks *b, struct wish_disk *w, struct err *e);

/* An open handle on its image, of its VMM. Code "image-lost". */
int disk_handle_find(struct vm_disks *b, struct wish_disk *w, struct err *e);

/* Asks for it once. What cannot be let go yet goes with the process, which ends with the VM. */
void disk_sync_remove(struct vm_disks *b, const char *name);

/* Starts what is wanted; asks nothing. True: it is up. */
bool disks_start_wanted(struct vm_disks *b);

/* The same, and a look: brings it to what is wished. Ends with the first answer that does not come, and after a few seconds. */
void disks_settle(struct vm_disks *b);

#endif
