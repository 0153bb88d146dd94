// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/machine.h"

#include "vmm/acpi.h"
#include "vmm/boot.h"
#include "vmm/chipset.h"
#include "vmm/firmware.h"
#include "vmm/layout.h"
#include "vmm/machine_devices.h"
#include "vmm/machine_requests.h"
#include "vmm/stats.h"
#include "vmm/vcpu.h"

#include "base/fd.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

static const char *const end_names[] = {
	[MACHINE_RUNS] = "runs",
	[MACHINE_POWEROFF] = "poweroff",
	[MACHINE_KILLED] = "killed",
	[MACHINE_GUEST_PANICKED] = "guest-panicked",
	[MACHINE_WATCHDOG] = "watchdog",
	[MACHINE_DEVICE_REQUESTED] = "device-requested",
	[MACHINE_DEVICE_ERROR] = "device-error",
	[MACHINE_INTERNAL_ERROR] = "internal-error",
	[MACHINE_SIGNAL] = "signal",
	[MACHINE_LAUNCH_FAILED] = "launch-failed",
};

static const char *const step_names[MACHINE_STEPS] = {
	[MACHINE_STEP_RAM] = "ram",	  [MACHINE_STEP_PREFAULT] = "prefault",
	[MACHINE_STEP_PIN] = "pin",	  [MACHINE_STEP_DEVICES] = "devices",
	[MACHINE_STEP_KERNEL] = "kernel", [MACHINE_STEP_ENTRY] = "entry",
};

const char *machine_end_name(enum machine_end why)
{
	return end_names[why];
}

const char *machine_step_name(enum machine_step step)
{
	return step_names[step];
}

/* Closes a step: what has passed since the previous one belongs to it. */
static void step_done(struct machine *m, enum machine_step step)
{
	uint64_t now = now_ns();

	m->step_ns[step] = now - m->step_begin_ns;
	m->step_begin_ns = now;
}

static unsigned int host_cpus(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned int)CPU_COUNT(&cpus) : 1;
}

/* What the vCPUs are and which addresses they have: all that may be refused before RAM is made, which can take
 * minutes. */
static int cpus_plan(struct machine *m, struct err *e)
{
	const struct vmm_spec *spec = m->spec;
	uint64_t ram_end = 0;
	int r = gmem_end(spec->memory_size, spec->low_limit, &ram_end, e);

	if (r == 0 && spec->cpus_are_dedicated)
		r = kvm_vm_dedicate(m->vm_fd, &m->exits_off, e);
	if (r < 0)
		return r;
	r = kvm_vm_cpu_model(m->kvm_fd, spec->cpu_count, m->exits_off, &m->cpu, e);
	if (r < 0)
		return err_wrap(e, "CPU model");
	r = layout_mmio64(m->cpu.phys_bits, ram_end, &m->mmio64_base, &m->mmio64_size);
	if (r == 0)
		return 0;
	err_set(e, r,
		"memory.size: guest RAM would end at 0x%llx, which is too much for this CPU's %u "
		"address bits: devices have the last eighth of them",
		(unsigned long long)ram_end, m->cpu.phys_bits);
	err_code(e, "phys-bits-short");
	return err_hint(e, "lower memory.size");
}

/* RAM of one page size, every page of it there. */
static int ram_populate(struct machine *m, uint64_t hugepage, struct err *e)
{
	const struct vmm_spec *spec = m->spec;
	int r = gmem_create(&m->gmem, spec->memory_size, hugepage, spec->low_limit, e);

	if (r == 0)
		r = placement_ram_bind(spec, &m->gmem, e);
	if (r == 0) {
		step_done(m, MACHINE_STEP_RAM);
		r = gmem_prefault(&m->gmem, host_cpus(), e);
	}
	if (r < 0)
		gmem_destroy(&m->gmem);
	return r;
}

static int ram_create(struct machine *m, struct err *e)
{
	const struct vmm_spec *spec = m->spec;
	int r = ram_populate(m, spec->hugepage, e);

	if (r < 0 && spec->hugepage != 0 && spec->hugepage_fallback) {
		log_warn("guest RAM has 4 KiB pages: %s", e->text);
		*e = (struct err){ 0 };
		r = ram_populate(m, 0, e);
	}
	if (r == 0)
		r = placement_ram_check(&m->placement, spec, &m->gmem, e);
	if (r < 0)
		return r;
	step_done(m, MACHINE_STEP_PREFAULT);
	r = slots_init(&m->slots, m->vm_fd, e);
	for (unsigned int i = 0; r == 0 && i < m->gmem.slot_count; i++) {
		const struct gmem_slot *s = &m->gmem.slots[i];

		r = slots_add_ram(&m->slots, s->gpa, s->size, s->host);
		if (r < 0)
			r = err_set(e, r, "memory slot of %llu MiB at 0x%llx: %s",
				    (unsigned long long)s->size >> 20, (unsigned long long)s->gpa,
				    strerror(-r));
	}
	return r;
}

static int board_create(struct machine *m, struct err *e)
{
	struct pci_host_env env = { .pio = &m->pio, .mmio = &m->mmio };
	int r = irq_router_create(m->vm_fd, &m->irq, e);

	if (r < 0)
		return r;
	env.irq = m->irq;
	env.mmio64_base = m->mmio64_base;
	env.mmio64_size = m->mmio64_size;
	env.low_ram_end = m->gmem.slots[0].size;
	r = pci_host_create(&env, &m->pci, e);
	if (r < 0)
		return err_wrap(e, "PCI root complex");
	r = chipset_create(m, &m->chipset, e);
	return r < 0 ? err_wrap(e, "chipset") : 0;
}

/* Without firmware: what it would do, and the kernel; at start and after each reset. */
static int boot_direct(struct machine *m, struct err *e)
{
	struct boot_request rq = { .kernel_fd = m->spec->kernel_fd,
				   .initrd_fd = m->spec->initrd_fd,
				   .cmdline = m->spec->cmdline,
				   .rsdp = LAYOUT_ACPI };
	struct boot_entry entry = { 0 };
	struct acpi_config acpi;
	int r = pci_host_assign(m->pci, e);

	if (r < 0)
		return err_wrap(e, "PCI addresses");
	r = chipset_boot_direct(m->chipset, e);
	if (r < 0)
		return err_wrap(e, "chipset");
	acpi_config_init(&acpi, m->pci, m->spec->cpu_count);
	r = acpi_load(&m->gmem, &acpi, LAYOUT_ACPI, LAYOUT_ACPI_END, e);
	if (r < 0)
		return err_wrap(e, "ACPI tables");
	r = boot_load(&m->gmem, &rq, &entry, e);
	return r < 0 ? r : vcpu_set_boot(m->vcpus, &entry, e);
}

static int boot_prepare(struct machine *m, struct err *e)
{
	if (m->spec->firmware_fd < 0)
		return boot_direct(m, e);
	if (m->firmware == NULL)
		return firmware_create(m, &m->firmware, e);
	firmware_reset(m->firmware);
	return 0;
}

int machine_reset(struct machine *m, struct err *e)
{
	int r;

	/* Memory is about to be the next kernel's. */
	machine_devices_pause(m, true);
	pthread_mutex_lock(&m->lock);
	pci_host_reset(m->pci);
	chipset_reset(m->chipset);
	r = kvm_vm_irqchip_reset(m->vm_fd, &m->irqchip, e);
	if (r == 0)
		r = vcpu_set_reset(m->vcpus, e);
	if (r == 0)
		r = boot_prepare(m, e);
	pthread_mutex_unlock(&m->lock);
	machine_devices_pause(m, m->paused);
	return r;
}

/* With priority inheritance the kernel hands the lock to who waits for it. A plain mutex goes to who
 * comes first: a vCPU that is back in a slow handler at once, while the main thread only wakes up. */
static void lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	if (pthread_mutex_init(lock, &attr) != 0) /* a kernel without: only fairness is lost */
		pthread_mutex_init(lock, NULL);
	pthread_mutexattr_destroy(&attr);
}

static int machine_init(struct machine *m, struct vmm_spec *spec, struct loop *loop, struct err *e)
{
	memset(m, 0, sizeof(*m));
	m->spec = spec;
	m->loop = loop;
	m->kvm_fd = spec->kvm_fd;
	m->vm_fd = m->event_fd = m->reset_timer_fd = m->gmem.memfd = -1;
	m->started_ns = m->step_begin_ns = now_ns();
	life_init(&m->life, m->started_ns);
	ready_mark_init(&m->ready, spec->ready);
	lock_init(&m->lock);
	pthread_mutex_init(&m->request_lock, NULL);
	if (bus_init(&m->pio, &m->lock) < 0 || bus_init(&m->mmio, &m->lock) < 0)
		return err_set(e, ENOMEM, "machine: out of memory");
	return machine_requests_init(m, e);
}

static int machine_build(struct machine *m, struct err *e)
{
	int r;

	placement_enter(&m->placement, m->spec);
	r = kvm_vm_setup(m->kvm_fd, m->spec->cpu_count, &m->vm_fd, &m->irqchip, e);
	if (r == 0)
		r = cpus_plan(m, e);
	if (r == 0)
		r = machine_devices_open(m, e);
	if (r == 0)
		r = ram_create(m, e);
	if (r == 0)
		r = machine_devices_pin(m, e);
	if (r < 0)
		return r;
	step_done(m, MACHINE_STEP_PIN);
	r = vcpu_set_create(m, &m->cpu, &m->vcpus, e);
	if (r == 0)
		r = stats_create(m, &m->stats, e);
	if (r == 0)
		r = board_create(m, e);
	if (r == 0)
		r = machine_devices_create(m, e);
	if (r < 0)
		return r;
	step_done(m, MACHINE_STEP_DEVICES);
	r = boot_prepare(m, e);
	if (r < 0)
		return r;
	step_done(m, MACHINE_STEP_KERNEL);
	r = placement_leave(&m->placement, m->spec, e);
	return r == 0 ? vcpu_set_start(m->vcpus, e) : r;
}

int machine_create(struct machine *m, struct vmm_spec *spec, struct loop *loop, struct err *e)
{
	int r = machine_init(m, spec, loop, e);

	if (r == 0)
		r = machine_build(m, e);
	if (r < 0)
		machine_destroy(m);
	return r;
}

void machine_entry_mark(struct machine *m)
{
	step_done(m, MACHINE_STEP_ENTRY);
}

void machine_run(struct machine *m)
{
	m->life.began_ns = now_ns();
	vcpu_set_resume(m->vcpus);
}

void machine_stop(struct machine *m)
{
	vcpu_set_park(m->vcpus);
}

int machine_pause(struct machine *m, struct err *e)
{
	if (m->paused)
		return err_set(e, EALREADY, "VM %s is paused", m->spec->name);
	vcpu_set_park(m->vcpus);
	vcpu_set_clock_pause(m->vcpus);
	m->paused = true;
	pthread_mutex_lock(&m->lock);
	chipset_pause(m->chipset, true);
	pthread_mutex_unlock(&m->lock);
	machine_devices_pause(m, true);
	return 0;
}

int machine_resume(struct machine *m, struct err *e)
{
	if (!m->paused)
		return err_set(e, EALREADY, "VM %s is not paused", m->spec->name);
	m->paused = false;
	pthread_mutex_lock(&m->lock);
	chipset_pause(m->chipset, false);
	pthread_mutex_unlock(&m->lock);
	machine_devices_pause(m, false);
	if (!m->reset_waits)
		vcpu_set_resume(m->vcpus);
	return 0;
}

/* The order that faults nothing: no vCPU runs; devices stop their DMA and let go of slots and IOVAs;
 * then the memory that they pointed to. */
void machine_destroy(struct machine *m)
{
	stats_destroy(m->stats);
	m->stats = NULL;
	vcpu_set_destroy(m->vcpus);
	m->vcpus = NULL;
	firmware_destroy(m->firmware);
	m->firmware = NULL;
	machine_devices_close(m);
	chipset_destroy(m->chipset);
	m->chipset = NULL;
	if (m->pci != NULL)
		pci_host_destroy(m->pci);
	m->pci = NULL;
	machine_devices_destroy(m);
	if (m->irq != NULL)
		irq_router_destroy(m->irq);
	m->irq = NULL;
	bus_fini(&m->mmio);
	bus_fini(&m->pio);
	fd_close(&m->vm_fd);
	gmem_destroy(&m->gmem);
	machine_requests_fini(m);
	pthread_mutex_destroy(&m->request_lock);
	pthread_mutex_destroy(&m->lock);
}
