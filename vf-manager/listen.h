/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's API socket: from systemd (socket activation), or made here.
 */
#ifndef VIADUCT_VF_MANAGER_LISTEN_H
#define VIADUCT_VF_MANAGER_LISTEN_H

#include "vf-manager/daemon.h"

/* -EADDRINUSE: another viaductd answers there. */
int api_listen(const struct daemon *d, int *fd_out, struct err *e);

/* The socket file, if it was made here. */
void api_listen_end(const struct daemon *d);

#endif
