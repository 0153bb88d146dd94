/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disks from the start of their VM to its end: image locked, listening socket, the VMM's "disks", the backend's disk. What is
 * known of one lies in its VM's facts, in the ledger from before anybody uses it: by that it is given to viaduct-pmd again
 * after a restart of either.
 *
 * Facts of a disk: {"name","path","readonly","serial","cache","queues","queue_size","boot":N|null,"iops","bandwidth","socket",
 * "dev","ino","direct":bool,"size":bytes,"warning":text|null}.
 */
#ifndef VIADUCT_VF_MANAGER_VMSTART_DISKS_H
#define VIADUCT_VF_MANAGER_VMSTART_DISKS_H

#include "vf-manager/vm.h"
#include "vf-manager/vmlaunch.h"

/* Op locked. Locks the images and makes the sockets; into the ledger as the facts of the VM that starts. Code "image-in-use"
 * names the VM that has it. start_disks_undo() takes it back. */
int start_disks_take(struct vm_start *s, struct err *e);

/* Op locked. viaduct-pmd has them when this returns, and connects to their sockets. */
int start_disks_add(struct vm_start *s, struct err *e);

/* Op locked; the VMM is gone or never was. */
void start_disks_undo(struct vm_start *s);

/* Ours of what the VMM now has. */
void start_disks_close(struct vm_start *s);

/* "disks" of the launch message; names and fds to those of the message. */
json_t *start_disks_json(const struct vm_start *s);
size_t start_disks_fds(const struct vm_start *s, json_t *names, int *fds);

json_t *start_disks_facts(const struct vm_start *s);

/* Op locked, state not; before the disks are started. Those of VMs that were found again. */
void disks_restore(struct daemon *d);

/* State locked. A disk of this VM, by name; NULL: there is none. Borrowed. */
json_t *vm_disk_find(const struct vm *vm, const char *name);

/* State not locked. Says which VM of ours has an image that cannot be had, code "image-in-use"; else *e stays as it is. */
int image_holder_say(struct daemon *d, const struct image_id *id, const char *path, struct err *e);

/* State not locked. For `vm check`: what the start would refuse, and a text for each image. What the VM itself has, if it runs, is no
 * matter. */
int vm_images_check(struct daemon *d, const struct vm_spec *spec, const struct vm_files *files,
		    json_t *steps, struct err *e);

/* For whoever hands in a VM file. Code "image-format"; else texts of what an open image is not. */
int vm_images_warn(const struct vm_spec *spec, const struct vm_files *files, json_t *warnings,
		   struct err *e);

#endif
