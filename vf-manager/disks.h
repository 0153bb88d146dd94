/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disks of VMs as the daemon keeps them: for each VM that has some a viaduct-pmd of role "block" ("disk-VM"), and what it should
 * serve. It runs while the VM does, is given all of them again whenever it starts, and is found again after a restart of the
 * daemon. Each process gets an open file description of its own of every image, made of the same inode whatever became of its
 * name.
 *
 * Locks as in backend.h: op, then an instance's `work`, then state, then that of the list; `look` innermost. Instances come and
 * go with op locked; whoever has it not looks at them with the list locked.
 */
#ifndef VIADUCT_VF_MANAGER_DISKS_H
#define VIADUCT_VF_MANAGER_DISKS_H

#include "vf-manager/daemon.h"
#include "vf-manager/vmimage.h"

#include "pmd-backends/pmd_msg.h"

#include <jansson.h>

#define DISKS_BACKEND "disk-" /* and the name of the VM */
#define DISKS_UIDS    3U /* of the range: below that there is none for the processes */

/* Whose disks a viaduct-pmd of this name serves, which is the end of it; "": no VM's. */
const char *disks_backend_vm(const char *name);

/* Makes what remembers; starts nothing. */
int disks_create(struct daemon *d, struct err *e);
/* Op locked, state not; when the disks of VMs that were found again are restored. Finds the processes of the daemon before, ends
 * those that nobody needs any more, and watches from then on. */
int disks_start(struct daemon *d, struct err *e);
/* NULL-safe, both. The processes go on. */
void disks_stop(struct daemon *d);
void disks_destroy(struct daemon *d);

/* The uid of their viaduct-pmd, which no VM may have; 0: the range is too small for one. */
uid_t disks_uid(const struct config *config);

/* Has a process that there is this one? While its VM runs it keeps the one that the VM was told. Look not locked. */
bool disks_have_uid(struct daemon *d, uid_t uid);
/* Was one that has not ended made for a VM of this uid? It may pass through the run folder of the next one of that. */
bool disks_have_guest(struct daemon *d, uid_t uid);

/* Op locked. A VM with disks starts, its VMM with the uid `guest`: what is left of the viaduct-pmd of its former run is ended, and
 * *uid is that of the next. Code "backend-down": it does not end. */
int disks_open(struct daemon *d, const char *vm, uid_t guest, uid_t *uid, struct err *e);

/* Listening sockets for its VMM, as of backend_listener_make(). Op locked, after disks_open(). */
int disk_listener_make(struct daemon *d, const char *vm, char path[PMD_SOCKET_TEXT], int *fd_out,
		       struct err *e);
void disk_listener_remove(struct daemon *d, const char *vm, const char *path);

struct disk_want {
	const char *name; /* "VM/DISK" */
	const char *socket; /* of disk_listener_make() */
	const char *serial;
	struct image_id id;
	struct image_open how;
	unsigned int queues;
	uint64_t iops, bandwidth; /* 0: no limit */
	int image; /* open on it; not taken. -1 (restore): to be found */
	const char *path; /* restore: where it was; else NULL */
	pid_t vmm; /* restore: who has it open, too */
	uid_t guest; /* restore: of that */
};

/* Op locked, state not. Starts the VM's process if it is not up, and returns when it has the disk; from then on it comes back with
 * every process until it is removed. On failure nothing has changed. Codes "backend-down", "disk-exists", viaduct-pmd's own.
 * At most 60 s, should it have to start. */
int disk_add(struct daemon *d, const struct disk_want *want, struct err *e);

/* Before disks_start(). Only remembered. */
int disk_restore(struct daemon *d, const struct disk_want *want, struct err *e);

/* Op locked, state not; the VMM is gone. The socket is gone when this returns, and so is the disk, unless requests of it hang in
 * the kernel. With its last disk the VM's process ends, for which nobody waits. */
void disk_remove(struct daemon *d, const char *name);
/* The same for all of a VM. */
void disks_remove_vm(struct daemon *d, const char *vm);
/* Then, of a VM that is deleted: its process has ended, and its log and folder are gone, unless the kernel keeps the process; then
 * they go later, as another VM's disks are opened. */
void disks_forget_vm(struct daemon *d, const char *vm);

/* Op locked, state not. Both limits; a process that is away has them when it is back. Code "no-such-disk". */
struct disk_limits {
	uint64_t iops, bandwidth;
};
int disk_limit(struct daemon *d, const char *name, const struct disk_limits *limits, struct err *e);

/* Op locked, state not. A handle (O_PATH) on its image, for whoever may make it larger; the caller's. Codes "no-such-disk",
 * "image-lost". */
int disk_image(struct daemon *d, const char *name, int *fd_out, struct err *e);
/* What it is now is what the guest shall see. *size: bytes. Codes "no-such-disk", "backend-down". */
int disk_resized(struct daemon *d, const char *name, uint64_t *size, struct err *e);

/* As of the last look, a second ago at most. Any lock may be held. Into facts of the disk: "state": absent, locked, waiting,
 * connected or running; "backend":{"name","state","pid":N|null,"restarts"}, "size", "direct", "error", "io_error",
 * "stats":{COUNTER:N}. */
void disk_view_add(struct daemon *d, const char *name, json_t *out);

#endif
