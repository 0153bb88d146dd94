// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmm_client.h"

#include "vf-manager/peer.h"

#include "base/fd.h"
#include "base/json.h"
#include "vmm/vmm_msg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

static bool only_looks(const char *op)
{
	return strcmp(op, "status") == 0 || strcmp(op, "stats") == 0;
}

static int request_send(const struct daemon *d, const struct vmm_peer *vmm,
			const struct peer_ask *ask, int *fd_out, struct err *e)
{
	char path[VM_PATH_TEXT];
	const struct peer peer = { .program = "viaduct-vmm",
				   .path = vm_path(d, vmm->name, "control.sock", path),
				   .uid = vmm->uid,
				   .pid = vmm->pid,
				   .kept = d->run_paths };

	return peer_send(&peer, ask, fd_out, e);
}

struct ask {
	json_t *body;
	int timeout_ms;
	json_t **result; /* or NULL */
};

static int call(const struct daemon *d, const struct vmm_peer *peer, const struct ask *ask,
		struct err *e)
{
	struct err own = { 0 };
	auto_fd int fd = -1;
	int r;

	if (e == NULL)
		e = &own;
	r = request_send(d, peer, &(struct peer_ask){ ask->body, NULL, SOCK_SEQPACKET }, &fd, e);
	r = r < 0 ? err_wrap(e, "VM %s does not answer", peer->name)
		  : peer_reply("viaduct-vmm", fd, ask->timeout_ms, ask->result, e);
	if (r < 0 && peer_is_silent(e)) {
		err_code(e, "vm-silent");
		err_hint(e, "viaduct vm show %s", peer->name);
	}
	return r;
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

static void status_slice(const struct daemon *d, const struct vmm_peer *peers, size_t count,
			 json_t **out)
{
	auto_json json_t *body = json_pack("{s:i, s:s}", "v", VMM_MSG_VERSION, "op", "status");
	const struct peer_ask ask = { body, NULL, SOCK_SEQPACKET | SOCK_NONBLOCK };
	const uint64_t end = now_ns() + VMM_QUICK_MS * 1000000ULL;
	struct pollfd p[VMM_ASK_SLICE];
	size_t waiting = 0;

	for (size_t i = 0; i < count; i++) {
		p[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
		out[i] = NULL;
		if (request_send(d, &peers[i], &ask, &p[i].fd, NULL) == 0)
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
			peer_reply("viaduct-vmm", p[i].fd, 0, &out[i], NULL);
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

void vmm_round_add(struct vmm_round *round, const struct vm *vm)
{
	char *name = round->names[round->count];

	snprintf(name, VM_NAME_TEXT, "%s", vm->name);
	round->peers[round->count++] =
		(struct vmm_peer){ .name = name, .uid = vm->uid, .pid = vm->pid };
}

void vmm_round_ask(const struct daemon *d, struct vmm_round *round)
{
	vmm_status_all(d, round->peers, round->count, round->status);
}
