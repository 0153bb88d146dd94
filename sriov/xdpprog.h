/* SPDX-License-Identifier: BSD-3-Clause */
/* The XDP program of a network device: rtnetlink(7), IFLA_XDP, and bpf(2). */
#ifndef VIADUCT_SRIOV_XDPPROG_H
#define VIADUCT_SRIOV_XDPPROG_H

#include "sriov/rtnl.h"

#include <sys/types.h>

struct nlmsghdr;

struct xdp_attached {
	uint32_t id; /* of the program; 0: none */
	uint8_t mode; /* XDP_ATTACHED_*, linux/if_link.h */
};

/*
 * Takes the program off the device if user `uid` loaded it, which is what a process of theirs that was killed has left
 * there: a program that netlink attached ends with nobody. 1: it is off; 0: there was none. -EBUSY code "xdp-foreign":
 * there is one of somebody else's, which stays. Takes CAP_SYS_ADMIN and CAP_NET_ADMIN.
 */
int xdp_leftover_remove(struct rtnl *nl, unsigned ifindex, uid_t uid, struct err *e);

#endif
