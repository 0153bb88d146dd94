/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages between viaduct's own processes: one JSON object per SOCK_SEQPACKET datagram, with up
 * to SEQMSG_FDS file descriptors as SCM_RIGHTS. The peer is not trusted: sizes, nesting and fd counts are
 * bounded, received fds are close-on-exec and closed again when the message is refused.
 */
#ifndef VIADUCT_BASE_SEQMSG_H
#define VIADUCT_BASE_SEQMSG_H

#include "base/err.h"

#include <jansson.h>

/* The statistics of 254 vCPUs with numbers of 19 digits are 140 KiB. A datagram must fit the socket's send buffer, whose
 * default is 208 KiB (net.core.wmem_default). */
#define SEQMSG_BYTES 196608
#define SEQMSG_FDS   96

struct seqmsg {
	json_t *body; /* an object; owned */
	int fds[SEQMSG_FDS]; /* owned until taken with fd_take() */
	size_t fd_count;
};

/* Drops the body and closes every fd that was not taken. */
void seqmsg_fini(struct seqmsg *m);
#define auto_seqmsg __attribute__((cleanup(seqmsg_fini)))

/* Sends body (borrowed) and fds (the caller keeps its copies). 0 or -errno; -EMSGSIZE if too large. */
int seqmsg_send(int sock, const json_t *body, const int *fds, size_t fd_count);

/* Receives one message into *m (any content of which is overwritten, not freed).
 * 0; -ECONNRESET when the peer has closed; -EAGAIN on a non-blocking socket or a receive time-out;
 * -EBADMSG when it is no object, truncated or carries too many fds. */
int seqmsg_recv(int sock, struct seqmsg *m);

/* recv with a deadline of timeout_ms (-1: none): -ETIMEDOUT. */
int seqmsg_recv_timeout(int sock, struct seqmsg *m, int timeout_ms);

/* A bound and listening SOCK_SEQPACKET or SOCK_STREAM Unix socket at path (a stale socket file is
 * replaced, anything else refused); mode as for chmod. Non-blocking and close-on-exec. */
int unix_listen(const char *path, int type, unsigned int mode, int *fd_out, struct err *e);

/* -EAGAIN within seconds if the listener's queue stays full. */
int unix_connect(const char *path, int type, int *fd_out, struct err *e);

#endif
