/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel knows of network devices, from /sys and /proc. */
#ifndef VIADUCT_BENCH_REFLECT_FACTS_H
#define VIADUCT_BENCH_REFLECT_FACTS_H

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * The answer to "devices", a new reference: "functions" ["0000:01:10.0"], PCI functions of class network, and "interfaces"
 * ["af-packet:eth0"], network devices of hardware, in order, both what "device" of a port takes; "devices"
 * [{"device":"0000:01:10.0","driver":"igbvf"|null,"net":["eth0"]}] says which is which.
 */
json_t *facts_devices(void);

/* Interrupts of a network device since the kernel started, of all its vectors and CPUs; false: it has no MSI vectors that
 * can be told apart. */
bool facts_interrupts(const char *device, uint64_t *out);

#endif
