// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pmd_client.h"

#include "vf-manager/peer.h"
#include "vf-manager/privops.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/socket.h>

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

static int call(const struct daemon *d, const struct pmd_peer *pmd, const struct peer_ask *ask,
		json_t **result, struct err *e)
{
	const char *op = json_string_value(json_object_get(ask->body, "op"));
	char path[BACKEND_PATH_TEXT];
	const struct peer peer = { .program = "viaduct-pmd",
				   .path = backend_path(d, pmd->name, "control.sock", path),
				   .uid = pmd->uid,
				   .pid = pmd->pid,
				   .kept = d->run_paths };
	struct err own = { 0 };
	auto_fd int fd = -1;
	int r;

	if (op == NULL)
		return err_set(e, ENOMEM, "no memory");
	if (e == NULL)
		e = &own;
	r = peer_send(&peer, ask, &fd, e);
	r = r < 0 ? err_wrap(e, "viaduct-pmd does not answer")
		  : peer_reply("viaduct-pmd", fd, patience_ms(op), result, e);
	if (r < 0 && peer_is_silent(e)) {
		err_code(e, "backend-down");
		err_hint(e, "%s", pmd->look);
	}
	return r;
}

int pmd_call(const struct daemon *d, const struct pmd_peer *peer, json_t *body, json_t **result,
	     struct err *e)
{
	json_object_set_new(body, "v", json_integer(PMD_MSG_VERSION));
	return call(d, peer, &(struct peer_ask){ body, NULL, SOCK_SEQPACKET }, result, e);
}

int pmd_call_image(const struct daemon *d, const struct pmd_peer *peer, json_t *body, int image,
		   struct err *e)
{
	json_object_set_new(body, "v", json_integer(PMD_MSG_VERSION));
	json_object_set_new(body, "fds", json_pack("[s]", "image"));
	return call(d, peer, &(struct peer_ask){ body, &image, SOCK_SEQPACKET }, NULL, e);
}
