/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One port of a VM file: the policy words, checked, and what they mean for a VF.
 */
#ifndef VIADUCT_VF_MANAGER_VMPORT_H
#define VIADUCT_VF_MANAGER_VMPORT_H

#include "vf-manager/vmspec.h"

struct vmfile_port;

#define PORT_GRACE_MS	  3000 /* what a port has that says nothing */
#define PORT_GRACE_MAX_MS 60000
#define PORT_MTU	  1500
#define PORT_RING	  256
#define PORT_RING_MIN	  64
#define PORT_STORM_MAX	  100000000

/* -EINVAL names the key; also what only the polled engine, which the port wants or may fall back to, cannot do. */
int vm_port_parse(const struct vmfile_port *in, struct vm_port *out, json_t *warnings,
		  struct err *e);

/* "5G", "100M": bits per second in powers of 1000, to whole Mbit/s. */
int rate_parse(const char *text, uint32_t *mbps);

const char *port_engine_text(enum port_engine engine); /* "vf", "polled", "auto" */
const char *port_trust_text(enum port_trust trust);

/* "3s", "500ms", "3": how long the guest keeps its carrier without a backend. -EINVAL. */
int grace_parse(const char *text, unsigned int *ms, struct err *e);

/* on_fault of a port or a whole function; NULL: not said, which is report. -EINVAL. */
int on_fault_parse(const char *text, enum on_fault *out, struct err *e);
const char *on_fault_text(enum on_fault on_fault);

json_t *vm_port_json(const struct vm_port *port);

/* The member names of API_VF "attributes"; members that the mask lacks are null. */
json_t *vf_attrs_json(const struct vf_attrs *attrs);

#endif
