/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an operator or a VM's start does on the host of crash_host.h, for the process that may die of it: what fails
 * ends it. The lease is "mine", on VF 0.
 */
#ifndef VIADUCT_TESTS_FAKE_CRASH_OPS_H
#define VIADUCT_TESTS_FAKE_CRASH_OPS_H

#include "tests/fake/crash_host.h"

#define VFS 2

extern const struct vf_attrs old_attrs, new_attrs, port_attrs;

void try_one(struct daemon *d);
void keep_one(struct daemon *d);
void trial_ends(struct daemon *d);
void apply_over_lease(struct daemon *d);
void apply_none(struct daemon *d);
void apply_one(struct daemon *d);
void apply_two(struct daemon *d);
void alloc(struct daemon *d);
void set_old(struct daemon *d);
void quarantine(struct daemon *d);
void set_new(struct daemon *d);
void start(struct daemon *d);
void start_on_lease(struct daemon *d);
void start_that_lives(struct daemon *d);
void end(struct daemon *d);
void release(struct daemon *d);
void lose_attrs(struct daemon *d);
void repair_attrs(struct daemon *d); /* as the monitor does it after its first look */
void own_link(struct daemon *d); /* the PF's driver has a link state of each VF */
void port_quarantine(struct daemon *d);
void port_unquarantine(struct daemon *d);
void settle_links(struct daemon *d); /* as the monitor; all can be */
void lower_link(struct daemon *d);
void intend(struct daemon *d);
void intend_attrs(struct daemon *d);
void another_boot(struct daemon *d);
void foreign_two(struct daemon *d); /* somebody else makes them, and gives VF 0 to an idle driver */
void adopt(struct daemon *d);
void self_test(struct daemon *d); /* the machine has no KVM and fails it */

#endif
