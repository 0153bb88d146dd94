// SPDX-License-Identifier: BSD-3-Clause
#include "cli/vf_attribute.h"

#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_rates(void **state)
{
	uint64_t mbps = 7;

	assert_int_equal(vf_rate_parse("500", &mbps), 0);
	assert_int_equal(mbps, 500);
	assert_int_equal(vf_rate_parse("5G", &mbps), 0);
	assert_int_equal(mbps, 5000);
	assert_int_equal(vf_rate_parse("500M", &mbps), 0);
	assert_int_equal(mbps, 500);
	assert_int_equal(vf_rate_parse("4294967295", &mbps), 0);
	assert_int_equal(mbps, UINT32_MAX);
	mbps = 7;
	assert_int_equal(vf_rate_parse("4294967296", &mbps), -ERANGE);
	assert_int_equal(vf_rate_parse("4294968G", &mbps), -ERANGE);
	assert_int_equal(vf_rate_parse("", &mbps), -EINVAL);
	assert_int_equal(vf_rate_parse("G", &mbps), -EINVAL);
	assert_int_equal(vf_rate_parse("-1", &mbps), -EINVAL);
	assert_int_equal(vf_rate_parse("1.5G", &mbps), -EINVAL);
	assert_int_equal(vf_rate_parse("1000000000000000000000000G", &mbps), -EINVAL);
	assert_int_equal(mbps, 7);
}

static void test_members(void **state)
{
	auto_json json_t *body = json_object();
	struct err e = { 0 };

	assert_int_equal(vf_attribute_add(body, "mac=02:00:00:00:00:AB", &e), 0);
	assert_int_equal(vf_attribute_add(body, "trust=on", &e), 0);
	assert_int_equal(vf_attribute_add(body, "vlan=off", &e), 0);
	assert_int_equal(vf_attribute_add(body, "link=down", &e), 0);
	assert_string_equal(json_string_value(json_object_get(body, "mac")), "02:00:00:00:00:ab");
	assert_true(json_is_true(json_object_get(body, "trust")));
	assert_int_equal(json_integer_value(json_object_get(body, "vlan")), 0);
	assert_string_equal(json_string_value(json_object_get(body, "link_state")), "down");
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"",	 "mac",		"=x",	  "mac=",    "macc=1",	  "vlan=4095",
		"qos=8", "proto=8021q", "trust=", "link=UP", "rate=fast", "Mac=02:00:00:00:00:01"
	};
	auto_json json_t *body = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };

		assert_int_equal(vf_attribute_add(body, bad[i], &e), -EINVAL);
		assert_string_equal(e.code, "usage");
		assert_true(e.text[0] != '\0');
	}
	assert_int_equal(json_object_size(body), 0);
	assert_int_equal(vf_attribute_add(body, "rate=5", NULL), 0);
	assert_int_equal(vf_attribute_add(body, "max_tx_rate=6", NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests_name("vf_attribute", tests, NULL, NULL);
}
