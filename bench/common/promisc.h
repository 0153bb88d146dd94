/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The promiscuous mode of network devices that others use, too: what somebody has set stays set, and what is asked for here ends with the
 * process, however that ends. DPDK's drivers set and clear the one flag that the operator has.
 */
#ifndef VIADUCT_BENCH_COMMON_PROMISC_H
#define VIADUCT_BENCH_COMMON_PROMISC_H

#include <stdbool.h>

/* The device is promiscuous as long as this descriptor is open. Negative errno: it cannot be. */
int promisc_open(const char *iface);

/* Has somebody set it for good, as `ip link set IFACE promisc on` does? */
bool promisc_is_set(const char *iface);

#endif
