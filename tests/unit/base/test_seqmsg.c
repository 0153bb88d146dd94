// SPDX-License-Identifier: BSD-3-Clause
#include "base/seqmsg.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int pair[2];

static int setup(void **state)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	return 0;
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void message_with_fds(void **state)
{
	auto_json json_t *body = json_pack("{s:i}", "v", 1);
	auto_seqmsg struct seqmsg m = { 0 };
	auto_fd int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat a, b;
	int taken;

	assert_int_equal(seqmsg_send(pair[0], body, (int[]){ file, file }, 2), 0);
	assert_int_equal(seqmsg_recv_timeout(pair[1], &m, 1000), 0);
	assert_int_equal(m.fd_count, 2);
	assert_true(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(file, &a), 0);
	assert_int_equal(fstat(m.fds[1], &b), 0);
	assert_true(a.st_rdev == b.st_rdev);
	taken = fd_take(&m.fds[0]);
	seqmsg_fini(&m);
	assert_true(fcntl(taken, F_GETFD) >= 0);
	close(taken);
}

static void refused_messages_leave_no_fd(void **state)
{
	static const char *const bad[] = { "[]", "{", "{\"a\":1,\"a\":2}", "7", "\xff\xfe" };
	int before = open_fds();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct iovec iov = { .iov_base = (void *)bad[i], .iov_len = strlen(bad[i]) };
		char control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		struct seqmsg m;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pair[0], sizeof(int));
		assert_true(sendmsg(pair[0], &msg, 0) > 0);
		assert_int_equal(seqmsg_recv(pair[1], &m), -EBADMSG);
	}
	assert_int_equal(open_fds(), before);
}

static void limits_and_ends(void **state)
{
	auto_free char *big = calloc(1, SEQMSG_BYTES + 1);
	auto_json json_t *body = json_object();
	struct seqmsg m;

	memset(big, 'a', SEQMSG_BYTES);
	json_object_set_new(body, "x", json_string(big));
	assert_int_equal(seqmsg_send(pair[0], body, NULL, 0), -EMSGSIZE);
	assert_int_equal(seqmsg_send(pair[0], NULL, NULL, 0), -EINVAL);
	assert_int_equal(seqmsg_recv_timeout(pair[1], &m, 10), -ETIMEDOUT);
	fd_close(&pair[0]);
	assert_int_equal(seqmsg_recv_timeout(pair[1], &m, 1000), -ECONNRESET);
	assert_int_equal(seqmsg_send(pair[1], json_object_get(body, "x"), NULL, 0), -EINVAL);
}

static void listening_sockets(void **state)
{
	char path[64], longer[200];
	auto_fd int a = -1, b = -1, c = -1;
	struct err e;

	snprintf(path, sizeof(path), "/tmp/viaduct-seqmsg-%d.sock", getpid());
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(unix_listen(longer, SOCK_STREAM, 0600, &a, &e), -ENAMETOOLONG);
	assert_int_equal(unix_connect(path, SOCK_SEQPACKET, &c, &e), -ENOENT);
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &a, &e), 0);
	assert_int_equal(unix_connect(path, SOCK_SEQPACKET, &c, &e), 0);
	/* A stale socket file is no obstacle; a file of another kind is. */
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &b, &e), 0);
	fd_close(&b);
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &b, &e), -EEXIST);
	unlink(path);
}

/* A VMM that hangs: each request leaves a connection in its queue until that is full. */
static void connecting_to_who_never_accepts_ends(void **state)
{
	auto_fd int listener = -1;
	struct err e = { 0 };
	int fds[64], n = 0, r = 0;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/test-seqmsg-%d.sock", (int)getpid());
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &listener, &e), 0);
	assert_int_equal(listen(listener, 4), 0);
	alarm(30);
	while (r == 0 && n < (int)ARRAY_SIZE(fds)) {
		r = unix_connect(path, SOCK_SEQPACKET, &fds[n], &e);
		n += r == 0;
	}
	alarm(0);
	assert_int_equal(r, -EAGAIN);
	assert_non_null(strstr(e.text, "nobody takes the connection"));
	while (n > 0)
		fd_close(&fds[--n]);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(message_with_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_messages_leave_no_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_and_ends, setup, teardown),
		cmocka_unit_test(listening_sockets),
		cmocka_unit_test(connecting_to_who_never_accepts_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
