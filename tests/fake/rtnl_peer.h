/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's end of a rtnetlink socket: a thread that keeps the VFs of one network device and
 * answers RTM_GETLINK and RTM_SETLINK as a PF's driver with the given gaps would. Change the policy
 * only while no request is under way.
 */
#ifndef VIADUCT_TESTS_FAKE_RTNL_PEER_H
#define VIADUCT_TESTS_FAKE_RTNL_PEER_H

#include "sriov/vfattr.h"

#include <pthread.h>

#define PEER_VFS     256
#define PEER_MSG_MAX 131072

struct rtnl_peer {
	struct rtnl *nl; /* the client's end */
	int fd;
	pthread_t thread;

	unsigned vf_count; /* what IFLA_NUM_VF says */
	unsigned shown; /* how many are described */
	struct vf_attrs vfs[PEER_VFS]; /* mask: what the driver reports */
	uint32_t unsupported, refused, ignored; /* BIT(enum vf_attr) */
	bool up;
	bool link_sticks; /* does not change up or down */
	int get_errno; /* every RTM_GETLINK fails so */
	bool stray_first; /* a reply to something else comes first */
	const char *text; /* the kernel's words with a refusal */
	unsigned sets; /* RTM_SETLINK messages so far */
	unsigned gets; /* RTM_GETLINK messages so far */
};

void rtnl_peer_start(struct rtnl_peer *peer, unsigned vfs);

/* With the VFs that it has: after rtnl_peer_stop(), or in another process that shares its memory. */
void rtnl_peer_resume(struct rtnl_peer *peer);
void rtnl_peer_stop(struct rtnl_peer *peer);

/* RTM_NEWLINK with the VFs of peer, into buf of PEER_MSG_MAX bytes; returns its length. */
size_t rtnl_peer_link(const struct rtnl_peer *peer, void *buf, uint32_t seq);

#endif
