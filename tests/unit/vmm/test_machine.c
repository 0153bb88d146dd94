// SPDX-License-Identifier: BSD-3-Clause
/*
 * A whole machine on a KVM of this file's own: ioctl() comes here, and KVM_RUN is what the test's guest
 * does. For what happens between the main thread and the vCPUs' threads.
 */
#include "tests/fake/kvm_stats_file.h"

#include "vmm/machine.h"

#include "vmm/layout.h"
#include "vmm/stats.h"
#include "vmm/status.h"

#include "base/fd.h"
#include "base/json.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define CPUS	 2U
#define RUN_SIZE 8192
#define SLOW	 0x700 /* a port whose handler takes its time */
#define SLOW_NS	 2000000U

/* What a vCPU does at each KVM_RUN. */
enum guest { GUEST_IDLES, GUEST_PULSES_RESET, GUEST_USES_SLOW_PORT, GUEST_TRIPLE_FAULTS };

static struct {
	_Atomic int guest;
	_Atomic unsigned int resets; /* how often the interrupt controllers were set anew */
	_Atomic unsigned int slow_reads;
	int vcpu_fds[CPUS];
	struct kvm_run *runs[CPUS];
	unsigned int vcpus;
	bool stats_lack, stats_fail; /* KVM has no statistics; gives no fd for them */
} fake;

static int vcpu_make(void)
{
	int fd = memfd_create("vcpu", MFD_CLOEXEC);

	assert_true(fd >= 0 && fake.vcpus < CPUS);
	assert_int_equal(ftruncate(fd, RUN_SIZE), 0);
	fake.vcpu_fds[fake.vcpus] = fd;
	fake.runs[fake.vcpus++] = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return fd;
}

static int cpuid_fill(struct kvm_cpuid2 *c)
{
	static const uint32_t leaves[] = { 0, 1, 0x40000001, 0x80000000, 0x80000008 };

	c->nent = ARRAY_SIZE(leaves);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		c->entries[i] = (struct kvm_cpuid_entry2){ .function = leaves[i], .eax = 0x28 };
	return 0;
}

static int port_exit(struct kvm_run *run, uint16_t port, bool out)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.port = port;
	run->io.size = run->io.count = 1;
	run->io.data_offset = RUN_SIZE / 2;
	*((uint8_t *)run + RUN_SIZE / 2) = 0xFE;
	return 0;
}

static int guest_run(int fd)
{
	struct kvm_run *run = fake.runs[fd == fake.vcpu_fds[0] ? 0 : 1];
	int guest = atomic_load(&fake.guest);

	if (__atomic_load_n(&run->immediate_exit, __ATOMIC_RELAXED) != 0) {
		errno = EINTR;
		return -1;
	}
	/* The second CPU was never started by the first. */
	if (guest == GUEST_IDLES || run == fake.runs[1]) {
		usleep(100);
		errno = EINTR;
		return -1;
	}
	if (guest == GUEST_TRIPLE_FAULTS) {
		run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	return guest == GUEST_PULSES_RESET ? port_exit(run, 0x64, true)
					   : port_exit(run, SLOW, false);
}

int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (request) {
	case KVM_RUN:
		return guest_run(fd);
	case KVM_CHECK_EXTENSION:
		return fake.stats_lack && (uintptr_t)arg == KVM_CAP_BINARY_STATS_FD ? 0 : 4096;
	case KVM_CREATE_VM:
		return eventfd(0, EFD_CLOEXEC);
	case KVM_CREATE_VCPU:
		return vcpu_make();
	case KVM_GET_STATS_FD:
		return fake.stats_fail ? (errno = EMFILE, -1) : fake_kvm_stats_file();
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return cpuid_fill(arg);
	case KVM_GET_MSR_INDEX_LIST:
		((struct kvm_msr_list *)arg)->nmsrs = 0;
		return 0;
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return 1;
	case KVM_SET_PIT2:
		atomic_fetch_add(&fake.resets, 1);
		/* The guest that asked for the reset is gone; the new one only boots. */
		if (atomic_load(&fake.guest) != GUEST_USES_SLOW_PORT)
			atomic_store(&fake.guest, GUEST_IDLES);
		return 0;
	default:
		return 0;
	}
}

/* The least that is a PVH kernel. */
static int kernel_make(void)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		Elf64_Nhdr nh;
		char name[4];
		uint32_t entry;
		uint8_t code[16];
	} k;
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	memset(&k, 0, sizeof(k));
	memcpy(k.eh.e_ident, ELFMAG "\2\1\1", 7);
	k.eh.e_machine = EM_X86_64;
	k.eh.e_phoff = sizeof(k.eh);
	k.eh.e_phentsize = sizeof(k.ph[0]);
	k.eh.e_phnum = 2;
	k.ph[0] = (Elf64_Phdr){ .p_type = PT_NOTE,
				.p_offset = offsetof(typeof(k), nh),
				.p_filesz = sizeof(k.nh) + 8 };
	k.ph[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				.p_offset = offsetof(typeof(k), code),
				.p_filesz = sizeof(k.code),
				.p_memsz = sizeof(k.code),
				.p_paddr = LAYOUT_KERNEL };
	k.nh = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 4, .n_type = 18 };
	memcpy(k.name, "Xen", 4);
	k.entry = LAYOUT_KERNEL;
	assert_int_equal(write(fd, &k, sizeof(k)), sizeof(k));
	return fd;
}

struct fixture {
	struct vmm_spec spec;
	struct loop *loop;
	struct machine m;
	struct io_region slow;
};

static uint64_t slow_read(void *owner, uint64_t off, unsigned int len)
{
	uint64_t end = now_ns() + SLOW_NS;

	while (now_ns() < end)
		;
	atomic_fetch_add(&fake.slow_reads, 1);
	return 0;
}

static const struct io_ops slow_ops = { .read = slow_read };

static int start(void **state)
{
	static struct fixture f;
	struct err e = { 0 };

	memset(&f, 0, sizeof(f));
	vmm_spec_init(&f.spec);
	strcpy(f.spec.name, "t");
	f.spec.memory_size = MIB(64);
	f.spec.cpu_count = CPUS;
	f.spec.kernel_fd = kernel_make();
	assert_int_equal(loop_create(&f.loop, &e), 0);
	if (machine_create(&f.m, &f.spec, f.loop, &e) < 0)
		fail_msg("%s", e.text);
	f.slow = (struct io_region){ "slow", SLOW, 1, &slow_ops, NULL, false };
	assert_int_equal(bus_add(&f.m.pio, &f.slow), 0);
	*state = &f;
	return 0;
}

static int setup(void **state)
{
	memset(&fake, 0, sizeof(fake));
	return start(state);
}

static int setup_lack(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.stats_lack = true;
	return start(state);
}

static int setup_fail(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.stats_fail = true;
	return start(state);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_destroy(&f->m);
	loop_destroy(f->loop);
	vmm_spec_fini(&f->spec);
	for (unsigned int i = 0; i < fake.vcpus; i++)
		munmap(fake.runs[i], RUN_SIZE);
	return 0;
}

/* Main thread: works until nothing has come for a while. */
static void settle(struct fixture *f)
{
	for (int i = 0; i < 40; i++)
		assert_int_equal(loop_step(f->loop, 5), 0);
}

/* Linux pulses the reset line up to ten times, and other CPUs may ask, too: that is one reset. */
static void many_requests_are_one_reset(void **state)
{
	struct fixture *f = *state;

	machine_run(&f->m);
	for (unsigned int i = 1; i <= 20; i++) {
		f->m.life.reset_credit_ns = UINT32_MAX;
		atomic_store(&fake.guest, GUEST_PULSES_RESET);
		settle(f);
		assert_int_equal(life_resets(&f->m.life), i);
		assert_int_equal(atomic_load(&fake.resets), i);
	}
}

/* Whatever the guest does, the main thread has time for others, and the host for other VMs. */
static void tight_loop_of_resets_is_slowed_down(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = now_ns();
	struct err e = { 0 };

	machine_run(&f->m);
	while (now_ns() - begin < 2500000000ULL) {
		atomic_store(&fake.guest, GUEST_TRIPLE_FAULTS);
		assert_int_equal(loop_step(f->loop, 20), 0);
	}
	assert_in_range(life_resets(&f->m.life), LIFE_RESET_BURST, LIFE_RESET_BURST + 3);
	assert_int_equal(f->m.life.resets[RESET_TRIPLE_FAULT], life_resets(&f->m.life));
	/* Paused and resumed while one is being waited for: the guest must not run before it. */
	assert_true(f->m.reset_waits);
	assert_int_equal(machine_pause(&f->m, &e), 0);
	atomic_store(&fake.guest, GUEST_USES_SLOW_PORT);
	assert_int_equal(machine_resume(&f->m, &e), 0);
	usleep(20000);
	assert_int_equal(atomic_load(&fake.slow_reads), 0);
	for (int i = 0; i < 400 && atomic_load(&fake.slow_reads) == 0; i++)
		assert_int_equal(loop_step(f->loop, 5), 0);
	assert_true(atomic_load(&fake.slow_reads) > 0);
}

static void panic_is_answered_as_the_operator_wants(void **state)
{
	struct fixture *f = *state;

	machine_run(&f->m);
	f->spec.on_panic = VMM_PANIC_KEEP;
	machine_panic_request(&f->m, MACHINE_PANICKED | MACHINE_CRASH_LOADED);
	settle(f);
	assert_int_equal(f->m.life.panics, 1);
	assert_int_equal(f->m.life.crash_kernels, 1);
	assert_int_equal(life_resets(&f->m.life), 0);
	assert_int_equal(f->m.end, MACHINE_RUNS);

	f->spec.on_panic = VMM_PANIC_RESTART;
	for (unsigned int i = 1; i < LIFE_PANIC_ROW - 1; i++) {
		machine_panic_request(&f->m, MACHINE_PANICKED);
		settle(f);
		assert_int_equal(f->m.life.resets[RESET_PANIC], i);
		assert_int_equal(f->m.end, MACHINE_RUNS);
	}
	machine_panic_request(&f->m, MACHINE_PANICKED);
	settle(f);
	assert_int_equal(f->m.end, MACHINE_GUEST_PANICKED);
	assert_non_null(strstr(f->m.end_text, "5 times in a row"));
}

static void panic_and_watchdog_may_end_the_vm(void **state)
{
	struct fixture *f = *state;

	machine_run(&f->m);
	f->spec.on_panic = VMM_PANIC_STOP;
	machine_panic_request(&f->m, MACHINE_PANICKED);
	settle(f);
	assert_int_equal(f->m.end, MACHINE_GUEST_PANICKED);
	assert_string_equal(f->m.end_text, "the guest's kernel panicked");

	f->m.end = MACHINE_RUNS;
	machine_watchdog_request(&f->m, 60);
	settle(f);
	assert_int_equal(f->m.life.resets[RESET_WATCHDOG], 1);
	f->spec.watchdog = VMM_WATCHDOG_STOP;
	machine_watchdog_request(&f->m, 60);
	assert_int_equal(f->m.end, MACHINE_WATCHDOG);
	assert_string_equal(f->m.end_text, "the guest did not feed its watchdog for 60 s");
	assert_int_equal(f->m.life.watchdogs, 2);

	f->m.end = MACHINE_RUNS;
	machine_panic_request(&f->m, MACHINE_SHUTDOWN);
	settle(f);
	assert_int_equal(f->m.end, MACHINE_POWEROFF);
}

static void reset_of_a_paused_guest_leaves_it_paused(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	machine_run(&f->m);
	atomic_store(&fake.guest, GUEST_TRIPLE_FAULTS);
	usleep(20000); /* the vCPU has asked and waits */
	assert_int_equal(machine_pause(&f->m, &e), 0);
	assert_int_equal(machine_pause(&f->m, &e), -EALREADY);
	settle(f);
	assert_int_equal(life_resets(&f->m.life), 1);
	atomic_store(&fake.guest, GUEST_USES_SLOW_PORT);
	usleep(20000);
	assert_int_equal(atomic_load(&fake.slow_reads), 0);
	assert_int_equal(machine_resume(&f->m, &e), 0);
	while (atomic_load(&fake.slow_reads) == 0)
		usleep(1000);
	machine_stop(&f->m);
	machine_end_request(&f->m, MACHINE_KILLED, "killed");
	machine_end_request(&f->m, MACHINE_POWEROFF, "too late");
	assert_int_equal(f->m.end, MACHINE_KILLED);
}

static const json_t *region_of(const json_t *stats, const char *name)
{
	json_t *region;
	size_t i;

	json_array_foreach(json_object_get(stats, "regions"), i, region)
		if (strcmp(json_string_value(json_object_get(region, "name")), name) == 0)
			return region;
	fail_msg("no region %s", name);
	return NULL;
}

static json_int_t number_of(const json_t *obj, const char *key)
{
	assert_true(json_is_integer(json_object_get(obj, key)));
	return json_integer_value(json_object_get(obj, key));
}

/* vCPU 0 reads a port; STATUS, STATS and the handler count the same. */
static void statistics_agree_with_status(void **state)
{
	auto_json json_t *stats = NULL, *status = NULL;
	struct fixture *f = *state;
	const json_t *kvm, *vcpus;

	machine_run(&f->m);
	atomic_store(&fake.guest, GUEST_USES_SLOW_PORT);
	while (atomic_load(&fake.slow_reads) < 3)
		usleep(1000);
	machine_stop(&f->m);
	status = machine_status(&f->m);
	stats = machine_stats(&f->m);
	assert_true(json_equal(json_object_get(status, "exits"), json_object_get(stats, "exits")));
	vcpus = json_object_get(stats, "vcpus");
	assert_int_equal(json_array_size(vcpus), CPUS);
	assert_int_equal(number_of(json_array_get(vcpus, 0), "io"), atomic_load(&fake.slow_reads));
	assert_int_equal(number_of(json_array_get(vcpus, 1), "io"), 0);
	assert_int_equal(number_of(region_of(stats, "slow"), "reads"),
			 atomic_load(&fake.slow_reads));
	assert_int_equal(number_of(region_of(stats, "slow"), "writes"), 0);

	kvm = json_object_get(stats, "kvm");
	assert_int_equal(json_array_size(json_object_get(kvm, "vcpus")), CPUS);
	assert_int_equal(json_integer_value(json_array_get(
				 json_array_get(json_object_get(kvm, "vcpus"), 1), 1)),
			 FAKE_KVM_HALTS);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(kvm, "vcpu_names"), 1)),
		"halt_exits");
	assert_int_equal(json_array_size(json_object_get(kvm, "vm")), 1);
	assert_null(json_object_get(stats, "kvm_absent"));
}

static void without_kvms_statistics_a_vm_runs_and_says_so(void **state)
{
	struct fixture *f = *state;
	auto_json json_t *stats = machine_stats(&f->m);
	const char *why = json_string_value(json_object_get(stats, "kvm_absent"));

	assert_null(json_object_get(stats, "kvm"));
	assert_non_null(why);
	assert_non_null(strstr(why, fake.stats_lack ? "no binary statistics" : "Too many open"));
	assert_int_equal(json_array_size(json_object_get(stats, "vcpus")), CPUS);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(many_requests_are_one_reset),
		CASE(tight_loop_of_resets_is_slowed_down),
		CASE(panic_is_answered_as_the_operator_wants),
		CASE(panic_and_watchdog_may_end_the_vm),
		CASE(reset_of_a_paused_guest_leaves_it_paused),
		CASE(statistics_agree_with_status),
		cmocka_unit_test_setup_teardown(without_kvms_statistics_a_vm_runs_and_says_so,
						setup_lack, teardown),
		cmocka_unit_test_setup_teardown(without_kvms_statistics_a_vm_runs_and_says_so,
						setup_fail, teardown),
	};

	return cmocka_run_group_tests_name("vmm-machine", tests, NULL, NULL);
}
