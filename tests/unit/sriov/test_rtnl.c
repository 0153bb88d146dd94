// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/rtnl_peer.h"
#include "tests/unit/sriov/cases.h"

#include "base/fd.h"
#include "sriov/rtnl.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

static struct err err;

/* Sends one canned answer before the question is asked; the sequence number is known to be 1. */
static int talk(const void *answer, size_t len, const struct nlmsghdr **reply)
{
	static struct rtnl *nl;
	struct nlmsghdr req = { .nlmsg_len = sizeof(req) };
	int fds[2], r;

	rtnl_destroy(nl); /* of the case before: the reply lives in it */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(rtnl_create_fd(&nl, fds[0]), 0);
	assert_int_equal(send(fds[1], answer, len, 0), (ssize_t)len);
	(void)shutdown(fds[1], SHUT_WR);
	r = rtnl_talk(nl, &req, reply);
	fd_close(&fds[1]);
	if (reply == NULL) {
		rtnl_destroy(nl);
		nl = NULL;
	}
	return r;
}

static void answers_that_are_none(void **state)
{
	struct {
		struct nlmsghdr head;
		int error;
		uint8_t rest[60];
	} m = { .head = { .nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 1 } };

	assert_int_equal(talk(&m, 8, NULL), -EBADMSG);
	assert_int_equal(talk(&m, sizeof(m.head), NULL), -EBADMSG); /* says more than there is */
	m.head.nlmsg_len = 4;
	assert_int_equal(talk(&m, sizeof(m), NULL), -EBADMSG);
	m.head.nlmsg_len = sizeof(m.head);
	assert_int_equal(talk(&m, sizeof(m.head), NULL), -EBADMSG);
	m.head.nlmsg_len = sizeof(m);
	m.error = 5; /* not negative */
	assert_int_equal(talk(&m, sizeof(m), NULL), -EBADMSG);
	m.error = -1000000;
	assert_int_equal(talk(&m, sizeof(m), NULL), -EBADMSG);
	m.error = -EPERM;
	assert_int_equal(talk(&m, sizeof(m), NULL), -EPERM);
	m.error = 0;
	assert_int_equal(talk(&m, sizeof(m), NULL), 0);
	/* A text that claims to lie behind the end. */
	m.error = -EPERM;
	m.head.nlmsg_flags = NLM_F_ACK_TLVS;
	put_le32(m.rest, UINT32_MAX);
	assert_int_equal(talk(&m, sizeof(m), NULL), -EPERM);
	put_le32(m.rest, 3);
	assert_int_equal(talk(&m, sizeof(m), NULL), -EPERM);
	/* Nobody answers, the other end is gone. */
	m.head.nlmsg_seq = 2;
	assert_int_equal(talk(&m, sizeof(m), NULL), -EPIPE);
}

static void acknowledgement_is_no_data(void **state)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} m = { .head = { .nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 1 } };
	const struct nlmsghdr *reply = NULL;

	assert_int_equal(talk(&m, sizeof(m), &reply), -EBADMSG);
	assert_null(reply);
	m.head.nlmsg_type = RTM_NEWLINK;
	assert_int_equal(talk(&m, sizeof(m), &reply), 0);
	assert_int_equal(reply->nlmsg_type, RTM_NEWLINK);
	assert_int_equal(talk(&m, sizeof(m), NULL), 0);
}

static void late_answers_are_passed_over(void **state)
{
	struct rtnl_peer peer;

	rtnl_peer_start(&peer, 1);
	peer.stray_first = true;
	peer.nl->seq = 5;
	assert_int_equal(rtnl_link_set_up(peer.nl, 2, true, &err), 0);
	assert_int_equal(rtnl_link_set_up(peer.nl, 2, false, &err), 0);
	assert_false(peer.up);
	rtnl_peer_stop(&peer);
}

/* The real one, as anybody: the loopback device is there and may be read. */
static void real_socket(void **state)
{
	struct rtnl *nl = NULL;
	int r = rtnl_create(&nl, &err);

	if (r == -EACCES || r == -EPERM || r == -EAFNOSUPPORT)
		skip();
	assert_int_equal(r, 0);
	r = rtnl_link_set_up(nl, 0x7ffffff0, true, &err);
	assert_true(r == -ENODEV || r == -EPERM || r == -EINVAL);
	assert_contains(err.text, "2147483632");
	rtnl_destroy(nl);
	rtnl_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_are_none),
		cmocka_unit_test(acknowledgement_is_no_data),
		cmocka_unit_test(late_answers_are_passed_over),
		cmocka_unit_test(real_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
