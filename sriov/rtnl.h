/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One rtnetlink socket and its request/reply discipline. Thin: no policy. Replies are received into
 * a buffer sized by the kernel's own word (MSG_PEEK | MSG_TRUNC), because one reply with all VFs of
 * a PF exceeds any fixed size.
 */
#ifndef VIADUCT_SRIOV_RTNL_H
#define VIADUCT_SRIOV_RTNL_H

#include "base/err.h"

struct mnl_socket;
struct nlmsghdr;

struct rtnl {
	struct mnl_socket *sock; /* NULL in tests that bring a socket of their own */
	int fd;
	uint32_t seq; /* of the last request */
	uint8_t *buf; /* the last reply */
	size_t cap_bytes;
	char kernel_text[128]; /* the kernel's explanation of the last refusal; "" if none */
};

int rtnl_create(struct rtnl **out, struct err *e);

/* For tests: fd is a datagram socket whose other end plays the kernel. Takes fd over. */
int rtnl_create_fd(struct rtnl **out, int fd);
void rtnl_destroy(struct rtnl *nl);

/* Sends the request (its sequence number is filled in) and waits for the kernel's reply or
 * acknowledgement. *reply, if not NULL, points into nl->buf until the next request, and its
 * nlmsg_len lies inside the buffer. The kernel's errno; -EBADMSG if what came is no netlink;
 * -ETIMEDOUT after 10 s. */
int rtnl_talk(struct rtnl *nl, struct nlmsghdr *req, const struct nlmsghdr **reply);

/* A dump (NLM_F_DUMP is set): fn gets each message of the answer, whole and inside the buffer; what it returns below 0 is
 * returned, and the rest is read and left. -EAGAIN: what was dumped changed meanwhile. Else as rtnl_talk(). */
typedef int rtnl_entry_fn(void *arg, const struct nlmsghdr *nlh);
int rtnl_dump(struct rtnl *nl, struct nlmsghdr *req, rtnl_entry_fn *fn, void *arg);

/* The network device of this index up or down, as `ip link set` does; then read back. */
int rtnl_link_set_up(struct rtnl *nl, unsigned ifindex, bool up, struct err *e);

#endif
