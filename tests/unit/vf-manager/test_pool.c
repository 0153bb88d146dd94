// SPDX-License-Identifier: BSD-3-Clause
/* Who gets which VF, on a host made of files: no PF has a network device here. */
#include "tests/fake/sysfs_tree.h"

#include "sriov/fnread.h"
#include "vf-manager/api_handlers.h"
#include "vf-manager/ledger_db.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pool.h"
#include "vf-manager/pool_pick.h"
#include "vf-manager/privops.h"
#include "vf-manager/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PF   "0000:01:00.0"
#define VF0  "0000:01:10.0"
#define FN   "bus/pci/devices/"
#define BOOT "11111111-2222-3333-4444-555555555555"

static struct options opt;
static struct daemon d;
static const struct pci_addr pf_addr = { .bus = 1 };
static const struct pci_addr vf0_addr = { .bus = 1, .dev = 0x10 };

/* While it is not NULL the kernel answers no look at PCI. */
static struct {
	sem_t entered, may_go;
} * kernel_blocks;

static unsigned int looks; /* at PCI */

int __real_fn_list(const struct sysfs *sys, bool is_quick, struct pci_addr **out, size_t *count,
		   struct err *e);
int __wrap_fn_list(const struct sysfs *sys, bool is_quick, struct pci_addr **out, size_t *count,
		   struct err *e);

int __wrap_fn_list(const struct sysfs *sys, bool is_quick, struct pci_addr **out, size_t *count,
		   struct err *e)
{
	looks++;
	if (kernel_blocks != NULL) {
		sem_post(&kernel_blocks->entered);
		sem_wait(&kernel_blocks->may_go);
	}
	return __real_fn_list(sys, is_quick, out, count, e);
}

/* A PF with two VFs, which viaduct made if `is_ours`. */
static void host_make(bool is_ours)
{
	const struct pf_row row = { .pf = pf_addr, .vfs = 2, .boot_id = BOOT };
	struct err e = { 0 };

	tree_make();
	tree_fn(PF, 0x808610c9, 0x020000, 1);
	tree_pf(PF, 8);
	for (unsigned i = 0; i < 2; i++) {
		char path[128];

		tree_vf(PF, i);
		snprintf(path, sizeof(path), FN "0000:01:10.%u/reset_method", i);
		tree_file(path, "flr\n");
	}
	tree_file(FN PF "/sriov_numvfs", "2\n");
	tree_driver("vfio-pci", NULL);
	memset(&d, 0, sizeof(d));
	opt.dev_dir = tree.root;
	opt.proc_dir = tree.root;
	d.opt = &opt;
	snprintf(d.boot_id, sizeof(d.boot_id), BOOT);
	assert_int_equal(inventory_create(&d.inv, tree.root, &e), 0);
	assert_int_equal(ledger_open(&d.ledger, NULL, BOOT, &e), 0);
	if (is_ours)
		assert_int_equal(ledger_pf_put(d.ledger, &row, &e), 0);
}

static int setup(void **state)
{
	host_make(true);
	return 0;
}

static int teardown(void **state)
{
	ledger_close(d.ledger);
	inventory_destroy(d.inv);
	tree_remove();
	return 0;
}

static void row_force(enum vf_state vf_state, const char *owner)
{
	struct vf_row row = { .pf = pf_addr, .addr = vf0_addr, .state = vf_state, .boot_id = BOOT };
	struct err e = { 0 };

	snprintf(row.owner, sizeof(row.owner), "%s", owner);
	assert_int_equal(ledger_vf_force(d.ledger, &row, &e), 0);
}

static void attributes_out_of_reach_are_not_clean(void **state)
{
	struct err e = { 0 };

	/* No network driver at all: nothing is kept. */
	assert_int_equal(priv_vf_scrub(&d, &vf0_addr, NULL, &e), 0);
	/* The folder stays when its network device goes to another namespace. */
	tree_file(FN PF "/net/x", "x");
	tree_delete(FN PF "/net/x");
	assert_true(priv_vf_scrub(&d, &vf0_addr, NULL, &e) < 0);
	assert_string_equal(e.code, "no-netdev");
	/* A VF that is gone has nothing left to be wiped. */
	tree_delete(FN VF0);
	assert_int_equal(priv_vf_scrub(&d, &vf0_addr, NULL, &e), 0);
}

static int release(const char *vf, struct err *e)
{
	struct route_call call = { .method = "POST" };
	struct request req = { .d = &d };
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/v1/vfs/%s/release", vf);
	call.path = path;
	r = route_dispatch(&req, &call, e);
	json_decref(req.reply);
	json_decref(req.body);
	return r;
}

/* The ledger could not be written when the VM ended, or between two steps of a wiping. */
static void what_was_left_behind_can_be_released(void **state)
{
	static const enum vf_state states[] = { VF_LEASED, VF_BOUND, VF_ASSIGNED, VF_SCRUBBING };
	const struct pci_fn *vf = inventory_find(d.inv, &vf0_addr);
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		row_force(states[i], states[i] == VF_SCRUBBING ? "" : "gone/wan");
		assert_int_equal(pool_vf_refuse(&d, vf, &e), -EBUSY);
		assert_string_equal(e.hint, "viaduct vf release " PF "#0");
		assert_int_equal(release(VF0, &e), 0);
		assert_int_equal(ledger_vf_find(d.ledger, &pf_addr, 0)->state, VF_FREE);
		vf = inventory_find(d.inv, &vf0_addr);
	}
}

static void foreign_vfs_say_how_to_get_rid_of_them(void **state)
{
	static const char wanted[] = "viaduct pf apply " PF " --adopt";
	struct vf_want want = { .source = PORT_FROM_VF, .target = VF0, .numa_node = -1 };
	const struct pci_fn *vf;
	struct err e = { 0 };

	teardown(NULL);
	host_make(false);
	assert_int_equal(pf_apply(&d, PF, &(struct pf_wish){ .vfs = 4 }, &e), -EBUSY);
	assert_string_equal(e.code, "vf-foreign");
	assert_memory_equal(e.hint, wanted, strlen(wanted));
	assert_int_equal(pool_pick(&d, &want, &vf, &e), -EBUSY);
	assert_memory_equal(e.hint, wanted, strlen(wanted));
}

static void the_node_is_named_if_it_is_the_reason(void **state)
{
	struct vf_want want = { .source = PORT_FROM_PF, .target = PF, .numa_node = 3 };
	const struct pci_fn *vf;
	struct err e = { 0 };

	assert_int_equal(pool_pick(&d, &want, &vf, &e), -EBUSY);
	assert_non_null(strstr(e.text, "no free VF on NUMA node 3"));
}

static void *look(void *arg)
{
	struct err e = { 0 };

	state_lock(&d);
	daemon_scan(&d, &e);
	state_unlock(&d);
	return NULL;
}

/* sriov_numvfs is being written and a VM does not let go of its VF: attributes of both are read
 * only after that, and `vm list` and `vm kill` need the lock. */
static void a_look_that_takes_long_holds_no_lock(void **state)
{
	struct timespec limit;
	pthread_t thread;
	typeof(*kernel_blocks) blocks;
	int r;

	sem_init(&blocks.entered, 0, 0);
	sem_init(&blocks.may_go, 0, 0);
	kernel_blocks = &blocks;
	assert_int_equal(pthread_create(&thread, NULL, look, NULL), 0);
	sem_wait(&blocks.entered);
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 2;
	r = pthread_mutex_timedlock(&d.state, &limit);
	if (r == 0)
		state_unlock(&d);
	sem_post(&blocks.may_go);
	pthread_join(thread, NULL);
	kernel_blocks = NULL;
	assert_int_equal(r, 0);
}

#define CLIENTS 40 /* more than one turn takes */
struct client {
	pthread_t thread;
	char name[8];
	json_t *view;
	struct err e;
	int r;
};

static void *client_main(void *arg)
{
	struct client *c = arg;
	const struct vf_want want = {
		.source = PORT_FROM_PF, .target = PF, .numa_node = -1, .lease = c->name
	};

	c->r = pool_alloc(&d, &want, &c->view, &c->e);
	return NULL;
}

static bool is_any_waiting(void)
{
	bool is_any;

	pthread_mutex_lock(&d.allocs.lock);
	is_any = d.allocs.first != NULL;
	pthread_mutex_unlock(&d.allocs.lock);
	return is_any;
}

/* One is served first and waits for `op`; the others come meanwhile, and share the next turn. */
static void clients_run(struct client *clients)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	op_lock(&d);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		snprintf(clients[i].name, sizeof(clients[i].name), "c%u", i);
		assert_int_equal(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]),
				 0);
	}
	while (!is_any_waiting())
		nanosleep(&moment, NULL);
	op_unlock(&d);
	for (unsigned int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i].thread, NULL);
	assert_null(d.allocs.first);
	assert_false(d.allocs.is_served);
}

static void who_comes_together_shares_a_turn_but_no_vf(void **state)
{
	struct client clients[CLIENTS] = { 0 };
	const char *first = NULL;
	unsigned int served = 0;

	clients_run(clients);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		const char *vf = json_string_value(json_object_get(clients[i].view, "address"));

		if (clients[i].r < 0) {
			assert_string_equal(clients[i].e.code, "no-free-vf");
			assert_null(clients[i].view);
			continue;
		}
		served++;
		assert_true(first == NULL || strcmp(vf, first) != 0);
		first = vf;
		assert_string_equal(json_string_value(json_object_get(clients[i].view, "lease")),
				    clients[i].name);
		assert_non_null(ledger_vf_by_lease(d.ledger, clients[i].name));
	}
	assert_int_equal(served, 2);
	for (unsigned int i = 0; i < CLIENTS; i++)
		json_decref(clients[i].view);
}

/* Else whoever asks for it again and again makes all others wait. */
static void a_name_that_is_taken_costs_no_look(void **state)
{
	const struct vf_want want = {
		.source = PORT_FROM_PF, .target = PF, .numa_node = -1, .lease = "mine"
	};
	json_t *view = NULL;
	unsigned int before;
	struct err e = { 0 };

	assert_int_equal(pool_alloc(&d, &want, &view, &e), 0);
	json_decref(view);
	before = looks;
	assert_int_equal(pool_alloc(&d, &want, &view, &e), -EEXIST);
	assert_string_equal(e.code, "lease-exists");
	assert_int_equal(looks, before);
}

static int no_commit(void *arg)
{
	return 1; /* SQLite makes a rollback of it */
}

static void what_cannot_be_written_is_shown_to_nobody(void **state)
{
	struct client clients[CLIENTS] = { 0 };

	sqlite3_commit_hook(d.ledger->db, no_commit, NULL);
	clients_run(clients);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		assert_true(clients[i].r < 0);
		assert_null(clients[i].view);
		assert_null(ledger_vf_by_lease(d.ledger, clients[i].name));
	}
}

/* A VM that comes back, to the second VF of two that are free. */
static void a_port_gets_the_vf_that_it_had(void **state)
{
	struct vm_spec *spec = calloc(1, sizeof(*spec));
	struct vf_kin kin = { .spec = spec, .numa_node = -1 };
	const struct vf_want want = {
		.source = PORT_FROM_PF, .target = PF, .numa_node = -1, .kin = &kin
	};
	const struct pci_fn *vf = NULL;
	struct err e = { 0 };

	assert_non_null(spec);
	spec->port_count = 1;
	snprintf(spec->name, sizeof(spec->name), "fw1");
	snprintf(spec->ports[0].name, sizeof(spec->ports[0].name), "wan");
	snprintf(spec->ports[0].target, sizeof(spec->ports[0].target), PF);
	spec->ports[0].source = PORT_FROM_PF;
	state_lock(&d);
	assert_int_equal(daemon_scan(&d, &e), 0);
	assert_int_equal(pool_pick(&d, &want, &vf, &e), 0);
	assert_int_equal(vf->vf_index, 0);
	kin.former[0].is_known = true;
	kin.former[0].addr = (struct pci_addr){ .bus = 1, .dev = 0x10, .fn = 1 };
	assert_int_equal(pool_pick(&d, &want, &vf, &e), 0);
	assert_int_equal(vf->vf_index, 1);
	/* Somebody has it by now, or it is not there: another one will do. */
	kin.former[0].addr = vf0_addr;
	row_force(VF_LEASED, "other/wan");
	assert_int_equal(pool_pick(&d, &want, &vf, &e), 0);
	assert_int_equal(vf->vf_index, 1);
	kin.former[0].addr.bus = 77;
	assert_int_equal(pool_pick(&d, &want, &vf, &e), 0);
	state_unlock(&d);
	free(spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(attributes_out_of_reach_are_not_clean, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_was_left_behind_can_be_released, setup,
						teardown),
		cmocka_unit_test_setup_teardown(foreign_vfs_say_how_to_get_rid_of_them, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_node_is_named_if_it_is_the_reason, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_look_that_takes_long_holds_no_lock, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_comes_together_shares_a_turn_but_no_vf, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_is_shown_to_nobody, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_name_that_is_taken_costs_no_look, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_port_gets_the_vf_that_it_had, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
