// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/xdpprog.h"

#include "sriov/nlmsg.h"

#include "base/fd.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/syscall.h>
#include <unistd.h>

static void facts_parse(const struct nlattr *nest, struct xdp_attached *out)
{
	const void *attrs = mnl_attr_get_payload(nest);
	size_t len = mnl_attr_get_payload_len(nest);
	const struct nlattr *attr;

	/* Not mnl_attr_for_each_nested(): it rounds the end up. */
	mnl_attr_for_each_payload(attrs, len) {
		const void *value = mnl_attr_get_payload(attr);
		size_t size = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) == IFLA_XDP_ATTACHED && size == sizeof(out->mode))
			memcpy(&out->mode, value, sizeof(out->mode));
		if (mnl_attr_get_type(attr) == IFLA_XDP_PROG_ID && size == sizeof(out->id))
			memcpy(&out->id, value, sizeof(out->id));
	}
}

/* `msg` is a whole message of len bytes, aligned to 4. -EBADMSG. */
static int xdp_attached_parse(const void *msg, size_t len, unsigned ifindex,
			      struct xdp_attached *out)
{
	const struct nlmsghdr *nlh = msg;
	const struct ifinfomsg *info;
	const struct nlattr *attr;
	const void *attrs;
	size_t attrs_len;

	*out = (struct xdp_attached){ 0 };
	if (len < sizeof(*nlh) || !nlmsg_fits(nlh, len) || nlh->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*info))
		return -EBADMSG;
	info = mnl_nlmsg_get_payload(nlh);
	if (info->ifi_index != (int)ifindex)
		return -EBADMSG;
	attrs = info + 1;
	attrs_len = nlh->nlmsg_len - (size_t)MNL_NLMSG_HDRLEN - sizeof(*info);
	mnl_attr_for_each_payload(attrs, attrs_len)
		if (mnl_attr_get_type(attr) == IFLA_XDP)
			facts_parse(attr, out);
	return 0;
}

static int attached_read(struct rtnl *nl, unsigned ifindex, struct xdp_attached *out)
{
	uint8_t buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	const struct nlmsghdr *reply;
	struct ifinfomsg *info;
	int r;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_index = (int)ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	r = rtnl_talk(nl, nlh, &reply);
	return r < 0 ? r : xdp_attached_parse(reply, reply->nlmsg_len, ifindex, out);
}

static int program_open(uint32_t id)
{
	union bpf_attr attr = { .prog_id = id };
	long fd = syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

static int program_owner(int fd, uid_t *uid)
{
	struct bpf_prog_info facts = { 0 };
	union bpf_attr attr = { .info = { .bpf_fd = (uint32_t)fd,
					  .info_len = sizeof(facts),
					  .info = (uintptr_t)&facts } };

	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return -errno;
	*uid = facts.created_by_uid;
	return 0;
}

/* Only this program: should another have come meanwhile, it stays. */
static int program_remove(struct rtnl *nl, unsigned ifindex, const struct xdp_attached *at, int fd)
{
	uint8_t buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	uint32_t mode = at->mode == XDP_ATTACHED_SKB  ? XDP_FLAGS_SKB_MODE
			: at->mode == XDP_ATTACHED_HW ? XDP_FLAGS_HW_MODE
						      : XDP_FLAGS_DRV_MODE;
	struct ifinfomsg *info;
	struct nlattr *nest;

	nlh->nlmsg_type = RTM_SETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_index = (int)ifindex;
	nest = mnl_attr_nest_start(nlh, IFLA_XDP);
	mnl_attr_put_u32(nlh, IFLA_XDP_FD, (uint32_t)-1);
	mnl_attr_put_u32(nlh, IFLA_XDP_FLAGS, mode | XDP_FLAGS_REPLACE);
	mnl_attr_put_u32(nlh, IFLA_XDP_EXPECTED_FD, (uint32_t)fd);
	mnl_attr_nest_end(nlh, nest);
	return rtnl_talk(nl, nlh, NULL);
}

static int foreign(uint32_t id, unsigned ifindex, struct err *e)
{
	err_set(e, EBUSY, "network device %u runs another's XDP program, number %u", ifindex, id);
	err_code(e, "xdp-foreign");
	return err_hint(e, "if nobody needs it: ip link set DEVICE xdp off");
}

int xdp_leftover_remove(struct rtnl *nl, unsigned ifindex, uid_t uid, struct err *e)
{
	auto_fd int fd = -1;
	struct xdp_attached at;
	uid_t owner = 0;
	int r = attached_read(nl, ifindex, &at);

	if (r == 0 && at.mode == XDP_ATTACHED_NONE)
		return 0;
	if (r == 0 && at.mode == XDP_ATTACHED_MULTI)
		return foreign(at.id, ifindex, e);
	if (r == 0) {
		fd = program_open(at.id);
		r = fd < 0 ? fd : program_owner(fd, &owner);
	}
	if (r == 0 && owner != uid)
		return foreign(at.id, ifindex, e);
	if (r == 0)
		r = program_remove(nl, ifindex, &at, fd);
	if (r < 0)
		return err_set(e, r, "the XDP program of network device %u: %s", ifindex,
			       strerror(-r));
	return 1;
}
