/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One virtual machine: what it is made of and the order in which it comes up and goes down.
 * machine_create() builds everything from a checked spec and the received fds; machine_run() lets
 * the vCPU threads go; the main thread then runs the event loop (control sockets, console, eventfds)
 * until the machine ends, and machine_destroy() takes it down.
 *
 * Locks: `lock` is held by every trapped-access handler and by every event that touches device
 * state. vCPU threads never wait for another vCPU while holding it. It is handed over in turn, so that no
 * guest can keep the main thread from it.
 */
#ifndef VIADUCT_VMM_MACHINE_H
#define VIADUCT_VMM_MACHINE_H

#include "vmm/bus.h"
#include "vmm/gmem.h"
#include "vmm/irq.h"
#include "vmm/kvm_vm.h"
#include "vmm/life.h"
#include "vmm/pci.h"
#include "vmm/placement.h"
#include "vmm/ready_mark.h"
#include "vmm/slots.h"
#include "vmm/spec.h"

#include "base/err.h"
#include "base/loop.h"

#include <pthread.h>

struct chipset;
struct extras;
struct firmware;
struct disks;
struct nets;
struct stats;
struct vcpu_set;
struct vfio_set;

/* Why the machine ends; the words of "reason" in vmm_msg.h are machine_end_name(). */
enum machine_end {
	MACHINE_RUNS,
	MACHINE_POWEROFF,
	MACHINE_KILLED,
	MACHINE_GUEST_PANICKED,
	MACHINE_WATCHDOG,
	MACHINE_DEVICE_REQUESTED,
	MACHINE_DEVICE_ERROR,
	MACHINE_INTERNAL_ERROR,
	MACHINE_SIGNAL,
	MACHINE_LAUNCH_FAILED,
};

/* STATUS.start: the steps of machine_create() in order, and how long each took. */
enum machine_step {
	MACHINE_STEP_RAM,
	MACHINE_STEP_PREFAULT,
	MACHINE_STEP_PIN,
	MACHINE_STEP_DEVICES,
	MACHINE_STEP_KERNEL,
	MACHINE_STEP_ENTRY,
	MACHINE_STEPS,
};

struct machine {
	struct vmm_spec *spec;
	struct loop *loop;
	pthread_mutex_t lock;

	int kvm_fd;
	int vm_fd;
	struct gmem gmem;
	struct slots slots;
	struct placement placement;
	struct bus pio;
	struct bus mmio;
	struct irq_router *irq;
	struct pci_host *pci;
	struct chipset *chipset;
	struct firmware *firmware; /* NULL: direct boot */
	struct vcpu_set *vcpus;
	struct stats *stats;
	struct vfio_set *vfio; /* NULL without VFIO functions */
	struct nets *nets; /* NULL without polled ports */
	struct disks *disks; /* NULL without disks */
	struct extras *extras; /* random numbers, virtio console, vsock */
	uint64_t mmio64_base; /* 64-bit window of the root complex */
	uint64_t mmio64_size;
	struct cpu_model cpu;
	uint32_t exits_off; /* KVM_X86_DISABLE_EXITS_*: dedicated CPUs */
	struct kvm_vm_irqchip irqchip; /* at power-on */
	struct ready_mark ready; /* guarded by lock */

	/* Main thread only. */
	uint64_t started_ns; /* CLOCK_MONOTONIC at machine_create() */
	uint64_t step_ns[MACHINE_STEPS];
	uint64_t step_begin_ns; /* after the last step: when the first vCPU ran */
	struct life life;
	bool paused;
	bool reset_waits; /* the vCPUs are parked until reset_timer_fd says that it may be done */
	int reset_timer_fd;

	/* Set from any thread by machine_*_request; the main thread acts. */
	int event_fd;
	pthread_mutex_t request_lock; /* innermost; guards what follows */
	enum machine_end end;
	char end_text[384];
	enum reset_cause reset_wanted;
	unsigned int panic_events;
};

/* From the main thread. The spec and the loop are borrowed; the fds of its DMA space are taken out of the
 * spec. On failure nothing is left. */
int machine_create(struct machine *m, struct vmm_spec *spec, struct loop *loop, struct err *e);
void machine_destroy(struct machine *m); /* stops the vCPUs first; half-built-safe */

/* Closes the step "entry": all that is left to do is to let the vCPUs go. */
void machine_entry_mark(struct machine *m);

/* The vCPUs start to run. */
void machine_run(struct machine *m);

/* The vCPUs stop for good; nothing is released yet. */
void machine_stop(struct machine *m);

/* -EALREADY if it is so already. VFs go on doing DMA while the vCPUs are paused. */
int machine_pause(struct machine *m, struct err *e);
int machine_resume(struct machine *m, struct err *e);

/* Any thread, any number of times: the first reason wins; text is for the operator. Safe in handlers. */
void machine_end_request(struct machine *m, enum machine_end why, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* Any thread. The guest asked for a reset, or earned one. Of several before it is done the first counts. */
void machine_reset_request(struct machine *m, enum reset_cause cause);

/* Events of pvpanic, as its port has them. Any thread. */
#define MACHINE_PANICKED     0x01
#define MACHINE_CRASH_LOADED 0x02 /* its crash kernel goes on: nothing is to be done */
#define MACHINE_SHUTDOWN     0x04
void machine_panic_request(struct machine *m, unsigned int events);

/* Main thread: the guest's watchdog expired after so many seconds. */
void machine_watchdog_request(struct machine *m, unsigned int seconds);

const char *machine_end_name(enum machine_end why);
const char *machine_step_name(enum machine_step step);

#endif
