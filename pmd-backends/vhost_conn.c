// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_conn.h"

#include "pmd-backends/vhost_check.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD sizeof(struct vhost_header)

void vhost_conn_init(struct vhost_conn *c)
{
	memset(c, 0, sizeof(*c));
	c->sock = -1;
}

void vhost_conn_next(struct vhost_conn *c)
{
	for (size_t i = 0; i < c->fd_count; i++)
		fd_close(&c->fds[i]);
	c->fd_count = 0;
	c->have = 0;
	memset(&c->m, 0, sizeof(c->m));
}

void vhost_conn_fini(struct vhost_conn *c)
{
	vhost_conn_next(c);
	fd_close(&c->sock);
	c->has_fd_out = false;
	c->pid = 0;
}

static int peer_check(struct vhost_conn *c, const char *path, const struct pmd_launch *launch,
		      struct err *e)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (getsockopt(c->sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(e, EPERM, "who listens at %s cannot be told", path);
	if (cred.uid != 0 && cred.uid != getuid() &&
	    (cred.uid < launch->guest_uid_first ||
	     cred.uid - launch->guest_uid_first >= launch->guest_uid_count))
		return err_set(e, EPERM, "process %d of uid %u listens at %s, which is no guest's",
			       cred.pid, cred.uid, path);
	c->pid = cred.pid;
	return 0;
}

int vhost_conn_connect(struct vhost_conn *c, const char *path, const struct pmd_launch *launch,
		       struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int r = 0;

	if ((size_t)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path) >= sizeof(to.sun_path))
		return err_set(e, ENAMETOOLONG, "%s is too long a path for a socket", path);
	c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->sock < 0)
		return err_set(e, errno, "a socket: %s", strerror(errno));
	/* Where the VMM's queue is full, or nobody listens (yet), it is tried again. */
	if (connect(c->sock, (struct sockaddr *)&to, sizeof(to)) < 0)
		r = errno == EAGAIN || errno == ENOENT || errno == ECONNREFUSED
			    ? -EAGAIN
			    : err_set(e, errno, "%s: %s", path, strerror(errno));
	else
		r = peer_check(c, path, launch, e);
	if (r < 0)
		vhost_conn_fini(c);
	return r;
}

/* All of them are ours, also those for which there is no room. */
static bool fds_keep(struct vhost_conn *c, struct msghdr *msg)
{
	bool fits = (msg->msg_flags & MSG_CTRUNC) == 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (c->fd_count < VHOST_MAX_FDS) {
				c->fds[c->fd_count++] = fd;
				continue;
			}
			fd_close(&fd);
			fits = false;
		}
	}
	return fits;
}

/* Reads at most up to `want` bytes of the message. 1: they are there. */
static int bytes_receive(struct vhost_conn *c, size_t want, struct err *e)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_MAX_FDS)];
	} control;
	uint8_t *at = c->have < HEAD ? (uint8_t *)&c->m.h + c->have
				     : c->m.payload.bytes + (c->have - HEAD);
	struct iovec iov = { at, want - c->have };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(c->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	c->have += (size_t)n;
	if (!fds_keep(c, &msg))
		return err_set(e, EBADMSG, "more fds than any message has");
	return c->have == want;
}

int vhost_conn_receive(struct vhost_conn *c, struct err *e)
{
	int r = c->have < HEAD ? bytes_receive(c, HEAD, e) : 1;

	if (r <= 0)
		return r;
	r = vhost_header_check(&c->m.h, e);
	if (r < 0)
		return r;
	/* Never more than one message: a message's fds come with its first byte. */
	return c->m.h.size == 0 ? 1 : bytes_receive(c, HEAD + c->m.h.size, e);
}

bool vhost_conn_has_fd_out(struct vhost_conn *c)
{
	int unread = 0; /* bytes, with what the kernel needs for them */

	if (c->has_fd_out)
		c->has_fd_out = ioctl(c->sock, SIOCOUTQ, &unread) == 0 && unread > 0;
	return c->has_fd_out;
}

int vhost_conn_send(struct vhost_conn *c, const struct vhost_message *m, int fd, struct err *e)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov[] = { { (void *)&m->h, HEAD }, { (void *)&m->payload, m->h.size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };

	if (vhost_conn_has_fd_out(c) && fd >= 0)
		return err_set(e, EPROTO, "it does not read its answers");
	if (fd >= 0) {
		struct cmsghdr *h;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	if (sendmsg(c->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(HEAD + m->h.size)) {
		c->has_fd_out |= fd >= 0;
		return 0;
	}
	if (errno == EPIPE || errno == ECONNRESET)
		return -ECONNRESET;
	return err_set(e, EPROTO, "it does not read its answers");
}
