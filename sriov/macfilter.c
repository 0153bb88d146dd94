// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/macfilter.h"

#include "sriov/nlmsg.h"

#include "base/parse.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

static int mac_cmp(const void *a, const void *b)
{
	return memcmp(a, b, 6);
}

void mac_filter_free(struct mac_filter *f)
{
	if (f == NULL)
		return;
	free(f->macs);
	*f = (struct mac_filter){ 0 };
}

bool mac_filter_has(const struct mac_filter *f, const uint8_t mac[6])
{
	return f->count > 0 && bsearch(mac, f->macs, f->count, 6, mac_cmp) != NULL;
}

int mac_filter_parse(const void *msg, size_t len, unsigned ifindex, uint8_t mac[6])
{
	const struct nlmsghdr *nlh = msg;
	const struct nlattr *attr;
	const struct ndmsg *ndm;
	const void *attrs;
	size_t attrs_len;
	int found = 0;

	if (len < sizeof(*nlh) || !nlmsg_fits(nlh, len) || nlh->nlmsg_type != RTM_NEWNEIGH ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm))
		return -EBADMSG;
	ndm = mnl_nlmsg_get_payload(nlh);
	if (ndm->ndm_family != AF_BRIDGE || ndm->ndm_ifindex != (int)ifindex ||
	    (ndm->ndm_flags & NTF_SELF) == 0)
		return 0;
	/* Not mnl_attr_for_each(): it rounds the message's end up. */
	attrs = ndm + 1;
	attrs_len = nlh->nlmsg_len - (size_t)MNL_NLMSG_HDRLEN - sizeof(*ndm);
	mnl_attr_for_each_payload(attrs, attrs_len) {
		if (mnl_attr_get_type(attr) != NDA_LLADDR || mnl_attr_get_payload_len(attr) != 6)
			continue;
		memcpy(mac, mnl_attr_get_payload(attr), 6);
		found = (mac[0] & 1) == 0;
	}
	return found;
}

struct reading {
	struct mac_filter *out;
	unsigned ifindex;
};

static int entry_take(void *arg, const struct nlmsghdr *nlh)
{
	struct reading *reading = arg;
	struct mac_filter *f = reading->out;
	uint8_t mac[6];
	int r = mac_filter_parse(nlh, nlh->nlmsg_len, reading->ifindex, mac);

	if (r <= 0)
		return r;
	if (f->count == MAC_FILTER_MOST)
		return -E2BIG;
	if (f->count == f->cap) {
		size_t cap = f->cap * 2 + 32;
		void *macs = reallocarray(f->macs, cap, 6);

		if (macs == NULL)
			return -ENOMEM;
		f->macs = macs;
		f->cap = cap;
	}
	memcpy(f->macs[f->count++], mac, 6);
	return 0;
}

int mac_filter_read(struct rtnl *nl, unsigned ifindex, struct mac_filter *out, struct err *e)
{
	uint8_t buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct reading reading = { out, ifindex };
	struct ifinfomsg *info;
	int r;

	*out = (struct mac_filter){ 0 };
	nlh->nlmsg_type = RTM_GETNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	/* The form in which a kernel that is not told to be strict takes an index. */
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_BRIDGE;
	info->ifi_index = (int)ifindex;
	r = rtnl_dump(nl, nlh, entry_take, &reading);
	if (r < 0) {
		mac_filter_free(out);
		return err_set(e, r, "read the addresses of network device %u: %s", ifindex,
			       strerror(-r));
	}
	if (out->count > 0)
		qsort(out->macs, out->count, 6, mac_cmp);
	return 0;
}

static int entry_change(struct rtnl *nl, uint16_t type, unsigned ifindex, const uint8_t mac[6])
{
	uint8_t buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	if (type == RTM_NEWNEIGH)
		nlh->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = AF_BRIDGE;
	ndm->ndm_ifindex = (int)ifindex;
	ndm->ndm_state = NUD_PERMANENT;
	ndm->ndm_flags = NTF_SELF;
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	return rtnl_talk(nl, nlh, NULL);
}

int mac_filter_add(struct rtnl *nl, unsigned ifindex, const uint8_t mac[6], struct err *e)
{
	int r = entry_change(nl, RTM_NEWNEIGH, ifindex, mac);
	char text[MAC_TEXT];

	if (r == 0 || r == -EEXIST)
		return r;
	mac_text(mac, text);
	/* Drivers have several words for it. */
	if (r == -ENOMEM || r == -ENOSPC) {
		err_set(e, ENOSPC, "it has no room for %s", text);
		return err_code(e, "filter-full");
	}
	err_set(e, r, "it does not take %s: %s%s%s", text, strerror(-r),
		nl->kernel_text[0] != '\0' ? ": " : "", nl->kernel_text);
	return err_code(e, "filter-refused");
}

int mac_filter_del(struct rtnl *nl, unsigned ifindex, const uint8_t mac[6], struct err *e)
{
	int r = entry_change(nl, RTM_DELNEIGH, ifindex, mac);
	char text[MAC_TEXT];

	if (r == 0 || r == -ENOENT)
		return r;
	err_set(e, r, "it keeps %s: %s", mac_text(mac, text), strerror(-r));
	return err_code(e, "filter-refused");
}
