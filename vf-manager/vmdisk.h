/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disks of a VM file: text to checked values. Pure; the images themselves are looked at by vmimage.h.
 */
#ifndef VIADUCT_VF_MANAGER_VMDISK_H
#define VIADUCT_VF_MANAGER_VMDISK_H

#include "vf-manager/vmfile.h"
#include "vf-manager/vmspec.h"

#define DISK_QUEUES   4 /* where the file says nothing, and there are as many vCPUs */
#define DISK_RING     256
#define DISK_RING_MIN 64

/* `disks` and `boot.order`, behind the rest of the file. -EINVAL or -ERANGE names disk, key and value. */
int vm_disks_parse(const struct vmfile *file, const char *base_dir, struct vm_spec *out,
		   struct err *e);

/* `cloud_init`, behind the disks: its seed is one of them, the last. -EINVAL names the key. */
int vm_cloud_parse(const struct vmfile *file, const char *base_dir, struct vm_spec *out,
		   struct err *e);

/* For `vm check`: a list; a new reference. */
json_t *vm_disks_json(const struct vm_spec *spec);

/* Limits as texts, of a file or a command: operations a second up to PMD_MAX_IOPS; bytes a second as a size. -EINVAL or
 * -ERANGE names the key. */
int disk_iops_check(uint64_t iops, struct err *e);

#endif
