// SPDX-License-Identifier: BSD-3-Clause
/* Interrupts on a host made of files: who places them, when, and what is said of those that do not stay. */
#include "tests/fake/sysfs_tree.h"

#include "vf-manager/alarms.h"
#include "vf-manager/irqwatch.h"
#include "vf-manager/ledger_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PF   "0000:01:00.0"
#define VF0  "0000:01:10.0"
#define VF1  "0000:01:10.1"
#define BOOT "11111111-2222-3333-4444-555555555555"

static struct options opt;
static struct daemon d;
static struct irq_watch *watch;
static struct alarms *alarms;
static unsigned int next_ms;
static char lines[4096];

static int setup(void **state)
{
	tree_make();
	tree_fn(PF, 0x808610c9, 0x020000, 1);
	tree_pf(PF, 8);
	tree_vf(PF, 0);
	tree_vf(PF, 1);
	tree_file("bus/pci/devices/" PF "/sriov_numvfs", "2\n");
	tree_file("devices/system/node/online", "0-1\n");
	tree_file("devices/system/node/node1/cpulist", "4-7\n");
	memset(&d, 0, sizeof(d));
	opt = (struct options){ .sysfs_root = tree.root, .proc_dir = tree.root };
	d.opt = &opt;
	pthread_mutex_init(&d.op, NULL);
	pthread_mutex_init(&d.state, NULL);
	pthread_mutex_init(&d.scan, NULL);
	pthread_cond_init(&d.changed, NULL);
	snprintf(d.boot_id, sizeof(d.boot_id), BOOT);
	assert_int_equal(inventory_create(&d.inv, tree.root, NULL), 0);
	assert_int_equal(ledger_open(&d.ledger, NULL, BOOT, NULL), 0);
	assert_int_equal(irq_watch_create(&watch, NULL), 0);
	assert_int_equal(alarms_create(&alarms, NULL), 0);
	alarms_irqs_set(alarms, watch);
	lines[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < d.vm_count; i++)
		vm_destroy(d.vms[i]);
	alarms_destroy(alarms);
	irq_watch_destroy(watch);
	ledger_close(d.ledger);
	inventory_destroy(d.inv);
	tree_remove();
	return 0;
}

/* A VM that runs; facts as vmlaunch.c writes them. */
static struct vm *vm_make(const char *name, const char *cpus, const char *node, const char *vf)
{
	char text[512];
	struct vm *vm;

	assert_int_equal(vm_create(name, &vm, NULL), 0);
	json_decref(vm->facts);
	snprintf(text, sizeof(text),
		 "{\"cpus\":%s,\"numa\":{\"node\":%s},\"started_at\":%lld,"
		 "\"ports\":[{\"name\":\"wan\",\"vf\":\"%s\"}],\"functions\":[]}",
		 cpus, node, (long long)time(NULL), vf);
	vm->facts = json_loads(text, 0, NULL);
	assert_non_null(vm->facts);
	vm->state = VM_RUNNING;
	vm->pid = getpid();
	d.vms[d.vm_count++] = vm;
	return vm;
}

/* The guest's driver enables a vector: the host may send it anywhere. */
static void line_make(unsigned int irq, const char *vf, unsigned int vector)
{
	char folder[256];
	size_t len = strlen(lines);

	snprintf(lines + len, sizeof(lines) - len,
		 " %u:  5  0  IR-PCI-MSIX-%s  %u-edge  vfio-msix[%u](%s)\n", irq, vf, vector,
		 vector, vf);
	tree_file("interrupts", "%s", lines);
	snprintf(folder, sizeof(folder), "irq/%u/vfio-msix[%u](%s)/x", irq, vector, vf);
	tree_file(folder, "%s", "");
	snprintf(folder, sizeof(folder), "irq/%u/smp_affinity_list", irq);
	tree_file(folder, "0-7\n");
	snprintf(folder, sizeof(folder), "irq/%u/effective_affinity_list", irq);
	tree_file(folder, "0\n");
}

static void affinity_is(unsigned int irq, const char *expected)
{
	struct irq_affinity now;
	char text[64];

	assert_int_equal(irq_affinity_read(tree.root, irq, &now), 0);
	assert_string_equal(cpu_list_text(&now.allowed, text, sizeof(text)), expected);
}

/* By somebody else. */
static void affinity_write(unsigned int irq, const char *list)
{
	char path[64];

	snprintf(path, sizeof(path), "irq/%u/smp_affinity_list", irq);
	tree_file(path, "%s\n", list);
	snprintf(path, sizeof(path), "irq/%u/effective_affinity_list", irq);
	tree_file(path, "%d\n", atoi(list));
}

static bool look(void)
{
	return irq_watch_look(&d, watch, &next_ms);
}

static void alarm_tell(void *arg, const struct alarm *a)
{
	char *text = arg;
	size_t len = strlen(text);

	snprintf(text + len, 1024 - len, "%s %s: %s; %s\n", a->kind, a->object, a->text, a->hint);
}

static const char *alarms_now(void)
{
	static char text[1024];

	text[0] = '\0';
	assert_int_equal(alarms_check(alarms, &d, NULL), 0);
	irq_watch_told(watch);
	assert_int_equal(ledger_alarm_each(d.ledger, alarm_tell, text, NULL), 0);
	return text;
}

static void vectors_go_to_their_vcpus(void **state)
{
	vm_make("fw1", "{\"pin\":[4,2],\"dedicated\":true}", "null", VF0);
	look();
	assert_int_equal(next_ms, IRQ_YOUNG_MS); /* the driver may come at any time */
	line_make(57, VF0, 0);
	line_make(58, VF0, 1);
	line_make(59, VF0, 2);
	line_make(60, VF1, 0); /* nobody's */
	assert_false(look());
	affinity_is(57, "4");
	affinity_is(58, "2");
	affinity_is(59, "4");
	affinity_is(60, "0-7");
	assert_string_equal(alarms_now(), "");
	/* Nothing is written twice. */
	tree.write_count = 0;
	assert_false(look());
	assert_int_equal(tree.write_count, 0);
}

static void a_vm_without_a_place_costs_nothing(void **state)
{
	vm_make("fw1", "{\"pin\":[],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	opt.proc_dir = "/nonexistent"; /* nobody looks there */
	look();
	assert_int_equal(next_ms, 0);
	opt.proc_dir = tree.root;
	affinity_is(57, "0-7");
}

static void the_node_without_what_others_have(void **state)
{
	struct vm *other;

	vm_make("fw1", "{\"pin\":[],\"dedicated\":false}", "1", VF0);
	line_make(57, VF0, 0);
	look();
	affinity_is(57, "4-7");
	/* One that starts later takes a CPU for itself: that is no drift. */
	other = vm_make("fw2", "{\"pin\":[5],\"dedicated\":true}", "null", VF1);
	assert_false(look());
	affinity_is(57, "4,6-7");
	assert_string_equal(alarms_now(), "");
	other->pid = 0;
	other->state = VM_STOPPED;
	assert_false(look());
	affinity_is(57, "4-7");
}

static void a_driver_that_comes_again_has_new_lines(void **state)
{
	vm_make("fw1", "{\"pin\":[3],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	look();
	lines[0] = '\0';
	line_make(61, VF0, 0);
	assert_false(look()); /* no drift, although vector 0 was elsewhere */
	affinity_is(61, "3");
	/* The old number may come back with the host's choice. */
	lines[0] = '\0';
	tree_file("interrupts", "%s", "");
	look();
	line_make(61, VF0, 0);
	assert_false(look());
	affinity_is(61, "3");
}

static void who_moves_it_is_an_alarm(void **state)
{
	vm_make("fw1", "{\"pin\":[3,4],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	line_make(58, VF0, 1);
	look();
	affinity_write(58, "0");
	assert_true(look());
	affinity_is(58, "0");
	assert_string_equal(
		alarms_now(),
		"irq-drift fw1/wan: vector 1 (interrupt 58) belongs on host CPU 4 and is on 0: somebody "
		"moved it; echo 4 > /proc/irq/58/smp_affinity_list   moves it back; irqbalance must keep "
		"off: irqbalance --banirq=58, or --banmod=vfio for those of all VMs\n");
	assert_false(irq_watch_repair(&d, watch)); /* no policy says so */
	assert_false(look());
	affinity_write(57, "1");
	assert_true(look());
	assert_non_null(strstr(alarms_now(), "is on 1, and 1 more likewise"));
	affinity_write(57, "3");
	affinity_write(58, "4");
	assert_true(look());
	assert_string_equal(alarms_now(), "");
	/* A VM that ended has none. */
	affinity_write(58, "0");
	assert_true(look());
	assert_string_not_equal(alarms_now(), "");
	d.vms[0]->pid = 0;
	assert_string_equal(alarms_now(), "");
	assert_true(look());
}

static void event_last(void *arg, const struct event *event)
{
	snprintf(arg, 256, "%s %s %s", event->kind, event->object, event->text);
}

static void policy_moves_it_back(void **state)
{
	char said[256] = "";
	const struct event_walk walk = { .limit = 100, .fn = event_last, .arg = said };

	d.config.pf_count = 1;
	d.config.pfs[0] = (struct config_pf){ .name = PF, .vfs = 2, .repairs_drift = true };
	vm_make("fw1", "{\"pin\":[3,4],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	look();
	affinity_write(57, "0-1");
	look();
	assert_false(irq_watch_repair(&d, watch)); /* it is no alarm yet */
	assert_string_not_equal(alarms_now(), "");
	assert_true(irq_watch_repair(&d, watch));
	affinity_is(57, "3");
	assert_int_equal(ledger_event_each(d.ledger, &walk, NULL), 0);
	assert_string_equal(said,
			    "vm fw1 port wan: interrupts that somebody moved are on their host "
			    "CPUs again (1)");
	look();
	assert_string_equal(alarms_now(), "");
	/* Who does it again is not fought at every turn. */
	affinity_write(57, "0-1");
	look();
	assert_string_not_equal(alarms_now(), "");
	assert_false(irq_watch_repair(&d, watch));
}

static void what_cannot_be_set_is_said(void **state)
{
	vm_make("fw1", "{\"pin\":[3],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	tree.irq_errno = EIO;
	assert_true(look());
	assert_non_null(strstr(alarms_now(),
			       "belongs on host CPU 3 and is on 0-7: the kernel does not "
			       "take it (Input/output error); cat /sys"));
	assert_false(look());
	tree.irq_errno = 0;
	assert_true(look());
	affinity_is(57, "3");
	assert_string_equal(alarms_now(), "");
}

static void anothers_interrupt_is_never_touched(void **state)
{
	char path[256];

	vm_make("fw1", "{\"pin\":[3],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	/* Between the look and the write the number went to somebody else. */
	snprintf(path, sizeof(path), "irq/57/vfio-msix[0](" VF0 ")/x");
	tree_delete(path);
	snprintf(path, sizeof(path), "irq/57/vfio-msix[0](" VF0 ")");
	tree_delete(path);
	assert_false(look());
	affinity_is(57, "0-7");
	assert_string_equal(alarms_now(), "");
}

/* The VM that takes a CPU for itself holds `op` while it starts. */
static void what_was_put_off_is_still_to_be_done(void **state)
{
	vm_make("fw1", "{\"pin\":[],\"dedicated\":false}", "1", VF0);
	line_make(57, VF0, 0);
	look();
	op_lock(&d);
	vm_make("fw2", "{\"pin\":[5],\"dedicated\":true}", "null", VF1);
	look();
	assert_int_equal(next_ms, IRQ_PUT_OFF_MS);
	op_unlock(&d);
	assert_false(look());
	affinity_is(57, "4,6-7");
	assert_string_equal(alarms_now(), "");
}

static void requests_go_first(void **state)
{
	vm_make("fw1", "{\"pin\":[3],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	op_lock(&d);
	look();
	assert_int_equal(next_ms, IRQ_PUT_OFF_MS);
	affinity_is(57, "0-7");
	op_unlock(&d);
	look();
	affinity_is(57, "3");
}

/* What a daemon that starts again does not know it makes right, without a word. */
static void a_daemon_that_starts_again_places_them_anew(void **state)
{
	vm_make("fw1", "{\"pin\":[3],\"dedicated\":false}", "null", VF0);
	line_make(57, VF0, 0);
	look();
	irq_watch_destroy(watch);
	assert_int_equal(irq_watch_create(&watch, NULL), 0);
	alarms_irqs_set(alarms, watch);
	affinity_write(57, "1");
	assert_false(look());
	affinity_is(57, "3");
}

static void a_view_has_asked_and_effective(void **state)
{
	const struct vm *vm = vm_make("fw1", "{\"pin\":[3],\"dedicated\":false}", "null", VF0);
	struct irq_want want;
	cpu_set_t dedicated;
	json_t *list;
	char *text;

	line_make(57, VF0, 0);
	CPU_ZERO(&dedicated);
	irq_want_of(&d, vm, &dedicated, &want);
	list = irq_lines_json(tree.root, &want, lines, VF0);
	text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "[{\"allowed\":\"0-7\",\"asked\":\"3\",\"effective\":\"0\","
				  "\"irq\":57,\"vector\":0}]");
	free(text);
	json_decref(list);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(vectors_go_to_their_vcpus),
		CASE(a_vm_without_a_place_costs_nothing),
		CASE(the_node_without_what_others_have),
		CASE(a_driver_that_comes_again_has_new_lines),
		CASE(who_moves_it_is_an_alarm),
		CASE(policy_moves_it_back),
		CASE(what_cannot_be_set_is_said),
		CASE(anothers_interrupt_is_never_touched),
		CASE(requests_go_first),
		CASE(what_was_put_off_is_still_to_be_done),
		CASE(a_daemon_that_starts_again_places_them_anew),
		CASE(a_view_has_asked_and_effective),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
