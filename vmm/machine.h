/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One virtual machine: what it is made of and the order in which it comes up and goes down.
 * machine_create() builds everything from a checked spec and the received fds; machine_run() starts
 * the vCPU threads; the main thread then runs the event loop (control sockets, console, eventfds).
 *
 * Locks: `lock` is held by every trapped-access handler and by every event that touches device
 * state. vCPU threads never wait for another vCPU while holding it.
 */
#ifndef VIADUCT_VMM_MACHINE_H
#define VIADUCT_VMM_MACHINE_H

#include <pthread.h>

#include "base/err.h"
#include "base/loop.h"
#include "vmm/bus.h"
#include "vmm/gmem.h"
#include "vmm/irq.h"
#include "vmm/pci.h"
#include "vmm/slots.h"
#include "vmm/spec.h"

struct chipset;
struct vcpu_set;

/* Why the machine ends; names in machine_end_names (vmm_msg.h "reason"). */
enum machine_end {
	MACHINE_RUNS,
	MACHINE_POWEROFF,
	MACHINE_KILLED,
	MACHINE_DEVICE_REQUESTED,
	MACHINE_INTERNAL_ERROR,
	MACHINE_SIGNAL,
};

struct machine {
	const struct vmm_spec *spec;
	struct loop *loop;
	pthread_mutex_t lock;

	int kvm_fd;
	int vm_fd;
	struct gmem gmem;
	struct slots slots;
	struct bus pio;
	struct bus mmio;
	struct irq_router *irq;
	struct pci_host *pci;
	struct chipset *chipset;
	struct vcpu_set *vcpus;
	uint64_t mmio64_base; /* 64-bit window of the root complex */
	uint64_t mmio64_size;

	/* Set from any thread by machine_end_request/machine_reset_request; the main thread acts. */
	int event_fd;
};

/* Any thread, any number of times: the first reason wins; text is for the operator. Safe in handlers. */
void machine_end_request(struct machine *m, enum machine_end why, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* The guest asked for a reset (0xCF9, port 0x64, triple fault): done by the main thread. */
void machine_reset_request(struct machine *m);

#endif
