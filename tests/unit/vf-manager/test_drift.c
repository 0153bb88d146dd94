// SPDX-License-Identifier: BSD-3-Clause
/* VFs that are not as viaduct has made them: who gets what back, and what is only said. */
#include "tests/fake/rtnl_peer.h"
#include "tests/fake/sysfs_tree.h"

#include "vf-manager/alarms.h"
#include "vf-manager/attrdrift.h"
#include "vf-manager/drift.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/portloss.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <stdio.h>

#define PF   "0000:01:00.0"
#define VF0  "0000:01:10.0"
#define FN   "bus/pci/devices/"
#define NET  FN PF "/net/enp1s0/"
#define BOOT "11111111-2222-3333-4444-555555555555"

static const struct pci_addr pf_addr = { .bus = 1 };
static struct daemon d;
static struct alarms *alarms;
static struct drift_memory memory;
static struct rtnl_peer peer;

/* What viaduct has given VF 0. */
static const struct vf_attrs given = { .mask = VF_ATTRS_ALL,
				       .spoofchk = true,
				       .mac = { 2, 0, 0, 0, 0, 7 },
				       .vlan = 100,
				       .vlan_proto = VF_VLAN_8021Q };

static int setup(void **state)
{
	const struct pf_row row = { .pf = pf_addr, .vfs = 2, .boot_id = BOOT };

	tree_make();
	tree_fn(PF, 0x808610c9, 0x020000, 1);
	tree_pf(PF, 8);
	tree_vf(PF, 0);
	tree_vf(PF, 1);
	tree_netdev(PF, "enp1s0", 4);
	tree_file(FN PF "/sriov_numvfs", "2\n");
	rtnl_peer_start(&peer, 2);
	memset(&d, 0, sizeof(d));
	pthread_mutex_init(&d.state, NULL);
	pthread_mutex_init(&d.scan, NULL);
	pthread_cond_init(&d.changed, NULL);
	snprintf(d.boot_id, sizeof(d.boot_id), BOOT);
	d.nl = peer.nl;
	assert_int_equal(inventory_create(&d.inv, tree.root, NULL), 0);
	assert_int_equal(ledger_open(&d.ledger, NULL, BOOT, NULL), 0);
	assert_int_equal(ledger_pf_put(d.ledger, &row, NULL), 0);
	assert_int_equal(alarms_create(&alarms, NULL), 0);
	memset(&memory, 0, sizeof(memory));
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < d.vm_count; i++)
		vm_destroy(d.vms[i]);
	drift_memory_free(&memory);
	alarms_destroy(alarms);
	ledger_close(d.ledger);
	inventory_destroy(d.inv);
	rtnl_peer_stop(&peer);
	tree_remove();
	return 0;
}

/* VF 0 as the port fw1/wan has it, or as the lease "mine". */
static void vf_give(enum vf_state vf_state, const struct vf_attrs *attrs)
{
	struct vf_row row = { .pf = pf_addr,
			      .addr = { .bus = 1, .dev = 0x10 },
			      .state = vf_state,
			      .generation = 3,
			      .boot_id = BOOT };

	if (vf_state == VF_ASSIGNED) {
		snprintf(row.owner, sizeof(row.owner), "fw1/wan");
		row.in_force = *attrs;
	} else {
		snprintf(row.lease, sizeof(row.lease), "mine");
		row.attrs = *attrs;
	}
	assert_int_equal(ledger_vf_force(d.ledger, &row, NULL), 0);
	peer.vfs[0] = given;
}

static void alarm_name(void *arg, const struct alarm *a)
{
	char *text = arg;
	size_t len = strlen(text);

	snprintf(text + len, 512 - len, "%s%s %s", len > 0 ? ", " : "", a->kind, a->object);
}

/* A look of the monitor's; returns whether something would be repaired after it. */
static bool look(const char *expected)
{
	char text[512] = "";

	assert_int_equal(alarms_check(alarms, &d, NULL), 0);
	drift_note(&d, &memory, alarms_attr_drifts(alarms));
	assert_int_equal(ledger_alarm_each(d.ledger, alarm_name, text, NULL), 0);
	assert_string_equal(text, expected);
	return drift_is_due(&d, &memory, alarms_attr_drifts(alarms));
}

struct last {
	const char *kind;
	char text[512];
};

static void event_last(void *arg, const struct event *event)
{
	struct last *last = arg;

	if (strcmp(event->kind, last->kind) == 0)
		snprintf(last->text, sizeof(last->text), "%s %s", event->object, event->text);
}

static const char *last_event(const char *kind)
{
	static struct last last;
	const struct event_walk walk = { .limit = 1000, .fn = event_last, .arg = &last };

	last = (struct last){ .kind = kind };
	assert_int_equal(ledger_event_each(d.ledger, &walk, NULL), 0);
	return last.text;
}

static void carrier(bool is_there)
{
	tree_file(NET "carrier", "%d\n", is_there);
}

/* The first looks find all as it should be. */
static void settle(void)
{
	assert_false(look(""));
	assert_false(look(""));
}

static void what_a_pf_loses_while_it_is_away_is_set_again(void **state)
{
	static const char *const ways[] = { "no link", "down", "another device" };

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		vf_give(VF_ASSIGNED, &given);
		settle();
		if (i == 0)
			carrier(false);
		else if (i == 1)
			tree_file(NET "flags", "0x1002\n");
		else
			tree_file(NET "ifindex", "9\n");
		peer.vfs[0] = vf_attrs_default;
		/* Nothing is set on a PF that is down. */
		alarms_check(alarms, &d, NULL);
		drift_note(&d, &memory, alarms_attr_drifts(alarms));
		assert_int_equal(drift_is_due(&d, &memory, alarms_attr_drifts(alarms)), i != 1);
		carrier(true);
		tree_file(NET "flags", "0x1003\n");
		assert_true(look("vf-attributes-drift " VF0));
		assert_true(drift_repair(&d, &memory));
		assert_int_equal(vf_attrs_difference(VF_ATTRS_ALL, &given, &peer.vfs[0]), 0);
		assert_string_equal(last_event("vf"),
				    VF0 " repaired: mac 02:00:00:00:00:07, vlan 100 again; it had "
					"mac 00:00:00:00:00:00, vlan 0: its PF was away");
		assert_false(look(""));
		memory.pfs[0].attrs.next_ns = 0;
	}
}

static void what_somebody_else_sets_is_an_alarm(void **state)
{
	vf_give(VF_ASSIGNED, &given);
	settle();
	peer.vfs[0].trust = true;
	peer.vfs[0].vlan = 5;
	assert_false(look("vf-attributes-drift " VF0));
	/* Also where only the ledger has changed since. */
	assert_int_equal(alarms_look(alarms, &d, ALARMS_LAST_SEEN, NULL), 0);
	assert_false(drift_repair(&d, &memory));
	assert_int_equal(peer.vfs[0].vlan, 5);
	/* Or it is what is wanted, once viaduct has set it. */
	peer.vfs[0] = given;
	assert_false(look(""));
}

static void what_somebody_else_sets_is_set_again_by_policy(void **state)
{
	snprintf(d.config.pfs[0].name, CONFIG_NAME, "enp1s0");
	d.config.pfs[0].repairs_drift = true;
	d.config.pf_count = 1;
	vf_give(VF_ASSIGNED, &given);
	settle();
	peer.vfs[0].trust = true;
	assert_true(look("vf-attributes-drift " VF0));
	assert_true(drift_repair(&d, &memory));
	assert_false(peer.vfs[0].trust);
	assert_non_null(
		strstr(last_event("vf"), "trust off again; it had trust on: somebody else"));
	assert_false(look(""));
	/* Who does it again waits for it. */
	peer.vfs[0].trust = true;
	assert_false(look("vf-attributes-drift " VF0));
	memory.pfs[0].attrs.next_ns = 0;
	assert_true(look("vf-attributes-drift " VF0));
}

static void a_pf_of_the_policy_that_is_not_there_repairs_nothing(void **state)
{
	snprintf(d.config.pfs[0].name, CONFIG_NAME, "enp9s0");
	d.config.pfs[0].repairs_drift = true;
	vf_give(VF_ASSIGNED, &given);
	settle();
	d.config.pf_count = 1;
	peer.vfs[0].trust = true;
	assert_false(look("pf-absent enp9s0, vf-attributes-drift " VF0));
	assert_false(drift_repair(&d, &memory));
}

static void what_cannot_be_set_again_stays_an_alarm(void **state)
{
	vf_give(VF_LEASED, &given);
	settle();
	carrier(false);
	peer.vfs[0].vlan = 0;
	peer.refused = BIT(VF_ATTR_VLAN);
	assert_true(look("vf-attributes-drift " VF0));
	assert_false(drift_repair(&d, &memory));
	/* Some take it only with a link: soon again. */
	assert_true(memory.pfs[0].attrs.next_ns < now_ns() + 2000000000ULL);
	carrier(true);
	peer.refused = 0;
	memory.pfs[0].attrs.next_ns = 0;
	assert_true(look("vf-attributes-drift " VF0));
	assert_true(drift_repair(&d, &memory));
	assert_false(look(""));
}

static void only_what_was_given_counts(void **state)
{
	struct vf_attrs attrs = given;

	/* Its guest may change it. */
	attrs.trust = true;
	vf_give(VF_ASSIGNED, &attrs);
	peer.vfs[0].trust = true;
	peer.vfs[0].mac[5] = 9;
	assert_false(look(""));
	memset(peer.vfs[0].mac, 0, 6);
	look("vf-attributes-drift " VF0);
	/* Of a ledger that did not keep it. */
	attrs.mask = 0;
	vf_give(VF_ASSIGNED, &attrs);
	peer.vfs[0].vlan = 9;
	assert_false(look(""));
	/* What a lease does not say. */
	attrs = given;
	attrs.mask = BIT(VF_ATTR_VLAN);
	vf_give(VF_LEASED, &attrs);
	peer.vfs[0].mac[5] = 9;
	assert_false(look(""));
	peer.vfs[0].vlan = 9;
	look("vf-attributes-drift " VF0);
	/* What the driver does not tell. */
	peer.get_errno = 95;
	assert_false(look(""));
}

static void nothing_given_costs_no_message(void **state)
{
	const struct vf_attrs none = { 0 };

	vf_give(VF_LEASED, &none);
	peer.gets = 0;
	settle();
	assert_int_equal(peer.gets, 0);
	vf_give(VF_LEASED, &given);
	settle();
	assert_int_equal(peer.gets, 2);
}

static void vm_make(void)
{
	struct vm *vm = NULL;

	assert_int_equal(vm_create("fw1", &vm, NULL), 0);
	vm->state = VM_RUNNING;
	vm->pid = 4711;
	json_object_set_new(vm->facts, "ports",
			    json_pack("[{s:s, s:s, s:s}, {s:s, s:s}]", "name", "wan", "vf", VF0,
				      "vf_id", "enp1s0#0", "name", "lan", "vf", "0000:02:10.0"));
	d.vms[d.vm_count++] = vm;
}

static void a_port_whose_vf_is_gone_says_so(void **state)
{
	char lost[PORTS_LOST_TEXT];
	json_t *port;

	vm_make();
	vf_give(VF_ASSIGNED, &given);
	settle();
	tree_file(FN PF "/sriov_numvfs", "0\n");
	tree_delete(FN VF0);
	tree_delete(FN PF "/virtfn0");
	assert_true(look("vf-count-drift " PF));
	drift_repair(&d, &memory);
	assert_int_equal(ledger_vf_find(d.ledger, &pf_addr, 0)->state, VF_FREE);
	port = json_array_get(json_object_get(d.vms[0]->facts, "ports"), 0);
	assert_true(json_is_null(json_object_get(port, "vf")));
	assert_string_equal(ports_lost_text(d.vms[0], lost), "wan (" VF0 ")");
	assert_string_equal(last_event("vm"), "fw1 port wan has lost its VF " VF0);
	assert_false(look("port-lost fw1, vf-count-drift " PF));
	/* As long as it runs. */
	d.vms[0]->state = VM_STOPPED;
	d.vms[0]->pid = 0;
	look("vf-count-drift " PF);
}

static void a_lease_under_a_vm_waits_for_its_vf(void **state)
{
	struct vf_row row;

	vm_make();
	vf_give(VF_LEASED, &given);
	row = *ledger_vf_find(d.ledger, &pf_addr, 0);
	row.state = VF_ASSIGNED;
	snprintf(row.owner, sizeof(row.owner), "fw1/wan");
	assert_int_equal(ledger_vf_force(d.ledger, &row, NULL), 0);
	tree_delete(FN VF0);
	assert_true(look(""));
	drift_repair(&d, &memory);
	look("lease-parked mine, port-lost fw1");
	assert_int_equal(ledger_parked_find(d.ledger, "mine")->attrs.vlan, 100);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_a_pf_loses_while_it_is_away_is_set_again),
		CASE(what_somebody_else_sets_is_an_alarm),
		CASE(what_somebody_else_sets_is_set_again_by_policy),
		CASE(a_pf_of_the_policy_that_is_not_there_repairs_nothing),
		CASE(what_cannot_be_set_again_stays_an_alarm),
		CASE(only_what_was_given_counts),
		CASE(nothing_given_costs_no_message),
		CASE(a_port_whose_vf_is_gone_says_so),
		CASE(a_lease_under_a_vm_waits_for_its_vf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
