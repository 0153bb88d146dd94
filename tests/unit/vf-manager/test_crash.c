// SPDX-License-Identifier: BSD-3-Clause
/* The daemon is killed at every step of each operation; the next one makes ledger and machine agree. */
#include "tests/fake/crash_host.h"
#include "tests/fake/crash_ops.h"
#include "tests/fake/crash_sweep.h"
#include "tests/fake/crash_uplink.h"

#include "vf-manager/pfapply.h"
#include "vf-manager/pfconfirm.h"
#include "vf-manager/portlink.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmfault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

/* What must hold beside host_check(); the lease "mine" is on VF 0. */

static void count_is_old_or_new(struct daemon *d)
{
	assert_true(host_vf_count() == 0 || host_vf_count() == 1 || host_vf_count() == VFS);
}

/* The VF that the lease is on was made anew, and is the lease's with all that was set on it. */
static void lease_has_its_vf(struct daemon *d)
{
	if (ledger_parked_count(d->ledger) != 0)
		fail_msg("%s: the lease waits: %s", crash_where(),
			 ledger_parked_at(d->ledger, 0)->why);
	assert_int_equal(host_row(d, 0)->state, VF_LEASED);
	assert_string_equal(host_row(d, 0)->lease, "mine");
	assert_int_equal(host_attrs(0).vlan, old_attrs.vlan);
	assert_memory_equal(host_attrs(0).mac, old_attrs.mac, 6);
}

/* After a boot it has it as soon as there is one. */
static void lease_comes_back(struct daemon *d)
{
	if (host_vf_count() == 0) {
		assert_non_null(ledger_parked_find(d->ledger, "mine"));
		apply_two(d);
	}
	lease_has_its_vf(d);
}

/* What the crash has left is foreign, and is taken in by the same words again. */
static void adopted_by_and_by(struct daemon *d)
{
	const struct pci_fn *pf = inventory_find(d->inv, &host_pf);

	for (unsigned int i = 0; i < VFS; i++) {
		if (pool_vf_state(d, pf->vfs[i], NULL) != VF_FOREIGN)
			continue;
		adopt(d);
		break;
	}
	pf = inventory_find(d->inv, &host_pf);
	assert_true(pool_pf_is_ours(d, pf));
	for (unsigned int i = 0; i < VFS; i++) {
		assert_int_equal(pool_vf_state(d, pf->vfs[i], NULL), VF_FREE);
		assert_string_equal(pf->vfs[i]->driver, "");
		assert_false(host_master(i));
	}
}

/* There is a way back, or nothing to go back from. */
static void count_goes_back(struct daemon *d)
{
	trial_ends(d);
	assert_null(ledger_confirm_find(d->ledger, &host_pf));
	assert_int_equal(host_vf_count(), VFS);
}

/* Whatever became of the confirmation: one or the other, with nothing on trial. */
static void count_is_kept_or_goes_back(struct daemon *d)
{
	bool is_kept = ledger_confirm_find(d->ledger, &host_pf) == NULL;

	trial_ends(d);
	assert_int_equal(host_vf_count(), is_kept ? 1 : VFS);
}

static void intent_is_finished(struct daemon *d)
{
	assert_int_equal(host_vf_count(), 3);
}

static void all_vfs_are_there(struct daemon *d)
{
	assert_int_equal(host_vf_count(), VFS);
}

static void scrubbed_or_quarantined(struct daemon *d)
{
	all_vfs_are_there(d);
	assert_true(host_row(d, 0)->state == VF_FREE || host_row(d, 0)->state == VF_QUARANTINED);
	assert_true(host_row(d, 0)->state != VF_FREE || host_attrs(0).vlan == 0);
}

static void lease_is_kept(struct daemon *d)
{
	all_vfs_are_there(d);
	assert_int_equal(host_row(d, 0)->state, VF_LEASED);
	assert_string_equal(host_row(d, 0)->lease, "mine");
	assert_int_equal(host_attrs(0).link_state, VF_LINK_AUTO);
	assert_false((host_row(d, 0)->attrs.mask & BIT(VF_ATTR_LINK_STATE)) != 0);
}

static void lease_is_as_before(struct daemon *d)
{
	lease_is_kept(d);
	assert_int_equal(host_attrs(0).vlan, old_attrs.vlan);
	assert_memory_equal(host_attrs(0).mac, old_attrs.mac, 6);
	assert_false(host_attrs(0).trust);
}

static void lease_is_as_before_or_after(struct daemon *d)
{
	const struct vf_attrs now = host_attrs(0);

	lease_is_kept(d);
	assert_true((now.vlan == 5 && now.spoofchk) || (now.vlan == 7 && !now.spoofchk));
	assert_memory_equal(now.mac, old_attrs.mac, 6);
}

static void vm_keeps_its_vf(struct daemon *d)
{
	const struct vf_attrs now = host_attrs(0), *known = &host_row(d, 0)->in_force;

	assert_int_equal(host_row(d, 0)->state, VF_ASSIGNED);
	assert_true((now.vlan == 5 && now.spoofchk) || (now.vlan == 7 && !now.spoofchk));
	assert_memory_equal(now.mac, port_attrs.mac, 6);
	assert_int_equal(host_row(d, 0)->attrs.vlan, now.vlan);
	assert_memory_equal(host_row(d, 0)->attrs.mac, old_attrs.mac, 6);
	assert_int_equal(known->mask, VF_ATTRS_ALL);
	assert_int_equal(vf_attrs_difference(VF_ATTRS_ALL, known, &now), 0);
}

/* By the next daemon's first look. */
static void vm_gets_its_attributes(struct daemon *d)
{
	repair_attrs(d);
	vm_keeps_its_vf(d);
}

/* By the next daemon: its start, then its monitor. The ledger, the VMM and the PF's driver say the same. */
static bool quarantine_agrees(struct daemon *d)
{
	const json_t *port, *link;
	bool is_on;

	vm_quarantines_resume(d);
	settle_links(d);
	port = json_array_get(json_object_get(vm_find(d, HOST_VM)->facts, "ports"), 0);
	link = json_object_get(port, "link");
	is_on = json_is_object(json_object_get(port, "quarantine"));
	if (host_is_quarantined() != is_on || json_is_object(link) != is_on)
		fail_msg("%s: quarantine %d, the VMM's %d, link %d", crash_where(), is_on,
			 host_is_quarantined(), json_is_object(link));
	assert_int_equal(host_attrs(0).link_state, is_on ? VF_LINK_DOWN : VF_LINK_AUTO);
	assert_int_equal(host_row(d, 0)->state, VF_ASSIGNED);
	assert_int_equal(host_row(d, 0)->in_force.link_state, host_attrs(0).link_state);
	return is_on;
}

static void quarantine_is_on_or_was_not_begun(struct daemon *d)
{
	/* What was not told as done may be so or not; asked for again, it is. */
	if (!quarantine_agrees(d))
		port_quarantine(d);
	assert_true(quarantine_agrees(d));
}

static void quarantine_is_off_or_still_on(struct daemon *d)
{
	if (quarantine_agrees(d))
		port_unquarantine(d);
	assert_false(quarantine_agrees(d));
}

typedef void host_fn(struct daemon *d);

#define STEPS 6
static const struct storm {
	const char *name;
	host_fn *before[STEPS]; /* each by the daemon that is not killed yet; NULL: no more */
	host_fn *op;
	host_fn *after;
	bool may_be_foreign;
} storms[] = {
	{ "pf apply, from none", { NULL }, apply_two, count_is_old_or_new },
	{ "pf apply, another count", { apply_two }, apply_one, count_is_old_or_new },
	{ "pf apply, on trial", { apply_two }, try_one, count_goes_back },
	{ "the way back", { apply_two, try_one }, trial_ends, count_goes_back },
	{ "pf confirm", { apply_two, try_one }, keep_one, count_is_kept_or_goes_back },
	{ "pf apply, over a lease",
	  { apply_two, alloc, set_old },
	  apply_over_lease,
	  lease_has_its_vf },
	{ "adopt", { foreign_two }, adopt, adopted_by_and_by, true },
	{ "recovery after a boot",
	  { apply_two, alloc, set_old, another_boot },
	  host_recover,
	  lease_comes_back },
	{ "pf apply after a boot",
	  { apply_two, alloc, set_old, another_boot, host_recover },
	  apply_two,
	  lease_comes_back },
	{ "pf apply 0", { apply_two }, apply_none, count_is_old_or_new },
	{ "vf alloc", { apply_two }, alloc, all_vfs_are_there },
	{ "vf set", { apply_two, alloc, set_old }, set_new, lease_is_as_before_or_after },
	{ "vf set under a VM",
	  { apply_two, alloc, set_old, start_that_lives },
	  set_new,
	  vm_keeps_its_vf },
	{ "attributes set again",
	  { apply_two, alloc, set_old, start_that_lives, lose_attrs },
	  repair_attrs,
	  vm_gets_its_attributes },
	{ "quarantine of a port",
	  { own_link, apply_two, alloc, set_old, start_that_lives },
	  port_quarantine,
	  quarantine_is_on_or_was_not_begun },
	{ "its end",
	  { own_link, apply_two, alloc, start_that_lives, port_quarantine },
	  port_unquarantine,
	  quarantine_is_off_or_still_on },
	{ "stop in quarantine",
	  { own_link, apply_two, alloc, set_old, start_on_lease, lower_link },
	  end,
	  lease_is_as_before },
	{ "start", { apply_two }, start, all_vfs_are_there },
	{ "start on a lease", { apply_two, alloc, set_old }, start_on_lease, lease_is_as_before },
	{ "stop", { apply_two, start }, end, all_vfs_are_there },
	{ "stop on a lease",
	  { apply_two, alloc, set_old, start_on_lease },
	  end,
	  lease_is_as_before },
	{ "an uplink's VF", { apply_two }, reserve, uplink_gets_its_vf },
	{ "an uplink's VF goes back", { apply_two, reserve }, unreserve, uplink_has_no_vf },
	{ "host selftest", { apply_two }, self_test, all_vfs_are_there },
	{ "vf release", { apply_two, alloc, set_old }, release, all_vfs_are_there },
	{ "vf scrub", { apply_two, alloc, set_old, quarantine }, release, scrubbed_or_quarantined },
	{ "recovery of a dead VM",
	  { apply_two, alloc, set_old, start_on_lease },
	  host_recover,
	  lease_is_as_before },
	{ "recovery of pf apply", { apply_two, intend }, host_recover, intent_is_finished },
	{ "recovery of vf set",
	  { apply_two, alloc, set_old, intend_attrs },
	  host_recover,
	  lease_is_as_before },
};

static void prepare(void *arg)
{
	host_make();
}

static void run(void *arg)
{
	const struct storm *storm = arg;
	struct daemon *d = host_up();

	for (unsigned int i = 0; i < STEPS && storm->before[i] != NULL; i++)
		storm->before[i](d);
	crash_arm();
	storm->op(d);
}

static void check(void *arg)
{
	const struct storm *storm = arg;
	struct daemon *d = host_up();

	host_may_be_foreign(storm->may_be_foreign);
	host_recover(d);
	host_check(&d);
	storm->after(d);
	host_may_be_foreign(false);
	host_down(d);
}

/* The storms are shared out among programs that run at the same time: this is number `share` of `shares`. */
static unsigned int share, shares = 1;

static void nothing_is_lost_at_any_point(void **state)
{
	unsigned int points = 0;

	for (size_t i = share; i < ARRAY_SIZE(storms); i += shares) {
		const struct crash_sweep sweep = { .name = storms[i].name,
						   .prepare = prepare,
						   .run = run,
						   .check = check,
						   .arg = (void *)&storms[i] };

		points += crash_sweep(&sweep);
	}
	print_message("%u points in all\n", points);
	host_remove();
}

/* What no crash is needed for. */

static struct daemon *leased_host(void)
{
	struct daemon *d;

	host_make();
	d = host_up();
	apply_two(d);
	alloc(d);
	set_old(d);
	return d;
}

static void host_end(struct daemon *d)
{
	host_down(d);
	host_remove();
}

static const char *link_word(struct daemon *d, const char *key)
{
	const json_t *port =
		json_array_get(json_object_get(vm_find(d, HOST_VM)->facts, "ports"), 0);

	return json_string_value(json_object_get(json_object_get(port, "link"), key));
}

static void quarantine_now(struct daemon *d, bool on, bool is_settled)
{
	const struct vm_quarantine_wish wish = { .on = on };
	struct err e = { 0 };

	assert_int_equal(vm_quarantine(d, HOST_VM, &wish, &e), 0);
	op_lock(d);
	assert_int_equal(port_links_settle(d), is_settled);
	op_unlock(d);
}

static void a_driver_that_only_tells_link_states(void **state)
{
	struct daemon *d = leased_host();

	own_link(d);
	start_that_lives(d);
	host_attrs_refuse(BIT(VF_ATTR_LINK_STATE), 0);
	quarantine_now(d, true, true);
	assert_string_equal(link_word(d, "state"), "kept");
	assert_null(link_word(d, "was"));
	quarantine_now(d, false, true);
	assert_null(link_word(d, "state"));
	assert_int_equal(ledger_intent_count(d->ledger), 0);
	host_end(d);
}

static void a_link_that_cannot_be_set_now_is_tried_again(void **state)
{
	struct daemon *d = leased_host();
	struct err e = { 0 };

	own_link(d);
	start_that_lives(d);
	host_attrs_refuse(0, BIT(VF_ATTR_LINK_STATE));
	quarantine_now(d, true, false);
	assert_string_equal(link_word(d, "state"), "lowering");
	assert_non_null(link_word(d, "why"));
	assert_int_equal(host_attrs(0).link_state, VF_LINK_AUTO);
	host_attrs_refuse(0, 0);
	settle_links(d);
	assert_string_equal(link_word(d, "state"), "down");
	assert_int_equal(host_attrs(0).link_state, VF_LINK_DOWN);
	/* Nobody sets it meanwhile. */
	assert_int_equal(port_link_check(d, HOST_VM "/wan", &e), -EBUSY);
	assert_string_equal(e.code, "port-quarantined");
	host_attrs_refuse(0, BIT(VF_ATTR_LINK_STATE));
	quarantine_now(d, false, false);
	assert_string_equal(link_word(d, "state"), "down");
	host_attrs_refuse(0, 0);
	settle_links(d);
	assert_null(link_word(d, "state"));
	assert_int_equal(host_attrs(0).link_state, VF_LINK_AUTO);
	assert_int_equal(port_link_check(d, HOST_VM "/wan", &e), 0);
	host_end(d);
}

static enum vf_state state_of(struct daemon *d, unsigned int vf)
{
	struct err e = { 0 };
	enum vf_state state;

	state_lock(d);
	assert_int_equal(daemon_scan(d, &e), 0);
	state = pool_vf_state(d, inventory_find(d->inv, &host_pf)->vfs[vf], NULL);
	state_unlock(d);
	return state;
}

/* The VM's start fails late; meanwhile it was ended, and the next VM has the lease. */
static void a_late_release_does_not_touch_the_new_owner(void **state)
{
	const struct vf_want want = {
		.source = PORT_FROM_VF, .target = "mine", .numa_node = -1, .owner = HOST_VM "/wan"
	};
	struct daemon *d = leased_host();
	struct vf_hold first, second;
	struct err e = { 0 };
	struct vf_ref ref;

	assert_int_equal(pool_lease(d, &want, &first, &e), 0);
	end(d);
	assert_int_equal(pool_lease(d, &want, &second, &e), 0);
	assert_int_equal(pool_bind(d, &second, &port_attrs, &e), 0);
	ref = (struct vf_ref){ first.pf, first.index, first.generation };
	assert_int_equal(pool_release(d, &ref, true, &e), -ESTALE);
	assert_string_equal(e.code, "vf-stale");
	assert_int_equal(host_row(d, 0)->state, VF_BOUND);
	assert_true(host_attrs(0).trust);
	assert_int_equal(pool_assign(d, &first, &e), -ESTALE);
	/* Its own holder can. */
	ref.generation = second.generation;
	assert_int_equal(pool_release(d, &ref, true, &e), 0);
	assert_int_equal(host_row(d, 0)->state, VF_LEASED);
	host_end(d);
}

/* A start lets others work while the VM comes up. */
static void what_is_set_while_a_vm_comes_up_stays(void **state)
{
	const struct vf_want want = {
		.source = PORT_FROM_VF, .target = "mine", .numa_node = -1, .owner = HOST_VM "/wan"
	};
	struct daemon *d = leased_host();
	struct vf_attrs attrs = new_attrs;
	struct err e = { 0 };
	struct vf_hold hold;

	assert_int_equal(pool_lease(d, &want, &hold, &e), 0);
	assert_int_equal(pool_bind(d, &hold, &port_attrs, &e), 0);
	assert_int_equal(pool_set(d, &hold, &attrs, 0, &e), 0);
	assert_int_equal(pool_assign(d, &hold, &e), 0);
	assert_int_equal(host_row(d, 0)->in_force.vlan, new_attrs.vlan);
	assert_int_equal(host_attrs(0).vlan, new_attrs.vlan);
	/* And what the port has is still known. */
	assert_true((host_row(d, 0)->in_force.mask & port_attrs.mask) == port_attrs.mask);
	end(d);
	host_end(d);
}

static void vfs_made_again_by_hand_are_not_ours(void **state)
{
	struct vf_want want = {
		.source = PORT_FROM_PF, .target = HOST_PF, .numa_node = -1, .lease = "mine"
	};
	struct daemon *d = leased_host();
	struct err e = { 0 };
	struct vf_hold hold;

	host_vfs_write(VFS);
	assert_int_equal(state_of(d, 0), VF_FOREIGN);
	assert_int_equal(state_of(d, 1), VF_FOREIGN);
	/* The lease waits for a VF of viaduct's. */
	assert_int_equal(pool_lease(d, &want, &hold, &e), -EBUSY);
	assert_string_equal(e.code, "lease-parked");
	assert_null(ledger_vf_by_lease(d->ledger, "mine"));
	want.lease = "other";
	assert_int_equal(pool_lease(d, &want, &hold, &e), -EBUSY);
	assert_string_equal(e.code, "no-free-vf");
	host_end(d);
}

/* As above, while a VM has the VF: what it gives back is another one's now. */
static void a_vf_made_again_is_not_wiped(void **state)
{
	struct daemon *d = leased_host();

	start_on_lease(d);
	host_vfs_write(VFS);
	host_guest_runs(0);
	end(d);
	assert_int_equal(host_row(d, 0)->state, VF_FREE);
	assert_string_equal(host_row(d, 0)->lease, "");
	assert_int_equal(state_of(d, 0), VF_FOREIGN);
	assert_true(host_master(0));
	host_end(d);
}

static void a_lease_on_a_destroyed_vf_waits(void **state)
{
	struct daemon *d = leased_host();

	host_vfs_write(0);
	host_down(d);
	d = host_up();
	host_recover(d);
	host_check(&d);
	assert_int_equal(host_row(d, 0)->state, VF_FREE);
	assert_non_null(ledger_parked_find(d->ledger, "mine"));
	apply_two(d);
	assert_int_equal(state_of(d, 0), VF_LEASED);
	assert_int_equal(host_attrs(0).vlan, old_attrs.vlan);
	host_end(d);
}

/* Between the crash and the next daemon somebody has bound a VF: it is not taken away from them. */
static void an_intent_does_not_take_what_is_in_use(void **state)
{
	struct daemon *d;

	host_make();
	d = host_up();
	apply_two(d);
	intend(d);
	host_vf_driver(1, "igbvf");
	host_down(d);
	d = host_up();
	host_recover(d);
	assert_int_equal(host_vf_count(), VFS);
	assert_int_equal(ledger_intent_count(d->ledger), 0);
	/* The others are those from before, and still ours. */
	assert_int_equal(state_of(d, 0), VF_FREE);
	assert_int_equal(state_of(d, 1), VF_FOREIGN);
	host_end(d);
}

/* What does not read back as it was set is not clean, however often the driver says yes. */
static void attributes_that_stick_are_quarantined(void **state)
{
	const struct vf_ref ref = { .pf = host_pf };
	struct daemon *d = leased_host();
	struct vf_want want = { .source = PORT_FROM_VF, .target = HOST_PF "#0", .numa_node = -1 };
	struct ledger_scrub proof;
	struct err e = { 0 };
	struct vf_hold hold;

	host_attrs_stick(BIT(VF_ATTR_VLAN));
	assert_true(pool_release(d, &ref, false, &e) < 0);
	assert_int_equal(host_row(d, 0)->state, VF_QUARANTINED);
	assert_int_equal(state_of(d, 0), VF_QUARANTINED);
	assert_int_equal(ledger_scrub_get(d->ledger, &host_pf, 0, &proof, &e), 0);
	assert_false(proof.is_clean);
	assert_int_equal(json_array_size(proof.steps), 4);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(proof.steps, 3), "step")),
		"attributes");
	json_decref(proof.steps);
	/* A VM gets it neither by its name nor as one of its PF's. */
	assert_int_equal(pool_lease(d, &want, &hold, &e), -EBUSY);
	assert_string_equal(e.code, "vf-quarantined");
	want = (struct vf_want){ .source = PORT_FROM_PF, .target = HOST_PF, .numa_node = -1 };
	assert_int_equal(pool_lease(d, &want, &hold, &e), 0);
	assert_int_equal(hold.index, 1);
	assert_int_equal(pool_lease(d, &want, &hold, &e), -EBUSY);
	host_attrs_stick(0);
	assert_int_equal(pool_release(d, &ref, false, &e), 0);
	assert_int_equal(host_row(d, 0)->state, VF_FREE);
	assert_int_equal(ledger_scrub_get(d->ledger, &host_pf, 0, &proof, &e), 0);
	assert_true(proof.is_clean);
	assert_int_equal(json_array_size(proof.steps), 5);
	json_decref(proof.steps);
	host_end(d);
}

/* Arguments: SHARE SHARES, by default all storms. */
int main(int argc, char **argv)
{
	const struct CMUnitTest storm[] = { cmocka_unit_test(nothing_is_lost_at_any_point) };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_at_any_point),
		cmocka_unit_test(a_late_release_does_not_touch_the_new_owner),
		cmocka_unit_test(what_is_set_while_a_vm_comes_up_stays),
		cmocka_unit_test(vfs_made_again_by_hand_are_not_ours),
		cmocka_unit_test(a_vf_made_again_is_not_wiped),
		cmocka_unit_test(a_lease_on_a_destroyed_vf_waits),
		cmocka_unit_test(an_intent_does_not_take_what_is_in_use),
		cmocka_unit_test(attributes_that_stick_are_quarantined),
		cmocka_unit_test(a_driver_that_only_tells_link_states),
		cmocka_unit_test(a_link_that_cannot_be_set_now_is_tried_again),
	};

	log_init("test", LOG_LEVEL_ERROR);
	if (argc == 3) {
		share = (unsigned int)atoi(argv[1]);
		shares = (unsigned int)atoi(argv[2]);
		if (shares == 0 || share >= shares || shares > ARRAY_SIZE(storms))
			return 2; /* a share without a storm would prove nothing */
	}
	if (share > 0)
		return cmocka_run_group_tests(storm, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
