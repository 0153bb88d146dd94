// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/bind.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

int bind_with(const char *program, const char *function, struct err *e)
{
	char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)function, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int status, r;

	/* Lines that come are ours alone, and that signals are blocked is, too. */
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawn_file_actions_init(&files);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", 0, 0);
	if (r == 0)
		r = posix_spawn(&pid, program, &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	if (r != 0)
		return err_set(e, r, "%s: %s", program, strerror(r));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(e, errno, "%s: %s", program, strerror(errno));
	if (status != 0)
		return err_set(e, EIO, "%s %s: status %#x", program, function, status);
	return 0;
}
