/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disks of VMs as the daemon keeps them: one viaduct-pmd of role "block" ("disk0") and what it should serve. It runs while a VM
 * has disks, is given all of them again whenever it starts, and is found again after a restart of the daemon. Each process
 * gets an open file description of its own of every image, made of the same inode whatever became of its name.
 *
 * Locks as in backend.h: op, then the instance's `work`, then state; `look` innermost.
 */
#ifndef VIADUCT_VF_MANAGER_DISKS_H
#define VIADUCT_VF_MANAGER_DISKS_H

#include "vf-manager/daemon.h"
#include "vf-manager/vmimage.h"

#include "pmd-backends/pmd_msg.h"

#include <jansson.h>

#define DISKS_BACKEND "disk0"
#define DISKS_UIDS    3U /* of the range: below that there is none for the process */

/* Makes what remembers; starts nothing. */
int disks_create(struct daemon *d, struct err *e);
/* Op locked, state not; when the disks of VMs that were found again are restored. Finds the process of the daemon before, and
 * watches from then on. */
int disks_start(struct daemon *d, struct err *e);
/* NULL-safe, both. The process goes on. */
void disks_stop(struct daemon *d);
void disks_destroy(struct daemon *d);

/* The uid of its viaduct-pmd, which no VM may have; 0: the range is too small for one. */
uid_t disks_uid(const struct config *config);

/* That of the process that there is: while VMs with disks run it is the one that they were told. Any lock may be held. */
uid_t disks_uid_now(struct daemon *d);
/* May a VM with this uid be served by it? Code "backend-down". */
int disks_guest_check(struct daemon *d, uid_t uid, struct err *e);

/* Listening sockets for VMMs, as of backend_listener_make(). Op locked. */
int disk_listener_make(struct daemon *d, char path[PMD_SOCKET_TEXT], int *fd_out, struct err *e);
void disk_listener_remove(struct daemon *d, const char *path);

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
};

/* Op locked, state not. Starts the process if it is not up, and returns when it has the disk; from then on it comes back with
 * every process until it is removed. On failure nothing has changed. Codes "backend-down", "disk-exists", viaduct-pmd's own.
 * At most 60 s, should it have to start. */
int disk_add(struct daemon *d, const struct disk_want *want, struct err *e);

/* Before disks_start(). Only remembered. */
int disk_restore(struct daemon *d, const struct disk_want *want, struct err *e);

/* Op locked, state not; the VMM is gone. Requests that hang in the kernel keep the process's disk for longer: it is asked again
 * with every look. The socket is gone when this returns. */
void disk_remove(struct daemon *d, const char *name);
/* The same for all whose name begins with "VM/". */
void disks_remove_vm(struct daemon *d, const char *vm);

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
 * connected or running; "size", "direct", "error", "io_error", "stats":{COUNTER:N}. */
void disk_view_add(struct daemon *d, const char *name, json_t *out);

/* The process: {"name","state","pid","restarts","disks":N,"problem"?}; a new reference. */
json_t *disks_backend_json(struct daemon *d);

#endif
