// SPDX-License-Identifier: BSD-3-Clause
/* Replies on the rtnetlink socket: the parsers of VF attributes and of addresses, and the socket's own discipline. */
#include "base/fd.h"
#include "sriov/macfilter.h"
#include "sriov/vfattr.h"

#include <libmnl/libmnl.h>

#include <stdlib.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void talk(const uint8_t *data, size_t size)
{
	struct nlmsghdr req = { .nlmsg_len = sizeof(req) };
	const struct nlmsghdr *reply;
	struct rtnl *nl;
	int fds[2];

	if (size == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
		return;
	if (rtnl_create_fd(&nl, fds[0]) < 0)
		abort();
	if (send(fds[1], data, size, MSG_DONTWAIT) >= 0) {
		shutdown(fds[1], SHUT_WR);
		if (rtnl_talk(nl, &req, &reply) == 0 &&
		    !range_fits((size_t)((const uint8_t *)reply - nl->buf), reply->nlmsg_len,
				nl->cap_bytes))
			abort();
	}
	fd_close(&fds[1]);
	rtnl_destroy(nl);
}

/* The first reply is a dump's answer, as far as it goes. */
static void dump(const uint8_t *data, size_t size)
{
	struct mac_filter filter;
	struct rtnl *nl;
	int fds[2];

	if (size == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
		return;
	if (rtnl_create_fd(&nl, fds[0]) < 0)
		abort();
	if (send(fds[1], data, size, MSG_DONTWAIT) >= 0) {
		shutdown(fds[1], SHUT_WR);
		if (mac_filter_read(nl, 2, &filter, NULL) < 0 && filter.macs != NULL)
			abort();
		mac_filter_free(&filter);
	}
	fd_close(&fds[1]);
	rtnl_destroy(nl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t mac[6];
	struct vf_attrs vfs[8];
	struct vf_attrs_list list = { .vfs = vfs, .count = ARRAY_SIZE(vfs) };
	uint8_t *copy = malloc(size + 1); /* aligned, and not a byte too many for the sanitizer */

	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	if (vf_attrs_parse(copy, size, &list) == 0 && list.described > list.count)
		abort();
	if (mac_filter_parse(copy, size, 2, mac) > 0 && (mac[0] & 1) != 0)
		abort();
	free(copy);
	talk(data, size);
	dump(data, size);
	return 0;
}
