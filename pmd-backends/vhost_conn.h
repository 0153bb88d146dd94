/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection to a VMM's socket: who listens there, and messages in and out, as they come. Nothing here waits: a VMM
 * that says half a message, or does not read its answers, keeps nobody.
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_CONN_H
#define VIADUCT_PMD_BACKENDS_VHOST_CONN_H

#include "pmd-backends/launch.h"
#include "pmd-backends/vhost_wire.h"

struct vhost_conn {
	int sock; /* -1: none */
	bool has_fd_out; /* one was sent, and had not been read when something was sent last */
	int pid; /* of who called listen() */
	struct vhost_message
		m; /* what comes in, and its fds, which are ours to close unless taken (-1) */
	size_t have; /* bytes of it */
	int fds[VHOST_MAX_FDS];
	size_t fd_count;
};

void vhost_conn_init(struct vhost_conn *c);
void vhost_conn_fini(struct vhost_conn *c); /* hangs up; again: nothing */

/* 0: connected, to root, our own uid or one of the guests'. -EPERM: to somebody else, and no longer. -EAGAIN: nobody listens
 * now. */
int vhost_conn_connect(struct vhost_conn *c, const char *path, const struct pmd_launch *launch,
		       struct err *e);

/* Takes what has come. 1: c->m is a whole message whose header was checked (vhost_header_check()), with c->fds; 0: not
 * yet. -EBADMSG; -ECONNRESET: the VMM has hung up. */
int vhost_conn_receive(struct vhost_conn *c, struct err *e);

/* Done with c->m: closes the fds that nobody took. */
void vhost_conn_next(struct vhost_conn *c);

/* Is an fd that was sent not read yet? */
bool vhost_conn_has_fd_out(struct vhost_conn *c);

/*
 * fd: to go with it, stays the caller's; -1: none. One that nobody has read counts to what all of our uid may have on their
 * way, in however many connections, so there is never a second one.
 */
int vhost_conn_send(struct vhost_conn *c, const struct vhost_message *m, int fd, struct err *e);

#endif
