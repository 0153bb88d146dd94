// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/kevents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IS(text) uevent_is_ours(text, sizeof(text))

static void only_whole_words_count(void **state)
{
	assert_true(IS("change@/devices/x\0ACTION=change\0SUBSYSTEM=pci\0SEQNUM=7"));
	assert_true(IS("add@/devices/x\0SUBSYSTEM=net"));
	assert_false(IS("add@/devices/x\0SUBSYSTEM=network"));
	assert_false(IS("add@/devices/x\0XSUBSYSTEM=net"));
	assert_false(IS("add@/devices/x\0SUBSYSTEM=block"));
	/* Without its NUL it is cut off: what it would have been is not known. */
	assert_false(uevent_is_ours("SUBSYSTEM=pci", strlen("SUBSYSTEM=pci")));
	assert_false(uevent_is_ours("", 0));
	assert_false(IS("\0\0\0"));
}

static void send_all(int fd, const char *text, size_t len, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(send(fd, text, len, 0), len);
}

static void what_waits_is_taken_and_never_waited_for(void **state)
{
	static const char ours[] = "x\0SUBSYSTEM=pci", other[] = "x\0SUBSYSTEM=tty";
	char large[16384] = { 0 };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	assert_false(kevents_take(fds[0], KEVENTS_DEVICES));
	send_all(fds[1], other, sizeof(other), 5);
	assert_false(kevents_take(fds[0], KEVENTS_DEVICES));
	send_all(fds[1], other, sizeof(other), 5);
	send_all(fds[1], ours, sizeof(ours), 1);
	assert_true(kevents_take(fds[0], KEVENTS_DEVICES));
	assert_false(kevents_take(fds[0], KEVENTS_DEVICES));
	/* One that does not fit was not read whole: look again. */
	send_all(fds[1], large, sizeof(large), 1);
	assert_true(kevents_take(fds[0], KEVENTS_DEVICES));
	send_all(fds[1], other, 1, 1);
	assert_true(kevents_take(fds[0], KEVENTS_LINKS));
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_words_count),
		cmocka_unit_test(what_waits_is_taken_and_never_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
