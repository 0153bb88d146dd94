// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct-pmd: polled ports of guests, or their disks: its role, which the launch message says. Gives up what it can,
 * takes that message from the daemon, starts DPDK and its lcores, or the workers of disks, answers requests until it is
 * told to quit.
 */
#include "pmd-backends/block_backend.h"
#include "pmd-backends/control.h"
#include "pmd-backends/sandbox.h"
#include "pmd-backends/status.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/parse.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EXIT_USAGE	  2
#define LAUNCH_TIMEOUT_MS 30000
#define LOG_MAX_BYTES	  (256U << 10)

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

static int signals_init(struct pmd *pmd, struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pmd->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return pmd->signal_fd < 0 ? err_set(e, errno, "signalfd: %s", strerror(errno)) : 0;
}

static int launch_receive(struct pmd *pmd, struct err *e)
{
	auto_seqmsg struct seqmsg m = { 0 };
	int r = seqmsg_recv_timeout(pmd->sock, &m, LAUNCH_TIMEOUT_MS);

	if (r < 0)
		return err_set(e, r, "launch message: %s", strerror(-r));
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

static int net_request(void *arg, struct pmd_request *request, json_t **result, struct err *e)
{
	struct pmd *pmd = arg;

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

static int block_request(void *arg, struct pmd_request *request, json_t **result, struct err *e)
{
	struct pmd *pmd = arg;

	return block_backend_request(pmd->block, request, result, e);
}

static int no_filter(struct err *e)
{
	return 0;
}

static const struct role {
	int (*create)(struct pmd *pmd, struct err *e); /* sandboxed, to threads that serve */
	json_t *(*status)(struct pmd *pmd);
	int (*request)(void *pmd, struct pmd_request *request, json_t **result, struct err *e);
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

static int run(struct pmd *pmd, struct err *e)
{
	const struct role *role = &roles[pmd->launch.role];
	const struct control_target target = { &pmd->launch, pmd->loop, role->request, pmd };
	auto_json json_t *reply = control_reply_ok(role->status(pmd));
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
		r = signals_init(pmd, &e);
	if (r == 0)
		r = launch(pmd, &e);
	if (r < 0) {
		reply = control_reply_err(&e);
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

static int usage(const char *what)
{
	fprintf(stderr,
		"viaduct-pmd: %s\n"
		"viaductd starts this program and gives it all it needs over a socket (--fd N).\n"
		"See viaduct-pmd(8), and engine: polled in viaduct-vm(5).\n",
		what);
	return EXIT_USAGE;
}

static int arguments_parse(int argc, char **argv, int *fd)
{
	static const struct option options[] = {
		{ "fd", required_argument, NULL, 'f' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t value;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			if (parse_u64(optarg, 1 << 16, &value) < 0 || value < PMD_LAUNCH_FD)
				return usage("--fd takes a number from 3 on");
			*fd = (int)value;
			break;
		case 'v':
			printf("viaduct-pmd " VIADUCT_VERSION "\n");
			exit(EXIT_SUCCESS);
		default:
			return usage(c == 'h' ? "polled ports of guests, and their disks"
					      : "unknown option");
		}
	}
	return optind < argc ? usage("takes no arguments") : 0;
}

int main(int argc, char **argv)
{
	struct pmd pmd = { .sock = -1, .signal_fd = -1 };
	struct stat st;
	int r = arguments_parse(argc, argv, &pmd.sock);

	if (r != 0)
		return r;
	if (pmd.sock < 0)
		return usage("not meant to be started by hand");
	if (fd_stat(pmd.sock, &st) < 0 || !S_ISSOCK(st.st_mode))
		return usage("the fd given with --fd is no socket");
	log_init("viaduct-pmd", LOG_LEVEL_INFO);
	log_bound(LOG_MAX_BYTES);
	pmd_launch_init(&pmd.launch);
	json_object_seed(0);
	return pmd_main(&pmd);
}
