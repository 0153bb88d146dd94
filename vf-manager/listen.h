/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's API socket: from systemd (socket activation), or made here.
 */
#ifndef VIADUCT_VF_MANAGER_LISTEN_H
#define VIADUCT_VF_MANAGER_LISTEN_H

#include "vf-manager/daemon.h"

/* -EADDRINUSE: another viaductd answers there. */
int api_listen(struct daemon *d, int *fd_out, struct err *e);

/* Somebody has removed the socket's file, or RUN_DIR, or its folder of VMs: nobody finds the daemon. */
bool api_listen_is_lost(const struct daemon *d, int listener);
/* What is missing is made again; `listener` is another socket then, non-blocking, under the same number. Those who wait at the former one
 * are accepted first, or lost. */
int api_listen_again(struct daemon *d, int listener, struct err *e);

/* The socket file, if it was made here. */
void api_listen_end(const struct daemon *d);

#endif
