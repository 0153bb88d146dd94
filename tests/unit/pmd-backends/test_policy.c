// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

static int parse(const char *text, struct policy *out, struct err *e)
{
	auto_json json_t *in = json_loads(text, 0, NULL);

	assert_non_null(in);
	return policy_parse(in, out, e);
}

static void defaults(void **state)
{
	struct policy p;

	assert_int_equal(parse("{\"mac\":\"02:00:00:00:00:01\"}", &p, NULL), 0);
	assert_int_equal(p.mac_count, 1);
	assert_int_equal(p.macs[0][5], 1);
	assert_int_equal(p.vlan, POLICY_VLAN_NONE);
	assert_int_equal(p.mtu, 1500);
	assert_int_equal(p.rate_bps + p.min_rate_bps + p.storm_fps, 0);
	assert_int_equal(p.trust, POLICY_TRUST_NONE);
	assert_int_equal(p.link, POLICY_LINK_AUTO);
	assert_true(p.spoofchk);
	assert_true(p.loss_propagate);
}

static void every_word(void **state)
{
	struct policy p;

	assert_int_equal(
		parse("{\"mac\":\"02:00:00:00:00:01\",\"macs\":[\"02:00:00:00:00:02\"],"
		      "\"vlan\":{\"mode\":\"trunk\",\"ids\":[200,100,4094],\"proto\":\"802.1ad\"},"
		      "\"mtu\":9000,\"rate\":1000000000,\"min_rate\":1000000,"
		      "\"trust\":\"promisc\",\"spoofchk\":false,\"link\":\"down\","
		      "\"uplink_loss\":\"keep\",\"storm\":50}",
		      &p, NULL),
		0);
	assert_int_equal(p.mac_count, 2);
	assert_int_equal(p.vlan, POLICY_VLAN_TRUNK);
	assert_int_equal(p.vlan_count, 3);
	assert_int_equal(p.vlan_ids[0], 100);
	assert_int_equal(p.vlan_ids[2], 4094);
	assert_int_equal(p.vlan_tpid, 0x88A8);
	assert_int_equal(p.mtu, 9000);
	assert_int_equal(p.rate_bps, 1000000000);
	assert_int_equal(p.min_rate_bps, 1000000);
	assert_int_equal(p.trust, POLICY_TRUST_PROMISC);
	assert_int_equal(p.link, POLICY_LINK_DOWN);
	assert_int_equal(p.storm_fps, 50);
	assert_false(p.spoofchk);
	assert_false(p.loss_propagate);
	assert_int_equal(parse("{\"mac\":\"02:00:00:00:00:01\",\"vlan\":{\"mode\":\"qinq\","
			       "\"ids\":[7],\"qos\":5}}",
			       &p, NULL),
			 0);
	assert_int_equal(p.vlan_tpid, 0x88A8);
	assert_int_equal(p.vlan_qos, 5);
}

/* Members beside a mac that is right, and what the error must say. */
static const struct {
	const char *members;
	const char *says;
} refused[] = {
	{ "\"colour\":1", "colour" },
	{ "\"mac\":\"03:00:00:00:00:01\"", "one station" },
	{ "\"mac\":\"00:00:00:00:00:00\"", "one station" },
	{ "\"mac\":\"02:00\"", "no MAC" },
	{ "\"macs\":[\"02:00:00:00:00:01\"]", "twice" },
	{ "\"macs\":[1]", "macs" },
	{ "\"macs\":\"02:00:00:00:00:05\"", "macs" },
	{ "\"macs\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", "macs" },
	{ "\"vlan\":{\"mode\":\"hybrid\"}", "hybrid" },
	{ "\"vlan\":{\"mode\":\"access\"}", "one id" },
	{ "\"vlan\":{\"mode\":\"access\",\"ids\":[1,2]}", "one id" },
	{ "\"vlan\":{\"mode\":\"access\",\"ids\":[0]}", "1 to 4094" },
	{ "\"vlan\":{\"mode\":\"access\",\"ids\":[4095]}", "1 to 4094" },
	{ "\"vlan\":{\"mode\":\"access\",\"ids\":[5],\"qos\":8}", "qos" },
	{ "\"vlan\":{\"mode\":\"trunk\"}", "ids" },
	{ "\"vlan\":{\"mode\":\"trunk\",\"ids\":[5,5]}", "twice" },
	{ "\"vlan\":{\"mode\":\"trunk\",\"ids\":[5],\"qos\":1}", "qos" },
	{ "\"vlan\":{\"mode\":\"none\",\"ids\":[5]}", "neither" },
	{ "\"vlan\":{\"mode\":\"qinq\",\"ids\":[5],\"proto\":\"802.1x\"}", "802.1x" },
	{ "\"vlan\":{\"tag\":5}", "tag" },
	{ "\"mtu\":67", "mtu" },
	{ "\"mtu\":9001", "mtu" },
	{ "\"rate\":-1", "rate" },
	{ "\"rate\":1e9", "rate" },
	{ "\"rate\":1000000000000000", "rate" },
	{ "\"rate\":1000,\"min_rate\":2000", "min_rate" },
	{ "\"trust\":\"all\"", "trust" },
	{ "\"spoofchk\":1", "spoofchk" },
	{ "\"link\":\"sideways\"", "sideways" },
	{ "\"uplink_loss\":\"hide\"", "uplink_loss" },
	{ "\"storm\":99999999999", "storm" },
};

static void refused_by_name(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct policy p = { .mtu = 77 };
		struct err e = { 0 };
		char text[512];

		snprintf(text, sizeof(text), "{\"mac\":\"02:00:00:00:00:01\",%s}",
			 refused[i].members);
		assert_int_equal(parse(text, &p, &e), -EINVAL);
		assert_int_equal(p.mtu, 77);
		assert_string_equal(e.code, "bad-policy");
		if (!strstr(e.text, refused[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", text, e.text, refused[i].says);
	}
}

static void nothing_is_no_policy(void **state)
{
	struct policy p;

	assert_int_equal(parse("{}", &p, NULL), -EINVAL);
	assert_int_equal(parse("[]", &p, NULL), -EINVAL);
	assert_int_equal(policy_parse(NULL, &p, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_word),
		cmocka_unit_test(refused_by_name),
		cmocka_unit_test(nothing_is_no_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
