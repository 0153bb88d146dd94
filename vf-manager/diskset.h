/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks of VMs, looked at and changed while they run. */
#ifndef VIADUCT_VF_MANAGER_DISKSET_H
#define VIADUCT_VF_MANAGER_DISKSET_H

#include "vf-manager/caller.h"
#include "vf-manager/daemon.h"

#include <jansson.h>

/* As `vm show` has them, with "vm". Of one VM, which need not run, or of all that run (vm NULL); of one disk, or of all
 * (disk NULL). State not locked; the caller owns *out. Codes "no-such-vm", "no-such-disk". */
int disks_list(struct daemon *d, const char *vm, const char *disk, json_t **out, struct err *e);

struct disk_wish {
	const char *vm, *disk;
	const struct caller *who;
	const json_t *words; /* "iops", "bandwidth"; "size" */
};

/* Op locked, state not. Limits that are not named stay. In the ledger before they are in force. */
int disk_set(struct daemon *d, const struct disk_wish *wish, struct err *e);

/* Op locked, state not. Makes the file larger with the caller's rights; a block device is as large as it is. The guest learns
 * it. Codes "disk-smaller", "disk-readonly", "image-lost", those of viaduct-pmd. */
int disk_resize(struct daemon *d, const struct disk_wish *wish, struct err *e);

#endif
