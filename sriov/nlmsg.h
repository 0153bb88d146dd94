/* SPDX-License-Identifier: BSD-3-Clause */
/* Bounds of netlink messages, where those of libmnl do not hold. Private to sriov/. */
#ifndef VIADUCT_SRIOV_NLMSG_H
#define VIADUCT_SRIOV_NLMSG_H

#include "base/util.h"

#include <linux/netlink.h>

/* The whole message lies in the len bytes at nlh. mnl_nlmsg_ok() compares as int, so that a length
 * above 2^31 passes it. */
static inline bool nlmsg_fits(const struct nlmsghdr *nlh, size_t len)
{
	return len >= sizeof(*nlh) && nlh->nlmsg_len >= sizeof(*nlh) && nlh->nlmsg_len <= len;
}

#endif
