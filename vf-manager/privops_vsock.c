// SPDX-License-Identifier: BSD-3-Clause
/* The kernel's vsock device (linux/vhost.h): opened here, handed to a VMM with its CID. */
#include "vf-manager/privops.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vhost.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE "vhost-vsock"

static char *device_path(const struct daemon *d, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/" DEVICE, d->opt->dev_dir);
	return buf;
}

static int unavailable(int error, const char *path, struct err *e)
{
	err_set(e, error, "vsock: open %s: %s", path, strerror(error));
	err_code(e, "no-vsock");
	return err_hint(e, "modprobe vhost_vsock; echo vhost_vsock > "
			   "/etc/modules-load.d/viaduct-vsock.conf");
}

bool priv_vsock_is_there(const struct daemon *d)
{
	char path[PATH_MAX];

	return access(device_path(d, path), F_OK) == 0;
}

int priv_vsock_check(const struct daemon *d, struct err *e)
{
	char path[PATH_MAX];

	return access(device_path(d, path), F_OK) == 0 ? 0 : unavailable(errno, path, e);
}

int priv_vsock_open(struct daemon *d, uint32_t cid, int *fd_out, struct err *e)
{
	char path[PATH_MAX];
	auto_fd int fd = open(device_path(d, path), O_RDWR | O_CLOEXEC | O_NOCTTY);
	__u64 wanted = cid;

	if (fd < 0)
		return unavailable(errno, path, e);
	/* From here on nobody else gets it, until the last copy of this fd is closed. */
	if (ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &wanted) < 0)
		return err_set(e, errno, "vsock: CID %u: %s", cid, strerror(errno));
	*fd_out = fd_take(&fd);
	return 0;
}
