// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit_host.h"

#include "iommu/audit_proc.h"
#include "iommu/vtd_regs.h"
#include "iommu/vtd_tables.h"

#include "base/cpulist.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAPS_MAX    (4U << 20)
#define CPUINFO_MAX (8U << 20)

/* Why something cannot be opened: one row for each way that kernels refuse. */
static int locked_down(struct err *e, const char *path)
{
	err_set(e, EPERM, "the kernel is locked down: %s is closed to everybody", path);
	err_code(e, "kernel-locked-down");
	return err_hint(
		e,
		"boot without lockdown= and with Secure Boot off; root can then read and change the running kernel");
}

/* Who may use raw I/O and still gets EPERM of /proc/kcore or /dev/mem is held off by lockdown (kernel_lockdown(7)) alone;
 * /sys/kernel/security, which would say so, need not be mounted. */
static bool has_raw_io(void)
{
	char text[4096];
	const char *at;

	if (file_read_at(AT_FDCWD, "/proc/self/status", text, sizeof(text)) <= 0)
		return false;
	at = strstr(text, "\nCapEff:");
	return at != NULL && (strtoull(at + 8, NULL, 16) & BIT_ULL(CAP_SYS_RAWIO)) != 0;
}

static int open_refused(struct err *e, int errnum, const char *path)
{
	bool is_raw = strcmp(path, "/proc/kcore") == 0 || strcmp(path, "/dev/mem") == 0;

	if (errnum == ENOENT) {
		err_set(e, errnum, "this kernel has no %s", path);
		err_code(e, "no-kcore");
		return err_hint(
			e, "a kernel with CONFIG_PROC_KCORE and CONFIG_DEVMEM (Debian's has both)");
	}
	if (errnum == EPERM && is_raw && has_raw_io())
		return locked_down(e, path);
	err_set(e, errnum, "open %s: %s", path, strerror(errnum));
	err_code(e, "no-privilege");
	return err_hint(
		e,
		"viaductd must run as root with CAP_SYS_RAWIO, CAP_SYS_ADMIN and CAP_SYS_PTRACE, and the kernel not be locked down");
}

static int registers_closed(struct err *e, uint64_t base, int errnum)
{
	err_set(e, errnum,
		"the registers at 0x%llx cannot be read: the kernel keeps those of devices in use to itself",
		(unsigned long long)base);
	err_code(e, "registers-closed");
	return err_hint(
		e,
		"boot with iomem=relaxed; every process of root's may then read and write the registers of devices in use");
}

/* ---- registers ---- */

static int unit_map(struct audit_host *h, int mem_fd, uint64_t base, struct err *e)
{
	struct audit_host_unit *u = &h->units[h->unit_count];
	void *at;

	for (size_t i = 0; i < h->unit_count; i++)
		if (h->units[i].base == base)
			return 0;
	if (base == 0 || !is_aligned(base, VTD_PAGE) || base > INT64_MAX)
		return err_set(e, EINVAL, "0x%llx is no base of a unit's registers",
			       (unsigned long long)base);
	at = mmap(NULL, VTD_PAGE, PROT_READ, MAP_SHARED, mem_fd, (off_t)base);
	if (at == MAP_FAILED)
		return registers_closed(e, base, errno);
	*u = (struct audit_host_unit){ base, at };
	h->unit_count++;
	return 0;
}

/* All of those that are wanted lie in the first page. */
static uint64_t reg_read(const struct audit_host_unit *u, enum vtd_reg reg)
{
	const volatile uint8_t *at = u->registers + vtd_regs[reg].offset;

	return vtd_regs[reg].bytes == 8 ? *(const volatile uint64_t *)at
					: *(const volatile uint32_t *)at;
}

int audit_host_unit(const struct audit_host *h, uint64_t base, struct audit_unit *out)
{
	for (size_t i = 0; i < h->unit_count; i++) {
		const struct audit_host_unit *u = &h->units[i];

		if (u->base != base)
			continue;
		*out = (struct audit_unit){ .gsts = (uint32_t)reg_read(u, VTD_GSTS),
					    .rtaddr = reg_read(u, VTD_RTADDR),
					    .irta = reg_read(u, VTD_IRTA) };
		return 0;
	}
	return -ENOENT;
}

static int registers_open(struct audit_host *h, const struct audit_wish *wish, struct err *e)
{
	auto_fd int fd = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC);
	int r = fd < 0 ? open_refused(e, errno, "/dev/mem") : 0;

	for (size_t i = 0; r == 0 && i < wish->function_count; i++)
		r = unit_map(h, fd, wish->functions[i].registers, e);
	return r;
}

/* ---- interrupts of a function ---- */

static bool line_is_used(uint32_t irq)
{
	char path[64], text[256];

	snprintf(path, sizeof(path), "/sys/kernel/irq/%u/actions", irq);
	return file_read_at(AT_FDCWD, path, text, sizeof(text)) > 0;
}

static int line_add(struct audit_host *h, size_t function, const char *name)
{
	struct audit_host_line line = { .function = function };
	char path[64];
	uint64_t irq;

	if (parse_u64(name, UINT32_MAX, &irq) < 0 || !line_is_used((uint32_t)irq))
		return 0;
	if (h->line_count == AUDIT_LINES)
		return -E2BIG;
	line.irq = (uint32_t)irq;
	snprintf(path, sizeof(path), "/proc/irq/%u/effective_affinity_list", line.irq);
	line.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (line.fd < 0)
		return errno == ENOENT ? 0 : -errno;
	h->lines[h->line_count++] = line;
	return 0;
}

static int lines_open(struct audit_host *h, size_t function, const struct pci_addr *fn,
		      struct err *e)
{
	char path[80], addr[PCI_ADDR_TEXT];
	const struct dirent *d;
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs", pci_addr_text(fn, addr));
	dir = opendir(path);
	if (dir == NULL) /* no interrupt of this kind was ever asked for */
		return errno == ENOENT ? 0
				       : err_set(e, errno, "open %s: %s", path, strerror(errno));
	while (r == 0 && (d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.')
			r = line_add(h, function, d->d_name);
	closedir(dir);
	if (r == -E2BIG) {
		err_set(e, E2BIG, "the VM's functions have more than %u interrupts", AUDIT_LINES);
		return err_code(e, "too-many-interrupts");
	}
	return r < 0 ? err_set(e, r, "interrupts of %s: %s", addr, strerror(-r)) : 0;
}

static int lines_now(void *arg, uint16_t sid, struct audit_line *out, size_t cap)
{
	const struct audit_host *h = arg;
	char text[CPU_LIST_TEXT];
	size_t count = 0;

	for (size_t i = 0; i < h->line_count; i++) {
		ssize_t n;

		if (h->lines[i].function != h->function)
			continue;
		n = pread(h->lines[i].fd, text, sizeof(text) - 1, 0);
		if (n <= 0)
			return -ESTALE; /* the guest has given it back meanwhile */
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (count == cap)
			return -E2BIG;
		out[count].irq = h->lines[i].irq;
		if (cpu_list_parse(text, &out[count].effective) < 0)
			return -EBADMSG;
		count++;
	}
	return (int)count;
}

/* ---- the VM's memory ---- */

static int frames_now(void *arg, uint64_t hva, size_t count, uint64_t *out)
{
	const struct audit_host *h = arg;
	size_t len = count * sizeof(*out);
	ssize_t n = pread(h->pagemap_fd, out, len, (off_t)(hva / VTD_PAGE * sizeof(*out)));

	if (n < 0)
		return -errno;
	if ((size_t)n != len)
		return -ESRCH; /* the process has ended */
	for (size_t i = 0; i < count; i++)
		out[i] = audit_pagemap_frame(out[i]);
	return 0;
}

static int text_read(const char *path, size_t cap, char **out, struct err *e)
{
	char *text = malloc(cap);
	ssize_t n = text == NULL ? -ENOMEM : file_read_at(AT_FDCWD, path, text, cap);

	if (n < 0) {
		free(text);
		return err_set(e, (int)-n, "read %s: %s", path, strerror((int)-n));
	}
	*out = text;
	return 0;
}

static int ram_unknown(struct err *e, pid_t pid)
{
	err_set(e, ENOENT, "guest RAM was not found among the mappings of the VMM (pid %d)",
		(int)pid);
	err_code(e, "guest-ram-unknown");
	return err_hint(e, "viaduct vm list   says whether it still runs");
}

static int memory_open(struct audit_host *h, const struct audit_wish *wish, struct err *e)
{
	auto_free char *maps = NULL;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)wish->pid);
	h->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (h->pagemap_fd < 0)
		return errno == ENOENT || errno == ESRCH ? ram_unknown(e, wish->pid)
							 : open_refused(e, errno, path);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)wish->pid);
	r = text_read(path, MAPS_MAX, &maps, e);
	if (r < 0)
		return r;
	memcpy(h->machine.ram, wish->ram, sizeof(wish->ram));
	h->machine.ram_count = wish->ram_count;
	if (audit_maps_find(maps, h->machine.ram, wish->ram_count) < 0)
		return ram_unknown(e, wish->pid);
	return 0;
}

static int frames_check(const struct audit_host *h, struct err *e)
{
	uint64_t frame;
	int r = h->machine.ram_count == 0 ? -ENOENT
					  : frames_now((void *)h, h->machine.ram[0].hva, 1, &frame);

	if (r == 0 && frame != AUDIT_NO_FRAME)
		return 0;
	err_set(e, EPERM, "the kernel does not say where guest RAM lies");
	err_code(e, "frames-hidden");
	return err_hint(
		e, "viaductd must have CAP_SYS_ADMIN: /proc/PID/pagemap has no numbers without it");
}

static int cpus_read(struct audit_host *h, struct err *e)
{
	auto_free char *text = NULL;
	int r = text_read("/proc/cpuinfo", CPUINFO_MAX, &text, e);

	if (r == 0)
		audit_cpus_parse(text, &h->machine);
	return r;
}

static int structures_open(struct audit_host *h, struct err *e)
{
	int r;

	h->kcore_fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	if (h->kcore_fd < 0)
		return open_refused(e, errno, "/proc/kcore");
	r = kcore_init(&h->kcore, h->kcore_fd, e);
	if (r < 0)
		err_code(e, "kcore-unknown");
	return r;
}

int audit_host_open(struct audit_host *h, const struct audit_wish *wish, struct err *e)
{
	int r;

	*h = (struct audit_host){ .kcore_fd = -1, .pagemap_fd = -1 };
	h->lines = calloc(AUDIT_LINES, sizeof(*h->lines));
	if (h->lines == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = structures_open(h, e);
	if (r == 0)
		r = registers_open(h, wish, e);
	if (r == 0)
		r = memory_open(h, wish, e);
	if (r == 0)
		r = frames_check(h, e);
	if (r == 0)
		r = cpus_read(h, e);
	for (size_t i = 0; r == 0 && i < wish->function_count; i++)
		r = lines_open(h, i, &wish->functions[i].address, e);
	if (r < 0) {
		audit_host_close(h);
		return r;
	}
	h->machine.mem = kcore_memory(&h->kcore);
	h->machine.backing = (struct audit_backing){ frames_now, h };
	h->machine.lines = lines_now;
	h->machine.lines_arg = h;
	for (size_t i = 0; i < wish->function_count; i++)
		h->sids[i] = pci_addr_rid(&wish->functions[i].address);
	h->machine.sids = h->sids;
	h->machine.sid_count = wish->function_count;
	return 0;
}

void audit_host_close(struct audit_host *h)
{
	for (size_t i = 0; i < h->unit_count; i++)
		munmap((void *)(uintptr_t)h->units[i].registers, VTD_PAGE);
	for (size_t i = 0; i < h->line_count; i++)
		fd_close(&h->lines[i].fd);
	free(h->lines);
	fd_close(&h->kcore_fd);
	fd_close(&h->pagemap_fd);
	*h = (struct audit_host){ .kcore_fd = -1, .pagemap_fd = -1 };
}
