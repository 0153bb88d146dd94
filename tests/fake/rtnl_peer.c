// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/rtnl_peer.h"

#include "base/fd.h"

#include <libmnl/libmnl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

static void put_vf(struct nlmsghdr *nlh, uint32_t i, const struct vf_attrs *a)
{
	struct ifla_vf_mac mac = { .vf = i };
	struct ifla_vf_vlan vlan = { i, a->vlan, a->qos };
	struct ifla_vf_vlan_info info = { i, a->vlan, a->qos, htons(a->vlan_proto) };
	struct ifla_vf_rate rate = { i, a->min_mbps, a->max_mbps };
	struct ifla_vf_tx_rate tx_rate = { i, a->max_mbps };
	struct ifla_vf_spoofchk spoof = { i, a->mask & BIT(VF_ATTR_SPOOFCHK) ? a->spoofchk : ~0U };
	struct ifla_vf_link_state state = { i, a->link_state };
	struct ifla_vf_rss_query_en rss = { i, ~0U };
	struct ifla_vf_trust trust = { i, a->mask & BIT(VF_ATTR_TRUST) ? a->trust : ~0U };
	uint8_t broadcast[32] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct nlattr *vf = mnl_attr_nest_start(nlh, IFLA_VF_INFO), *list;

	memcpy(mac.mac, a->mac, 6);
	mnl_attr_put(nlh, IFLA_VF_MAC, sizeof(mac), &mac);
	mnl_attr_put(nlh, IFLA_VF_BROADCAST, sizeof(broadcast), broadcast);
	mnl_attr_put(nlh, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	mnl_attr_put(nlh, IFLA_VF_RATE, sizeof(rate), &rate);
	mnl_attr_put(nlh, IFLA_VF_TX_RATE, sizeof(tx_rate), &tx_rate);
	mnl_attr_put(nlh, IFLA_VF_SPOOFCHK, sizeof(spoof), &spoof);
	mnl_attr_put(nlh, IFLA_VF_LINK_STATE, sizeof(state), &state);
	mnl_attr_put(nlh, IFLA_VF_RSS_QUERY_EN, sizeof(rss), &rss);
	mnl_attr_put(nlh, IFLA_VF_TRUST, sizeof(trust), &trust);
	list = mnl_attr_nest_start(nlh, IFLA_VF_VLAN_LIST);
	mnl_attr_put(nlh, IFLA_VF_VLAN_INFO, sizeof(info), &info);
	mnl_attr_nest_end(nlh, list);
	mnl_attr_nest_end(nlh, vf);
}

size_t rtnl_peer_link(const struct rtnl_peer *peer, void *buf, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;
	struct nlattr *list;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_seq = seq;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_flags = peer->up ? IFF_UP : 0;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, "pf0");
	mnl_attr_put_u32(nlh, IFLA_NUM_VF, peer->vf_count);
	list = mnl_attr_nest_start(nlh, IFLA_VFINFO_LIST);
	for (unsigned i = 0; i < peer->shown; i++)
		put_vf(nlh, i, &peer->vfs[i]);
	mnl_attr_nest_end(nlh, list);
	mnl_attr_put_u32(nlh, IFLA_GROUP, 0);
	return nlh->nlmsg_len;
}

static size_t put_ack(const struct rtnl_peer *peer, const struct nlmsghdr *req, int errnum,
		      uint8_t *buf)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nlmsgerr *error;

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_seq = req->nlmsg_seq;
	error = mnl_nlmsg_put_extra_header(nlh, sizeof(*error));
	error->error = -errnum;
	error->msg = *req;
	if (errnum != 0 && peer->text != NULL) {
		nlh->nlmsg_flags = NLM_F_ACK_TLVS | NLM_F_CAPPED;
		mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, peer->text);
	}
	return nlh->nlmsg_len;
}

/* Which attribute, and its new value into *a. */
static enum vf_attr set_one(const struct nlattr *attr, uint32_t *index, struct vf_attrs *a)
{
	const uint32_t *v = mnl_attr_get_payload(attr);
	const struct ifla_vf_vlan_info *info;

	*index = v[0];
	switch (mnl_attr_get_type(attr)) {
	case IFLA_VF_MAC:
		memcpy(a->mac, v + 1, 6);
		return VF_ATTR_MAC;
	case IFLA_VF_VLAN_LIST:
		info = mnl_attr_get_payload(mnl_attr_get_payload(attr));
		*index = info->vf;
		a->vlan = (uint16_t)info->vlan;
		a->qos = (uint8_t)info->qos;
		a->vlan_proto = ntohs(info->vlan_proto);
		return VF_ATTR_VLAN;
	case IFLA_VF_RATE:
		a->min_mbps = v[1];
		a->max_mbps = v[2];
		return VF_ATTR_RATE;
	case IFLA_VF_SPOOFCHK:
		a->spoofchk = v[1] != 0;
		return VF_ATTR_SPOOFCHK;
	case IFLA_VF_TRUST:
		a->trust = v[1] != 0;
		return VF_ATTR_TRUST;
	case IFLA_VF_LINK_STATE:
		a->link_state = (enum vf_link_state)v[1];
		return VF_ATTR_LINK_STATE;
	}
	return VF_ATTR_COUNT;
}

static int set_link(struct rtnl_peer *peer, const struct nlmsghdr *req)
{
	const struct nlattr *list = mnl_nlmsg_get_payload_offset(req, sizeof(struct ifinfomsg));
	const struct nlattr *attr = mnl_attr_get_payload(mnl_attr_get_payload(list));
	uint32_t index = *((const uint32_t *)mnl_attr_get_payload(attr));
	struct vf_attrs next, *vf;
	enum vf_attr which = set_one(attr, &index, &next);

	peer->sets++;
	if (which == VF_ATTR_COUNT || index >= peer->vf_count)
		return EINVAL;
	if ((peer->unsupported & BIT(which)) != 0)
		return EOPNOTSUPP;
	if ((peer->refused & BIT(which)) != 0)
		return EINVAL;
	vf = &peer->vfs[index];
	if ((peer->ignored & BIT(which)) == 0)
		set_one(attr, &index, vf);
	return 0;
}

static size_t answer(struct rtnl_peer *peer, const struct nlmsghdr *req, uint8_t *buf)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(req);

	switch (req->nlmsg_type) {
	case RTM_GETLINK:
		peer->gets++;
		if (peer->get_errno != 0)
			return put_ack(peer, req, peer->get_errno, buf);
		return rtnl_peer_link(peer, buf, req->nlmsg_seq);
	case RTM_NEWLINK:
		if ((ifi->ifi_change & IFF_UP) != 0 && !peer->link_sticks)
			peer->up = (ifi->ifi_flags & IFF_UP) != 0;
		return put_ack(peer, req, 0, buf);
	default:
		return put_ack(peer, req, set_link(peer, req), buf);
	}
}

static void *serve(void *arg)
{
	struct rtnl_peer *peer = arg;
	uint8_t *buf = malloc(PEER_MSG_MAX);
	union {
		struct nlmsghdr head;
		uint8_t bytes[1024];
	} req;

	while (recv(peer->fd, &req, sizeof(req), 0) > 0) {
		struct nlmsghdr stray = { .nlmsg_len = sizeof(stray), .nlmsg_seq = 0x7fff };
		size_t len = answer(peer, &req.head, buf);

		if (peer->stray_first)
			(void)send(peer->fd, &stray, sizeof(stray), MSG_NOSIGNAL);
		if (send(peer->fd, buf, len, MSG_NOSIGNAL) < 0)
			break;
	}
	free(buf);
	return NULL;
}

void rtnl_peer_start(struct rtnl_peer *peer, unsigned vfs)
{
	memset(peer, 0, sizeof(*peer));
	peer->vf_count = peer->shown = vfs;
	for (unsigned i = 0; i < PEER_VFS; i++)
		peer->vfs[i] = vf_attrs_default;
	rtnl_peer_resume(peer);
}

void rtnl_peer_resume(struct rtnl_peer *peer)
{
	int fds[2], size = PEER_MSG_MAX * 2;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	peer->fd = fds[1];
	if (rtnl_create_fd(&peer->nl, fds[0]) < 0 ||
	    pthread_create(&peer->thread, NULL, serve, peer) != 0)
		abort();
}

void rtnl_peer_stop(struct rtnl_peer *peer)
{
	rtnl_destroy(peer->nl); /* ends the thread's recv */
	pthread_join(peer->thread, NULL);
	fd_close(&peer->fd);
}
