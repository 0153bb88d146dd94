/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VIADUCT_BENCH_REFLECT_BIND_H
#define VIADUCT_BENCH_REFLECT_BIND_H

#include "base/err.h"

/* Takes a PCI function from the driver that it is with, if any, and gives it to another that is loaded (driver_override,
 * Documentation/ABI/testing/sysfs-bus-pci). `function` is a checked address. */
int bind_to(const char *function, const char *driver, struct err *e);

#endif
