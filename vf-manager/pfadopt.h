/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking foreign VFs in: those that somebody else has made, and those of viaduct's that a driver of the host has.
 */
#ifndef VIADUCT_VF_MANAGER_PFADOPT_H
#define VIADUCT_VF_MANAGER_PFADOPT_H

#include "vf-manager/daemon.h"

/*
 * Op locked. All foreign VFs of the PF, or none: -EBUSY code "adopt-in-use" names the first that the host uses (a network
 * device that is up or has addresses, a mounted namespace, a driver whose use cannot be seen, a VFIO group that
 * somebody holds) and how to end that. Each is wiped before it is free; one that cannot be is quarantined. A
 * crash leaves VFs foreign, or makes them free or quarantined at the next start; the same command again goes on.
 */
int pf_adopt(struct daemon *d, const char *name, uid_t uid, struct err *e);

#endif
