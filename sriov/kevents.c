// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/kevents.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define UEVENT_GROUP 1 /* of the kernel; 2 is udev's */
#define MESSAGE_MAX  8192
#define TAKE_MAX     256 /* messages at a time */

static const struct {
	int protocol;
	uint32_t groups;
	const char *what;
} kinds[KEVENTS_KINDS] = {
	[KEVENTS_DEVICES] = { NETLINK_KOBJECT_UEVENT, UEVENT_GROUP, "uevents" },
	[KEVENTS_LINKS] = { NETLINK_ROUTE, RTMGRP_LINK, "link changes" },
};

int kevents_open(enum kevents_kind kind, int *fd_out, struct err *e)
{
	const union {
		struct sockaddr any;
		struct sockaddr_nl nl;
	} addr = { .nl = { .nl_family = AF_NETLINK, .nl_groups = kinds[kind].groups } };
	auto_fd int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, kinds[kind].protocol);

	if (fd < 0 || bind(fd, &addr.any, sizeof(addr.nl)) < 0)
		return err_set(e, errno, "listen for the kernel's %s: %s", kinds[kind].what,
			       strerror(errno));
	*fd_out = fd_take(&fd);
	return 0;
}

bool uevent_is_ours(const char *msg, size_t len)
{
	static const char *const wanted[] = { "SUBSYSTEM=pci", "SUBSYSTEM=net", "SUBSYSTEM=nvme" };
	size_t at = 0;

	while (at < len) {
		size_t n = strnlen(msg + at, len - at);

		for (size_t i = 0; n < len - at && i < ARRAY_SIZE(wanted); i++)
			if (strcmp(msg + at, wanted[i]) == 0)
				return true;
		at += n + 1;
	}
	return false;
}

bool kevents_take(int fd, enum kevents_kind kind)
{
	bool is_ours = false;

	for (int i = 0; i < TAKE_MAX; i++) {
		char msg[MESSAGE_MAX];
		union {
			struct sockaddr any;
			struct sockaddr_nl nl;
			struct sockaddr_storage space;
		} from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, msg, sizeof(msg), MSG_DONTWAIT | MSG_TRUNC, &from.any,
				     &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		/* More came than the socket could hold: some of it may have been ours. */
		if (n < 0 && errno == ENOBUFS) {
			is_ours = true;
			continue;
		}
		if (n <= 0)
			break;
		/* Whoever may send here but the kernel is not believed. */
		if (from.any.sa_family == AF_NETLINK && from.nl.nl_pid != 0)
			continue;
		is_ours |= kind == KEVENTS_LINKS || (size_t)n > sizeof(msg) ||
			   uevent_is_ours(msg, (size_t)n);
	}
	return is_ours;
}
