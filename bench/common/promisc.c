// SPDX-License-Identifier: BSD-3-Clause
#include "bench/common/promisc.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int promisc_open(const char *iface)
{
	struct packet_mreq wish = { .mr_type = PACKET_MR_PROMISC,
				    .mr_ifindex = (int)if_nametoindex(iface) };
	/* Protocol 0: it hears nothing. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wish, sizeof(wish)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* Without what sockets have asked for, which sysfs would count as well. */
bool promisc_is_set(const char *iface)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", iface);
	return fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &req) == 0 && (req.ifr_flags & IFF_PROMISC) != 0;
}
