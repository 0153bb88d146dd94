// SPDX-License-Identifier: BSD-3-Clause
/* Programs at control sockets that do not answer, or are not who they should be: which of it is silence. */
#include "vf-manager/peer.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];
static int listener = -1;

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/test-peer-%d.sock", (int)getpid());
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &listener, NULL), 0);
	return listen(listener, 0);
}

static int teardown(void **state)
{
	fd_close(&listener);
	return unlink(path);
}

static int ask(pid_t pid, int *fd, struct err *e)
{
	const struct peer peer = { "viaduct-vmm", path, getuid(), pid, NULL };
	auto_json json_t *body = json_pack("{s:s}", "op", "status");

	return peer_send(&peer, &(struct peer_ask){ body, NULL, SOCK_SEQPACKET }, fd, e);
}

static void who_is_not_there_or_another_is_silent(void **state)
{
	struct err e = { 0 };
	int fd = -1;

	assert_int_equal(ask(0, &fd, &e), -ECONNREFUSED);
	assert_true(peer_is_silent(&e));
	assert_int_equal(ask(getpid() + 1, &fd, &e), -EPERM);
	assert_non_null(strstr(e.text, "listens, not viaduct-vmm"));
	assert_true(peer_is_silent(&e));
	assert_int_equal(fd, -1);
}

/* It hangs: connections wait in its queue until that is full. */
static void who_takes_no_connection_is_silent(void **state)
{
	auto_fd int first = -1, second = -1;
	struct err e = { 0 };

	assert_int_equal(ask(getpid(), &first, &e), 0);
	assert_int_equal(ask(getpid(), &second, &e), -EAGAIN);
	assert_true(peer_is_silent(&e));
	assert_int_equal(peer_reply("viaduct-vmm", first, 10, NULL, &e), -ETIMEDOUT);
	assert_true(peer_is_silent(&e));
}

static void what_it_says_itself_is_none(void **state)
{
	static const struct {
		const char *reply;
		int r;
		const char *text;
	} rows[] = {
		{ "{\"ok\":true}", 0, "" },
		{ "{\"ok\":false}", -EBADMSG, "viaduct-vmm failed without a reason" },
		{ "{\"ok\":1}", -EINVAL, "viaduct-vmm's reply: ok" },
		{ "{\"ok\":false,\"error\":{\"errno\":0}}", -EIO, "unknown error" },
		{ "{\"ok\":false,\"error\":{\"errno\":110,\"code\":\"slow\",\"text\":\"late\"}}",
		  -ETIMEDOUT, "late" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *reply = json_loads(rows[i].reply, 0, NULL);
		auto_json json_t *result = NULL;
		auto_fd int a = -1, b = -1;
		struct err e = { 0 };
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		a = pair[0];
		b = pair[1];
		assert_int_equal(seqmsg_send(a, reply, NULL, 0), 0);
		assert_int_equal(peer_reply("viaduct-vmm", b, 1000, &result, &e), rows[i].r);
		assert_int_equal(json_is_object(result), rows[i].r == 0);
		assert_non_null(strstr(e.text, rows[i].text));
		assert_false(peer_is_silent(&e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_not_there_or_another_is_silent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_takes_no_connection_is_silent, setup, teardown),
		cmocka_unit_test(what_it_says_itself_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
