// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/backendproc.h"
#include "vf-manager/privops.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static char *path_of(const struct backend_proc *p, unsigned int nr, char buf[BACKEND_PATH_TEXT])
{
	char file[32];

	snprintf(file, sizeof(file), "%u.sock", nr);
	return backend_path(p->d, p->name, file, buf);
}

/* PMD_MAX_PORTS: it is none of ours. */
static unsigned int number_of(const struct backend_proc *p, const char *path)
{
	char ours[BACKEND_PATH_TEXT];
	unsigned int nr = 0;

	while (nr < PMD_MAX_PORTS && strcmp(path_of(p, nr, ours), path) != 0)
		nr++;
	return nr;
}

/* The folder is made again where it is missing. */
static int listen_at(struct backend_proc *p, unsigned int nr, char path[PMD_SOCKET_TEXT],
		     int *fd_out, struct err *e)
{
	const uid_t uid = backend_proc_uid(p);
	char all[BACKEND_PATH_TEXT];

	path_of(p, nr, all);
	if (strlen(all) >= PMD_SOCKET_TEXT)
		return err_set(e, ENAMETOOLONG, "%s is too long for a socket's name", all);
	memcpy(path, all, strlen(all) + 1);
	if (priv_backend_folder_make(p->d, p->name, backend_proc_group(p), e) < 0)
		return -EIO;
	return priv_backend_listen(p->d, path, uid, fd_out, e);
}

int backend_socket_make(struct backend_proc *p, char path[PMD_SOCKET_TEXT], int *fd_out,
			struct err *e)
{
	unsigned int nr = 0;
	int r;

	while (nr < PMD_MAX_PORTS && p->sockets[nr] != 0)
		nr++;
	if (nr == PMD_MAX_PORTS)
		return err_set(e, ENOSPC, "there are %d sockets of %s already", PMD_MAX_PORTS,
			       p->label);
	r = listen_at(p, nr, path, fd_out, e);
	if (r == 0)
		p->sockets[nr] = 1;
	return r;
}

void backend_socket_keep(struct backend_proc *p, const char *path)
{
	unsigned int nr = number_of(p, path);

	if (nr < PMD_MAX_PORTS)
		p->sockets[nr] = 1;
}

void backend_socket_drop(struct backend_proc *p, const char *path)
{
	unsigned int nr = number_of(p, path);

	if (nr == PMD_MAX_PORTS)
		return;
	unlink(path);
	p->sockets[nr] = 0;
}
