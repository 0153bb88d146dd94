/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a port asks for and a PF's driver is known not to be able to do: said before anything is touched, with the word as
 * the operator wrote it and the driver's name. What is not known here is tried at the start and read back (sriov/vfattr.h).
 */
#ifndef VIADUCT_VF_MANAGER_PORTFIT_H
#define VIADUCT_VF_MANAGER_PORTFIT_H

#include "vf-manager/vmspec.h"

#include "base/err.h"

struct port_pf {
	const char *name; /* of its network device, or its address */
	const char *driver; /* "": none */
	unsigned int mtu; /* 0: not known */
};

/* -EOPNOTSUPP code "attr-unsupported"; -EINVAL code "mtu-too-large": more than the PF's. */
int port_fit_check(const struct vm_port *port, const struct port_pf *pf, struct err *e);

#endif
