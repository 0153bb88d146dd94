// SPDX-License-Identifier: BSD-3-Clause
#include "base/control.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

struct control {
	struct control_target target;
	uid_t uid; /* whose connections are taken, beside root's */
	int conns[CONTROL_CONNECTIONS]; /* -1: free */
};

json_t *control_reply_ok(int version, json_t *result)
{
	struct err e = { 0 };

	if (result != NULL)
		return json_pack("{s:i, s:b, s:o}", "v", version, "ok", 1, "result", result);
	err_set(&e, ENOMEM, "out of memory");
	return control_reply_err(version, &e);
}

json_t *control_reply_err(int version, const struct err *e)
{
	return json_pack("{s:i, s:b, s:o}", "v", version, "ok", 0, "error", json_from_err(e));
}

int control_head_parse(const json_t *body, int version, char op[CONTROL_OP_TEXT], struct err *e)
{
	uint64_t theirs = 0;
	int r = json_get_u64(body, "v", UINT32_MAX, &theirs, e);

	if (r == 0)
		r = json_get_str(body, "op", op, CONTROL_OP_TEXT, e);
	if (r < 0 || theirs == (uint64_t)version)
		return r;
	err_set(e, EPROTONOSUPPORT, "message version %llu, this program speaks %d",
		(unsigned long long)theirs, version);
	return err_code(e, "version");
}

static void conn_drop(struct control *c, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->conns); i++) {
		if (c->conns[i] != fd)
			continue;
		loop_del(c->target.loop, fd);
		fd_close(&c->conns[i]);
		return;
	}
}

static int reply_send(const struct control_target *to, int fd, const json_t *reply)
{
	auto_json json_t *instead = NULL;
	struct err e = { 0 };
	int r = reply == NULL ? -ENOMEM : seqmsg_send(fd, reply, NULL, 0);

	if (r != -EMSGSIZE)
		return r;
	err_set(&e, EMSGSIZE, "the reply is larger than %d bytes", SEQMSG_BYTES);
	err_code(&e, "reply-too-large");
	if (to->smaller != NULL)
		err_hint(&e, "%s", to->smaller);
	instead = control_reply_err(to->version, &e);
	return instead == NULL ? -ENOMEM : seqmsg_send(fd, instead, NULL, 0);
}

static void conn_ready(void *arg, int fd, uint32_t events)
{
	struct control *c = arg;
	const struct control_target *to = &c->target;
	auto_seqmsg struct seqmsg request = { 0 };
	auto_json json_t *reply = NULL;
	struct err e = { 0 };
	int r = seqmsg_recv(fd, &request);

	if (r == -EAGAIN)
		return;
	if (r == 0) {
		reply = to->answer(to->arg, &request);
	} else if (r == -EBADMSG) {
		err_set(&e, EBADMSG, "the request is no JSON object of at most %d bytes",
			SEQMSG_BYTES);
		reply = control_reply_err(to->version, &e);
	}
	/* The socket does not block: a peer that leaves its replies lying is dropped. */
	if (reply == NULL || reply_send(to, fd, reply) < 0)
		conn_drop(c, fd);
}

/* Takes *fd if there is room. */
static int conn_add(struct control *c, int *fd)
{
	int flags = fcntl(*fd, F_GETFL), r;

	if (flags < 0 || fcntl(*fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(c->conns); i++) {
		if (c->conns[i] >= 0)
			continue;
		r = loop_add(c->target.loop, *fd, EPOLLIN, conn_ready, c);
		if (r == 0)
			c->conns[i] = fd_take(fd);
		return r;
	}
	return -EBUSY;
}

static int peer_uid(int fd, uid_t *uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*uid = cred.uid;
	return 0;
}

/* What it has asked meanwhile is taken first, and no more comes: with something unread, closing would cost it the reply. */
static void conn_refuse(int fd, const json_t *reply)
{
	char byte;

	(void)shutdown(fd, SHUT_RD);
	while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
		;
	(void)seqmsg_send(fd, reply, NULL, 0);
}

static void listener_ready(void *arg, int listener, uint32_t events)
{
	struct control *c = arg;
	auto_fd int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	auto_json json_t *reply = NULL;
	struct err e = { 0 };
	uid_t uid = (uid_t)-1;

	if (fd < 0)
		return;
	if (peer_uid(fd, &uid) < 0 || (uid != 0 && uid != c->uid))
		err_set(&e, EACCES, "only root and the daemon may control %s", c->target.what);
	else if (conn_add(c, &fd) < 0)
		err_set(&e, EBUSY, "too many control connections");
	else
		return;
	reply = control_reply_err(c->target.version, &e);
	if (reply != NULL)
		conn_refuse(fd, reply);
}

int control_create(const struct control_target *target, int *launch_sock, struct control **out,
		   struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return err_set(e, ENOMEM, "control: out of memory");
	c->target = *target;
	for (size_t i = 0; i < ARRAY_SIZE(c->conns); i++)
		c->conns[i] = -1;
	r = peer_uid(*launch_sock, &c->uid);
	if (r == 0)
		r = conn_add(c, launch_sock);
	if (r == 0)
		r = loop_add(target->loop, target->listener, EPOLLIN, listener_ready, c);
	if (r < 0) {
		control_destroy(c);
		return err_set(e, r, "control sockets: %s", strerror(-r));
	}
	*out = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (c == NULL)
		return;
	loop_del(c->target.loop, c->target.listener);
	for (size_t i = 0; i < ARRAY_SIZE(c->conns); i++)
		if (c->conns[i] >= 0)
			conn_drop(c, c->conns[i]);
	free(c);
}
