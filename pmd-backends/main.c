// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct-pmd: polled ports of guests, or their disks: its role, which the launch message says. Gives up what it can,
 * takes that message from the daemon, starts DPDK and its lcores, or the workers of disks, answers requests until it is
 * told to quit.
 */
#include "pmd-backends/block_backend.h"
#include "pmd-backends/request.h"
#include "pmd-backends/sandbox.h"
#include "pmd-backends/status.h"

#include "base/child.h"
#include "base/control.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct pmd {
	int sock; /* of the launch; the control takes it over */
	int signal_fd;
	struct pmd_launch launch;
	struct loop *loop;
	struct backend *net; /* with PMD_ROLE_NET */
	struct block_backend *block; /* with PMD_ROLE_BLOCK */
	struct control *control;
};

static void signal_ready(void *arg, int fd, uint32_t events)
{
	struct pmd *pmd = arg;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_info("%s: ended by signal %u from process %u of uid %u", pmd->launch.name,
		 info.ssi_signo, info.ssi_pid, info.ssi_uid);
	loop_stop(pmd->loop, 0);
}

static int launch_receive(struct pmd *pmd, struct err *e)
{
	auto_seqmsg struct seqmsg m = { 0 };
	int r = child_launch_recv(pmd->sock, &m, e);

	if (r < 0)
		return r;
	r = pmd_launch_parse(&pmd->launch, &m, e);
	return r < 0 ? err_wrap(e, "launch message") : 0;
}

static int net_create(struct pmd *pmd, struct err *e)
{
	int r = sandbox_enter(pmd->launch.uplink_kinds, e);

	if (r == 0)
		r = backend_create(&pmd->launch, pmd->loop, &pmd->net, e);
	return r < 0 ? r : sandbox_hide(e);
}

static json_t *net_status(struct pmd *pmd)
{
	return status_json(pmd->net);
}

static int net_request(struct pmd *pmd, struct pmd_request *request, json_t **result, struct err *e)
{
	return backend_request(pmd->net, request, result, e);
}

static int block_create(struct pmd *pmd, struct err *e)
{
	int r = sandbox_hide(e);

	if (r == 0)
		r = sandbox_block_enter(e);
	return r < 0 ? r : block_backend_create(&pmd->launch, pmd->loop, &pmd->block, e);
}

static json_t *block_status(struct pmd *pmd)
{
	return block_backend_status(pmd->block);
}

static int block_request(struct pmd *pmd, struct pmd_request *request, json_t **result,
			 struct err *e)
{
	return block_backend_request(pmd->block, request, result, e);
}

static int no_filter(struct err *e)
{
	return 0;
}

static const struct role {
	int (*create)(struct pmd *pmd, struct err *e); /* sandboxed, to threads that serve */
	json_t *(*status)(struct pmd *pmd);
	int (*request)(struct pmd *pmd, struct pmd_request *request, json_t **result,
		       struct err *e);
	int (*filter)(struct err *e); /* when nothing is set up any more */
} roles[PMD_ROLES] = {
	[PMD_ROLE_NET] = { net_create, net_status, net_request, no_filter },
	[PMD_ROLE_BLOCK] = { block_create, block_status, block_request, sandbox_block_filter },
};

/* From the launch message's content to threads that serve, and the first word of the answer. */
static int launch(struct pmd *pmd, struct err *e)
{
	int r = launch_receive(pmd, e);

	if (r == 0)
		r = loop_create(&pmd->loop, e);
	if (r == 0)
		r = roles[pmd->launch.role].create(pmd, e);
	if (r == 0 && loop_add(pmd->loop, pmd->signal_fd, EPOLLIN, signal_ready, pmd) < 0)
		r = err_set(e, ENOMEM, "signals: out of memory");
	return r < 0 ? r : roles[pmd->launch.role].filter(e);
}

static json_t *answer(void *arg, struct seqmsg *m)
{
	struct pmd *pmd = arg;
	struct pmd_request *request = calloc(1, sizeof(*request));
	struct err e = { 0 };
	json_t *result = NULL;
	int r = request == NULL ? err_set(&e, ENOMEM, "out of memory")
				: pmd_request_parse(m, request, &e);

	if (r == 0)
		r = roles[pmd->launch.role].request(pmd, request, &result, &e);
	if (request != NULL)
		pmd_request_fini(request);
	free(request);
	return r < 0 ? control_reply_err(PMD_MSG_VERSION, &e)
		     : control_reply_ok(PMD_MSG_VERSION, result);
}

static int run(struct pmd *pmd, struct err *e)
{
	const struct role *role = &roles[pmd->launch.role];
	const struct control_target target = { .loop = pmd->loop,
					       .listener = pmd->launch.listener,
					       .version = PMD_MSG_VERSION,
					       .what = "this backend",
					       .smaller = "ask for one port at a time",
					       .answer = answer,
					       .arg = pmd };
	auto_json json_t *reply = control_reply_ok(PMD_MSG_VERSION, role->status(pmd));
	int r = reply == NULL ? -ENOMEM : seqmsg_send(pmd->sock, reply, NULL, 0);

	if (r < 0)
		return err_set(e, r, "reply to the launch: %s", strerror(-r));
	r = control_create(&target, &pmd->sock, &pmd->control, e);
	if (r < 0)
		return r;
	log_info("%s: serves", pmd->launch.name);
	r = loop_run(pmd->loop);
	return r < 0 ? err_set(e, r, "event loop: %s", strerror(-r)) : 0;
}

static int pmd_main(struct pmd *pmd)
{
	struct err e = { 0 };
	auto_json json_t *reply = NULL;
	int r = sandbox_process(pmd->sock, &e);

	if (r == 0)
		r = child_signals(&pmd->signal_fd, &e);
	if (r == 0)
		r = launch(pmd, &e);
	if (r < 0) {
		reply = control_reply_err(PMD_MSG_VERSION, &e);
		if (reply != NULL)
			(void)seqmsg_send(pmd->sock, reply, NULL, 0);
	} else {
		r = run(pmd, &e);
	}
	if (r < 0)
		log_err(&e, pmd->launch.name[0] != '\0' ? pmd->launch.name : "launch");
	control_destroy(pmd->control);
	backend_destroy(pmd->net);
	block_backend_destroy(pmd->block);
	loop_destroy(pmd->loop);
	pmd_launch_fini(&pmd->launch);
	fd_close(&pmd->signal_fd);
	fd_close(&pmd->sock);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct child_words words = {
		"viaduct-pmd", "polled ports of guests, and their disks",
		"See viaduct-pmd(8), and engine: polled in viaduct-vm(5)."
	};
	struct pmd pmd = { .sock = -1, .signal_fd = -1 };
	char say[CHILD_TEXT];
	int r = child_begin(argc, argv, &words, &pmd.sock, say);

	if (r >= 0) {
		fputs(say, r == EXIT_SUCCESS ? stdout : stderr);
		return r;
	}
	pmd_launch_init(&pmd.launch);
	json_object_seed(0);
	return pmd_main(&pmd);
}
