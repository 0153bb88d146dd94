// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/peer.h"

#include "vf-manager/runpaths.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <sys/socket.h>

int peer_send(const struct peer *peer, const struct peer_ask *ask, int *fd_out, struct err *e)
{
	const struct timeval patience = { .tv_sec = 2 };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	auto_fd int fd = -1;
	int r;

	if (peer->pid == 0)
		return err_set(e, ECONNREFUSED, "it does not run");
	r = run_path_connect(peer->kept, peer->path, ask->type, &fd, e);
	if (r < 0)
		return r;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(e, errno, "%s: %s", peer->path, strerror(errno));
	if (cred.uid != peer->uid || cred.pid != peer->pid)
		return err_set(e, EPERM, "%s: pid %d of uid %u listens, not %s (pid %d of uid %u)",
			       peer->path, (int)cred.pid, cred.uid, peer->program, (int)peer->pid,
			       peer->uid);
	r = seqmsg_send(fd, ask->body, ask->fd, ask->fd != NULL ? 1 : 0);
	if (r < 0)
		return err_set(e, r, "%s", strerror(-r));
	*fd_out = fd_take(&fd);
	return 0;
}

int peer_reply(const char *program, int sock, int timeout_ms, json_t **result, struct err *e)
{
	auto_seqmsg struct seqmsg m = { 0 };
	bool is_ok = false;
	json_t *part;
	int r = seqmsg_recv_timeout(sock, &m, timeout_ms);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "%s did not answer within %d s", program,
			       timeout_ms / 1000);
	if (r < 0)
		return err_set(e, r, "%s: %s", program,
			       r == -ECONNRESET ? "it closed the connection" : strerror(-r));
	r = json_get_bool_opt(m.body, "ok", &is_ok, e);
	if (r < 0)
		return err_wrap(e, "%s's reply", program);
	part = json_object_get(m.body, is_ok ? "result" : "error");
	if (!is_ok)
		return json_is_object(part)
			       ? json_to_err(part, e)
			       : err_set(e, EBADMSG, "%s failed without a reason", program);
	if (result != NULL)
		*result = json_is_object(part) ? json_incref(part) : json_object();
	return 0;
}

bool peer_is_silent(const struct err *e)
{
	static const int nums[] = { ECONNREFUSED, ECONNRESET, ENOENT, ENOTCONN,
				    EPIPE,	  EPERM,      EAGAIN, ETIMEDOUT };

	for (size_t i = 0; i < ARRAY_SIZE(nums); i++)
		if (e->errnum == nums[i])
			return e->code[0] == '\0';
	return false;
}
