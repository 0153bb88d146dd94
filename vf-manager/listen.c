// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/listen.h"

#include "vf-manager/api.h"

#include "base/fd.h"
#include "base/seqmsg.h"

#include <systemd/sd-daemon.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char *socket_path(const struct daemon *d, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/%s", d->opt->run_dir, API_SOCKET_NAME);
	return buf;
}

int api_listen(const struct daemon *d, int *fd_out, struct err *e)
{
	char path[PATH_MAX];
	auto_fd int other = -1;
	int r;

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
	r = unix_listen(path, SOCK_STREAM, d->config.read == CONFIG_READ_ALL ? 0666 : 0660, fd_out,
			e);
	if (r == 0 && d->is_root && d->gid != (gid_t)-1 && chown(path, 0, d->gid) < 0)
		r = err_set(e, errno, "chown %s: %s", path, strerror(errno));
	return r;
}

void api_listen_end(const struct daemon *d)
{
	char path[PATH_MAX];

	if (sd_listen_fds(0) == 0)
		unlink(socket_path(d, path));
}
