// SPDX-License-Identifier: BSD-3-Clause
/* Words of a port that a PF's driver cannot follow: refused by name, never ignored. */
#include "vf-manager/portfit.h"

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

/* 0 and the port; or why the file is refused. */
static int port_of(const char *words, struct vm_port *out, struct err *e)
{
	struct vm_spec *spec = malloc(sizeof(*spec));
	auto_json json_t *warnings = json_array();
	char yaml[512];
	const struct vm_text text = { .yaml = yaml, .base_dir = "/" };
	int r;

	snprintf(
		yaml, sizeof(yaml),
		"name: a\nmemory: {size: 64M}\nboot: {kernel: k}\nports: [{name: wan, pf: p%s%s}]\n",
		*words != '\0' ? ", " : "", words);
	assert_non_null(spec);
	r = vm_spec_parse(&text, spec, warnings, e);
	if (r == 0)
		*out = spec->ports[0];
	free(spec);
	return r;
}

static void every_word_is_followed_or_refused_by_name(void **state)
{
	static const struct {
		const char *words, *driver, *refusal; /* NULL: it fits */
	} rows[] = {
		{ "", "igb", NULL },
		{ "mac: \"02:00:00:00:00:01\", rate: 5G, trust: promisc, spoofchk: off", "igb",
		  NULL },
		{ "vlan: {ids: [5], qos: 3}, mtu: 1500", "igb", NULL },
		{ "link: up", "igb", "link: driver igb of PF enp1s0 has no link state" },
		{ "link: up", "ice", NULL },
		{ "uplink_loss: keep", "igb",
		  "uplink_loss: driver igb of PF enp1s0 has no link state" },
		{ "uplink_loss: propagate", "igb", "uplink_loss: driver igb" },
		{ "uplink_loss: keep", "i40e", NULL },
		{ "uplink_loss: keep", "somebodys", NULL },
		{ "min_rate: 10M", "igb", "min_rate: driver igb of PF enp1s0 has no min_rate" },
		{ "min_rate: 10M", "mlx5_core", NULL },
		{ "vlan: {mode: trunk, ids: [5, 6]}", "mlx5_core",
		  "vlan.mode: driver mlx5_core of PF enp1s0 cannot limit a VF to a list" },
		{ "macs: [\"02:00:00:00:00:02\"]", "ice", "macs: driver ice of PF enp1s0 cannot" },
		{ "queues: 4", "ice", "queues: driver ice of PF enp1s0 has no" },
		{ "queue_size: 1024", "igb", "queue_size: driver igb of PF enp1s0 has nothing" },
		{ "queue_size: 1024", "", "queue_size: driver (none) of PF enp1s0" },
		{ "mtu: 9000", "ice", "mtu: 9000 is more than the 1500 of PF enp1s0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct port_pf pf = { "enp1s0", rows[i].driver, 1500 };
		struct vm_port port;
		struct err e = { 0 };
		int r;

		assert_int_equal(port_of(rows[i].words, &port, &e), 0);
		r = port_fit_check(&port, &pf, &e);
		if (r < 0 ? rows[i].refusal == NULL || strstr(e.text, rows[i].refusal) == NULL
			  : rows[i].refusal != NULL)
			fail_msg("%s on %s: %s", rows[i].words, rows[i].driver, e.text);
		assert_true(r == 0 || e.hint[0] != '\0');
	}
}

static void loss_is_a_link_state(void **state)
{
	struct vm_port port;

	assert_int_equal(port_of("uplink_loss: keep", &port, NULL), 0);
	assert_int_equal(port.attrs.mask, BIT(VF_ATTR_LINK_STATE));
	assert_int_equal(port.attrs.link_state, VF_LINK_UP);
	assert_int_equal(port_of("uplink_loss: propagate, link: auto", &port, NULL), 0);
	assert_int_equal(port.attrs.mask, BIT(VF_ATTR_LINK_STATE));
	assert_int_equal(port.attrs.link_state, VF_LINK_AUTO);
	assert_int_equal(port_of("", &port, NULL), 0);
	assert_int_equal(port.attrs.mask, 0);
}

static void values_that_nobody_can_follow(void **state)
{
	static const char *const rows[][2] = {
		{ "uplink_loss: maybe", "not propagate or keep" },
		{ "uplink_loss: keep, link: down", "leaves it nothing to say" },
		{ "macs: [\"01:00:00:00:00:02\"]", "no MAC address of one station" },
		{ "macs: [x]", "no MAC address of one station" },
		{ "queues: 0", "not between 1 and 256" },
		{ "queue_size: 65536", "not between 1 and 32768" },
		{ "vlan: {mode: trunk, ids: [5, 5]}", "5 is there twice" },
		{ "vlan: {mode: trunk, ids: [4095]}", "not between 1 and 4094" },
		{ "vlan: {mode: trunk, ids: [5], qos: 1}", "not for mode trunk" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vm_port port;
		struct err e = { 0 };

		assert_int_equal(port_of(rows[i][0], &port, &e), -EINVAL);
		if (strstr(e.text, rows[i][1]) == NULL)
			fail_msg("%s: %s", rows[i][0], e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_word_is_followed_or_refused_by_name),
		cmocka_unit_test(loss_is_a_link_state),
		cmocka_unit_test(values_that_nobody_can_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
