// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/budget.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/hostcpu.h"
#include "vf-manager/irqlines.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/range.h"
#include "iommu/limits.h"
#include "vmm/vmm_msg.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define MEMLOCK_SLACK MIB(64) /* ring pages, the VMM's own */

/* Linux on x86 gives devices the vectors from 0x20 to its first system vector, less those of the ISA interrupts, of
 * 0x80 and of the clean-up: 201 to 203 of each CPU, by version. */
#define CPU_VECTORS 200

#define OTHER_VECTORS 8 /* link, mailbox, administration */

static void row_add(json_t *rows, const char *resource, uint64_t need, uint64_t have,
		    const char *unit)
{
	if (rows != NULL)
		json_array_append_new(rows,
				      json_pack("{s:s, s:I, s:o, s:s}", "resource", resource,
						"need", (json_int_t)need, "have",
						have == UINT64_MAX ? json_null()
								   : json_integer((json_int_t)have),
						"unit", unit));
}

uint64_t vm_memlock_need(const struct vm_spec *spec)
{
	return vm_spec_devices_max(spec) > 0 ? spec->memory_bytes + MEMLOCK_SLACK : 0;
}

static int memory_check(const struct vm_spec *spec, json_t *rows, struct err *e)
{
	unsigned long long kib = 0;
	const char *at = NULL;
	char text[8192];
	bool is_known;

	if (file_read_at(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) >= 0)
		at = strstr(text, "MemAvailable:");
	is_known = at != NULL && sscanf(at, "MemAvailable: %llu", &kib) == 1;
	row_add(rows, "memory", spec->memory_bytes, is_known ? KIB(kib) : UINT64_MAX, "bytes");
	if (!is_known || spec->memory_bytes <= KIB(kib))
		return 0;
	err_set(e, ENOMEM, "memory.size: %llu MiB are asked for and %llu MiB are available",
		(unsigned long long)spec->memory_bytes >> 20, kib >> 10);
	err_code(e, "memory-short");
	return err_hint(e, "free   shows who has it; lower memory.size");
}

static int hugepages_check(const struct daemon *d, const struct vm_spec *spec, json_t *rows,
			   struct err *e)
{
	uint64_t need = spec->memory_bytes / spec->hugepage_bytes;
	const char *size = spec->hugepage_bytes == GIB(1) ? "1G" : "2M";
	struct host_hugepages have = { 0 };
	bool is_known = host_hugepages_read(d, spec->hugepage_bytes, &have) == 0;
	bool is_short = !is_known || have.unreserved < need;

	if (is_short && spec->hugepage_fallback)
		return memory_check(spec, rows, e);
	row_add(rows, spec->hugepage_bytes == GIB(1) ? "hugepages 1G" : "hugepages 2M", need,
		have.unreserved, "pages");
	if (!is_short)
		return 0;
	err_set(e, ENOMEM, "memory.hugepages: %llu hugepages of %s are needed and %llu are free",
		(unsigned long long)need, size, (unsigned long long)have.unreserved);
	err_code(e, "hugepages-short");
	return err_hint(e, "echo N > /sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
			(unsigned long long)spec->hugepage_bytes >> 10);
}

static int memlock_check(const struct daemon *d, const struct vm_spec *spec, json_t *rows,
			 struct err *e)
{
	uint64_t need = vm_memlock_need(spec), have = UINT64_MAX;
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (!d->is_root && limit.rlim_max != RLIM_INFINITY)
		have = limit.rlim_max;
	row_add(rows, "lockable memory", need, have, "bytes");
	return iommu_memlock_check(need, have, e);
}

static int maps_check(const struct daemon *d, const struct vm_spec *spec, json_t *rows,
		      struct err *e)
{
	auto_fd int root = host_root_open(d);
	struct range slots[2];
	uint64_t need = vm_ram_slots(spec, slots), have = UINT64_MAX;

	(void)iommu_dma_entry_limit(root, &have);
	row_add(rows, "DMA maps", need, have, "entries");
	if (need <= have)
		return 0;
	err_set(e, ENOSPC, "DMA maps: %llu are needed and the kernel allows %llu",
		(unsigned long long)need, (unsigned long long)have);
	err_code(e, "dma-maps-short");
	return err_hint(e, "echo 65535 > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit");
}

int budget_memory(const struct daemon *d, const struct vm_spec *spec, json_t *rows, struct err *e)
{
	int r = spec->hugepage_bytes != 0 ? hugepages_check(d, spec, rows, e)
					  : memory_check(spec, rows, e);

	if (r < 0 || vm_spec_devices(spec) == 0)
		return r;
	r = memlock_check(d, spec, rows, e);
	return r < 0 ? r : maps_check(d, spec, rows, e);
}

/* The width that all of the functions' units have; 0: nobody tells. */
static unsigned int bits_of(const struct daemon *d, const struct budget_fns *fns, int root)
{
	unsigned int least = 0, bits;
	char text[PCI_ADDR_TEXT];

	for (unsigned int i = 0; i < fns->count; i++)
		if (iommu_address_bits(root, pci_addr_text(&fns->addrs[i], text), &bits) == 0 &&
		    (least == 0 || bits < least))
			least = bits;
	return least;
}

static int group_check(const struct daemon *d, const struct budget_fns *fns, unsigned int i,
		       int root, struct err *e)
{
	const struct pci_fn *fn = inventory_find(d->inv, &fns->addrs[i]);
	struct range slots[2];
	unsigned int n = vm_ram_slots(fns->spec, slots);
	int r = 0;

	for (unsigned int k = 0; r == 0 && fn != NULL && fn->iommu_group >= 0 && k < n; k++)
		r = iommu_group_reach_check(root, (uint32_t)fn->iommu_group, slots[k].start,
					    slots[k].last, e);
	return r < 0 ? err_wrap(e, "function %s", fn->name) : 0;
}

static int addresses_check(const struct daemon *d, const struct budget_fns *fns, json_t *rows,
			   struct err *e)
{
	auto_fd int root = host_root_open(d);
	struct range slots[2];
	unsigned int n = vm_ram_slots(fns->spec, slots), bits = bits_of(d, fns, root), need = 1;
	const uint64_t last = slots[n - 1].last;
	int r = 0;

	while (need < 64 && last >> need != 0)
		need++;
	row_add(rows, "DMA addresses", need, bits != 0 ? bits : UINT64_MAX, "bits");
	if (bits != 0 && need > bits) {
		err_set(e, ERANGE,
			"memory.size: guest memory ends at 0x%llx, and the IOMMU translates %u bits "
			"of address",
			(unsigned long long)last, bits);
		err_code(e, "iova-out-of-range");
		return err_hint(e, "lower memory.size");
	}
	for (unsigned int i = 0; r == 0 && i < fns->count; i++)
		r = group_check(d, fns, i, root, e);
	return r;
}

/* Lines of /proc/interrupts that begin with a number: each has a vector of some CPU. */
static unsigned int vectors_used(const char *text)
{
	unsigned int n = 0;

	for (const char *line = text; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');

		while (*line == ' ')
			line++;
		n += isdigit((unsigned char)*line) != 0;
		line = end != NULL ? end + 1 : NULL;
	}
	return n;
}

/* How many lines each function has. */
struct tally {
	struct {
		char fn[PCI_ADDR_TEXT];
		unsigned int lines;
	} * items;
	size_t count, cap;
	bool is_cut; /* no memory for all */
};

/* The lines of a function mostly follow each other. */
static void line_count(void *arg, const struct irq_line *line)
{
	struct tally *t = arg;
	size_t i = t->count;

	while (i > 0 && strcmp(t->items[i - 1].fn, line->fn) != 0)
		i--;
	if (i > 0) {
		t->items[i - 1].lines++;
		return;
	}
	if (t->count == t->cap) {
		void *items = realloc(t->items, (t->cap * 2 + 64) * sizeof(*t->items));

		t->is_cut |= items == NULL;
		if (items == NULL)
			return;
		t->items = items;
		t->cap = t->cap * 2 + 64;
	}
	snprintf(t->items[t->count].fn, sizeof(t->items[0].fn), "%s", line->fn);
	t->items[t->count++].lines = 1;
}

static unsigned int lines_of(const struct tally *t, const char *fn)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->items[i].fn, fn) == 0)
			return t->items[i].lines;
	return 0;
}

/* What a driver takes of the function's table: two for each CPU that it sees, and some for all else. */
static unsigned int fn_vectors(const struct daemon *d, const struct pci_addr *addr,
			       unsigned int cpus)
{
	const struct pci_fn *fn = inventory_find(d->inv, addr);

	if (fn == NULL)
		return 0;
	if (fn->caps.msix_vectors == 0)
		return fn->caps.msi;
	return (unsigned int)u64_min(fn->caps.msix_vectors, 2ULL * cpus + OTHER_VECTORS);
}

static unsigned int vcpus_of(struct daemon *d, const char *owner)
{
	const struct vm *vm;
	char name[VM_NAME_TEXT];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(owner, "/"), owner);
	vm = vm_find(d, name);
	return vm != NULL ? (unsigned int)json_integer_value(json_object_get(vm->facts, "vcpus"))
			  : 0;
}

/* What a VM may still take: its function's vectors, less the lines that are there. */
static unsigned int fn_promised(struct daemon *d, const struct pci_addr *addr, const char *owner,
				const struct tally *tally)
{
	char name[PCI_ADDR_TEXT];
	unsigned int all = fn_vectors(d, addr, vcpus_of(d, owner));
	unsigned int has = lines_of(tally, pci_addr_text(addr, name));

	return all > has ? all - has : 0;
}

static bool is_asked_for(const struct budget_fns *fns, const struct pci_addr *addr)
{
	for (unsigned int i = 0; i < fns->count; i++)
		if (pci_addr_cmp(&fns->addrs[i], addr) == 0)
			return true;
	return false;
}

static uint64_t promised_to_others(struct daemon *d, const struct budget_fns *fns,
				   const struct tally *tally)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, i);

		if ((row->state == VF_BOUND || row->state == VF_ASSIGNED) &&
		    strcmp(row->boot_id, d->boot_id) == 0 && !is_asked_for(fns, &row->addr))
			n += fn_promised(d, &row->addr, row->owner, tally);
	}
	for (size_t i = 0; i < ledger_fn_count(d->ledger); i++) {
		const struct fn_row *row = ledger_fn_at(d->ledger, i);

		if (row->state == FN_ASSIGNED && !is_asked_for(fns, &row->addr))
			n += fn_promised(d, &row->addr, row->owner, tally);
	}
	return n;
}

static int vectors_short(uint64_t need, uint64_t left, uint64_t all, struct err *e)
{
	err_set(e, ENOSPC,
		"interrupt vectors: %llu are needed and %llu are left (the host's CPUs have %llu; the "
		"others are in use or promised to other VMs)",
		(unsigned long long)need, (unsigned long long)left, (unsigned long long)all);
	err_code(e, "vectors-short");
	return err_hint(
		e, "stop another VM, or give this one fewer vCPUs or functions; viaduct vm list");
}

static int vectors_check(struct daemon *d, const struct budget_fns *fns, json_t *rows,
			 struct err *e)
{
	uint64_t need = 0, all, taken, left;
	struct tally tally = { 0 };
	struct host_cpus cpus;

	for (unsigned int i = 0; i < fns->count; i++)
		need += fn_vectors(d, &fns->addrs[i], fns->spec->cpu_count);
	if (fns->interrupts != NULL)
		irq_lines_each(fns->interrupts, NULL, line_count, &tally);
	if (fns->interrupts == NULL || fns->interrupts[0] == '\0' || tally.is_cut ||
	    d->ledger == NULL || host_cpus_read(d, &cpus, NULL) < 0) {
		row_add(rows, "interrupt vectors", need, UINT64_MAX, "vectors");
		free(tally.items);
		return 0;
	}
	all = (uint64_t)CPU_COUNT(&cpus.online) * CPU_VECTORS;
	taken = vectors_used(fns->interrupts) + promised_to_others(d, fns, &tally);
	left = all > taken ? all - taken : 0;
	free(tally.items);
	row_add(rows, "interrupt vectors", need, left, "vectors");
	return need <= left ? 0 : vectors_short(need, left, all, e);
}

int budget_functions(struct daemon *d, const struct budget_fns *fns, json_t *rows, struct err *e)
{
	int r;

	if (fns->count == 0)
		return 0;
	r = addresses_check(d, fns, rows, e);
	return r < 0 ? r : vectors_check(d, fns, rows, e);
}
