// SPDX-License-Identifier: BSD-3-Clause
/* The address filter of a device: what of a kernel's answer is believed, and what errors become. */
#include "tests/unit/sriov/cases.h"

#include "base/fd.h"
#include "base/util.h"
#include "sriov/macfilter.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#define INDEX 7

static const uint8_t one[6] = { 2, 0, 0, 0, 0, 1 }, two[6] = { 2, 0, 0, 0, 0, 2 };
static struct err err;

/* A kernel that has its answers ready: sequence numbers begin with 1. */
struct canned {
	struct rtnl *nl;
	int fd;
	uint8_t buf[4096];
	size_t len;
};

static void canned_open(struct canned *c)
{
	int fds[2];

	memset(c, 0, sizeof(*c));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(rtnl_create_fd(&c->nl, fds[0]), 0);
	c->fd = fds[1];
	err = (struct err){ 0 };
}

static void canned_close(struct canned *c)
{
	rtnl_destroy(c->nl);
	fd_close(&c->fd);
}

static struct nlmsghdr *entry_put(struct canned *c, const uint8_t mac[6])
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(c->buf + c->len);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_seq = 1;
	nlh->nlmsg_flags = NLM_F_MULTI;
	*ndm = (struct ndmsg){ .ndm_family = AF_BRIDGE,
			       .ndm_ifindex = INDEX,
			       .ndm_flags = NTF_SELF,
			       .ndm_state = NUD_PERMANENT };
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	c->len += MNL_ALIGN(nlh->nlmsg_len);
	return nlh;
}

static struct ndmsg *entry_ndm(struct nlmsghdr *nlh)
{
	return mnl_nlmsg_get_payload(nlh);
}

static void datagram_send(struct canned *c)
{
	assert_int_equal(send(c->fd, c->buf, c->len, 0), (ssize_t)c->len);
	memset(c->buf, 0, sizeof(c->buf));
	c->len = 0;
}

static void done_send(struct canned *c)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(c->buf + c->len);

	nlh->nlmsg_type = NLMSG_DONE;
	nlh->nlmsg_seq = 1;
	c->len += nlh->nlmsg_len;
	datagram_send(c);
}

static void ack_send(struct canned *c, int error)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(c->buf);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(nlh, sizeof(*e));

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_seq = 1;
	e->error = error;
	c->len = nlh->nlmsg_len;
	datagram_send(c);
}

static void what_is_read(void **state)
{
	static const uint8_t many[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	struct mac_filter f;
	struct canned c;

	canned_open(&c);
	entry_put(&c, two);
	entry_put(&c, many);
	entry_ndm(entry_put(&c, (uint8_t[]){ 2, 0, 0, 0, 0, 3 }))->ndm_ifindex = INDEX + 1;
	entry_ndm(entry_put(&c, (uint8_t[]){ 2, 0, 0, 0, 0, 4 }))->ndm_flags = NTF_MASTER;
	entry_ndm(entry_put(&c, (uint8_t[]){ 2, 0, 0, 0, 0, 5 }))->ndm_family = AF_INET;
	datagram_send(&c);
	entry_put(&c, one);
	entry_put(&c, (uint8_t[]){ 2, 0, 0, 0, 0, 6 })->nlmsg_seq = 99; /* of another question */
	done_send(&c);
	assert_int_equal(mac_filter_read(c.nl, INDEX, &f, &err), 0);
	assert_int_equal(f.count, 2);
	assert_true(mac_filter_has(&f, one) && mac_filter_has(&f, two));
	assert_false(mac_filter_has(&f, many));
	mac_filter_free(&f);
	assert_false(mac_filter_has(&f, one));
	mac_filter_free(NULL);
	canned_close(&c);
}

static void answers_that_are_none(void **state)
{
	struct mac_filter f;
	struct nlmsghdr *nlh;
	struct canned c;

	/* No end. */
	canned_open(&c);
	entry_put(&c, one);
	datagram_send(&c);
	shutdown(c.fd, SHUT_WR);
	assert_int_equal(mac_filter_read(c.nl, INDEX, &f, &err), -EPIPE);
	assert_null(f.macs);
	canned_close(&c);

	/* It changed meanwhile: read to its end all the same. */
	canned_open(&c);
	entry_put(&c, one)->nlmsg_flags |= NLM_F_DUMP_INTR;
	done_send(&c);
	assert_int_equal(mac_filter_read(c.nl, INDEX, &f, &err), -EAGAIN);
	canned_close(&c);

	/* Another kind of message; one that says more than there is; a refusal. */
	canned_open(&c);
	entry_put(&c, one)->nlmsg_type = RTM_NEWLINK;
	done_send(&c);
	assert_int_equal(mac_filter_read(c.nl, INDEX, &f, &err), -EBADMSG);
	canned_close(&c);
	canned_open(&c);
	nlh = entry_put(&c, one);
	nlh->nlmsg_len = 4000;
	datagram_send(&c);
	assert_int_equal(mac_filter_read(c.nl, INDEX, &f, &err), -EBADMSG);
	canned_close(&c);
	canned_open(&c);
	ack_send(&c, -ENODEV);
	assert_int_equal(mac_filter_read(c.nl, INDEX, &f, &err), -ENODEV);
	assert_string_equal(err.text, "read the addresses of network device 7: No such device");
	canned_close(&c);
}

static void parts_of_a_message(void **state)
{
	struct canned c;
	struct nlmsghdr *nlh;
	uint8_t mac[6];

	canned_open(&c);
	nlh = entry_put(&c, one);
	assert_int_equal(mac_filter_parse(nlh, nlh->nlmsg_len, INDEX, mac), 1);
	assert_memory_equal(mac, one, 6);
	for (size_t len = 0; len < nlh->nlmsg_len; len++) {
		uint8_t *part = malloc(len + 1); /* the sanitizer sees one byte too many */

		memcpy(part, nlh, len);
		assert_int_equal(mac_filter_parse(part, len, INDEX, mac), -EBADMSG);
		free(part);
	}
	/* An address of another length is none. */
	((struct nlattr *)(entry_ndm(nlh) + 1))->nla_len = MNL_ATTR_HDRLEN + 5;
	assert_int_equal(mac_filter_parse(nlh, nlh->nlmsg_len, INDEX, mac), 0);
	canned_close(&c);
}

static int change(int error, bool is_add)
{
	struct canned c;
	int r;

	canned_open(&c);
	ack_send(&c, error);
	r = is_add ? mac_filter_add(c.nl, INDEX, one, &err)
		   : mac_filter_del(c.nl, INDEX, one, &err);
	canned_close(&c);
	return r;
}

static void changes(void **state)
{
	assert_int_equal(change(0, true), 0);
	assert_int_equal(change(-EEXIST, true), -EEXIST);
	assert_int_equal(err.errnum, 0);
	/* igb's word, and that of others. */
	assert_int_equal(change(-ENOMEM, true), -ENOSPC);
	assert_string_equal(err.code, "filter-full");
	assert_int_equal(change(-ENOSPC, true), -ENOSPC);
	assert_string_equal(err.text, "it has no room for 02:00:00:00:00:01");
	assert_int_equal(change(-EOPNOTSUPP, true), -EOPNOTSUPP);
	assert_string_equal(err.code, "filter-refused");
	assert_int_equal(change(0, false), 0);
	assert_int_equal(change(-ENOENT, false), -ENOENT);
	assert_int_equal(change(-EPERM, false), -EPERM);
	assert_string_equal(err.code, "filter-refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read),
		cmocka_unit_test(answers_that_are_none),
		cmocka_unit_test(parts_of_a_message),
		cmocka_unit_test(changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
