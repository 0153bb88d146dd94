// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a machine does at each way in which KVM_RUN can return. The guest is the words of its command line
 * (tests/fake/kvm_kernel.h).
 */
#include "tests/fake/kvm_kernel.h"

#include "vmm/kvm_stats.h"
#include "vmm/layout.h"
#include "vmm/machine.h"
#include "vmm/stats.h"
#include "vmm/status.h"
#include "vmm/vcpu.h"

#include "base/fd.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000
#define STEP_MS	    5

struct fixture {
	struct vmm_spec spec;
	struct loop *loop;
	struct machine m;
	struct io_region mmio;
	uint64_t written, read_at;
	unsigned int cpus; /* 0: 2 */
	uint64_t memory; /* 0: 64 MiB */
};

static uint64_t mmio_read(void *owner, uint64_t off, unsigned int len)
{
	struct fixture *f = owner;

	f->read_at = off;
	return 0x12345678;
}

static void mmio_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct fixture *f = owner;

	f->written = value << off;
}

static const struct io_ops mmio_ops = { .read = mmio_read, .write = mmio_write };

static int create(struct fixture *f, const char *cmdline, struct err *e)
{
	int r;

	vmm_spec_init(&f->spec);
	strcpy(f->spec.name, "t");
	strcpy(f->spec.cmdline, cmdline);
	f->spec.memory_size = f->memory != 0 ? f->memory : MIB(64);
	f->spec.cpu_count = f->cpus != 0 ? f->cpus : 2;
	f->spec.kernel_fd = fake_kvm_kernel();
	assert_int_equal(loop_create(&f->loop, e), 0);
	r = machine_create(&f->m, &f->spec, f->loop, e);
	if (r < 0)
		return r;
	f->mmio = (struct io_region){ "test", 0xC0000000, 8, &mmio_ops, f, false };
	assert_int_equal(bus_add(&f->m.mmio, &f->mmio), 0);
	return 0;
}

static void destroy(struct fixture *f)
{
	loop_destroy(f->loop);
	vmm_spec_fini(&f->spec);
	fake_kvm_reset();
	memset(f, 0, sizeof(*f));
}

static void start(struct fixture *f, const char *cmdline)
{
	struct err e = { 0 };

	if (create(f, cmdline, &e) < 0)
		fail_msg("%s", e.text);
	machine_run(&f->m);
}

static void end(struct fixture *f)
{
	machine_destroy(&f->m);
	destroy(f);
}

/* Main thread: works until the machine ends. */
static void run_to_the_end(struct fixture *f, enum machine_end why, const char *text)
{
	for (int i = 0; f->m.end == MACHINE_RUNS && i < PATIENCE_MS / STEP_MS; i++)
		assert_int_equal(loop_step(f->loop, STEP_MS), 0);
	assert_string_equal(machine_end_name(f->m.end), machine_end_name(why));
	if (strstr(f->m.end_text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, f->m.end_text);
}

/* The words before have all been done when the guest powers off. */
static void exits_that_mean_nothing_are_counted(void **state)
{
	struct fixture f = { 0 };

	start(&f, "quiet hlt hlt intr window again out@700=1 out@700=41*4 w@c0000000=77 off");
	run_to_the_end(&f, MACHINE_POWEROFF, "powered off");
	machine_stop(&f.m);
	assert_int_equal(vcpu_set_exits(f.m.vcpus, VCPU_EXIT_HLT), 2);
	assert_int_equal(vcpu_set_exits(f.m.vcpus, VCPU_EXIT_IO), 2);
	assert_int_equal(vcpu_set_exits(f.m.vcpus, VCPU_EXIT_MMIO), 1);
	assert_int_equal(f.written, 0x77);
	assert_int_equal(life_resets(&f.m.life), 0);
	end(&f);
}

static void accesses_reach_their_region_and_their_results_the_guest(void **state)
{
	struct fixture f = { 0 };

	start(&f, "r@c0000000 r@c0000100 in@700 w@c0000004=5 r@c0000000*16 off");
	run_to_the_end(&f, MACHINE_POWEROFF, "powered off");
	machine_stop(&f.m);
	assert_int_equal(fake_kvm.reads[0], 0x12345678);
	assert_int_equal(fake_kvm.reads[1], 0xFFFFFFFF); /* nothing is there */
	assert_int_equal(fake_kvm.reads[2], 0xFF);
	assert_int_equal(f.written, 5ULL << 4);
	/* A length that KVM never says is left alone. */
	assert_int_equal(fake_kvm.reads[3], 0);
	end(&f);
}

static void failures_of_kvm_end_the_machine_and_say_what(void **state)
{
	static const struct {
		const char *cmdline, *text;
	} rows[] = {
		{ "refused",
		  "vCPU 0: the CPU refused to enter the guest: invalid guest state (0x80000021)" },
		{ "hlt internal", "vCPU 0: KVM cannot emulate the guest's instruction" },
		{ "odd", "that viaduct did not ask for: exit 99 (no name)" },
		{ "fault", "vCPU 0: KVM could not get at the memory behind a guest address" },
		{ "1:refused", "vCPU 1: the CPU refused" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture f = { 0 };

		start(&f, rows[i].cmdline);
		run_to_the_end(&f, MACHINE_INTERNAL_ERROR, rows[i].text);
		machine_stop(&f.m);
		assert_int_equal(vcpu_set_exits(f.m.vcpus, VCPU_EXIT_OTHER), 1);
		end(&f);
	}
}

/* Each way in which a guest can be reset; what follows "|" is the next boot. */
static void resets_boot_the_guest_again(void **state)
{
	static const char *const ways[] = {
		"triple | off",
		"reboot | off",
		"out@64=fe | off",
		"out@cf9=6 | off",
		"triple | reboot | crash | off",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct fixture f = { 0 };

		start(&f, ways[i]);
		run_to_the_end(&f, MACHINE_POWEROFF, "powered off");
		assert_int_equal(life_resets(&f.m.life), i == ARRAY_SIZE(ways) - 1 ? 3 : 1);
		machine_stop(&f.m);
		/* vCPU 0 begins where the kernel does, the other one waits as at power-on. */
		assert_int_equal(fake_kvm.vcpus[0].regs.rip, LAYOUT_KERNEL);
		assert_int_equal(fake_kvm.vcpus[1].regs.rip, 0);
		end(&f);
	}
}

static void reset_that_kvm_refuses_ends_the_machine(void **state)
{
	struct fixture f = { 0 };

	start(&f, "hlt");
	fake_kvm.no_msr_writes = true;
	machine_reset_request(&f.m, RESET_KVM);
	run_to_the_end(&f, MACHINE_INTERNAL_ERROR, "guest reset: ");
	fake_kvm.no_msr_writes = false;
	end(&f);
}

static void pause_tells_the_clock_and_resume_goes_on(void **state)
{
	struct fixture f = { 0 };
	struct err e = { 0 };
	json_t *status;

	start(&f, "hlt");
	assert_int_equal(machine_resume(&f.m, &e), -EALREADY);
	assert_int_equal(machine_pause(&f.m, &e), 0);
	assert_int_equal(fake_kvm.clock_pauses, 2);
	status = machine_status(&f.m);
	assert_string_equal(json_string_value(json_object_get(status, "state")), "paused");
	json_decref(status);
	assert_int_equal(machine_resume(&f.m, &e), 0);
	machine_end_request(&f.m, MACHINE_KILLED, "killed");
	run_to_the_end(&f, MACHINE_KILLED, "killed");
	end(&f);
}

static void every_vcpu_counts_at_the_first_ones_rate(void **state)
{
	struct fixture f = { 0 };

	fake_kvm.tsc_khz = 2400000;
	start(&f, "off");
	assert_int_equal(fake_kvm.vcpus[0].tsc_khz, 2400000);
	assert_int_equal(fake_kvm.vcpus[1].tsc_khz, 2400000);
	end(&f);
	fake_kvm.tsc_khz = 0;
}

static void expect_refusal(struct fixture *f, const char *text)
{
	struct err e = { 0 };

	assert_true(create(f, "off", &e) < 0);
	if (strstr(e.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, e.text);
	destroy(f);
}

static void hosts_that_cannot_run_it_are_named(void **state)
{
	struct fixture f = { 0 };

	fake_kvm.lacks = KVM_CAP_IRQFD;
	expect_refusal(&f, "this host's KVM lacks: irqfd (it says 0)");
	fake_kvm.lacks = 0;
	fake_kvm.phys_bits = 20;
	expect_refusal(&f, "too much for this CPU's 20 address bits");
	fake_kvm.phys_bits = 0;
	fake_kvm.no_msr_writes = true;
	expect_refusal(&f, "MTRRs cannot be set");
	fake_kvm.no_msr_writes = false;
	/* destroy() clears the fixture */
	f.cpus = 9;
	fake_kvm.max_vcpus = 8;
	expect_refusal(&f, "9 vCPUs are asked for and this host's KVM makes 8 at most");
	fake_kvm.max_vcpus = 0;
	f.memory = GIB(1024);
	expect_refusal(&f, "guest RAM would end at 0x1ff80000000, which is too much for this CPU's "
			   "40 address bits");
}

/* The most vCPUs that a VM has: they run, and what is said of them fits one message. */
static void as_many_vcpus_as_there_may_be(void **state)
{
	/* Numbers of 19 digits for all that KVM counts, the returns of KVM_RUN, and all else. */
	const size_t longest = VMM_MAX_CPUS * (20 * kvm_stats_vcpu_names.count + 160) + 16384;
	struct fixture f = { .cpus = VMM_MAX_CPUS };
	json_t *stats, *vcpus;

	start(&f, "253:out@700=1 out@700=1 off");
	run_to_the_end(&f, MACHINE_POWEROFF, "powered off");
	assert_int_equal(fake_kvm.vcpu_count, VMM_MAX_CPUS);
	stats = machine_stats(&f.m);
	vcpus = json_object_get(stats, "vcpus");
	assert_int_equal(json_array_size(vcpus), VMM_MAX_CPUS);
	assert_true(json_dumpb(stats, NULL, 0, JSON_COMPACT) < SEQMSG_BYTES);
	assert_true(longest <= SEQMSG_BYTES);
	json_decref(stats);
	end(&f);
}

static void vcpus_run_where_they_are_pinned(void **state)
{
	struct fixture f = { 0 };
	struct err e = { 0 };
	cpu_set_t cpus;

	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	vmm_spec_init(&f.spec);
	assert_int_equal(f.spec.cpu_pin[0], -1);
	strcpy(f.spec.name, "t");
	f.spec.memory_size = MIB(64);
	f.spec.cpu_count = 1;
	f.spec.kernel_fd = fake_kvm_kernel();
	f.spec.cpu_pin[0] = CPU_SETSIZE - 1;
	assert_int_equal(loop_create(&f.loop, &e), 0);
	assert_true(machine_create(&f.m, &f.spec, f.loop, &e) < 0);
	assert_non_null(strstr(e.text, "vCPU 0 cannot run on host CPU 1023: it is not there"));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			f.spec.cpu_pin[0] = cpu;
	fake_kvm_reset();
	assert_int_equal(machine_create(&f.m, &f.spec, f.loop, &e), 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exits_that_mean_nothing_are_counted),
		cmocka_unit_test(accesses_reach_their_region_and_their_results_the_guest),
		cmocka_unit_test(failures_of_kvm_end_the_machine_and_say_what),
		cmocka_unit_test(resets_boot_the_guest_again),
		cmocka_unit_test(reset_that_kvm_refuses_ends_the_machine),
		cmocka_unit_test(pause_tells_the_clock_and_resume_goes_on),
		cmocka_unit_test(every_vcpu_counts_at_the_first_ones_rate),
		cmocka_unit_test(hosts_that_cannot_run_it_are_named),
		cmocka_unit_test(as_many_vcpus_as_there_may_be),
		cmocka_unit_test(vcpus_run_where_they_are_pinned),
	};

	return cmocka_run_group_tests_name("vmm-machine-exits", tests, NULL, NULL);
}
