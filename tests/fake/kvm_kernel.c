// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/kvm_kernel.h"

#include "tests/fake/fault.h"
#include "tests/fake/kvm_stats_file.h"

#include "base/fd.h"
#include "vmm/layout.h"
#include "vmm/vmm_msg.h"

#include <elf.h>
#include <errno.h>
#include <linux/vfio.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define IDLE_US	    200
#define CAP_ENOUGH  4096
#define PHYS_BITS   40
#define MSI_SUCCESS 1

struct fake_kvm fake_kvm;

static int fail(int errnum)
{
	errno = errnum;
	return -1;
}

void fake_kvm_reset(void)
{
	struct fake_kvm *k = &fake_kvm;

	for (unsigned int i = 0; i < k->vcpu_count; i++)
		munmap(k->vcpus[i].run, FAKE_KVM_RUN_SIZE);
	*k = (struct fake_kvm){ .lacks = k->lacks,
				.max_vcpus = k->max_vcpus,
				.phys_bits = k->phys_bits,
				.tsc_khz = k->tsc_khz,
				.no_msr_writes = k->no_msr_writes,
				.vfio = k->vfio,
				.vhost = k->vhost };
}

/* --- the guest ------------------------------------------------------------------------------- */

/* Guest RAM at gpa as a string, or "". */
static const char *ram_text(uint64_t gpa)
{
	for (unsigned int i = 0; i < FAKE_KVM_SLOTS; i++) {
		const struct kvm_userspace_memory_region *s = &fake_kvm.slots[i];

		if (s->memory_size != 0 && gpa >= s->guest_phys_addr &&
		    gpa - s->guest_phys_addr < s->memory_size)
			return (const char *)(uintptr_t)s->userspace_addr +
			       (gpa - s->guest_phys_addr);
	}
	return "";
}

struct word {
	char name[16];
	unsigned int cpu;
	uint64_t addr, value;
	unsigned int count;
};

static void word_parse(struct word *w, const char *text)
{
	char *end;

	*w = (struct word){ .count = 1 };
	if (text[strspn(text, "0123456789")] == ':') {
		w->cpu = (unsigned int)strtoul(text, &end, 10);
		text = end + 1;
	}
	snprintf(w->name, sizeof(w->name), "%.*s", (int)strcspn(text, "@"), text);
	text += strcspn(text, "@");
	if (*text != '@')
		return;
	w->addr = strtoull(text + 1, &end, 16);
	if (*end == '=')
		w->value = strtoull(end + 1, &end, 16);
	if (*end == '*')
		w->count = (unsigned int)strtoul(end + 1, &end, 10);
}

/* The n-th word of a vCPU in the section of the current boot. False: it has no more. */
static bool word_find(const struct fake_kvm_vcpu *v, struct word *w)
{
	unsigned int cpu = (unsigned int)(v - fake_kvm.vcpus), section = 0, nth = 0;
	char script[VMM_MAX_CMDLINE + 1];
	char *save = NULL;

	snprintf(script, sizeof(script), "%s", ram_text(LAYOUT_CMDLINE));
	for (char *t = strtok_r(script, " ", &save); t != NULL; t = strtok_r(NULL, " ", &save)) {
		if (strcmp(t, "|") == 0) {
			section++;
			continue;
		}
		word_parse(w, t);
		if (section == fake_kvm.boots && w->cpu == cpu && nth++ == v->at)
			return true;
	}
	return false;
}

static int port_exit(struct fake_kvm_vcpu *v, const struct word *w, bool out)
{
	uint8_t *data = (uint8_t *)v->run + FAKE_KVM_RUN_SIZE / 2;

	v->run->exit_reason = KVM_EXIT_IO;
	v->run->io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	v->run->io.port = (uint16_t)w->addr;
	v->run->io.size = w->value > UINT16_MAX ? 4 : w->value > UINT8_MAX ? 2 : 1;
	v->run->io.count = w->count;
	v->run->io.data_offset = FAKE_KVM_RUN_SIZE / 2;
	for (unsigned int i = 0; i < w->count && i < 64; i++)
		put_le32(data + i * v->run->io.size, (uint32_t)w->value);
	v->reads = !out;
	return 0;
}

static int mmio_exit(struct fake_kvm_vcpu *v, const struct word *w, bool write)
{
	v->run->exit_reason = KVM_EXIT_MMIO;
	v->run->mmio.phys_addr = w->addr;
	v->run->mmio.is_write = write;
	v->run->mmio.len = w->count > 1 ? w->count : 4;
	memset(v->run->mmio.data, 0, sizeof(v->run->mmio.data));
	put_le32(v->run->mmio.data, (uint32_t)w->value);
	v->reads = !write;
	return 0;
}

/* Words that are one reason, or one errno of KVM_RUN. */
static const struct {
	const char *name;
	uint32_t reason;
	uint32_t event;
	int errnum;
} plain_words[] = {
	{ "hlt", KVM_EXIT_HLT },
	{ "intr", KVM_EXIT_INTR },
	{ "window", KVM_EXIT_IRQ_WINDOW_OPEN },
	{ "triple", KVM_EXIT_SHUTDOWN },
	{ "off", KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_SHUTDOWN },
	{ "reboot", KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET },
	{ "crash", KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_CRASH },
	{ "refused", KVM_EXIT_FAIL_ENTRY },
	{ "internal", KVM_EXIT_INTERNAL_ERROR },
	{ "odd", 99 },
	{ "again", .errnum = EAGAIN },
	{ "fault", .errnum = EFAULT },
};

static int plain_exit(struct fake_kvm_vcpu *v, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain_words); i++) {
		if (strcmp(plain_words[i].name, name) != 0)
			continue;
		if (plain_words[i].errnum != 0)
			return fail(plain_words[i].errnum);
		v->run->exit_reason = plain_words[i].reason;
		if (plain_words[i].reason == KVM_EXIT_SYSTEM_EVENT)
			v->run->system_event.type = plain_words[i].event;
		if (plain_words[i].reason == KVM_EXIT_FAIL_ENTRY)
			v->run->fail_entry.hardware_entry_failure_reason = 0x80000021;
		if (plain_words[i].reason == KVM_EXIT_INTERNAL_ERROR) {
			v->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
			v->run->internal.ndata = 1;
			v->run->internal.data[0] = 0xDEAD;
		}
		return 0;
	}
	return 1; /* no such word: what else a command line says */
}

/* Completes the last read, as KVM does at the next KVM_RUN. */
static void read_complete(struct fake_kvm_vcpu *v)
{
	struct fake_kvm *k = &fake_kvm;

	if (!v->reads)
		return;
	v->reads = false;
	if (k->read_count < FAKE_KVM_READS)
		k->reads[k->read_count++] = v->run->exit_reason == KVM_EXIT_IO
						    ? *((uint8_t *)v->run + FAKE_KVM_RUN_SIZE / 2)
						    : get_le32(v->run->mmio.data);
}

static int guest_run(struct fake_kvm_vcpu *v)
{
	struct word w;
	int r;

	read_complete(v);
	if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED) != 0)
		return fail(EINTR);
	/* Code of its own: one HLT. */
	if (*ram_text(v->regs.rip) == (char)0xF4) {
		v->run->exit_reason = KVM_EXIT_HLT;
		return 0;
	}
	do {
		if (!word_find(v, &w)) {
			usleep(IDLE_US);
			return fail(EINTR);
		}
		v->at++;
		if (strcmp(w.name, "out") == 0 || strcmp(w.name, "in") == 0)
			r = port_exit(v, &w, w.name[0] == 'o');
		else if (strcmp(w.name, "w") == 0 || strcmp(w.name, "r") == 0)
			r = mmio_exit(v, &w, w.name[0] == 'w');
		else
			r = plain_exit(v, w.name);
	} while (r > 0);
	return r;
}

/* --- the VM ---------------------------------------------------------------------------------- */

static int vcpu_make(void)
{
	struct fake_kvm *k = &fake_kvm;
	struct fake_kvm_vcpu *v = &k->vcpus[k->vcpu_count];
	int fd = k->vcpu_count < FAKE_KVM_VCPUS ? memfd_create("vcpu", MFD_CLOEXEC) : -1;
	void *run;

	if (fd < 0 || ftruncate(fd, FAKE_KVM_RUN_SIZE) < 0)
		return fail(ENOMEM);
	run = mmap(NULL, FAKE_KVM_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED) {
		close(fd);
		return fail(ENOMEM);
	}
	*v = (struct fake_kvm_vcpu){ .fd = fd, .run = run };
	k->vcpu_count++;
	return fd;
}

static int cpuid_fill(struct kvm_cpuid2 *c)
{
	static const uint32_t leaves[] = { 0,	       1,	   0x40000000, 0x40000001,
					   0x80000000, 0x80000001, 0x80000008 };
	unsigned int bits = fake_kvm.phys_bits != 0 ? fake_kvm.phys_bits : PHYS_BITS;

	if (c->nent < ARRAY_SIZE(leaves))
		return fail(E2BIG);
	c->nent = ARRAY_SIZE(leaves);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		c->entries[i] = (struct kvm_cpuid_entry2){ .function = leaves[i], .eax = bits };
	return 0;
}

static int slot_set(const struct kvm_userspace_memory_region *r)
{
	if (r->slot >> 16 == 1) { /* the address space of SMM */
		fake_kvm.smm_slots++;
		return 0;
	}
	if (r->slot >= FAKE_KVM_SLOTS)
		return fail(EINVAL);
	for (unsigned int i = 0; r->memory_size != 0 && i < FAKE_KVM_SLOTS; i++) {
		const struct kvm_userspace_memory_region *s = &fake_kvm.slots[i];

		if (i != r->slot && r->guest_phys_addr < s->guest_phys_addr + s->memory_size &&
		    s->guest_phys_addr < r->guest_phys_addr + r->memory_size)
			return fail(EEXIST);
	}
	fake_kvm.slots[r->slot] = *r;
	return 0;
}

static int msr_list(struct kvm_msr_list *list)
{
	static const uint32_t indices[] = { 0x10, 0x11, 0x174, 0x2FF };

	if (list->nmsrs < ARRAY_SIZE(indices))
		return fail(E2BIG);
	list->nmsrs = ARRAY_SIZE(indices);
	memcpy(list->indices, indices, sizeof(indices));
	return 0;
}

static int irqfd_set(const struct kvm_irqfd *irqfd)
{
	fake_kvm.irqfds += (irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN) != 0 ? -1 : 1;
	return 0;
}

static int doorbell_set(const struct kvm_ioeventfd *d)
{
	struct fake_kvm *k = &fake_kvm;
	unsigned int i = 0;

	while (i < k->doorbell_count &&
	       (k->doorbells[i].addr != d->addr || k->doorbells[i].fd != d->fd))
		i++;
	if ((d->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0) {
		if (i == k->doorbell_count)
			return fail(ENOENT);
		k->doorbells[i] = k->doorbells[--k->doorbell_count];
		return 0;
	}
	if (i < k->doorbell_count)
		return fail(EEXIST);
	if (i == FAKE_KVM_DOORBELLS)
		return fail(ENOSPC);
	k->doorbells[k->doorbell_count++] = *d;
	return 0;
}

bool fake_kvm_doorbell(uint64_t addr)
{
	const uint64_t one = 1;

	for (unsigned int i = 0; i < fake_kvm.doorbell_count; i++)
		if (fake_kvm.doorbells[i].addr == addr)
			return write(fake_kvm.doorbells[i].fd, &one, sizeof(one)) == sizeof(one);
	return false;
}

static int device_make(struct kvm_create_device *device)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	device->fd = (uint32_t)fd;
	return fd < 0 ? -1 : 0;
}

/* Every vCPU is parked. */
static int controllers_reset(void)
{
	fake_kvm.boots++;
	for (unsigned int i = 0; i < fake_kvm.vcpu_count; i++)
		fake_kvm.vcpus[i].at = 0;
	return 0;
}

static int vm_ioctl(unsigned long request, void *arg)
{
	struct fake_kvm *k = &fake_kvm;

	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		if ((uintptr_t)arg == KVM_CAP_MAX_VCPUS && k->max_vcpus != 0)
			return k->max_vcpus;
		return k->lacks != 0 && (uintptr_t)arg == (uintptr_t)k->lacks ? 0 : CAP_ENOUGH;
	case KVM_CREATE_VM:
		return eventfd(0, EFD_CLOEXEC);
	case KVM_CREATE_VCPU:
		return vcpu_make();
	case KVM_GET_STATS_FD:
		return fake_kvm_stats_file();
	case KVM_GET_VCPU_MMAP_SIZE:
		return FAKE_KVM_RUN_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return cpuid_fill(arg);
	case KVM_GET_MSR_INDEX_LIST:
		return msr_list(arg);
	case KVM_SET_USER_MEMORY_REGION:
		return slot_set(arg);
	case KVM_IRQFD:
		return irqfd_set(arg);
	case KVM_IOEVENTFD:
		return doorbell_set(arg);
	case KVM_IRQ_LINE:
		k->lines++;
		return 0;
	case KVM_SIGNAL_MSI:
		return MSI_SUCCESS;
	case KVM_CREATE_DEVICE:
		return device_make(arg);
	case KVM_SET_PIT2:
		return controllers_reset();
	default:
		return 0;
	}
}

static int vcpu_ioctl(struct fake_kvm_vcpu *v, unsigned long request, void *arg)
{
	switch (request) {
	case KVM_RUN:
		return guest_run(v);
	case KVM_GET_STATS_FD:
		return fake_kvm_stats_file();
	case KVM_GET_REGS:
		memcpy(arg, &v->regs, sizeof(v->regs));
		return 0;
	case KVM_SET_REGS:
		memcpy(&v->regs, arg, sizeof(v->regs));
		return 0;
	case KVM_GET_SREGS:
		memcpy(arg, &v->sregs, sizeof(v->sregs));
		return 0;
	case KVM_SET_SREGS:
		memcpy(&v->sregs, arg, sizeof(v->sregs));
		return 0;
	case KVM_GET_MSRS:
		return 1;
	case KVM_SET_MSRS:
		return fake_kvm.no_msr_writes ? 0 : 1;
	case KVM_GET_TSC_KHZ:
		return fake_kvm.tsc_khz != 0 ? fake_kvm.tsc_khz : fail(EIO);
	case KVM_SET_TSC_KHZ:
		v->tsc_khz = (uintptr_t)arg;
		return 0;
	case KVM_KVMCLOCK_CTRL:
		fake_kvm.clock_pauses++;
		return 0;
	default:
		return 0;
	}
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	if (_IOC_TYPE(request) == VFIO_TYPE && fake_kvm.vfio != NULL)
		return fake_kvm.vfio(request, arg);
	if (_IOC_TYPE(request) == VHOST_VIRTIO && fake_kvm.vhost != NULL)
		return fake_kvm.vhost(request, arg);
	if (_IOC_TYPE(request) != KVMIO)
		return fail(ENOTTY);
	for (unsigned int i = 0; i < fake_kvm.vcpu_count; i++)
		if (fake_kvm.vcpus[i].fd == fd)
			return vcpu_ioctl(&fake_kvm.vcpus[i], request, arg);
	return vm_ioctl(request, arg);
}

int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_RUN)
		return fake_ioctl(fd, request, arg);
	if (fault_hits("ioctl", EIO))
		return -1;
	fault_pause();
	r = fake_ioctl(fd, request, arg);
	fault_resume();
	return r;
}

int fake_kvm_kernel(void)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		Elf64_Nhdr nh;
		char name[4];
		uint32_t entry;
		uint8_t code[16];
	} k = {
		.eh = { .e_machine = EM_X86_64,
			.e_phoff = sizeof(k.eh),
			.e_phentsize = sizeof(k.ph[0]),
			.e_phnum = 2 },
		.ph = { { .p_type = PT_NOTE,
			  .p_offset = offsetof(typeof(k), nh),
			  .p_filesz = sizeof(k.nh) + sizeof(k.name) + sizeof(k.entry) },
			{ .p_type = PT_LOAD,
			  .p_offset = offsetof(typeof(k), code),
			  .p_filesz = sizeof(k.code),
			  .p_memsz = sizeof(k.code),
			  .p_paddr = LAYOUT_KERNEL } },
		.nh = { .n_namesz = 4, .n_descsz = 4, .n_type = 18 }, /* Xen's entry: PVH */
		.name = "Xen",
		.entry = LAYOUT_KERNEL,
	};
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	memcpy(k.eh.e_ident, ELFMAG "\2\1\1", 7);
	if (fd >= 0 && write(fd, &k, sizeof(k)) != sizeof(k))
		fd_close(&fd);
	return fd;
}
