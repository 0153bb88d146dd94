/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One port of a VM file: the policy words, checked, and what they mean for a VF.
 */
#ifndef VIADUCT_VF_MANAGER_VMPORT_H
#define VIADUCT_VF_MANAGER_VMPORT_H

#include "vf-manager/vmspec.h"

struct vmfile_port;

/* -EINVAL names the key. Words of the polled engine are refused with code "not-yet". */
int vm_port_parse(const struct vmfile_port *in, struct vm_port *out, json_t *warnings,
		  struct err *e);

/* "5G", "100M": bits per second in powers of 1000, to whole Mbit/s. */
int rate_parse(const char *text, uint32_t *mbps);

json_t *vm_port_json(const struct vm_port *port);

/* The member names of API_VF "attributes"; members that the mask lacks are null. */
json_t *vf_attrs_json(const struct vf_attrs *attrs);

#endif
