// SPDX-License-Identifier: BSD-3-Clause
#include "base/child.h"

#include "base/fd.h"
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

int child_usage(const struct child_words *words, const char *why, char say[CHILD_TEXT])
{
	snprintf(say, CHILD_TEXT,
		 "%s: %s\n"
		 "viaductd starts this program and gives it all it needs over a socket (--fd N).\n"
		 "%s\n",
		 words->name, why, words->see);
	return EXIT_USAGE;
}

static int socket_check(const struct child_words *words, int argc, int sock, char say[CHILD_TEXT])
{
	struct stat st;

	if (optind < argc)
		return child_usage(words, "takes no arguments", say);
	if (sock < 0)
		return child_usage(words, "not meant to be started by hand", say);
	if (fd_stat(sock, &st) < 0 || !S_ISSOCK(st.st_mode))
		return child_usage(words, "the fd given with --fd is no socket", say);
	log_init(words->name, LOG_LEVEL_INFO);
	log_bound(LOG_MAX_BYTES);
	return -1;
}

int child_begin(int argc, char **argv, const struct child_words *words, int *sock,
		char say[CHILD_TEXT])
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
			if (parse_u64(optarg, 1 << 16, &value) < 0 || value <= STDERR_FILENO)
				return child_usage(words, "--fd takes a number from 3 on", say);
			*sock = (int)value;
			break;
		case 'v':
			snprintf(say, CHILD_TEXT, "%s " VIADUCT_VERSION "\n", words->name);
			return EXIT_SUCCESS;
		default:
			return child_usage(words, c == 'h' ? words->what : "unknown option", say);
		}
	}
	return socket_check(words, argc, *sock, say);
}

int child_signals(int *fd, struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 ? err_set(e, errno, "signalfd: %s", strerror(errno)) : 0;
}

int child_launch_recv(int sock, struct seqmsg *m, struct err *e)
{
	int r = seqmsg_recv_timeout(sock, m, LAUNCH_TIMEOUT_MS);

	return r < 0 ? err_set(e, r, "launch message: %s", strerror(-r)) : 0;
}
