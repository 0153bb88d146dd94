// SPDX-License-Identifier: BSD-3-Clause
/*
 * vm console: where the socket is, by the daemon's word or, when no daemon answers, by the fixed
 * path below the run folder: a VM and its console outlive the daemon.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/console_log.h"
#include "cli/text.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_TIMEOUT_S	10
#define TIMEOUT_MAX_S	86400
#define FALLBACK_FORMAT "%s/vm/%s/%s.sock"

/* {"socket":PATH} of the daemon, or one of the same form made here. */
static int console_where(struct cli *cli, const char *name, const char *port, json_t **reply,
			 struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/vms",
				    .item = name,
				    .action = "console",
				    .query = port != NULL ? "port=" CONSOLE_HVC0 : NULL,
				    .timeout_s = ASK_TIMEOUT_S };
	char path[SETTINGS_PATH + 128];
	int r;

	if (parse_name(name) < 0)
		return cli_usage(e, "'%.64s' is no name of a VM", name);
	if (port != NULL && strcmp(port, CONSOLE_HVC0) != 0)
		return cli_usage(e, "--port: '%.32s' is not " CONSOLE_HVC0, port);
	r = cli_call(cli, &rq, reply, e);
	if (r == 0 || (cli->client != NULL && client_http_status(cli->client) != 0))
		return r;
	snprintf(path, sizeof(path), FALLBACK_FORMAT, cli->settings.run_dir, name,
		 port != NULL ? port : "console");
	if (access(path, F_OK) != 0)
		return r;
	*reply = json_pack("{s:s}", "socket", path);
	return *reply != NULL ? 0 : err_set(e, ENOMEM, "out of memory");
}

static int console_connect(const char *name, const json_t *reply, int *sock, struct err *e)
{
	char path[SETTINGS_PATH + 128];
	int r = json_get_str(reply, "socket", path, sizeof(path), e);

	if (r == 0 && path[0] != '/')
		r = err_set(e, EBADMSG, "socket is no absolute path");
	if (r < 0)
		return err_wrap(e, "viaductd's reply");
	r = unix_connect(path, SOCK_STREAM, sock, e);
	if (r == 0)
		return 0;
	if (r == -EACCES || r == -EPERM)
		err_hint(e, "sudo viaduct vm console %s", name);
	else
		err_hint(e, "viaduct vm show %s   (has the VM ended?)", name);
	return err_wrap(e, "console of VM %s", name);
}

static void say_end(struct cli *cli, const char *name, enum console_end end)
{
	static const char *const words[] = {
		[CONSOLE_DETACHED] = "detached; the VM goes on",
		[CONSOLE_CLOSED] = "the console has closed",
		[CONSOLE_TIMEOUT] = "detached at the time limit; the VM goes on",
		[CONSOLE_SIGNALLED] = "interrupted; the VM goes on",
	};

	/* In front of it whatever line the guest was writing. */
	if (isatty(STDERR_FILENO))
		fprintf(cli->err, "\r\n[%s: %s]\r\n", name, words[end]);
}

int vm_console(struct cli *cli, const struct args *a, struct err *e)
{
	struct console_io io = { .in = STDIN_FILENO, .out = STDOUT_FILENO, .timeout_ms = -1 };
	auto_json json_t *reply = NULL;
	const char *name = a->words[0];
	enum console_end end;
	auto_fd int sock = -1;
	uint64_t seconds;
	int r;

	if (a->value[OPT_LOG] != NULL && a->value[OPT_PORT] != NULL)
		return cli_usage(e, "--log: only the serial console has one");
	if (a->value[OPT_LOG] != NULL)
		return console_log_show(cli, name, e);
	if (a->value[OPT_TIMEOUT] != NULL) {
		r = arg_number(a, OPT_TIMEOUT, TIMEOUT_MAX_S, &seconds, e);
		if (r < 0)
			return r;
		io.timeout_ms = (int)seconds * 1000;
	}
	r = console_where(cli, name, a->value[OPT_PORT], &reply, e);
	if (r < 0)
		return r;
	/* A program wants to know where, and relays for itself. */
	if (cli->settings.json)
		return cli_show(cli, reply, render_vm, e);
	r = console_connect(name, reply, &sock, e);
	if (r < 0)
		return r;
	if (isatty(STDIN_FILENO))
		fprintf(cli->err, "[%s: Ctrl-] leaves the console]\n", name);
	fflush(NULL);
	io.sock = sock;
	r = console_relay(&io, &end, e);
	if (r < 0)
		return err_wrap(e, "console of VM %s", name);
	say_end(cli, name, end);
	if (end == CONSOLE_SIGNALLED)
		cli->exit_status = CLI_FAILED;
	return 0;
}
