/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VIADUCT_BENCH_REFLECT_BIND_H
#define VIADUCT_BENCH_REFLECT_BIND_H

#include "base/err.h"

/* Runs `program FUNCTION`, which gives that PCI function to a driver of DPDK's, and waits for it. -EIO: it did not end well. */
int bind_with(const char *program, const char *function, struct err *e);

#endif
