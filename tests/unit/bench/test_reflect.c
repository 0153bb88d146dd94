// SPDX-License-Identifier: BSD-3-Clause
/* The lines that viaduct-reflect takes, and those that it must not. */
#include "bench/reflect/request.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct reflect_request q;
static struct err e;

static int parse(const char *line)
{
	e = (struct err){ 0 };
	return reflect_request_parse(line, strlen(line), &q, &e);
}

static void test_devices_of_each_kind(void **state)
{
	static const struct {
		const char *text;
		enum reflect_kind kind;
		const char *device;
	} rows[] = {
		{ "0000:01:10.0", REFLECT_PCI, "0000:01:10.0" },
		{ "af-packet:eth0", REFLECT_AF_PACKET, "eth0" },
		{ "af-xdp:eth0", REFLECT_AF_XDP, "eth0" },
		{ "tap:t0", REFLECT_TAP, "t0" },
		{ "vhost-user:/run/a.sock", REFLECT_VHOST_USER, "/run/a.sock" },
	};
	char line[256];

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(line, sizeof(line),
			 "{\"op\":\"port\",\"name\":\"a\",\"device\":\"%s\",\"mtu\":9000}",
			 rows[i].text);
		assert_int_equal(parse(line), 0);
		assert_int_equal(q.op, REFLECT_PORT);
		assert_int_equal(q.kind, rows[i].kind);
		assert_string_equal(q.device, rows[i].device);
		assert_int_equal(q.mtu, 9000);
	}
}

static void test_a_start(void **state)
{
	assert_int_equal(parse("{\"op\":\"start\",\"mode\":\"forward\",\"from\":\"a\",\"to\":\"b\","
			       "\"dst_mac\":\"02:00:00:00:00:09\",\"idle\":\"interrupt\"}"),
			 0);
	assert_int_equal(q.op, REFLECT_START);
	assert_int_equal(q.mode, REFLECT_FORWARD);
	assert_string_equal(q.from, "a");
	assert_string_equal(q.to, "b");
	assert_true(q.has_dst_mac && q.interrupt);
	assert_int_equal(q.dst_mac[5], 9);
	assert_int_equal(
		parse("{\"op\":\"start\",\"mode\":\"reflect\",\"from\":\"a\",\"idle\":\"poll\"}"),
		0);
	assert_false(q.has_dst_mac || q.interrupt);
	assert_string_equal(q.to, "");
}

static void test_what_is_refused_is_named(void **state)
{
	static const struct {
		const char *line, *text;
	} rows[] = {
		{ "", "JSON object" },
		{ "[]", "JSON object" },
		{ "{\"op\":\"fly\"}", "\"fly\"" },
		{ "{\"op\":\"stats\",\"more\":1}", "more" },
		{ "{\"op\":\"port\",\"name\":\"A/b\",\"device\":\"tap:t\"}", "name" },
		{ "{\"op\":\"port\",\"name\":\"a\",\"device\":\"1:10.0\"}", "device" },
		{ "{\"op\":\"port\",\"name\":\"a\",\"device\":\"tap:t,mac=1\"}", "device" },
		{ "{\"op\":\"port\",\"name\":\"a\",\"device\":\"vhost-user:/a,b\"}", "device" },
		{ "{\"op\":\"port\",\"name\":\"a\",\"device\":\"tap:t\",\"mtu\":9}", "mtu" },
		{ "{\"op\":\"port\",\"name\":\"a\",\"device\":\"tap:t\",\"mtu\":70000}", "mtu" },
		{ "{\"op\":\"port\",\"name\":\"a\",\"device\":\"tap:t\",\"ring\":4097}", "ring" },
		{ "{\"op\":\"start\",\"mode\":\"sink\",\"from\":\"a\"}", "idle" },
		{ "{\"op\":\"start\",\"mode\":\"forward\",\"from\":\"a\",\"idle\":\"poll\"}",
		  "to" },
		{ "{\"op\":\"start\",\"mode\":\"sink\",\"from\":\"a\",\"to\":\"b\",\"idle\":\"poll\"}",
		  "to" },
		{ "{\"op\":\"start\",\"mode\":\"forward\",\"from\":\"a\",\"to\":\"b\",\"idle\":"
		  "\"poll\",\"dst_mac\":\"1\"}",
		  "dst_mac" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(parse(rows[i].line) < 0);
		assert_non_null(strstr(e.text, rows[i].text));
	}
}

static void test_a_line_without_end_is_refused(void **state)
{
	size_t len = REFLECT_LINE_MAX + 1;
	char *line = malloc(len);

	memset(line, ' ', len);
	memcpy(line, "{\"op\":\"quit\"}", 13);
	assert_true(reflect_request_parse(line, len, &q, &e) < 0);
	assert_int_equal(reflect_request_parse(line, len - 1, &q, &e), 0);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices_of_each_kind),
		cmocka_unit_test(test_a_start),
		cmocka_unit_test(test_what_is_refused_is_named),
		cmocka_unit_test(test_a_line_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
