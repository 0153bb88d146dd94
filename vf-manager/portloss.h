/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports of running VMs whose VF is gone: its PF's driver was unloaded, somebody wrote sriov_numvfs, the card was
 * pulled. The VM lives on without it, and says so until it ends (member "lost" of the port, alarm port-lost).
 */
#ifndef VIADUCT_VF_MANAGER_PORTLOSS_H
#define VIADUCT_VF_MANAGER_PORTLOSS_H

#include "vf-manager/vm.h"

/* State locked. The port that is the row's owner has lost the row's VF: into its VM's facts, and an event. */
void port_lost(struct daemon *d, const struct vf_row *row);

/* "wan (0000:01:10.0), lan (0000:01:10.2)": the ports of the VM that have lost their VF; "" if none has. Returns buf. */
#define PORTS_LOST_TEXT 256
char *ports_lost_text(const struct vm *vm, char buf[PORTS_LOST_TEXT]);

#endif
