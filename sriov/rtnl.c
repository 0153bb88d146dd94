// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/rtnl.h"

#include "sriov/nlmsg.h"

#include "base/fd.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#define REPLY_MAX	 MIB(16) /* 65535 VFs at 220 bytes each stay below */
#define REPLY_FIRST_SIZE 8192
#define REPLY_WAIT_MS	 10000
#define DUMP_MOST	 65536 /* datagrams of one answer */

int rtnl_create_fd(struct rtnl **out, int fd)
{
	struct rtnl *nl = calloc(1, sizeof(*nl));

	if (nl == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	nl->fd = fd;
	*out = nl;
	return 0;
}

int rtnl_create(struct rtnl **out, struct err *e)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct rtnl *nl;
	int r, on = 1;

	if (sock == NULL)
		return err_set(e, errno, "open a rtnetlink socket: %s", strerror(errno));
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		r = err_set(e, errno, "bind a rtnetlink socket: %s", strerror(errno));
		mnl_socket_close(sock);
		return r;
	}
	/* Only a comfort: without it refusals come without a text. */
	(void)mnl_socket_setsockopt(sock, NETLINK_EXT_ACK, &on, sizeof(on));
	nl = calloc(1, sizeof(*nl));
	if (nl == NULL) {
		mnl_socket_close(sock);
		return err_set(e, ENOMEM, "no memory for a rtnetlink socket");
	}
	nl->sock = sock;
	nl->fd = mnl_socket_get_fd(sock);
	*out = nl;
	return 0;
}

void rtnl_destroy(struct rtnl *nl)
{
	if (nl == NULL)
		return;
	if (nl->sock != NULL)
		mnl_socket_close(nl->sock);
	else
		fd_close(&nl->fd);
	free(nl->buf);
	free(nl);
}

static int buf_grow(struct rtnl *nl, size_t need)
{
	uint8_t *buf;

	if (need <= nl->cap_bytes)
		return 0;
	if (need > REPLY_MAX)
		return -EMSGSIZE;
	need = u64_max(need, REPLY_FIRST_SIZE);
	buf = realloc(nl->buf, need);
	if (buf == NULL)
		return -ENOMEM;
	nl->buf = buf;
	nl->cap_bytes = need;
	return 0;
}

/* One datagram of the kernel into nl->buf; returns its length. */
static ssize_t datagram_recv(struct rtnl *nl)
{
	for (;;) {
		struct pollfd pfd = { .fd = nl->fd, .events = POLLIN };
		union {
			struct sockaddr any;
			struct sockaddr_nl nl;
			struct sockaddr_storage space;
		} from = { 0 };
		socklen_t from_len = sizeof(from);
		int r = poll(&pfd, 1, REPLY_WAIT_MS);
		ssize_t n;

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -ETIMEDOUT;
		n = recv(nl->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		r = buf_grow(nl, (size_t)n);
		if (r < 0)
			return r;
		n = recvfrom(nl->fd, nl->buf, nl->cap_bytes, MSG_DONTWAIT, &from.any, &from_len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		/* Anybody may send to our port; only port 0 is the kernel. */
		if (from.any.sa_family == AF_NETLINK && from.nl.nl_pid != 0)
			continue;
		return n;
	}
}

/* The kernel's own words, if it sent some; what is not plain text is left out. */
static void take_kernel_text(struct rtnl *nl, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	uint64_t skip = sizeof(*error), attrs_len;
	const struct nlattr *attr;
	const void *attrs;

	if ((nlh->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
		return;
	/* The refused request is quoted, unless it was cut to its header. */
	if ((nlh->nlmsg_flags & NLM_F_CAPPED) == 0)
		skip += (uint64_t)error->msg.nlmsg_len - MNL_NLMSG_HDRLEN;
	if (error->msg.nlmsg_len < MNL_NLMSG_HDRLEN || skip > mnl_nlmsg_get_payload_len(nlh))
		return;
	/* Not mnl_attr_for_each(): it rounds the message's end up. */
	attrs = (const uint8_t *)error + skip;
	attrs_len = mnl_nlmsg_get_payload_len(nlh) - skip;
	mnl_attr_for_each_payload(attrs, attrs_len) {
		const char *text = mnl_attr_get_payload(attr);
		size_t out = 0;

		if (mnl_attr_get_type(attr) != NLMSGERR_ATTR_MSG)
			continue;
		for (size_t i = 0; i < mnl_attr_get_payload_len(attr) && text[i] != '\0' &&
				   out < sizeof(nl->kernel_text) - 1;
		     i++)
			if (text[i] >= ' ' && text[i] <= '~')
				nl->kernel_text[out++] = text[i];
		nl->kernel_text[out] = '\0';
	}
}

/* 1: this is the answer, *reply is set (or it was an acknowledgement). 0: not for us. Else -errno.
 */
static int message_take(struct rtnl *nl, const struct nlmsghdr *nlh, const struct nlmsghdr **reply)
{
	const struct nlmsgerr *error;

	/* A late answer to a request that timed out. */
	if (nlh->nlmsg_seq != nl->seq)
		return 0;
	if (nlh->nlmsg_type != NLMSG_ERROR) {
		*reply = nlh;
		return 1;
	}
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*error))
		return -EBADMSG;
	error = mnl_nlmsg_get_payload(nlh);
	if (error->error == 0)
		return 1;
	take_kernel_text(nl, nlh);
	return error->error < 0 && error->error > -4096 ? error->error : -EBADMSG;
}

int rtnl_talk(struct rtnl *nl, struct nlmsghdr *req, const struct nlmsghdr **reply)
{
	ssize_t n;

	nl->kernel_text[0] = '\0';
	req->nlmsg_seq = ++nl->seq;
	do {
		n = send(nl->fd, req, req->nlmsg_len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* Each datagram is someone's answer: late ones are at most as many as requests before. */
	for (uint32_t i = 0; i <= nl->seq; i++) {
		const struct nlmsghdr *nlh, *found = NULL;
		int r;

		n = datagram_recv(nl);
		if (n < 0)
			return (int)n;
		if (!nlmsg_fits((const struct nlmsghdr *)nl->buf, (size_t)n))
			return -EBADMSG;
		for (size_t at = 0; at < (size_t)n; at += MNL_ALIGN(nlh->nlmsg_len)) {
			nlh = (const struct nlmsghdr *)(nl->buf + at);
			if (!nlmsg_fits(nlh, (size_t)n - at))
				break;
			r = message_take(nl, nlh, &found);
			if (r < 0)
				return r;
			if (r == 0)
				continue;
			if (reply != NULL && found == NULL)
				return -EBADMSG; /* an acknowledgement where data was asked for */
			if (reply != NULL)
				*reply = found;
			return 0;
		}
	}
	return -EBADMSG;
}

/* 1: the end. *r: what fn, or the kernel, has against it; the rest is read all the same, or it would answer the next. */
static int datagram_walk(struct rtnl *nl, size_t n, rtnl_entry_fn *fn, void *arg, int *r)
{
	const struct nlmsghdr *nlh;

	for (size_t at = 0; at < n; at += MNL_ALIGN(nlh->nlmsg_len)) {
		nlh = (const struct nlmsghdr *)(nl->buf + at);
		if (!nlmsg_fits(nlh, n - at))
			return at == 0 ? -EBADMSG : 0;
		if (nlh->nlmsg_seq != nl->seq)
			continue;
		if ((nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0 && *r == 0)
			*r = -EAGAIN;
		if (nlh->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsghdr *none;
			int refused = message_take(nl, nlh, &none);

			return refused < 0 ? refused : -EBADMSG;
		}
		if (nlh->nlmsg_type == NLMSG_DONE)
			return 1;
		if (*r == 0)
			*r = fn(arg, nlh);
	}
	return 0;
}

int rtnl_dump(struct rtnl *nl, struct nlmsghdr *req, rtnl_entry_fn *fn, void *arg)
{
	int r = 0, end = 0;
	ssize_t n;

	nl->kernel_text[0] = '\0';
	req->nlmsg_seq = ++nl->seq;
	do {
		n = send(nl->fd, req, req->nlmsg_len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (unsigned i = 0; end == 0 && i < DUMP_MOST; i++) {
		n = datagram_recv(nl);
		end = n < 0 ? (int)n : datagram_walk(nl, (size_t)n, fn, arg, &r);
	}
	return end < 0 ? end : end == 0 ? -EBADMSG : r;
}

static struct nlmsghdr *link_request(void *buf, uint16_t type, uint16_t flags, unsigned ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)ifindex;
	return nlh;
}

static int link_flags(struct rtnl *nl, unsigned ifindex, unsigned *out)
{
	uint8_t buf[128];
	struct nlmsghdr *nlh = link_request(buf, RTM_GETLINK, 0, ifindex);
	const struct nlmsghdr *reply;
	const struct ifinfomsg *info;
	int r;

	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	r = rtnl_talk(nl, nlh, &reply);
	if (r < 0)
		return r;
	if (reply->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(reply) < sizeof(*info))
		return -EBADMSG;
	info = mnl_nlmsg_get_payload(reply);
	*out = info->ifi_flags;
	return 0;
}

int rtnl_link_set_up(struct rtnl *nl, unsigned ifindex, bool up, struct err *e)
{
	const char *word = up ? "up" : "down";
	uint8_t buf[128];
	struct nlmsghdr *nlh = link_request(buf, RTM_NEWLINK, NLM_F_ACK, ifindex);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	unsigned flags = 0;
	int r;

	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	r = rtnl_talk(nl, nlh, NULL);
	if (r == 0)
		r = link_flags(nl, ifindex, &flags);
	if (r < 0)
		return err_set(e, r, "set network device %u %s: %s%s%s", ifindex, word,
			       strerror(-r), nl->kernel_text[0] != '\0' ? ": " : "",
			       nl->kernel_text);
	if (((flags & IFF_UP) != 0) != up)
		return err_set(e, EIO, "network device %u did not go %s", ifindex, word);
	return 0;
}
