/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The unicast addresses that a network device takes beside its own, as `bridge fdb ... self` shows and changes them.
 * On a PF they are what the card's own switch delivers to the PF from VFs, promiscuous or not. rtnetlink(7), RTM_NEWNEIGH
 * of family AF_BRIDGE with NTF_SELF.
 */
#ifndef VIADUCT_SRIOV_MACFILTER_H
#define VIADUCT_SRIOV_MACFILTER_H

#include "sriov/rtnl.h"

#define MAC_FILTER_MOST 8192 /* of one device; no card has so many */

struct mac_filter {
	uint8_t (*macs)[6]; /* sorted; owned */
	size_t count, cap;
};

void mac_filter_free(struct mac_filter *f); /* NULL-safe */
bool mac_filter_has(const struct mac_filter *f, const uint8_t mac[6]);

/* What the device has now, multicast left out. On failure *out is empty. -EAGAIN: it changed meanwhile; -E2BIG. */
int mac_filter_read(struct rtnl *nl, unsigned ifindex, struct mac_filter *out, struct err *e);

/* One address in. -EEXIST: it is there already, by whomever. -ENOSPC code "filter-full": the driver has no room for it (igb
 * says ENOMEM). Other errors: code "filter-refused". */
int mac_filter_add(struct rtnl *nl, unsigned ifindex, const uint8_t mac[6], struct err *e);

/* One address out. -ENOENT: it is not there. */
int mac_filter_del(struct rtnl *nl, unsigned ifindex, const uint8_t mac[6], struct err *e);

/* The parser alone, for tests and fuzzing: `msg` is a whole message of len bytes, aligned to 4. 1: it is an entry of the
 * device, stored; 0: it is another's, or no unicast address of the device itself; -EBADMSG. */
int mac_filter_parse(const void *msg, size_t len, unsigned ifindex, uint8_t mac[6]);

#endif
