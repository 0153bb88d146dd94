/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The small virtio devices of a VM: rng, virtio_console and vsock of its file, what the host needs for them, what the VMM gets, and
 * the list "virtio" of `vm show`.
 */
#ifndef VIADUCT_VF_MANAGER_VMEXTRA_H
#define VIADUCT_VF_MANAGER_VMEXTRA_H

#include "vf-manager/vm.h"
#include "vf-manager/vmfile.h"
#include "vf-manager/vmlaunch.h"

#define VM_HVC0 "hvc0" /* its name as a console's port */

int vm_extras_parse(const struct vmfile *file, struct vm_spec *out, struct err *e);

/* Its members of `vm check`, or of the launch message (cid: what the VM has got). */
void vm_extras_json(const struct vm_spec *spec, uint32_t cid, json_t *to);

/* What the host lacks: code "no-vsock"; or another VM has the CID: "vsock-cid-in-use". */
int vm_extras_check(struct daemon *d, const struct vm_spec *spec, struct err *e);

/* Opens the kernel's vsock device and gives it a CID, that of the file or one that nobody has. Without a vsock: nothing. */
int start_extras_open(struct vm_start *s, struct err *e);

/* "virtio" of the facts; and what the VMM, a peer, says of it now (status NULL: it says nothing). */
json_t *vm_extras_facts(const struct vm_start *s);
void vm_extras_add_live(json_t *vm, const json_t *status);

/* The socket of a running VM's console: its serial one (port NULL), or hvc0. State locked. -ENOENT code "no-virtio-console". */
int vm_console_path(const struct daemon *d, const struct vm *vm, const char *port,
		    char path[VM_PATH_TEXT], struct err *e);

#endif
