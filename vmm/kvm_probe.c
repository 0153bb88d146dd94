// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_probe.h"

#include "vmm/kvm.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KVM_API	   12
#define PROBE_PAGE 0x1000
#define OPCODE_HLT 0xf4
#define TSS_GPA	   0xfffbd000ULL

struct probe {
	int kvm, vm, vcpu;
	void *page;
	struct kvm_run *run;
	int run_bytes;
};

static int page_set(struct probe *p)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = 0,
						      .memory_size = PROBE_PAGE };

	p->page =
		mmap(NULL, PROBE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->page == MAP_FAILED)
		return -errno;
	*(unsigned char *)p->page = OPCODE_HLT;
	region.userspace_addr = (uintptr_t)p->page;
	return kvm_memory_region_set(p->vm, &region);
}

static int vcpu_start_at_zero(struct probe *p)
{
	struct kvm_regs regs = { .rflags = 2 }; /* bit 1 is always set */
	struct kvm_sregs sregs;
	int r = kvm_sregs_get(p->vcpu, &sregs);

	if (r < 0)
		return r;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	r = kvm_sregs_set(p->vcpu, &sregs);
	return r < 0 ? r : kvm_regs_set(p->vcpu, &regs);
}

static int vcpu_run(struct probe *p)
{
	int r = kvm_vcpu_create(p->vm, 0, &p->vcpu);

	if (r < 0)
		return r;
	p->run_bytes = kvm_vcpu_mmap_size(p->kvm);
	if (p->run_bytes < (int)sizeof(*p->run))
		return -EIO;
	p->run = mmap(NULL, (size_t)p->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
	if (p->run == MAP_FAILED)
		return -errno;
	r = vcpu_start_at_zero(p);
	if (r < 0)
		return r;
	do {
		r = kvm_run(p->vcpu);
	} while (r == -EINTR || r == -EAGAIN);
	if (r < 0)
		return r;
	return p->run->exit_reason == KVM_EXIT_HLT ? 0 : -EIO;
}

/* A software KVM answers all of the below and runs no kernel: the CPU itself must have it. */
static bool cpu_has_virtualization(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[8192];
	bool found = false;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "flags", 5) == 0)
			found = strstr(line, " svm") != NULL || strstr(line, " vmx") != NULL;
	if (f != NULL)
		fclose(f);
	return found;
}

static bool probe_steps(struct probe *p, const char *path, char *detail, size_t cap)
{
	const char *step = "make a VM";
	int r;

	p->kvm = open(path, O_RDWR | O_CLOEXEC);
	if (p->kvm < 0) {
		snprintf(detail, cap, "open %s: %s", path, strerror(errno));
		return false;
	}
	r = kvm_api_version(p->kvm);
	if (r != KVM_API) {
		snprintf(detail, cap, "%s has API version %d, not %d", path, r, KVM_API);
		return false;
	}
	r = kvm_vm_create(p->kvm, &p->vm);
	if (r >= 0) {
		step = "give it memory";
		(void)kvm_tss_addr_set(p->vm, TSS_GPA); /* only Intel needs it */
		r = page_set(p);
	}
	if (r >= 0) {
		step = "run a vCPU";
		r = vcpu_run(p);
	}
	if (r < 0) {
		snprintf(detail, cap, "%s: %s: %s", path, step, strerror(-r));
		return false;
	}
	if (!cpu_has_virtualization()) {
		snprintf(detail, cap,
			 "%s is there, but the CPU has neither VT-x nor SVM: it runs no kernel",
			 path);
		return false;
	}
	snprintf(detail, cap, "a vCPU ran (API version %d)", KVM_API);
	return true;
}

bool kvm_probe(const char *path, char *detail, size_t cap)
{
	struct probe p = { .kvm = -1, .vm = -1, .vcpu = -1, .page = MAP_FAILED, .run = MAP_FAILED };
	bool usable = probe_steps(&p, path, detail, cap);

	if (p.run != MAP_FAILED)
		munmap(p.run, (size_t)p.run_bytes);
	if (p.page != MAP_FAILED)
		munmap(p.page, PROBE_PAGE);
	fd_close(&p.vcpu);
	fd_close(&p.vm);
	fd_close(&p.kvm);
	return usable;
}

int kvm_probe_print(const char *path)
{
	char detail[200];
	bool usable = kvm_probe(path, detail, sizeof(detail));
	auto_json json_t *j = json_pack("{s:b, s:s}", "usable", usable, "detail", detail);

	if (j == NULL || json_dumpf(j, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF)
		return 1;
	return usable ? 0 : 1;
}
