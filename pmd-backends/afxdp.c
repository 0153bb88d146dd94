// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/afxdp.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Where distributions have what libxdp comes with. */
static const char *const programs[] = {
	"/usr/lib/x86_64-linux-gnu/bpf/xsk_def_xdp_prog_5.3.o",
	"/usr/lib64/bpf/xsk_def_xdp_prog_5.3.o",
	"/usr/lib/bpf/xsk_def_xdp_prog_5.3.o",
};

static unsigned int queues_count(const char *device)
{
	const struct dirent *entry;
	unsigned int count = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues", device);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
		count += strncmp(entry->d_name, "rx-", 3) == 0;
	closedir(dir);
	return count;
}

int afxdp_args(const char *device, char *args, size_t cap, struct err *e)
{
	unsigned int queues = queues_count(device);

	if (queues > 1) {
		err_set(e, EBUSY, "%s receives on %u queues, af-xdp serves one", device, queues);
		err_code(e, "device-refused");
		return err_hint(e,
				"ethtool -L %s combined 1, or rx 1 tx 1 where it has no combined",
				device);
	}
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (access(programs[i], R_OK) < 0)
			continue;
		snprintf(args, cap, ",xdp_prog=%s", programs[i]);
		return 0;
	}
	err_set(e, ENOENT, "no %s: af-xdp needs libxdp's program", programs[0]);
	err_code(e, "device-refused");
	return err_hint(e, "install libxdp1, or kind: af-packet");
}

static bool is_afxdp(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_XDP;
}

void afxdp_sockets(fd_set *out)
{
	FD_ZERO(out);
	for (int fd = 0; fd < FD_SETSIZE; fd++)
		if (is_afxdp(fd))
			FD_SET(fd, out);
}

bool afxdp_is_zero_copy(const fd_set *before)
{
	for (int fd = 0; fd < FD_SETSIZE; fd++) {
		struct xdp_options options = { 0 };
		socklen_t len = sizeof(options);

		if (FD_ISSET(fd, before) || !is_afxdp(fd))
			continue;
		return getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &len) == 0 &&
		       (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
	}
	return false;
}
