// SPDX-License-Identifier: BSD-3-Clause
#include "base/fd.h"
#include "pmd-backends/launch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>

#define LAUNCH(spec) "{\"v\":1,\"op\":\"launch\",\"fds\":[\"listener\"],\"spec\":{" spec "}}"
#define REST	     ",\"memory\":16777216,\"guest_uid\":[64000,10]"

static int listener_make(int type)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int parse(const char *text, int type, struct pmd_launch *l, struct err *e)
{
	auto_seqmsg struct seqmsg m = { .fd_count = 1, .fds = { listener_make(type) } };

	m.body = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(m.body);
	pmd_launch_init(l);
	return pmd_launch_parse(l, &m, e);
}

static void test_all_members(void **state)
{
	struct pmd_launch l;
	struct err e = { 0 };

	assert_int_equal(
		parse(LAUNCH("\"name\":\"net0\",\"cpus\":[3,2],\"hugepages\":true,"
			     "\"idle\":\"interrupt\",\"uplink_kinds\":[\"pci\",\"tap\"]" REST),
		      SOCK_SEQPACKET, &l, &e),
		0);
	assert_string_equal(l.name, "net0");
	assert_int_equal(l.cpu_count, 2);
	assert_int_equal(l.cpus[0], 3);
	assert_true(l.hugepages);
	assert_int_equal(l.idle, PMD_IDLE_INTERRUPT);
	assert_int_equal(l.memory, MIB(16));
	assert_int_equal(l.guest_uid_first, 64000);
	assert_int_equal(l.guest_uid_count, 10);
	assert_int_equal(l.uplink_kinds, BIT(PMD_UPLINK_PCI) | BIT(PMD_UPLINK_TAP));
	assert_true(l.listener >= 0);
	pmd_launch_fini(&l);
	assert_int_equal(l.listener, -1);
}

static void test_defaults(void **state)
{
	struct pmd_launch l;
	struct err e = { 0 };

	assert_int_equal(
		parse(LAUNCH("\"name\":\"net0\",\"cpus\":[]" REST), SOCK_SEQPACKET, &l, &e), 0);
	assert_int_equal(l.cpu_count, 0);
	assert_false(l.hugepages);
	assert_int_equal(l.idle, PMD_IDLE_POLL);
	assert_int_equal(l.uplink_kinds, BIT(PMD_UPLINK_KINDS) - 1);
	pmd_launch_fini(&l);
}

static const struct {
	const char *text;
	const char *says;
} bad_rows[] = {
	{ "{\"v\":2,\"op\":\"launch\"}", "version 2" },
	{ "{\"v\":1,\"op\":\"status\"}", "must be \"launch\"" },
	{ "{\"v\":1,\"op\":\"launch\",\"fds\":[]}", "spec" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[1,1]" REST), "twice" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[-1]" REST), "item 0" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[1024]" REST), "item 0" },
	{ LAUNCH("\"name\":\"../x\",\"cpus\":[]" REST), "no name" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[],\"idle\":\"lazy\"" REST), "poll, adaptive" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[],\"more\":1" REST), "more" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[],\"uplink_kinds\":[1]" REST), "uplink_kinds" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[],\"memory\":16777217,\"guest_uid\":[1,1]"),
	  "2 MiB" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[],\"memory\":2097152,\"guest_uid\":[1,1]"),
	  "16 MiB" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[],\"memory\":16777216,\"guest_uid\":[1]"), "two" },
	{ LAUNCH("\"name\":\"net0\",\"cpus\":[],\"memory\":16777216,\"guest_uid\":[4294967295,1]"),
	  "beyond" },
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
		struct pmd_launch l;
		struct err e = { 0 };

		assert_true(parse(bad_rows[i].text, SOCK_SEQPACKET, &l, &e) < 0);
		if (strstr(e.text, bad_rows[i].says) == NULL)
			fail_msg("row %zu: %s", i, e.text);
		pmd_launch_fini(&l);
	}
}

static void test_listener_must_be_one(void **state)
{
	struct pmd_launch l;
	struct err e = { 0 };

	assert_int_equal(parse(LAUNCH("\"name\":\"net0\",\"cpus\":[]" REST), SOCK_STREAM, &l, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "SOCK_SEQPACKET"));
	pmd_launch_fini(&l);
}

/* Disks need no packet memory: what belongs to ports is refused by name. */
static void test_role(void **state)
{
	struct pmd_launch l;
	struct err e = { 0 };

	assert_int_equal(parse(LAUNCH("\"name\":\"b\",\"role\":\"block\",\"cpus\":[],"
				      "\"guest_uid\":[64000,10]"),
			       SOCK_SEQPACKET, &l, &e),
			 0);
	assert_int_equal(l.role, PMD_ROLE_BLOCK);
	pmd_launch_fini(&l);
	assert_int_equal(parse(LAUNCH("\"name\":\"b\",\"role\":\"block\",\"cpus\":[]" REST),
			       SOCK_SEQPACKET, &l, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "memory"));
	pmd_launch_fini(&l);
	assert_int_equal(parse(LAUNCH("\"name\":\"b\",\"role\":\"tape\",\"cpus\":[]" REST),
			       SOCK_SEQPACKET, &l, &e),
			 -EINVAL);
	pmd_launch_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_members),
		cmocka_unit_test(test_role),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_listener_must_be_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
