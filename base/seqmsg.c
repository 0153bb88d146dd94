// SPDX-License-Identifier: BSD-3-Clause
#include "base/seqmsg.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_WAIT_S 2
#define LISTEN_QUEUE   128 /* as many may come at once */

void seqmsg_fini(struct seqmsg *m)
{
	for (size_t i = 0; i < m->fd_count; i++)
		fd_close(&m->fds[i]);
	m->fd_count = 0;
	json_decref(m->body);
	m->body = NULL;
}

int seqmsg_send(int sock, const json_t *body, const int *fds, size_t fd_count)
{
	char control[CMSG_SPACE(sizeof(int) * SEQMSG_FDS)];
	auto_free char *text = json_dumps(body, JSON_COMPACT);
	struct iovec iov = { .iov_base = text };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (text == NULL)
		return -EINVAL;
	iov.iov_len = strlen(text);
	if (iov.iov_len > SEQMSG_BYTES || fd_count > SEQMSG_FDS)
		return -EMSGSIZE;
	if (fd_count > 0) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	for (;;) {
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		return n < 0 ? -errno : 0;
	}
}

static void fds_collect(struct msghdr *msg, struct seqmsg *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count && m->fd_count < SEQMSG_FDS; i++)
			memcpy(&m->fds[m->fd_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
}

int seqmsg_recv(int sock, struct seqmsg *m)
{
	char control[CMSG_SPACE(sizeof(int) * SEQMSG_FDS)];
	auto_free char *buf = malloc(SEQMSG_BYTES);
	struct iovec iov = { .iov_base = buf, .iov_len = SEQMSG_BYTES };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	memset(m, 0, sizeof(*m));
	if (buf == NULL)
		return -ENOMEM;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fds_collect(&msg, m);
	if (n == 0 && m->fd_count == 0)
		return -ECONNRESET;
	/* Jansson bounds the nesting itself (JSON_PARSER_MAX_DEPTH). */
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
		m->body = json_loadb(buf, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(m->body)) {
		seqmsg_fini(m);
		return -EBADMSG;
	}
	return 0;
}

int seqmsg_recv_timeout(int sock, struct seqmsg *m, int timeout_ms)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	uint64_t end = now_ns() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000;
	int n;

	memset(m, 0, sizeof(*m));
	do {
		uint64_t now = now_ns();
		int left = timeout_ms < 0 ? -1 : now >= end ? 0 : (int)((end - now) / 1000000 + 1);

		n = poll(&p, 1, left);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : seqmsg_recv(sock, m);
}

static int sockaddr_fill(struct sockaddr_un *sa, const char *path, struct err *e)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sa->sun_path))
		return err_set(e, ENAMETOOLONG, "socket path %s is longer than %zu characters",
			       path, sizeof(sa->sun_path) - 1);
	memcpy(sa->sun_path, path, strlen(path));
	return 0;
}

int unix_listen(const char *path, int type, unsigned int mode, int *fd_out, struct err *e)
{
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	struct stat st;
	int r = sockaddr_fill(&sa, path, e);

	if (r < 0)
		return r;
	if (fd < 0)
		return err_set(e, errno, "socket: %s", strerror(errno));
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(e, EEXIST, "%s exists and is no socket", path);
		unlink(path);
	}
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_set(e, errno, "bind %s: %s", path, strerror(errno));
	if (chmod(path, mode) < 0 || listen(fd, LISTEN_QUEUE) < 0) {
		r = err_set(e, errno, "listen on %s: %s", path, strerror(errno));
		unlink(path);
		return r;
	}
	*fd_out = fd_take(&fd);
	return 0;
}

int unix_connect(const char *path, int type, int *fd_out, struct err *e)
{
	/* Bounds the wait for room in the listener's queue: whoever listens may never accept. */
	const struct timeval patience = { .tv_sec = CONNECT_WAIT_S }, no_limit = { 0 };
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	int r = sockaddr_fill(&sa, path, e);

	if (r < 0)
		return r;
	if (fd < 0)
		return err_set(e, errno, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_set(e, errno, "connect to %s: %s", path,
			       errno == EAGAIN ? "nobody takes the connection" : strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &no_limit, sizeof(no_limit));
	*fd_out = fd_take(&fd);
	return 0;
}
