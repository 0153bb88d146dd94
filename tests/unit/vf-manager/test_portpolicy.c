// SPDX-License-Identifier: BSD-3-Clause
/* The policy of a port: from its file, changed word by word, and the same words for a VF. */
#include "vf-manager/portpolicy.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

static json_t *policy_of(const char *words)
{
	struct vm_spec *spec = malloc(sizeof(*spec));
	auto_json json_t *warnings = json_array();
	char yaml[512];
	const struct vm_text text = { .yaml = yaml, .base_dir = "/" };
	struct err e = { 0 };
	json_t *policy;

	snprintf(yaml, sizeof(yaml),
		 "name: a\nmemory: {size: 64M}\nboot: {kernel: k}\n"
		 "ports: [{name: p, network: n, engine: polled%s}]\n",
		 words);
	assert_non_null(spec);
	if (vm_spec_parse(&text, spec, warnings, &e) < 0)
		fail_msg("%s: %s", words, e.text);
	policy = port_policy_json(&spec->ports[0], mac);
	free(spec);
	return policy;
}

/* Both are JSON without blanks, members sorted. */
static void same(const json_t *policy, const char *key, const char *wanted)
{
	char *text = json_dumps(json_object_get(policy, key),
				JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

	assert_non_null(text);
	if (strcmp(text, wanted) != 0)
		fail_msg("%s is %s, not %s", key, text, wanted);
	free(text);
}

static void the_words_of_a_file_become_a_policy(void **state)
{
	static const struct {
		const char *words, *key, *wanted;
	} rows[] = {
		{ "", "mac", "\"02:00:00:00:00:01\"" },
		{ "", "mtu", "1500" },
		{ "", "rate", "0" },
		{ "", "spoofchk", "true" },
		{ "", "trust", "\"none\"" },
		{ "", "link", "\"auto\"" },
		{ "", "uplink_loss", "\"propagate\"" },
		{ "", "vlan", "{\"ids\":[],\"mode\":\"none\",\"proto\":\"802.1Q\",\"qos\":0}" },
		{ ", vlan: {ids: [100], qos: 3}", "vlan",
		  "{\"ids\":[100],\"mode\":\"access\",\"proto\":\"802.1Q\",\"qos\":3}" },
		{ ", vlan: {mode: qinq, ids: [7]}", "vlan",
		  "{\"ids\":[7],\"mode\":\"qinq\",\"proto\":\"802.1ad\",\"qos\":0}" },
		{ ", vlan: {mode: trunk, ids: [7, 8]}", "vlan",
		  "{\"ids\":[7,8],\"mode\":\"trunk\",\"proto\":\"802.1Q\",\"qos\":0}" },
		{ ", rate: 5G, min_rate: 1M", "rate", "5000000000" },
		{ ", rate: 5G, min_rate: 1M", "min_rate", "1000000" },
		{ ", trust: multicast", "trust", "\"multicast\"" },
		{ ", uplink_loss: keep", "uplink_loss", "\"keep\"" },
		{ ", uplink_loss: keep", "link", "\"auto\"" },
		{ ", link: down", "link", "\"down\"" },
		{ ", storm: 500", "storm", "500" },
		{ ", macs: ['02:00:00:00:00:0A']", "macs", "[\"02:00:00:00:00:0a\"]" },
		{ ", mtu: 9000", "mtu", "9000" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *policy = policy_of(rows[i].words);

		same(policy, rows[i].key, rows[i].wanted);
	}
}

static void a_policy_changes_by_words(void **state)
{
	static const struct {
		const char *wish, *key, *wanted; /* key NULL: refused with this */
	} rows[] = {
		{ "{\"port\":\"p\"}", NULL, "nothing to set" },
		{ "{\"rate\":2000000}", "rate", "2000000" },
		{ "{\"rate\":2000001}", NULL, "whole Mbit/s" },
		{ "{\"rate\":1000000}", NULL, "min_rate: more than rate" },
		{ "{\"rate\":-1}", NULL, "rate" },
		{ "{\"link\":\"down\"}", "link", "\"down\"" },
		{ "{\"link\":\"sideways\"}", NULL, "link: there is no 'sideways'" },
		{ "{\"trust\":\"promisc\"}", "trust", "\"promisc\"" },
		{ "{\"spoofchk\":false}", "spoofchk", "false" },
		{ "{\"spoofchk\":1}", NULL, "spoofchk" },
		{ "{\"storm\":0}", "storm", "0" },
		{ "{\"uplink_loss\":\"keep\"}", "uplink_loss", "\"keep\"" },
		{ "{\"vlan\":0}", NULL, "vlan: no list" },
		{ "{\"mode\":\"none\"}", "vlan",
		  "{\"ids\":[],\"mode\":\"none\",\"proto\":\"802.1Q\",\"qos\":0}" },
		{ "{\"vlan\":[200]}", "vlan",
		  "{\"ids\":[200],\"mode\":\"access\",\"proto\":\"802.1Q\",\"qos\":3}" },
		{ "{\"vlan\":[1,2]}", "vlan",
		  "{\"ids\":[1,2],\"mode\":\"trunk\",\"proto\":\"802.1Q\",\"qos\":0}" },
		{ "{\"vlan\":[1,1]}", NULL, "1 is there twice" },
		{ "{\"vlan\":[4095]}", NULL, "not between 1 and 4094" },
		{ "{\"vlan\":[]}", "vlan",
		  "{\"ids\":[],\"mode\":\"none\",\"proto\":\"802.1Q\",\"qos\":0}" },
		{ "{\"vlan\":[1,2],\"mode\":\"access\"}", NULL, "mode access takes one id" },
		{ "{\"vlan\":\"7\"}", NULL, "vlan" },
		{ "{\"vlan\":[1,2],\"qos\":3}", NULL, "not for mode trunk" },
		{ "{\"mode\":\"qinq\"}", "vlan",
		  "{\"ids\":[100],\"mode\":\"qinq\",\"proto\":\"802.1ad\",\"qos\":3}" },
		{ "{\"qos\":8}", NULL, "qos" },
		{ "{\"macs\":[\"02:00:00:00:00:02\"]}", "macs", "[\"02:00:00:00:00:02\"]" },
		{ "{\"macs\":[\"03:00:00:00:00:02\"]}", NULL, "no MAC address of one station" },
		{ "{\"macs\":[7]}", NULL, "no MAC address of one station" },
	};
	auto_json json_t *policy =
		policy_of(", vlan: {ids: [100], qos: 3}, rate: 9M, min_rate: 2M");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *wish = json_loads(rows[i].wish, 0, NULL), *after = NULL;
		struct err e = { 0 };
		int r = port_policy_change(policy, wish, &after, &e);

		if (rows[i].key != NULL && r == 0)
			same(after, rows[i].key, rows[i].wanted);
		else if (rows[i].key != NULL || r == 0 || strstr(e.text, rows[i].wanted) == NULL)
			fail_msg("%s: %d %s", rows[i].wish, r, e.text);
	}
	same(policy, "vlan", "{\"ids\":[100],\"mode\":\"access\",\"proto\":\"802.1Q\",\"qos\":3}");
}

/* A port of mode qinq that becomes one of another mode no longer tags for a provider's bridges. */
static void a_tag_s_protocol_goes_with_its_mode(void **state)
{
	static const char *const rows[][2] = {
		{ "{\"vlan\":[5]}",
		  "{\"ids\":[5],\"mode\":\"access\",\"proto\":\"802.1Q\",\"qos\":0}" },
		{ "{\"mode\":\"access\"}",
		  "{\"ids\":[7],\"mode\":\"access\",\"proto\":\"802.1Q\",\"qos\":0}" },
		{ "{\"vlan\":[5],\"mode\":\"qinq\"}",
		  "{\"ids\":[5],\"mode\":\"qinq\",\"proto\":\"802.1ad\",\"qos\":0}" },
		{ "{\"qos\":2}",
		  "{\"ids\":[7],\"mode\":\"qinq\",\"proto\":\"802.1ad\",\"qos\":2}" },
	};
	auto_json json_t *policy = policy_of(", vlan: {mode: qinq, ids: [7]}");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *wish = json_loads(rows[i][0], 0, NULL), *after = NULL;
		struct err e = { 0 };

		assert_int_equal(port_policy_change(policy, wish, &after, &e), 0);
		same(after, "vlan", rows[i][1]);
	}
}

static void the_same_words_are_a_vfs(void **state)
{
	static const struct {
		const char *wish, *key, *wanted;
	} rows[] = {
		{ "{\"rate\":5000000000}", "max_tx_rate", "5000" },
		{ "{\"link\":\"up\"}", "link_state", "\"up\"" },
		{ "{\"uplink_loss\":\"keep\"}", "link_state", "\"up\"" },
		{ "{\"trust\":\"multicast\"}", "trust", "true" },
		{ "{\"vlan\":[5],\"qos\":1}", "vlan", "5" },
		{ "{\"vlan\":[5]}", "vlan", "5" },
		{ "{\"vlan\":[]}", "vlan", "0" },
		{ "{\"vlan\":[5,6]}", NULL, "vlan: a VF has one VLAN or none" },
		{ "{\"storm\":5}", NULL, "storm: no driver" },
		{ "{\"macs\":[]}", NULL, "macs: no driver" },
		{ "{\"mode\":\"trunk\"}", NULL, "vlan: a VF" },
		{ "{\"trust\":\"some\"}", NULL, "trust: there is no 'some'" },
		{ "{}", NULL, "nothing to set" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *wish = json_loads(rows[i].wish, 0, NULL), *body = NULL;
		struct err e = { 0 };
		int r = port_wish_of_vf(wish, &body, &e);

		if (rows[i].key != NULL && r == 0)
			same(body, rows[i].key, rows[i].wanted);
		else if (rows[i].key != NULL || r == 0 || strstr(e.text, rows[i].wanted) == NULL)
			fail_msg("%s: %d %s", rows[i].wish, r, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_words_of_a_file_become_a_policy),
		cmocka_unit_test(a_policy_changes_by_words),
		cmocka_unit_test(a_tag_s_protocol_goes_with_its_mode),
		cmocka_unit_test(the_same_words_are_a_vfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
