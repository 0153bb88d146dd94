// SPDX-License-Identifier: BSD-3-Clause
/* From what should be and what there is to what viaduct-pmd is asked, in the order in which it can be done. */
#include "vf-manager/backend_core.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

static struct config config;
static struct wish_uplink uplinks[PMD_MAX_UPLINKS];
static struct wish_port ports[2];
static struct pmd_status there;
static const struct sync_wish wish = { &config, uplinks, ports, 2 };

static const char file[] =
	"uplinks: [{name: w0, kind: tap, device: t0}, {name: w1, kind: 'null', mtu: 9000},\n"
	"  {name: w2, kind: pci, device: '0000:04:00.0'}]\n"
	"networks: [{name: a, uplinks: [w0, w1], bond: 802.3ad}, {name: b, uplinks: []},\n"
	"  {name: c, uplinks: [w2]}, {name: d, uplinks: [eth0]}]\n";

static int setup(void **state)
{
	struct err e = { 0 };

	memset(uplinks, 0, sizeof(uplinks));
	memset(&there, 0, sizeof(there));
	assert_int_equal(config_parse(file, strlen(file), &config, &e), 0);
	strcpy(uplinks[0].device, "t0");
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		snprintf(ports[i].name, sizeof(ports[i].name), "fw%u/mgt", i);
		strcpy(ports[i].network, i == 0 ? "a" : "c");
		strcpy(ports[i].socket, "/run/s");
		ports[i].policy = json_object();
	}
	return 0;
}

static int teardown(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++)
		json_decref(ports[i].policy);
	return 0;
}

/* "op name, op name" of a list, which it takes. */
static const char *said(json_t *list)
{
	static char text[512];
	size_t i, len = 0;
	json_t *body;

	text[0] = '\0';
	json_array_foreach(list, i, body) {
		const char *name = json_string_value(json_object_get(body, "name"));

		if (name == NULL)
			name = json_string_value(json_object_get(body, "port"));
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %s",
					i > 0 ? ", " : "",
					json_string_value(json_object_get(body, "op")), name);
	}
	json_decref(list);
	return text;
}

static void has_uplink(const char *name, const char *kind, const char *device, unsigned int mtu)
{
	struct pmd_uplink *up = &there.uplinks[there.uplink_count++];

	strcpy(up->name, name);
	strcpy(up->kind, kind);
	strcpy(up->device, device);
	up->mtu = mtu;
}

static void has_network(const char *name, const char *first, const char *second)
{
	struct pmd_network *net = &there.networks[there.network_count++];

	strcpy(net->name, name);
	strcpy(net->bond, second != NULL ? "802.3ad" : "none");
	if (first != NULL)
		strcpy(net->uplinks[net->uplink_count++], first);
	if (second != NULL)
		strcpy(net->uplinks[net->uplink_count++], second);
}

static void has_port(const char *name, const char *network)
{
	struct pmd_port *port = &there.ports[there.port_count++];

	strcpy(port->name, name);
	strcpy(port->network, network);
}

static void all_but_c_is_there(void)
{
	has_uplink("w0", "tap", "t0", 1500);
	has_uplink("w1", "null", "", 9000);
	has_network("a", "w0", "w1");
	has_network("b", NULL, NULL);
	has_port("fw0/mgt", "a");
}

static void a_new_process_gets_all(void **state)
{
	assert_string_equal(said(sync_clear(&wish, &there)), "");
	/* The function of w2 is not ours yet. */
	assert_string_equal(said(sync_uplinks(&wish, &there, 1)), "uplink-add w0, uplink-add w1");
	uplinks[1].retry_ns = 100;
	assert_string_equal(said(sync_uplinks(&wish, &there, 1)), "uplink-add w0");
	assert_string_equal(said(sync_networks(&wish, &there)), "network-add b");
	has_uplink("w0", "tap", "t0", 1500);
	assert_string_equal(said(sync_networks(&wish, &there)), "network-add a, network-add b");
	assert_string_equal(said(sync_ports(&wish, &there)), "");
	has_network("a", "w0", NULL);
	assert_string_equal(said(sync_ports(&wish, &there)), "port-add fw0/mgt");
}

static void what_is_right_is_left_alone(void **state)
{
	all_but_c_is_there();
	assert_string_equal(said(sync_clear(&wish, &there)), "");
	assert_string_equal(said(sync_uplinks(&wish, &there, 1)), "");
	assert_string_equal(said(sync_networks(&wish, &there)), "");
	assert_string_equal(said(sync_ports(&wish, &there)), "");
}

static void what_is_too_much_goes(void **state)
{
	all_but_c_is_there();
	has_uplink("old", "null", "", 1500);
	has_network("old-net", "old", NULL);
	has_port("gone/mgt", "b");
	has_port("gone/lan", "old-net");
	assert_string_equal(said(sync_clear(&wish, &there)),
			    "port-remove gone/mgt, port-remove gone/lan, network-remove old-net, "
			    "uplink-remove old");
}

/* What hangs on an uplink of another kind goes with it, and comes back. */
static void what_is_another_one_is_made_again(void **state)
{
	all_but_c_is_there();
	there.uplinks[0].mtu = 9000;
	assert_string_equal(said(sync_clear(&wish, &there)),
			    "port-remove fw0/mgt, network-remove a, uplink-remove w0");
	/* It was asked for what the file says, and this is what it made of that. */
	uplinks[0].is_asked = true;
	assert_string_equal(said(sync_clear(&wish, &there)), "");
}

static void an_uplink_that_comes_late_joins_its_group(void **state)
{
	all_but_c_is_there();
	there.networks[0].uplink_count = 1;
	assert_string_equal(said(sync_networks(&wish, &there)),
			    "port-remove fw0/mgt, network-remove a, network-add a");
	there.uplink_count = 1;
	assert_string_equal(said(sync_networks(&wish, &there)), "");
}

static void a_port_on_another_network_moves(void **state)
{
	all_but_c_is_there();
	strcpy(there.ports[0].network, "b");
	assert_string_equal(said(sync_clear(&wish, &there)), "port-remove fw0/mgt");
}

/* The daemon has come back and does not know yet which function w2 has; its ports go on. */
static void a_function_that_is_not_known_yet_is_left_alone(void **state)
{
	has_uplink("w2", "pci", "0000:04:00.0", 1500);
	has_network("c", "w2", NULL);
	has_port("fw1/mgt", "c");
	assert_string_equal(said(sync_clear(&wish, &there)), "");
	/* It could not be had: what is there is of an earlier configuration. */
	uplinks[2].why.errnum = EBUSY;
	assert_string_equal(said(sync_clear(&wish, &there)),
			    "port-remove fw1/mgt, network-remove c, uplink-remove w2");
	uplinks[2].why.errnum = 0;
	strcpy(uplinks[2].device, "0000:05:00.0");
	assert_string_equal(said(sync_clear(&wish, &there)),
			    "port-remove fw1/mgt, network-remove c, uplink-remove w2");
}

static void a_policy_that_may_not_have_arrived_is_sent_again(void **state)
{
	all_but_c_is_there();
	ports[0].is_stale = true;
	assert_string_equal(said(sync_ports(&wish, &there)), "port-set fw0/mgt");
	ports[0].is_stale = false;
	assert_string_equal(said(sync_ports(&wish, &there)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_process_gets_all, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_right_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_too_much_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_another_one_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(an_uplink_that_comes_late_joins_its_group, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_port_on_another_network_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(a_function_that_is_not_known_yet_is_left_alone,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_policy_that_may_not_have_arrived_is_sent_again,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
