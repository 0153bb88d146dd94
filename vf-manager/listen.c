// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/listen.h"

#include "vf-manager/api.h"
#include "vf-manager/runpaths.h"

#include "base/fd.h"
#include "base/seqmsg.h"

#include <systemd/sd-daemon.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char *socket_path(const struct daemon *d, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/%s", d->opt->run_dir, API_SOCKET_NAME);
	return buf;
}

static int socket_make(const struct daemon *d, const char *path, int *fd_out, struct err *e)
{
	auto_fd int fd = -1;
	int r = unix_listen(path, SOCK_STREAM, d->config.read == CONFIG_READ_ALL ? 0666 : 0660, &fd,
			    e);

	if (r == 0 && d->is_root && d->gid != (gid_t)-1 && chown(path, 0, d->gid) < 0)
		r = err_set(e, errno, "chown %s: %s", path, strerror(errno));
	if (r == 0)
		*fd_out = fd_take(&fd);
	return r;
}

int api_listen(struct daemon *d, int *fd_out, struct err *e)
{
	char path[PATH_MAX];
	auto_fd int other = -1;

	socket_path(d, path);
	if (sd_listen_fds(0) > 0) {
		if (sd_listen_fds(0) != 1 ||
		    sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
			return err_set(e, EINVAL,
				       "socket activation: not one listening Unix stream socket");
		*fd_out = SD_LISTEN_FDS_START;
		if (d->config.read == CONFIG_READ_ALL && chmod(path, 0666) < 0)
			log_warn("chmod %s: %s", path, strerror(errno));
		return 0;
	}
	if (unix_connect(path, SOCK_STREAM, &other, NULL) == 0) {
		err_set(e, EADDRINUSE, "another viaductd answers at %s", path);
		return err_hint(e, "viaduct version   says its pid");
	}
	d->has_own_socket = true;
	return socket_make(d, path, fd_out, e);
}

/* "": it has none. */
static void bound_path(int listener, char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1])
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa);

	path[0] = '\0';
	if (getsockname(listener, (struct sockaddr *)&sa, &len) == 0)
		memcpy(path, sa.sun_path, sizeof(sa.sun_path));
	path[sizeof(sa.sun_path)] = '\0';
}

bool api_listen_is_lost(const struct daemon *d, int listener)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1], vms[PATH_MAX];

	bound_path(listener, path);
	snprintf(vms, sizeof(vms), "%s/vm", d->opt->run_dir);
	return (path[0] != '\0' && run_path_is_gone(path)) || run_path_is_gone(vms);
}

int api_listen_again(struct daemon *d, int listener, struct err *e)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	auto_fd int fd = -1;
	int r = daemon_run_dirs_make(d, e);

	bound_path(listener, path);
	if (r < 0 || path[0] == '\0' || !run_path_is_gone(path))
		return r;
	r = socket_make(d, path, &fd, e);
	/* In the place of the one that nobody finds any more: whoever has its number goes on with it. */
	if (r == 0 && (listen(fd, SOMAXCONN) < 0 || dup3(fd, listener, O_CLOEXEC) < 0))
		r = err_set(e, errno, "listen on %s: %s", path, strerror(errno));
	if (r == 0)
		d->has_own_socket = true;
	return r;
}

void api_listen_end(const struct daemon *d)
{
	char path[PATH_MAX];

	if (d->has_own_socket)
		unlink(socket_path(d, path));
}
