/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The "disks" of the launch message and the fds that come with them (vmm_msg.h).
 */
#ifndef VIADUCT_VMM_SPEC_DISKS_H
#define VIADUCT_VMM_SPEC_DISKS_H

#include "vmm/spec.h"

/* Takes *fd as that disk's socket, or as its image; the caller has checked what kind of fd it is. */
int spec_disk_socket_take(struct vmm_spec *spec, const char *disk, int *fd, struct err *e);
int spec_disk_image_take(struct vmm_spec *spec, const char *disk, int *fd, struct err *e);

/* After every fd. */
int spec_disks_parse(struct vmm_spec *spec, const json_t *obj, struct err *e);

#endif
