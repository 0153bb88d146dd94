// SPDX-License-Identifier: BSD-3-Clause
/*
 * A whole machine with two VFIO functions and an empty slot, between a guest that makes any access, a daemon
 * that sends any request, and a host whose calls fail, whose devices want to leave and whose guest is reset in
 * the middle. Eight bytes are one step: what, where (2), value (4), which. At the end nothing may be
 * left: no fd, slot, irqfd, DMA map or group.
 */
#include "tests/fake/fault.h"
#include "tests/fake/kvm_kernel.h"
#include "tests/fake/vfio_guest.h"

#include "base/fd.h"
#include "base/log.h"
#include "vmm/chipset.h"
#include "vmm/layout.h"
#include "vmm/machine.h"
#include "vmm/pci_host.h"
#include "vmm/requests.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEP	  8
#define STEPS_MAX 400
#define FUNCTIONS 2

struct fuzz {
	struct vmm_spec spec;
	struct loop *loop;
	struct machine m;
	bool faulted; /* a call failed */
};

/* The lowest free fd: the same before and after if none leaks. */
static int fd_lowest(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

static void spec_fill(struct vmm_spec *spec)
{
	vmm_spec_init(spec);
	strcpy(spec->name, "fuzz");
	strcpy(spec->cmdline, "hlt");
	spec->memory_size = MIB(64);
	spec->cpu_count = 1;
	spec->kernel_fd = fake_kvm_kernel();
	spec->container_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		snprintf(spec->members[i].name, sizeof(spec->members[i].name), "group:%u", 26 + i);
		spec->members[i].fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		snprintf(spec->devices[i].port, sizeof(spec->devices[i].port), "p%u", i);
		spec->devices[i].address = (struct pci_addr){ 0, 1, 0x10, (uint8_t)i };
		spec->devices[i].group = 26 + i;
		spec->devices[i].member = i;
	}
	spec->member_count = spec->device_count = FUNCTIONS;
}

/* Configuration space of the host bridge, the LPC bridge, a root port, or what is behind one. */
static uint64_t ecam(uint8_t which, uint16_t off)
{
	static const uint32_t functions[] = { 0x00000, 0xF8000,	 0x08000,  0x10000,
					      0x18000, 0x100000, 0x200000, 0x300000 };

	return LAYOUT_ECAM + functions[which % ARRAY_SIZE(functions)] + (off & 0xFFF);
}

static uint64_t bar(struct fuzz *f, uint8_t which, uint16_t off)
{
	uint8_t dwords[8];

	bus_read(&f->m.mmio, 0, ecam(5 + (which & 1), (which & 2) != 0 ? 0x1C : 0x10), dwords, 8);
	return (get_le64(dwords) & ~0xFULL) + (off & 0x7FFF);
}

static uint16_t port(uint8_t which, uint16_t off)
{
	static const uint16_t bases[] = { 0xCF8, 0x3F8, 0x70, 0x60, 0x600, 0x620, 0xCFC, 0 };

	which %= ARRAY_SIZE(bases);
	return (uint16_t)(bases[which] + (bases[which] != 0 ? off & 0x1F : off));
}

static void access_do(struct fuzz *f, const uint8_t *p)
{
	unsigned int len = 1U << (p[0] >> 4 & 3);
	uint16_t off = get_le16(p + 1);
	uint64_t value = get_le32(p + 3);
	bool write = (p[0] & 0x40) != 0;
	struct bus *bus = (p[0] & 0xF) == 3 ? &f->m.pio : &f->m.mmio;
	uint64_t at = (p[0] & 0xF) == 3 ? port(p[7], off)
		      : (p[0] & 1) != 0 ? bar(f, p[7], off)
					: ecam(p[7], off);

	if (write)
		bus_write(bus, 0, at, &value, len);
	else
		bus_read(bus, 0, at, &value, len);
}

static void request_do(struct fuzz *f, uint8_t which)
{
	static const char *const ops[] = { "status", "pause", "resume", "shutdown", "kill", "x" };
	struct seqmsg m = { .body = json_pack("{s:i, s:s}", "v", 1, "op",
					      ops[which % ARRAY_SIZE(ops)]) };
	json_t *reply = requests_answer(&f->m, &m);

	if (reply == NULL)
		abort();
	json_decref(reply);
	seqmsg_fini(&m);
}

/* What comes from the host: an error, a wish to have a function back, an interrupt. */
static void event_do(uint8_t irq, uint8_t vector)
{
	const uint64_t one = 1;
	int fd = fake_guest.trigger[irq % 5][vector % FAKE_VECTORS];

	if (fd >= 0)
		(void)!write(fd, &one, sizeof(one));
}

static void step(struct fuzz *f, const uint8_t *p)
{
	switch (p[0] & 0xF) {
	case 4:
		request_do(f, p[7]);
		return;
	case 5:
		event_do(p[7], p[1]);
		return;
	case 6:
		f->faulted |= fault_disarm();
		fault_arm(1 + p[1] % 64U);
		return;
	case 7:
		machine_reset_request(&f->m, RESET_KVM);
		(void)loop_step(f->loop, 0);
		return;
	case 8:
		(void)loop_step(f->loop, 0);
		return;
	case 9:
		pthread_mutex_lock(&f->m.lock);
		chipset_power_button(f->m.chipset);
		pci_host_unplug_request(f->m.pci, f->m.pci->ports[p[7] % 3U]->bus.devs[0]);
		pthread_mutex_unlock(&f->m.lock);
		return;
	default:
		access_do(f, p);
	}
}

static void end_check(const struct fuzz *f, int lowest)
{
	if (fd_lowest() != lowest)
		abort();
	/* A host that refuses to take something back may keep it until its fd is closed. */
	if (f->faulted)
		return;
	if (fake_kvm.irqfds != 0 || fake_guest.dma_maps != 0 || fake_guest.groups != 0 ||
	    fake_guest.dma_hole)
		abort();
	for (unsigned int i = 0; i < FAKE_KVM_SLOTS; i++) /* RAM's slot goes with the VM */
		if (fake_kvm.slots[i].memory_size != 0 &&
		    fake_kvm.slots[i].guest_phys_addr >= LAYOUT_MMIO32)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	int lowest = fd_lowest();
	struct err e = { 0 };

	log_init("fuzz", LOG_LEVEL_ERROR);
	fault_lazy_memory(true);
	fake_kvm.vfio = fake_vfio_ioctl;
	fake_guest_init();
	spec_fill(&f.spec);
	if (fake_guest_device() < 0 || loop_create(&f.loop, NULL) < 0)
		abort();
	f.faulted = false;
	if (size > 0)
		fault_arm(data[0] < 0xF0 ? 0 : 1 + data[0] % 16U * 16);
	if (machine_create(&f.m, &f.spec, f.loop, &e) == 0) {
		(void)pci_host_add_ports(f.m.pci, 1, NULL);
		for (size_t i = 1; i < STEPS_MAX * STEP && range_fits(i, STEP, size); i += STEP)
			if (f.m.pci->port_count == FUNCTIONS + 1)
				step(&f, data + i);
		f.faulted |= fault_disarm();
		machine_destroy(&f.m);
	} else {
		f.faulted = fault_disarm();
		if (!f.faulted || e.text[0] == '\0')
			abort();
	}
	loop_destroy(f.loop);
	vmm_spec_fini(&f.spec);
	fake_guest_device_close();
	end_check(&f, lowest);
	fake_kvm_reset();
	return 0;
}
