// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/port.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_BUFFER (4 << 20) /* bytes */
#define LINK_TRIES    100 /* of 100 ms */

static int fail(const struct port *p, const char *step, struct err *e)
{
	int errnum = errno;

	return err_set(e, errnum, "%s: %s: %s", p->device, step, strerror(errnum));
}

static unsigned long attribute(const struct port *p, const char *name)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/%s", p->device, name);
	if (file_read_at(AT_FDCWD, path, text, sizeof(text)) <= 0 || text[0] == '-')
		return 0;
	return strtoul(text, NULL, 10);
}

static int set_up(const struct port *p, uint32_t mtu, int fd, struct ifreq *req)
{
	int r = 0;

	if (mtu != 0) {
		req->ifr_mtu = (int)mtu;
		r = ioctl(fd, SIOCSIFMTU, req);
	}
	if (r == 0)
		r = ioctl(fd, SIOCGIFFLAGS, req);
	if (r == 0 && (req->ifr_flags & IFF_UP) == 0) {
		req->ifr_flags |= IFF_UP;
		r = ioctl(fd, SIOCSIFFLAGS, req);
	}
	return r;
}

int netdev_facts(struct port *p, const struct reflect_request *q, struct err *e)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };
	char path[96];

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%.15s", p->device);
	if (fd < 0 || set_up(p, q->mtu, fd, &req) < 0 || ioctl(fd, SIOCGIFHWADDR, &req) < 0)
		return fail(p, "network device", e);
	memcpy(p->mac, req.ifr_hwaddr.sa_data, sizeof(p->mac));
	if (ioctl(fd, SIOCGIFMTU, &req) < 0)
		return fail(p, "MTU", e);
	p->max_frame = (uint32_t)req.ifr_mtu + ETH_HLEN + ETH_FCS_LEN;
	for (int i = 0; i < LINK_TRIES && attribute(p, "carrier") != 1; i++)
		usleep(100000);
	p->link_mbps = (uint32_t)attribute(p, "speed");
	snprintf(path, sizeof(path), "/sys/class/net/%.15s/device/driver", p->device);
	if (link_base_at(AT_FDCWD, path, p->driver, sizeof(p->driver)) < 0)
		strcpy(p->driver, "kernel");
	return 0;
}

int netdev_trouble(const struct port *p)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%.15s", p->device);
	if (fd < 0)
		return 0;
	if (ioctl(fd, SIOCGIFFLAGS, &req) < 0)
		return errno;
	return (req.ifr_flags & IFF_UP) != 0 ? 0 : ENETDOWN;
}

int socket_open(struct port *p, const struct reflect_request *q, struct err *e)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct packet_mreq promisc = { .mr_type = PACKET_MR_PROMISC };
	int r = netdev_facts(p, q, e), yes = 1, bytes = SOCKET_BUFFER;

	if (r < 0)
		return r;
	p->can_interrupt = true;
	/* Protocol 0: nothing is heard before the socket is this device's. */
	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	at.sll_ifindex = promisc.mr_ifindex = (int)if_nametoindex(p->device);
	if (p->fd < 0 || at.sll_ifindex == 0 ||
	    setsockopt(p->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) < 0 ||
	    setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		return fail(p, "AF_PACKET", e);
	/* A VF may not. */
	(void)setsockopt(p->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc));
	if (bind(p->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return fail(p, "AF_PACKET", e);
	return 0;
}
