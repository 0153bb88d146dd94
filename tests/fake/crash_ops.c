// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/crash_ops.h"

#include "tests/fake/sysfs_tree.h"

#include "vf-manager/drift.h"
#include "vf-manager/pfadopt.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pfconfirm.h"
#include "vf-manager/portlink.h"
#include "vf-manager/selftest.h"
#include "vf-manager/vmfault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <stdio.h>

const struct vf_attrs old_attrs = { .mask = BIT(VF_ATTR_VLAN) | BIT(VF_ATTR_MAC),
				    .mac = { 2, 0, 0, 0, 0, 1 },
				    .vlan = 5,
				    .vlan_proto = VF_VLAN_8021Q };
const struct vf_attrs new_attrs = { .mask = BIT(VF_ATTR_VLAN) | BIT(VF_ATTR_SPOOFCHK),
				    .vlan = 7,
				    .vlan_proto = VF_VLAN_8021Q };
const struct vf_attrs port_attrs = { .mask = BIT(VF_ATTR_TRUST) | BIT(VF_ATTR_MAC),
				     .trust = true,
				     .mac = { 2, 0, 0, 0, 0, 9 } };

static struct vf_hold hold_of(struct daemon *d, unsigned int vf)
{
	struct err e = { 0 };
	struct vf_hold hold;

	state_lock(d);
	host_must(daemon_scan(d, &e), &e);
	pool_hold(d, inventory_find(d->inv, &host_pf)->vfs[vf], &hold);
	state_unlock(d);
	return hold;
}

/* The operations. */

static void apply(struct daemon *d, uint16_t vfs)
{
	const struct pf_wish wish = { .vfs = vfs };
	struct err e = { 0 };

	host_must(pf_apply(d, HOST_PF, &wish, &e), &e);
}

static void apply_on_trial(struct daemon *d, uint16_t vfs)
{
	const struct pf_wish wish = { .vfs = vfs, .confirm_s = 3600 };
	struct err e = { 0 };

	host_must(pf_apply(d, HOST_PF, &wish, &e), &e);
}

void try_one(struct daemon *d)
{
	apply_on_trial(d, 1);
}

void keep_one(struct daemon *d)
{
	struct err e = { 0 };

	host_must(confirm_keep(d, HOST_PF, 0, &e), &e);
}

/* The deadline passes. */
void trial_ends(struct daemon *d)
{
	const struct confirm_row *found = ledger_confirm_find(d->ledger, &host_pf);
	struct confirm_row row;
	struct err e = { 0 };

	if (found == NULL)
		return;
	row = *found;
	row.deadline_ns = 1;
	host_must(ledger_confirm_put(d->ledger, &row, &e), &e);
	assert_int_equal(confirm_look(d), UINT64_MAX);
}

void apply_over_lease(struct daemon *d)
{
	json_t *disrupt = json_pack("[s]", "lease:mine");
	const struct pf_wish wish = { .vfs = 1, .disrupt = disrupt };
	struct err e = { 0 };

	host_must(pf_apply(d, HOST_PF, &wish, &e), &e);
	json_decref(disrupt);
}

void apply_none(struct daemon *d)
{
	apply(d, 0);
}

void apply_one(struct daemon *d)
{
	apply(d, 1);
}

void apply_two(struct daemon *d)
{
	apply(d, VFS);
}

void alloc(struct daemon *d)
{
	const struct vf_want want = {
		.source = PORT_FROM_PF, .target = HOST_PF, .numa_node = -1, .lease = "mine"
	};
	struct err e = { 0 };
	json_t *view = NULL;

	host_must(pool_alloc(d, &want, &view, &e), &e);
	json_decref(view);
}

static void set(struct daemon *d, const struct vf_attrs *wanted)
{
	const struct vf_hold hold = hold_of(d, 0);
	struct vf_attrs attrs = *wanted;
	struct err e = { 0 };

	host_must(pool_set(d, &hold, &attrs, 0, &e), &e);
}

void set_old(struct daemon *d)
{
	set(d, &old_attrs);
}

/* The wiping fails, and is tried once more. */
void quarantine(struct daemon *d)
{
	const struct vf_ref ref = { .pf = host_pf };

	host_attrs_stick(BIT(VF_ATTR_VLAN));
	assert_true(pool_release(d, &ref, false, NULL) < 0);
	host_attrs_stick(0);
}

void set_new(struct daemon *d)
{
	set(d, &new_attrs);
}

/* The part of a start that is about VFs: of a lease by name, or of any. */
static void take(struct daemon *d, enum port_source source, const char *target)
{
	const struct vf_want want = {
		.source = source, .target = target, .numa_node = -1, .owner = HOST_VM "/wan"
	};
	struct err e = { 0 };
	struct vf_hold hold;

	host_must(pool_lease(d, &want, &hold, &e), &e);
	host_must(pool_bind(d, &hold, &port_attrs, &e), &e);
	host_must(pool_assign(d, &hold, &e), &e);
	host_guest_runs(hold.index);
}

void start(struct daemon *d)
{
	host_vm_add(d, false);
	take(d, PORT_FROM_PF, HOST_PF);
}

void start_on_lease(struct daemon *d)
{
	host_vm_add(d, false);
	take(d, PORT_FROM_VF, "mine");
}

void start_that_lives(struct daemon *d)
{
	host_vm_add(d, true);
	take(d, PORT_FROM_VF, "mine");
}

void end(struct daemon *d)
{
	pool_release_vm(d, HOST_VM);
}

void release(struct daemon *d)
{
	const struct vf_ref ref = { .pf = host_pf };
	struct err e = { 0 };

	host_must(pool_release(d, &ref, false, &e), &e);
}

void lose_attrs(struct daemon *d)
{
	host_attrs_lose(0);
}

void repair_attrs(struct daemon *d)
{
	struct drift_memory memory = { 0 };

	op_lock(d);
	(void)drift_repair(d, &memory);
	op_unlock(d);
	drift_memory_free(&memory);
}

void own_link(struct daemon *d)
{
	struct err e = { 0 };

	host_pf_driver("ice");
	state_lock(d);
	host_must(daemon_scan(d, &e), &e);
	state_unlock(d);
}

void settle_links(struct daemon *d)
{
	op_lock(d);
	assert_true(port_links_settle(d));
	op_unlock(d);
	assert_false(port_links_differ(d));
}

/* As a quarantine does it. */
void lower_link(struct daemon *d)
{
	const struct vf_hold hold = hold_of(d, 0);
	struct vf_attrs attrs = { .mask = BIT(VF_ATTR_LINK_STATE), .link_state = VF_LINK_DOWN };
	struct err e = { 0 };

	host_must(pool_set_for_now(d, &hold, &attrs, &e), &e);
}

static void port_wish(struct daemon *d, bool on)
{
	const struct vm_quarantine_wish wish = { .on = on };
	struct err e = { 0 };

	host_must(vm_quarantine(d, HOST_VM, &wish, &e), &e);
	settle_links(d);
}

void port_quarantine(struct daemon *d)
{
	port_wish(d, true);
}

void port_unquarantine(struct daemon *d)
{
	port_wish(d, false);
}

/* An apply that was cut before its first write. */
void intend(struct daemon *d)
{
	struct intent_row intent = { .kind = INTENT_PF_VFS, .pf = host_pf, .vfs = 3 };
	struct err e = { 0 };

	memcpy(intent.boot_id, d->boot_id, sizeof(intent.boot_id));
	host_must(ledger_intent_put(d->ledger, &intent, &e), &e);
}

/* A `vf set` that was cut when the VF had the new attributes and the ledger had not. */
void intend_attrs(struct daemon *d)
{
	struct vf_hold hold = hold_of(d, 0);
	struct vf_attrs attrs = new_attrs;
	struct intent_row intent = { .kind = INTENT_VF_ATTRS,
				     .pf = host_pf,
				     .generation = hold.generation,
				     .before = host_attrs(0) };
	struct err e = { 0 };

	memcpy(intent.boot_id, d->boot_id, sizeof(intent.boot_id));
	host_must(ledger_intent_put(d->ledger, &intent, &e), &e);
	state_lock(d);
	host_must(daemon_scan(d, &e), &e);
	host_must(vf_attrs_set(d->nl, inventory_find(d->inv, &hold.addr), &attrs, &e), &e);
	state_unlock(d);
}

/* As the next boot finds the machine and the ledger. */
void another_boot(struct daemon *d)
{
	struct pf_row pf = *ledger_pf_find(d->ledger, &host_pf);
	struct vf_row vf = *host_row(d, 0);
	struct err e = { 0 };

	host_vfs_write(0);
	snprintf(pf.boot_id, sizeof(pf.boot_id), "another");
	snprintf(vf.boot_id, sizeof(vf.boot_id), "another");
	host_must(ledger_pf_put(d->ledger, &pf, &e), &e);
	host_must(ledger_vf_force(d->ledger, &vf, &e), &e);
}

void foreign_two(struct daemon *d)
{
	host_vfs_write(VFS);
	host_vf_driver(0, "igbvf");
	tree_netdev("0000:01:10.0", "vf0", 9);
	tree_file("bus/pci/devices/0000:01:10.0/net/vf0/flags", "0x1002\n");
	host_guest_runs(1);
}

void adopt(struct daemon *d)
{
	struct err e = { 0 };

	host_must(pf_adopt(d, HOST_PF, 0, &e), &e);
}

void self_test(struct daemon *d)
{
	const struct selftest_wish wish = { .pf = NULL };
	json_t *report = NULL;
	struct err e = { 0 };

	host_must(host_selftest(d, &wish, &report, &e), &e);
	json_decref(report);
}
