// SPDX-License-Identifier: BSD-3-Clause
/*
 * state backup and state restore: viaductd does it as the caller, in a process of its own, and says on standard
 * output what came of it.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/oneshot.h"
#include "cli/text.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPLY_MAX 4096

extern char **environ;

/* The one line that it prints. */
static int reply_read(int fd, char buf[REPLY_MAX])
{
	size_t len = 0;

	while (len < REPLY_MAX - 1) {
		ssize_t n = read(fd, buf + len, REPLY_MAX - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	buf[len] = '\0';
	return (int)len;
}

static int daemon_run(const char *option, const char *file, char reply[REPLY_MAX], struct err *e)
{
	char program[PATH_MAX];
	char *argv[] = { program, (char *)option, (char *)file, NULL };
	auto_fd int from = -1, to = -1;
	posix_spawn_file_actions_t actions;
	int pipes[2], status = 0, r = daemon_find(program, e);
	pid_t pid;

	if (r < 0)
		return r;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe: %s", strerror(errno));
	from = pipes[0];
	to = pipes[1];
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to, STDOUT_FILENO);
	r = posix_spawn(&pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return err_set(e, r, "run %s: %s", program, strerror(r));
	fd_close(&to);
	reply_read(from, reply);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status)
		       ? WEXITSTATUS(status)
		       : err_set(e, EIO, "%s was killed by signal %d", program, WTERMSIG(status));
}

static int refused(const json_t *reply, struct err *e)
{
	char code[sizeof(e->code)] = "", text[sizeof(e->text)] = "", hint[sizeof(e->hint)] = "";

	if (json_get_str_opt(reply, "code", code, sizeof(code), NULL) < 0 ||
	    json_get_str_opt(reply, "message", text, sizeof(text), NULL) < 0 ||
	    json_get_str_opt(reply, "hint", hint, sizeof(hint), NULL) < 0 || text[0] == '\0')
		return err_set(e, EIO, "viaductd failed and did not say why");
	err_set(e, EIO, "%s", text);
	err_code(e, code);
	return err_hint(e, "%s", hint);
}

static int render_state(FILE *out, const json_t *reply, struct err *e)
{
	char file[TEXT_CELL], bytes[TEXT_CELL], schema[TEXT_CELL];

	text_value(text_member(reply, "file"), file, sizeof(file));
	text_value(text_member(reply, "bytes"), bytes, sizeof(bytes));
	text_value(text_member(reply, "schema"), schema, sizeof(schema));
	fprintf(out, "%s: %s bytes, schema %s\n", file, bytes, schema);
	return 0;
}

static int state_run(struct cli *cli, const char *option, const char *file, struct err *e)
{
	auto_json json_t *reply = NULL;
	char text[REPLY_MAX];
	int r = daemon_run(option, file, text, e);

	if (r < 0)
		return r;
	reply = json_loads(text, 0, NULL);
	if (!json_is_object(reply))
		return err_set(e, EIO, "viaductd failed and did not say why");
	return r != 0 ? refused(reply, e) : cli_show(cli, reply, render_state, e);
}

int state_backup(struct cli *cli, const struct args *a, struct err *e)
{
	return state_run(cli, "--backup", a->words[0], e);
}

int state_restore(struct cli *cli, const struct args *a, struct err *e)
{
	return state_run(cli, "--restore", a->words[0], e);
}
