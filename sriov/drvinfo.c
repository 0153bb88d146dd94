// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/drvinfo.h"

#include "base/fd.h"

#include <ctype.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* The driver's word: it need not end, nor be text. */
static void text_take(char out[DRIVER_INFO_TEXT], const char *from, size_t cap)
{
	size_t n = strnlen(from, cap);

	snprintf(out, DRIVER_INFO_TEXT, "%.*s", (int)n, from);
	for (char *c = out; *c != '\0'; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
}

int driver_info_read(const char *dev, struct driver_info *out)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_data = (void *)&info };

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return -errno;
	if (strlen(dev) >= sizeof(request.ifr_name))
		return -EINVAL;
	memcpy(request.ifr_name, dev, strlen(dev) + 1);
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		return -errno;
	text_take(out->version, info.version, sizeof(info.version));
	text_take(out->firmware, info.fw_version, sizeof(info.fw_version));
	return 0;
}
