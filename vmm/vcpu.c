// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vcpu.h"

#include "vmm/cpuid.h"
#include "vmm/crash_stack.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/vcpu_fault.h"
#include "vmm/vcpu_state.h"

#include "base/cpulist.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define KICK_SIGNAL SIGUSR1

struct vcpu {
	struct vcpu_set *set;
	unsigned int id;
	int fd;
	int pin; /* host CPU, or -1 */
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	struct vcpu_state *power_on;
	/* Written by the vCPU's thread alone; relaxed: numbers for people. */
	_Atomic uint64_t exits[VCPU_EXITS];
};

enum vcpu_want { WANT_PARK, WANT_RUN, WANT_STOP };

struct vcpu_set {
	struct machine *machine;
	unsigned int count;
	struct vcpu *vcpus;
	size_t run_size;

	pthread_mutex_t lock; /* guards what follows, and immediate_exit's way back to 0 */
	pthread_cond_t changed;
	enum vcpu_want want;
	unsigned int epoch; /* counts resumes: what a stalled vCPU waits for */
	unsigned int parked;
	bool fault_is_logged;
};

static void kick_ignore(int sig)
{
	/* Its delivery alone makes KVM_RUN return. */
}

static int kick_install(struct err *e)
{
	struct sigaction sa = { .sa_handler = kick_ignore };

	sigemptyset(&sa.sa_mask);
	return sigaction(KICK_SIGNAL, &sa, NULL) < 0
		       ? err_set(e, errno, "sigaction: %s", strerror(errno))
		       : 0;
}

/* Every vCPU counts at the rate that the first one found on this host: part of the machine's state,
 * and what CPUID says. */
static int tsc_rate_set(struct vcpu *v, uint32_t *khz, struct err *e)
{
	int r = kvm_tsc_khz_get(v->fd);

	if (r <= 0 && *khz == 0)
		return 0; /* a host whose TSC is unstable offers none; kvmclock needs none */
	if (*khz == 0)
		*khz = (uint32_t)r;
	r = kvm_tsc_khz_set(v->fd, *khz);
	if (r == 0)
		r = kvm_tsc_khz_get(v->fd);
	if (r < 0)
		return err_set(e, r, "TSC of vCPU %u at %u kHz: %s", v->id, *khz, strerror(-r));
	if ((uint32_t)r != *khz)
		return err_set(e, ERANGE, "TSC of vCPU %u counts at %d kHz, not at %u kHz", v->id,
			       r, *khz);
	return 0;
}

static int vcpu_init(struct vcpu *v, struct cpu_model *model, const struct vcpu_msr_list *msrs,
		     struct err *e)
{
	struct machine *m = v->set->machine;
	auto_free struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ENTRIES_MAX * sizeof(cpuid->entries[0]));
	void *run;
	int r;

	v->power_on = calloc(1, sizeof(*v->power_on));
	if (cpuid == NULL || v->power_on == NULL)
		return err_set(e, ENOMEM, "vCPU %u: out of memory", v->id);
	r = kvm_vcpu_create(m->vm_fd, v->id, &v->fd);
	if (r < 0)
		return err_set(e, r, "KVM_CREATE_VCPU %u: %s", v->id, strerror(-r));
	run = mmap(NULL, v->set->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return err_set(e, errno, "map vCPU %u: %s", v->id, strerror(errno));
	v->run = run;
	r = tsc_rate_set(v, &model->tsc_khz, e);
	if (r < 0)
		return r;
	cpu_model_for(model, v->id, cpuid);
	r = kvm_cpuid_set(v->fd, cpuid);
	if (r < 0)
		return err_set(e, r, "KVM_SET_CPUID2 of vCPU %u: %s", v->id, strerror(-r));
	return vcpu_state_get(v->fd, msrs, v->power_on, e);
}

static void vcpu_fini(struct vcpu *v, size_t run_size)
{
	if (v->run != NULL)
		munmap(v->run, run_size);
	fd_close(&v->fd);
	free(v->power_on);
}

static int vcpus_create(struct vcpu_set *set, struct cpu_model *model, struct err *e)
{
	auto_free struct vcpu_msr_list *msrs = calloc(1, sizeof(*msrs));
	int r = msrs == NULL ? err_set(e, ENOMEM, "vCPUs: out of memory")
			     : vcpu_msr_list_get(set->machine->kvm_fd, msrs, e);

	for (unsigned int i = 0; r == 0 && i < set->count; i++)
		r = vcpu_init(&set->vcpus[i], model, msrs, e);
	return r;
}

int vcpu_set_create(struct machine *m, struct cpu_model *model, struct vcpu_set **out,
		    struct err *e)
{
	struct vcpu_set *set = calloc(1, sizeof(*set));
	int r;

	if (set == NULL)
		return err_set(e, ENOMEM, "vCPUs: out of memory");
	set->machine = m;
	set->want = WANT_PARK;
	pthread_mutex_init(&set->lock, NULL);
	pthread_cond_init(&set->changed, NULL);
	set->vcpus = calloc(m->spec->cpu_count, sizeof(*set->vcpus));
	if (set->vcpus == NULL) {
		r = err_set(e, ENOMEM, "vCPUs: out of memory");
		goto fail;
	}
	set->count = m->spec->cpu_count;
	for (unsigned int i = 0; i < set->count; i++) {
		struct vcpu *v = &set->vcpus[i];

		v->set = set;
		v->id = i;
		v->fd = -1;
		v->pin = m->spec->cpu_pin[i];
	}
	r = kvm_vcpu_mmap_size(m->kvm_fd);
	if (r < (int)sizeof(struct kvm_run)) {
		r = err_set(e, r < 0 ? r : EIO, "KVM_GET_VCPU_MMAP_SIZE says %d", r);
		goto fail;
	}
	set->run_size = (size_t)r;
	r = vcpus_create(set, model, e);
	if (r < 0)
		goto fail;
	*out = set;
	return 0;

fail:
	vcpu_set_destroy(set);
	return r;
}

/* Waits while the set is to be parked, or, for a stalled vCPU, until something changes. False: the
 * thread ends. */
static bool vcpu_park(struct vcpu *v, bool stalled)
{
	struct vcpu_set *set = v->set;
	unsigned int epoch;
	bool go;

	pthread_mutex_lock(&set->lock);
	epoch = set->epoch;
	set->parked++;
	pthread_cond_broadcast(&set->changed);
	while (set->want == WANT_PARK || (set->want == WANT_RUN && stalled && set->epoch == epoch))
		pthread_cond_wait(&set->changed, &set->lock);
	set->parked--;
	go = set->want == WANT_RUN;
	if (go)
		__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&set->lock);
	return go;
}

static void exit_count(struct vcpu *v, enum vcpu_exit kind)
{
	uint64_t n = atomic_load_explicit(&v->exits[kind], memory_order_relaxed);

	atomic_store_explicit(&v->exits[kind], n + 1, memory_order_relaxed);
}

static void io_handle(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *pio = &v->set->machine->pio;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint16_t port = run->io.port;
	uint8_t size = run->io.size;

	exit_count(v, VCPU_EXIT_IO);
	/* String instructions come as count elements for one port. */
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(pio, v->id, port, data, size);
		else
			bus_read(pio, v->id, port, data, size);
	}
}

static void mmio_handle(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *mmio = &v->set->machine->mmio;

	exit_count(v, VCPU_EXIT_MMIO);
	if (run->mmio.len > sizeof(run->mmio.data))
		return;
	if (run->mmio.is_write)
		bus_write(mmio, v->id, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(mmio, v->id, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

/* One dump tells more than one of each vCPU: the first to fail is nearest to the cause. */
static bool fault_is_first(struct vcpu_set *set)
{
	bool is_first;

	pthread_mutex_lock(&set->lock);
	is_first = !set->fault_is_logged;
	set->fault_is_logged = true;
	pthread_mutex_unlock(&set->lock);
	return is_first;
}

/* The vCPU cannot go on: ends the VM with the cause, and puts what led to it into the log. error: of
 * KVM_RUN itself. */
static void vcpu_fail(struct vcpu *v, int error)
{
	struct machine *m = v->set->machine;
	char cause[320], text[VCPU_STATE_TEXT];
	struct vcpu_code code;

	exit_count(v, VCPU_EXIT_OTHER);
	vcpu_code_read(v->fd, &m->gmem, &code);
	vcpu_fault_text(v->run, error, &code, cause, sizeof(cause));
	if (fault_is_first(v->set)) {
		log_error("vCPU %u: %s", v->id, cause);
		vcpu_fault_data(v->run, error, text, sizeof(text));
		log_error("vCPU %u: %s", v->id, text);
		vcpu_code_text(&code, text, sizeof(text));
		log_error("vCPU %u: code %s", v->id, text);
		vcpu_state_text(v->fd, text, sizeof(text));
		log_error("vCPU %u: %s", v->id, text);
		vcpu_state_segments_text(v->fd, text, sizeof(text));
		log_error("vCPU %u: %s", v->id, text);
	}
	machine_end_request(m, MACHINE_INTERNAL_ERROR, "vCPU %u: %s", v->id, cause);
}

/* What KVM_RUN returned with. False: the vCPU must wait for the main thread. */
static bool exit_handle(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		io_handle(v);
		return true;
	case KVM_EXIT_MMIO:
		mmio_handle(v);
		return true;
	case KVM_EXIT_HLT:
		exit_count(v, VCPU_EXIT_HLT);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		exit_count(v, VCPU_EXIT_OTHER);
		return true;
	case KVM_EXIT_SHUTDOWN: /* triple fault */
		exit_count(v, VCPU_EXIT_OTHER);
		machine_reset_request(v->set->machine, RESET_TRIPLE_FAULT);
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		exit_count(v, VCPU_EXIT_OTHER);
		if (run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN)
			machine_end_request(v->set->machine, MACHINE_POWEROFF,
					    "the guest powered off");
		else
			machine_reset_request(v->set->machine, RESET_KVM);
		return false;
	default: /* KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY, and what nobody asked for */
		vcpu_fail(v, 0);
		return false;
	}
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	struct crash_stack crash_stack;
	char name[16];
	bool go;

	if (crash_stack_init(&crash_stack) < 0)
		log_warn("vCPU %u: no stack for signals: its crash would leave no record", v->id);
	snprintf(name, sizeof(name), "vcpu%u", v->id);
	pthread_setname_np(pthread_self(), name);
	go = vcpu_park(v, false);
	while (go) {
		int r = kvm_run(v->fd);

		if (r == -EINTR) {
			/* The set may want us: immediate_exit stays set until we have parked. Whatever
			 * access was pending is complete now (api.rst, immediate_exit). */
			if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED))
				go = vcpu_park(v, false);
		} else if (r == -EAGAIN) {
			continue; /* INIT or SIPI changed the vCPU's state */
		} else if (r < 0) {
			vcpu_fail(v, r);
			go = vcpu_park(v, true);
		} else if (!exit_handle(v)) {
			go = vcpu_park(v, true);
		}
	}
	crash_stack_fini(&crash_stack);
	return NULL;
}

/* What the kernel made of the wish, which a cpuset may have narrowed or widened. */
static int pin_check(const struct vcpu *v, struct err *e)
{
	char text[80];
	cpu_set_t now;
	int r = pthread_getaffinity_np(v->thread, sizeof(now), &now);

	if (r != 0)
		return err_set(e, r, "host CPUs of vCPU %u: %s", v->id, strerror(r));
	if (CPU_COUNT(&now) == 1 && CPU_ISSET(v->pin, &now))
		return 0;
	return err_set(e, EPERM, "vCPU %u was pinned to host CPU %d and may run on %s", v->id,
		       v->pin, cpu_list_text(&now, text, sizeof(text)));
}

static int vcpu_start(struct vcpu *v, struct err *e)
{
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	if (v->pin >= 0) {
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		CPU_SET(v->pin, &cpus);
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	r = pthread_create(&v->thread, &attr, vcpu_main, v);
	pthread_attr_destroy(&attr);
	if (r == EINVAL && v->pin >= 0)
		return err_set(e, r,
			       "vCPU %u cannot run on host CPU %d: it is not there, or not in"
			       " this VM's cgroup",
			       v->id, v->pin);
	if (r != 0)
		return err_set(e, r, "thread of vCPU %u: %s", v->id, strerror(r));
	v->started = true;
	return v->pin >= 0 ? pin_check(v, e) : 0;
}

int vcpu_set_start(struct vcpu_set *set, struct err *e)
{
	sigset_t kick, old;
	int r = kick_install(e);

	/* The threads inherit the mask; only they take the kick. */
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, &old);
	for (unsigned int i = 0; r == 0 && i < set->count; i++)
		r = vcpu_start(&set->vcpus[i], e);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	/* A new thread still makes system calls of its own that the filter for running kills. */
	vcpu_set_park(set);
	return r;
}

/* Called with the lock held. */
static void set_kick(struct vcpu_set *set, enum vcpu_want want)
{
	set->want = want;
	for (unsigned int i = 0; i < set->count; i++) {
		struct vcpu *v = &set->vcpus[i];

		if (!v->started)
			continue;
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELAXED);
		pthread_kill(v->thread, KICK_SIGNAL);
	}
	pthread_cond_broadcast(&set->changed);
}

void vcpu_set_park(struct vcpu_set *set)
{
	unsigned int threads = 0;

	for (unsigned int i = 0; i < set->count; i++)
		threads += set->vcpus[i].started;
	pthread_mutex_lock(&set->lock);
	set_kick(set, WANT_PARK);
	while (set->parked < threads)
		pthread_cond_wait(&set->changed, &set->lock);
	pthread_mutex_unlock(&set->lock);
}

void vcpu_set_resume(struct vcpu_set *set)
{
	pthread_mutex_lock(&set->lock);
	set->want = WANT_RUN;
	set->epoch++;
	pthread_cond_broadcast(&set->changed);
	pthread_mutex_unlock(&set->lock);
}

void vcpu_set_clock_pause(struct vcpu_set *set)
{
	/* Guests without kvmclock have nothing to be told. */
	for (unsigned int i = 0; i < set->count; i++)
		(void)kvm_clock_pause(set->vcpus[i].fd);
}

int vcpu_set_reset(struct vcpu_set *set, struct err *e)
{
	for (unsigned int i = 0; i < set->count; i++) {
		int r = vcpu_state_set(set->vcpus[i].fd, set->vcpus[i].power_on, e);

		if (r < 0)
			return err_wrap(e, "reset of vCPU %u", i);
	}
	return 0;
}

int vcpu_set_boot(struct vcpu_set *set, const struct boot_entry *entry, struct err *e)
{
	for (unsigned int i = 0; i < set->count; i++) {
		int r = vcpu_state_mtrr_set(set->vcpus[i].fd, e);

		if (r < 0)
			return r;
	}
	return vcpu_state_boot(set->vcpus[0].fd, entry, e);
}

uint64_t vcpu_exits(const struct vcpu_set *set, unsigned int vcpu, enum vcpu_exit kind)
{
	return atomic_load_explicit(&set->vcpus[vcpu].exits[kind], memory_order_relaxed);
}

uint64_t vcpu_set_exits(const struct vcpu_set *set, enum vcpu_exit kind)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < set->count; i++)
		sum += vcpu_exits(set, i, kind);
	return sum;
}

int vcpu_set_fd(const struct vcpu_set *set, unsigned int vcpu)
{
	return set->vcpus[vcpu].fd;
}

void vcpu_set_destroy(struct vcpu_set *set)
{
	if (set == NULL)
		return;
	pthread_mutex_lock(&set->lock);
	set_kick(set, WANT_STOP);
	pthread_mutex_unlock(&set->lock);
	for (unsigned int i = 0; i < set->count; i++) {
		if (set->vcpus[i].started)
			pthread_join(set->vcpus[i].thread, NULL);
		vcpu_fini(&set->vcpus[i], set->run_size);
	}
	free(set->vcpus);
	pthread_cond_destroy(&set->changed);
	pthread_mutex_destroy(&set->lock);
	free(set);
}
