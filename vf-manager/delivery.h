/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a function's interrupts can reach a running vCPU on this host: posted (the IOMMU puts them into
 * the vCPU's APIC page, nobody exits) or remapped (the host's CPU takes them, and a running guest
 * exits). Read from what KVM's module and the IOMMU of the function say; not readable is unknown, never
 * guessed. KVM may still do without posting for one VM: a count of 0 is proof, this is posture.
 */
#ifndef VIADUCT_VF_MANAGER_DELIVERY_H
#define VIADUCT_VF_MANAGER_DELIVERY_H

#include "base/util.h"

enum delivery { DELIVERY_UNKNOWN, DELIVERY_REMAPPED, DELIVERY_POSTED };

const char *delivery_name(enum delivery d);

/* sysfs_fd: /sys, or a folder of its shape. addr: the function's, as sysfs spells it. why: for people. */
enum delivery delivery_read(int sysfs_fd, const char *addr, char why[128]);

#endif
