// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pmd_client.h"

#include "vf-manager/privops.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <sys/socket.h>

static int peer_connect(const struct daemon *d, const struct pmd_peer *peer, int *fd_out,
			struct err *e)
{
	const struct timeval patience = { .tv_sec = 1 };
	char path[BACKEND_PATH_TEXT];
	struct ucred cred;
	socklen_t len = sizeof(cred);
	auto_fd int fd = -1;
	int r;

	if (peer->pid == 0)
		return err_set(e, ECONNREFUSED, "it does not run");
	r = unix_connect(backend_path(d, peer->name, "control.sock", path), SOCK_SEQPACKET, &fd, e);
	if (r < 0)
		return r;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (cred.uid != peer->uid || cred.pid != peer->pid)
		return err_set(e, EPERM,
			       "%s: pid %d of uid %u listens, not viaduct-pmd (pid %d of uid %u)",
			       path, (int)cred.pid, cred.uid, (int)peer->pid, peer->uid);
	*fd_out = fd_take(&fd);
	return 0;
}

/* Its own refusals have a code, or stay what they are. */
static int refusal_read(const json_t *body, struct err *e)
{
	json_t *part = json_object_get(body, "error");
	int r;

	if (!json_is_object(part))
		return err_set(e, EBADMSG, "viaduct-pmd failed without a reason");
	r = json_to_err(part, e);
	return r < 0 ? r : err_set(e, EBADMSG, "viaduct-pmd failed with a reason that is none");
}

int pmd_reply(int sock, int timeout_ms, json_t **result, struct err *e)
{
	auto_seqmsg struct seqmsg m = { 0 };
	bool is_ok = false;
	json_t *part;
	int r = seqmsg_recv_timeout(sock, &m, timeout_ms);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "viaduct-pmd did not answer within %d s",
			       timeout_ms / 1000);
	if (r < 0)
		return err_set(e, r, "viaduct-pmd: %s",
			       r == -ECONNRESET ? "it closed the connection" : strerror(-r));
	r = json_get_bool_opt(m.body, "ok", &is_ok, e);
	if (r < 0)
		return err_wrap(e, "viaduct-pmd's reply");
	if (!is_ok)
		return refusal_read(m.body, e);
	if (result != NULL) {
		part = json_object_get(m.body, "result");
		*result = json_is_object(part) ? json_incref(part) : json_object();
	}
	return 0;
}

/* How long its answer may take; longer for all others. */
static int patience_ms(const char *op)
{
	static const struct {
		const char *op;
		int ms;
	} rows[] = {
		{ "status", PMD_QUICK_MS },	{ "stats", PMD_QUICK_MS },
		{ "fdb", PMD_QUICK_MS },	{ "disk-add", PMD_DISK_MS },
		{ "disk-remove", PMD_DISK_MS }, { "disk-set", PMD_DISK_MS },
		{ "disk-resize", PMD_DISK_MS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].op, op) == 0)
			return rows[i].ms;
	return PMD_SLOW_MS;
}

/* It has just ended, or it hangs; a refusal of its own has a code or none of these numbers. */
static int silence(const struct pmd_peer *peer, int r, struct err *e)
{
	static const int nums[] = { ECONNREFUSED, ECONNRESET, ENOENT, ENOTCONN,
				    EPIPE,	  EPERM,      EAGAIN, ETIMEDOUT };

	for (size_t i = 0; e != NULL && i < ARRAY_SIZE(nums); i++) {
		if (e->errnum != nums[i] || e->code[0] != '\0')
			continue;
		err_code(e, "backend-down");
		return err_hint(e, "%s", peer->look);
	}
	return r;
}

struct ask {
	json_t *body;
	const int *image; /* NULL: none */
};

static int ask_make(const struct daemon *d, const struct pmd_peer *peer, const struct ask *ask,
		    json_t **result, struct err *e)
{
	const char *op = json_string_value(json_object_get(ask->body, "op"));
	auto_fd int fd = -1;
	int r;

	if (op == NULL)
		return err_set(e, ENOMEM, "no memory");
	json_object_set_new(ask->body, "v", json_integer(PMD_MSG_VERSION));
	r = peer_connect(d, peer, &fd, e);
	if (r == 0) {
		r = seqmsg_send(fd, ask->body, ask->image, ask->image != NULL ? 1 : 0);
		if (r < 0)
			err_set(e, r, "%s", strerror(-r));
	}
	if (r < 0)
		return err_wrap(e, "viaduct-pmd does not answer");
	return pmd_reply(fd, patience_ms(op), result, e);
}

int pmd_call(const struct daemon *d, const struct pmd_peer *peer, json_t *body, json_t **result,
	     struct err *e)
{
	struct err own = { 0 };
	int r;

	if (e == NULL)
		e = &own;
	r = ask_make(d, peer, &(struct ask){ body, NULL }, result, e);
	return r < 0 ? silence(peer, r, e) : 0;
}

int pmd_call_image(const struct daemon *d, const struct pmd_peer *peer, json_t *body, int image,
		   struct err *e)
{
	struct err own = { 0 };
	int r;

	if (e == NULL)
		e = &own;
	json_object_set_new(body, "fds", json_pack("[s]", "image"));
	r = ask_make(d, peer, &(struct ask){ body, &image }, NULL, e);
	return r < 0 ? silence(peer, r, e) : 0;
}
