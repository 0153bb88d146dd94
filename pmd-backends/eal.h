/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's environment: started once for the process, with nothing but what the launch message gives. It takes no
 * PCI device by itself; lcore 0 is the calling thread and polls nothing, lcores 1 to n poll.
 */
#ifndef VIADUCT_PMD_BACKENDS_EAL_H
#define VIADUCT_PMD_BACKENDS_EAL_H

#include "pmd-backends/launch.h"

struct rte_mempool;

/* Packet memory that the switch, the ports and the uplinks share. */
int eal_start(const struct pmd_launch *launch, struct rte_mempool **pool, struct err *e);

/* After all lcores have ended and all devices are closed. */
void eal_stop(void);

#endif
