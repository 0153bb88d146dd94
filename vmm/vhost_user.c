// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vhost_user.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(sizeof(struct vhost_user_header) == 12, "on the wire");
static_assert(sizeof(struct vhost_user_vring_state) == 8, "on the wire");
static_assert(sizeof(struct vhost_user_vring_addr) == 40, "on the wire");
static_assert(sizeof(struct vhost_user_region) == 32, "on the wire");
static_assert(offsetof(struct vhost_user_memory, regions) == 8, "on the wire");
static_assert(sizeof(struct vhost_user_inflight) == 24, "on the wire");
static_assert(offsetof(struct vhost_user_inflight, queue_size) == 18, "on the wire");
static_assert(offsetof(struct vhost_user_config, bytes) == 12, "on the wire");
static_assert(sizeof(struct vhost_user_config) == 12 + VHOST_USER_CONFIG_BYTES, "on the wire");

#define ANSWER_FLAGS (VHOST_USER_VERSION | VHOST_USER_REPLY)

static const struct {
	uint32_t request;
	const char *name;
} names[] = {
	{ VHOST_USER_GET_FEATURES, "GET_FEATURES" },
	{ VHOST_USER_SET_FEATURES, "SET_FEATURES" },
	{ VHOST_USER_SET_OWNER, "SET_OWNER" },
	{ VHOST_USER_SET_MEM_TABLE, "SET_MEM_TABLE" },
	{ VHOST_USER_SET_VRING_NUM, "SET_VRING_NUM" },
	{ VHOST_USER_SET_VRING_ADDR, "SET_VRING_ADDR" },
	{ VHOST_USER_SET_VRING_BASE, "SET_VRING_BASE" },
	{ VHOST_USER_GET_VRING_BASE, "GET_VRING_BASE" },
	{ VHOST_USER_SET_VRING_KICK, "SET_VRING_KICK" },
	{ VHOST_USER_SET_VRING_CALL, "SET_VRING_CALL" },
	{ VHOST_USER_GET_PROTOCOL_FEATURES, "GET_PROTOCOL_FEATURES" },
	{ VHOST_USER_SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES" },
	{ VHOST_USER_GET_QUEUE_NUM, "GET_QUEUE_NUM" },
	{ VHOST_USER_SET_VRING_ENABLE, "SET_VRING_ENABLE" },
	{ VHOST_USER_NET_SET_MTU, "NET_SET_MTU" },
	{ VHOST_USER_SET_BACKEND_REQ_FD, "SET_BACKEND_REQ_FD" },
	{ VHOST_USER_GET_CONFIG, "GET_CONFIG" },
	{ VHOST_USER_GET_INFLIGHT_FD, "GET_INFLIGHT_FD" },
	{ VHOST_USER_SET_INFLIGHT_FD, "SET_INFLIGHT_FD" },
};

const char *vhost_user_request_name(uint32_t request)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].request == request)
			return names[i].name;
	return "a message";
}

void vhost_user_conn_init(struct vhost_user_conn *c, int sock)
{
	memset(c, 0, sizeof(*c));
	c->sock = sock;
}

void vhost_user_conn_fini(struct vhost_user_conn *c)
{
	for (unsigned int i = 0; i < c->fd_count; i++)
		fd_close(&c->fds[i]);
	c->fd_count = 0;
	c->have = 0;
}

int vhost_user_send(struct vhost_user_conn *c, const struct vhost_user_message *m, struct err *e)
{
	struct vhost_user_header header = {
		.request = m->request,
		.flags = VHOST_USER_VERSION | (m->wants_ack ? VHOST_USER_NEED_REPLY : 0),
		.size = m->size,
	};
	struct iovec iov[] = { { &header, sizeof(header) }, { (void *)&m->payload, m->size } };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS)];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = m->size != 0 ? 2 : 1 };
	ssize_t n;

	if (m->fd_count != 0) {
		struct cmsghdr *c0;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * m->fd_count);
		c0 = CMSG_FIRSTHDR(&msg);
		c0->cmsg_level = SOL_SOCKET;
		c0->cmsg_type = SCM_RIGHTS;
		c0->cmsg_len = CMSG_LEN(sizeof(int) * m->fd_count);
		memcpy(CMSG_DATA(c0), m->fds, sizeof(int) * m->fd_count);
	}
	n = sendmsg(c->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == (ssize_t)(sizeof(header) + m->size))
		return 0;
	return err_set(e, n < 0 ? errno : EIO, "%s cannot be sent: %s",
		       vhost_user_request_name(m->request),
		       n < 0 ? strerror(errno) : "the socket is full");
}

static void fds_keep(struct vhost_user_conn *c, struct msghdr *msg, bool *too_many)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (c->fd_count < VHOST_USER_FDS) {
				c->fds[c->fd_count++] = fd;
			} else {
				*too_many = true;
				fd_close(&fd);
			}
		}
	}
}

/* Reads at most up to `want` bytes in all. */
static int bytes_receive(struct vhost_user_conn *c, size_t want, struct err *e)
{
	struct iovec iov = { c->bytes + c->have, want - c->have };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS)];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	bool too_many = false;
	ssize_t n = recvmsg(c->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return err_set(e, errno, "its socket: %s", strerror(errno));
	if (n <= 0)
		return err_set(e, ECONNRESET, "it has closed the connection");
	fds_keep(c, &msg, &too_many);
	if (too_many || (msg.msg_flags & MSG_CTRUNC) != 0)
		return err_set(e, EBADMSG, "it sends more than %d fds", VHOST_USER_FDS);
	c->have += (size_t)n;
	return 0;
}

static int header_check(const struct vhost_user_header *h, const struct vhost_user_due *due,
			struct err *e)
{
	const char *name = vhost_user_request_name(due->request);

	if (h->request != due->request)
		return err_set(e, EBADMSG, "%s: the answer is to message %u", name, h->request);
	if (h->flags != ANSWER_FLAGS)
		return err_set(e, EBADMSG, "%s: the answer has flags 0x%x", name, h->flags);
	if (h->size != due->size)
		return err_set(e, EBADMSG, "%s: the answer has %u bytes, not %u", name, h->size,
			       due->size);
	return 0;
}

static void answer_take(struct vhost_user_conn *c, const struct vhost_user_due *due,
			struct vhost_user_message *m)
{
	*m = (struct vhost_user_message){ .request = due->request,
					  .size = due->size,
					  .fd_count = c->fd_count };
	memcpy(&m->payload, c->bytes + sizeof(struct vhost_user_header), due->size);
	memcpy(m->fds, c->fds, sizeof(m->fds));
	c->have = 0;
	c->fd_count = 0;
}

int vhost_user_receive(struct vhost_user_conn *c, const struct vhost_user_due *due,
		       struct vhost_user_message *m, struct err *e)
{
	const size_t head = sizeof(struct vhost_user_header);
	struct vhost_user_header h;
	/* Without one that is due c->have is 0: what comes is an error from its first byte on. */
	int r = bytes_receive(c, c->have < head ? head : head + due->size, e);

	if (r < 0)
		return r;
	if (due == NULL)
		return c->have == 0 ? 0 : err_set(e, EBADMSG, "it sends what nobody asked for");
	if (c->have < head)
		return 0;
	memcpy(&h, c->bytes, head);
	r = header_check(&h, due, e);
	if (r < 0)
		return r;
	if (c->have < head + due->size && due->size != 0)
		return 0;
	if (c->fd_count != due->fd_count)
		return err_set(e, EBADMSG, "%s: the answer has %u fds, not %u",
			       vhost_user_request_name(due->request), c->fd_count, due->fd_count);
	answer_take(c, due, m);
	return 1;
}

int vhost_user_channel_receive(int sock, bool *wants_ack, struct err *e)
{
	struct vhost_user_header h = { 0 };
	/* There is no room for fds: those that come are closed by the kernel. */
	ssize_t n = recv(sock, &h, sizeof(h), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return err_set(e, ECONNRESET, "it has closed its own channel");
	if (n != sizeof(h) || h.request != VHOST_USER_BACKEND_CONFIG_CHANGE ||
	    (h.flags & ~VHOST_USER_NEED_REPLY) != VHOST_USER_VERSION || h.size != 0)
		return err_set(e, EBADMSG, "it sends message %u through its own channel",
			       h.request);
	*wants_ack = (h.flags & VHOST_USER_NEED_REPLY) != 0;
	return 1;
}

void vhost_user_channel_ack(int sock)
{
	const struct {
		struct vhost_user_header h;
		uint8_t number[sizeof(uint64_t)];
	} answer = { .h = { VHOST_USER_BACKEND_CONFIG_CHANGE, ANSWER_FLAGS, sizeof(uint64_t) } };

	static_assert(sizeof(answer) == 20, "on the wire");
	/* Who does not read it does without. */
	(void)send(sock, &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
}
