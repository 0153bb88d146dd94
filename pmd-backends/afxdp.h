/* SPDX-License-Identifier: BSD-3-Clause */
/* What DPDK's AF_XDP driver has to be told, and does not tell (Linux, Documentation/networking/af_xdp.rst). */
#ifndef VIADUCT_PMD_BACKENDS_AFXDP_H
#define VIADUCT_PMD_BACKENDS_AFXDP_H

#include "base/err.h"

#include <sys/select.h>

/*
 * Into `args` the rest of the driver's arguments for a device: one queue, and libxdp's plain program, loaded as it is. The
 * library's own way of attaching asks the kernel for programs and maps by number, which takes CAP_SYS_ADMIN.
 * -ENOENT code "device-refused": the program's file is not there. -EBUSY: the device spreads what it receives over several
 * queues, of which one alone would reach us.
 */
int afxdp_args(const char *device, char *args, size_t cap, struct err *e);

/* The AF_XDP sockets of this process. */
void afxdp_sockets(fd_set *out);

/* Of the first socket that is not among `before`: does its device copy nothing? False if there is none. */
bool afxdp_is_zero_copy(const fd_set *before);

#endif
