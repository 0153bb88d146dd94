// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/control.h"

#include "vmm/chipset.h"
#include "vmm/machine.h"
#include "vmm/nets.h"
#include "vmm/spec_nets.h"
#include "vmm/stats.h"
#include "vmm/status.h"
#include "vmm/vfio.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct control {
	struct machine *machine;
	uid_t uid; /* whose connections are taken, beside root's */
	int conns[CONTROL_CONNECTIONS]; /* -1: free */
};

json_t *control_reply_ok(json_t *result)
{
	struct err e = { 0 };

	if (result != NULL)
		return json_pack("{s:i, s:b, s:o}", "v", VMM_MSG_VERSION, "ok", 1, "result",
				 result);
	err_set(&e, ENOMEM, "out of memory");
	return control_reply_err(&e);
}

json_t *control_reply_err(const struct err *e)
{
	return json_pack("{s:i, s:b, s:o}", "v", VMM_MSG_VERSION, "ok", 0, "error",
			 json_from_err(e));
}

int control_head_parse(const json_t *body, char op[32], struct err *e)
{
	uint64_t version = 0;
	int r = json_get_u64(body, "v", UINT32_MAX, &version, e);

	if (r == 0)
		r = json_get_str(body, "op", op, 32, e);
	if (r < 0)
		return r;
	if (version != VMM_MSG_VERSION) {
		err_set(e, EPROTONOSUPPORT, "message version %llu, this VMM speaks %d",
			(unsigned long long)version, VMM_MSG_VERSION);
		return err_code(e, "version");
	}
	return 0;
}

static int op_status(struct machine *m, json_t **result, struct err *e)
{
	*result = machine_status(m);
	return 0;
}

static int op_stats(struct machine *m, json_t **result, struct err *e)
{
	*result = machine_stats(m);
	return 0;
}

static int op_pause(struct machine *m, json_t **result, struct err *e)
{
	int r = machine_pause(m, e);

	return r < 0 ? r : op_status(m, result, e);
}

static int op_resume(struct machine *m, json_t **result, struct err *e)
{
	int r = machine_resume(m, e);

	return r < 0 ? r : op_status(m, result, e);
}

static int op_shutdown(struct machine *m, json_t **result, struct err *e)
{
	if (m->paused) {
		err_set(e, EBUSY, "VM %s is paused and cannot see its power button", m->spec->name);
		return err_hint(e, "viaduct vm resume %s", m->spec->name);
	}
	pthread_mutex_lock(&m->lock);
	chipset_power_button(m->chipset);
	pthread_mutex_unlock(&m->lock);
	*result = json_object();
	return 0;
}

static int op_kill(struct machine *m, json_t **result, struct err *e)
{
	machine_end_request(m, MACHINE_KILLED, "killed by the operator");
	*result = json_object();
	return 0;
}

static int quarantine_set(struct machine *m, const char *port, bool on, json_t **result,
			  struct err *e)
{
	int r;

	pthread_mutex_lock(&m->lock);
	r = vfio_set_quarantine(m->vfio, port, on, e);
	pthread_mutex_unlock(&m->lock);
	return r < 0 ? r : op_status(m, result, e);
}

static int op_quarantine(struct machine *m, const char *port, json_t **result, struct err *e)
{
	return quarantine_set(m, port, true, result, e);
}

static int op_unquarantine(struct machine *m, const char *port, json_t **result, struct err *e)
{
	return quarantine_set(m, port, false, result, e);
}

static int op_set_link(struct machine *m, const char *port, const json_t *body, json_t **result,
		       struct err *e)
{
	enum vmm_link link = VMM_LINK_AUTO;
	char word[16];
	int r = json_get_str(body, "link", word, sizeof(word), e);

	if (r == 0)
		r = spec_link_parse(word, &link, e);
	if (r == 0)
		r = nets_link_set(m->nets, port, link, e);
	return r < 0 ? r : op_status(m, result, e);
}

/* Every request; none takes fds or members beside "v", "op" and, where it is of a port, "port" (and "link"). */
static const struct op_row {
	const char *name;
	size_t fds_max;
	int (*handle)(struct machine *m, json_t **result, struct err *e);
	int (*handle_port)(struct machine *m, const char *port, json_t **result, struct err *e);
	int (*handle_link)(struct machine *m, const char *port, const json_t *body, json_t **result,
			   struct err *e);
} op_rows[] = {
	{ "status", 0, op_status },
	{ "stats", 0, op_stats },
	{ "pause", 0, op_pause },
	{ "resume", 0, op_resume },
	{ "shutdown", 0, op_shutdown },
	{ "kill", 0, op_kill },
	{ "quarantine", 0, NULL, op_quarantine },
	{ "unquarantine", 0, NULL, op_unquarantine },
	{ "set-link", 0, NULL, NULL, op_set_link },
};

static int op_run(struct machine *m, const struct op_row *row, const json_t *body, json_t **result,
		  struct err *e)
{
	static const char *const keys[] = { "v", "op", NULL };
	static const char *const port_keys[] = { "v", "op", "port", NULL };
	static const char *const link_keys[] = { "v", "op", "port", "link", NULL };
	char port[64];
	int r = json_check_keys(body,
				row->handle_link != NULL   ? link_keys
				: row->handle_port != NULL ? port_keys
							   : keys,
				e);

	if (r < 0)
		return r;
	if (row->handle != NULL)
		return row->handle(m, result, e);
	r = json_get_str(body, "port", port, sizeof(port), e);
	if (r < 0)
		return r;
	return row->handle_link != NULL ? row->handle_link(m, port, body, result, e)
					: row->handle_port(m, port, result, e);
}

static int request_handle(struct machine *m, const struct seqmsg *request, json_t **result,
			  struct err *e)
{
	char op[32];
	int r = control_head_parse(request->body, op, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(op_rows); i++) {
		if (strcmp(op_rows[i].name, op) != 0)
			continue;
		if (request->fd_count > op_rows[i].fds_max)
			return err_set(e, EINVAL, "\"%s\" takes %zu fds, %zu came", op,
				       op_rows[i].fds_max, request->fd_count);
		return op_run(m, &op_rows[i], request->body, result, e);
	}
	err_set(e, EOPNOTSUPP, "unknown request \"%s\"", op);
	return err_code(e, "unknown-request");
}

json_t *control_answer(struct machine *m, const struct seqmsg *request)
{
	struct err e = { 0 };
	json_t *result = NULL;
	int r = request_handle(m, request, &result, &e);

	return r < 0 ? control_reply_err(&e) : control_reply_ok(result);
}

static void conn_drop(struct control *c, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->conns); i++) {
		if (c->conns[i] != fd)
			continue;
		loop_del(c->machine->loop, fd);
		fd_close(&c->conns[i]);
		return;
	}
}

static void conn_ready(void *arg, int fd, uint32_t events)
{
	struct control *c = arg;
	auto_seqmsg struct seqmsg request = { 0 };
	auto_json json_t *reply = NULL;
	struct err e = { 0 };
	int r = seqmsg_recv(fd, &request);

	if (r == -EAGAIN)
		return;
	if (r == 0) {
		reply = control_answer(c->machine, &request);
	} else if (r == -EBADMSG) {
		err_set(&e, EBADMSG, "the request is no JSON object of at most %d bytes",
			SEQMSG_BYTES);
		reply = control_reply_err(&e);
	}
	/* The socket does not block: a peer that leaves its replies lying is dropped. */
	if (reply == NULL || seqmsg_send(fd, reply, NULL, 0) < 0)
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
		r = loop_add(c->machine->loop, *fd, EPOLLIN, conn_ready, c);
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

static void conn_refuse(int fd, int errnum, const char *text)
{
	auto_json json_t *reply = NULL;
	struct err e = { 0 };

	err_set(&e, errnum, "%s", text);
	reply = control_reply_err(&e);
	if (reply != NULL)
		(void)seqmsg_send(fd, reply, NULL, 0);
}

static void listener_ready(void *arg, int listener, uint32_t events)
{
	struct control *c = arg;
	auto_fd int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uid_t uid = (uid_t)-1;

	if (fd < 0)
		return;
	if (peer_uid(fd, &uid) < 0 || (uid != 0 && uid != c->uid))
		conn_refuse(fd, EACCES, "only root and the daemon may control this VM");
	else if (conn_add(c, &fd) < 0)
		conn_refuse(fd, EBUSY, "too many control connections");
}

int control_create(struct machine *m, int *launch_sock, struct control **out, struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return err_set(e, ENOMEM, "control: out of memory");
	c->machine = m;
	for (size_t i = 0; i < ARRAY_SIZE(c->conns); i++)
		c->conns[i] = -1;
	r = peer_uid(*launch_sock, &c->uid);
	if (r == 0)
		r = conn_add(c, launch_sock);
	if (r == 0)
		r = loop_add(m->loop, m->spec->listener_fd, EPOLLIN, listener_ready, c);
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
	loop_del(c->machine->loop, c->machine->spec->listener_fd);
	for (size_t i = 0; i < ARRAY_SIZE(c->conns); i++)
		if (c->conns[i] >= 0)
			conn_drop(c, c->conns[i]);
	free(c);
}
