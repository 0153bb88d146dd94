// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmm_client.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"
#include "vmm/vmm_msg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

/* type: SOCK_SEQPACKET, with SOCK_NONBLOCK if the caller does not want to wait for the VMM to take it. */
static int peer_connect(const struct daemon *d, const struct vmm_peer *peer, int type, int *fd_out,
			struct err *e)
{
	const struct timeval patience = { .tv_sec = 2 };
	char path[VM_PATH_TEXT];
	struct ucred cred;
	socklen_t len = sizeof(cred);
	auto_fd int fd = -1;
	int r = unix_connect(vm_path(d, peer->name, "control.sock", path), type, &fd, e);

	if (r < 0)
		return r;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (cred.uid != peer->uid || cred.pid != peer->pid)
		return err_set(e, EPERM,
			       "%s: pid %d of uid %u listens, not the VMM (pid %d of uid %u)", path,
			       (int)cred.pid, cred.uid, (int)peer->pid, peer->uid);
	*fd_out = fd_take(&fd);
	return 0;
}

int vmm_connect(const struct daemon *d, const struct vmm_peer *peer, int *fd_out, struct err *e)
{
	return peer_connect(d, peer, SOCK_SEQPACKET, fd_out, e);
}

int vmm_reply(int sock, int timeout_ms, json_t **result, struct err *e)
{
	auto_seqmsg struct seqmsg m = { 0 };
	bool is_ok = false;
	json_t *part;
	int r = seqmsg_recv_timeout(sock, &m, timeout_ms);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "viaduct-vmm did not answer within %d s",
			       timeout_ms / 1000);
	if (r < 0)
		return err_set(e, r, "viaduct-vmm: %s",
			       r == -ECONNRESET ? "it closed the connection" : strerror(-r));
	r = json_get_bool_opt(m.body, "ok", &is_ok, e);
	if (r < 0)
		return err_wrap(e, "viaduct-vmm's reply");
	if (!is_ok) {
		part = json_object_get(m.body, "error");
		if (!json_is_object(part))
			return err_set(e, EBADMSG, "viaduct-vmm failed without a reason");
		return json_to_err(part, e);
	}
	if (result != NULL) {
		part = json_object_get(m.body, "result");
		*result = json_is_object(part) ? json_incref(part) : json_object();
	}
	return 0;
}

static bool only_looks(const char *op)
{
	return strcmp(op, "status") == 0 || strcmp(op, "stats") == 0;
}

/* It has just ended, or it hangs; an error of its own has another code or none of these numbers. */
static int silence(const struct vmm_peer *peer, int r, struct err *e)
{
	static const int nums[] = { ECONNREFUSED, ECONNRESET, ENOENT, ENOTCONN, EPIPE, ETIMEDOUT };

	for (size_t i = 0; e != NULL && i < ARRAY_SIZE(nums); i++) {
		if (e->errnum != nums[i] || e->code[0] != '\0')
			continue;
		err_code(e, "vm-silent");
		return err_hint(e, "viaduct vm show %s", peer->name);
	}
	return r;
}

struct ask {
	json_t *body;
	int timeout_ms;
	json_t **result; /* or NULL */
};

static int call(const struct daemon *d, const struct vmm_peer *peer, const struct ask *ask,
		struct err *e)
{
	auto_fd int fd = -1;
	int r = vmm_connect(d, peer, &fd, e);

	if (r == 0)
		r = seqmsg_send(fd, ask->body, NULL, 0);
	if (r < 0)
		err_set(e, r, "VM %s does not answer: %s", peer->name, strerror(-r));
	else
		r = vmm_reply(fd, ask->timeout_ms, ask->result, e);
	return r < 0 ? silence(peer, r, e) : r;
}

int vmm_call(const struct daemon *d, const struct vmm_peer *peer, const char *op, json_t **result,
	     struct err *e)
{
	auto_json json_t *body = json_pack("{s:i, s:s}", "v", VMM_MSG_VERSION, "op", op);
	const struct ask ask = { body, only_looks(op) ? VMM_QUICK_MS : VMM_SLOW_MS, result };

	return call(d, peer, &ask, e);
}

int vmm_call_port(const struct daemon *d, const struct vmm_peer *peer, const char *op,
		  const char *port, struct err *e)
{
	auto_json json_t *body =
		json_pack("{s:i, s:s, s:s}", "v", VMM_MSG_VERSION, "op", op, "port", port);
	const struct ask ask = { body, VMM_PORT_MS, NULL };

	return call(d, peer, &ask, e);
}

int vmm_call_link(const struct daemon *d, const struct vmm_peer *peer, const char *port,
		  const char *link, struct err *e)
{
	auto_json json_t *body = json_pack("{s:i, s:s, s:s, s:s}", "v", VMM_MSG_VERSION, "op",
					   "set-link", "port", port, "link", link);
	const struct ask ask = { body, VMM_PORT_MS, NULL };

	return call(d, peer, &ask, e);
}

static int status_ask(const struct daemon *d, const struct vmm_peer *peer, const json_t *body,
		      int *fd_out)
{
	auto_fd int fd = -1;
	int r = peer_connect(d, peer, SOCK_SEQPACKET | SOCK_NONBLOCK, &fd, NULL);

	if (r == 0)
		r = seqmsg_send(fd, body, NULL, 0);
	if (r == 0)
		*fd_out = fd_take(&fd);
	return r;
}

static void status_slice(const struct daemon *d, const struct vmm_peer *peers, size_t count,
			 json_t **out)
{
	auto_json json_t *body = json_pack("{s:i, s:s}", "v", VMM_MSG_VERSION, "op", "status");
	const uint64_t end = now_ns() + VMM_QUICK_MS * 1000000ULL;
	struct pollfd p[VMM_ASK_SLICE];
	size_t waiting = 0;

	for (size_t i = 0; i < count; i++) {
		p[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
		out[i] = NULL;
		if (peers[i].pid != 0 && status_ask(d, &peers[i], body, &p[i].fd) == 0)
			waiting++;
	}
	while (waiting > 0) {
		uint64_t now = now_ns();
		int n = now >= end ? 0 : poll(p, count, (int)((end - now) / 1000000 + 1));

		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		for (size_t i = 0; n > 0 && i < count; i++) {
			if (p[i].fd < 0 || p[i].revents == 0)
				continue;
			vmm_reply(p[i].fd, 0, &out[i], NULL);
			fd_close(&p[i].fd);
			waiting--;
		}
	}
	for (size_t i = 0; i < count; i++)
		fd_close(&p[i].fd);
}

void vmm_status_all(const struct daemon *d, const struct vmm_peer *peers, size_t count,
		    json_t **out)
{
	for (size_t i = 0; i < count; i += VMM_ASK_SLICE)
		status_slice(d, peers + i, u64_min(count - i, VMM_ASK_SLICE), out + i);
}
