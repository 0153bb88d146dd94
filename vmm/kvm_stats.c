// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_stats.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <unistd.h>

/* KVM on x86 has some 15 and 50 statistics with names of 48 bytes. */
#define DESCRIPTORS_MAX	 1024U
#define NAME_BYTES_MAX	 256U
#define FILE_OFFSET_MAX	 (1U << 20)
#define DATA_BYTES_MAX	 16384U
#define DESCRIPTOR_BYTES (sizeof(struct kvm_stats_desc))

static_assert(sizeof(struct kvm_stats_header) == 24, "six numbers of 32 bits");
static_assert(sizeof(struct kvm_stats_desc) == 16, "the name follows");

static const char *const vm_names[] = {
	"pages_4k",	   "pages_2m",	       "pages_1g",
	"nx_lpage_splits", "remote_tlb_flush", "mmu_shadow_zapped",
};

static const char *const vcpu_names[] = {
	"exits",
	"io_exits",
	"mmio_exits",
	"halt_exits",
	"irq_exits",
	"irq_window_exits",
	"nmi_window_exits",
	"signal_exits",
	"request_irq_exits",
	"irq_injections",
	"nmi_injections",
	"insn_emulation",
	"insn_emulation_fail",
	"hypercalls",
	"pf_taken",
	"pf_fixed",
	"pf_mmio_spte_created",
	"tlb_flush",
	"halt_attempted_poll",
	"halt_successful_poll",
	"halt_wakeup",
	"halt_wait_ns",
	"preemption_reported",
};

static_assert(ARRAY_SIZE(vm_names) <= KVM_STATS_NAMES && ARRAY_SIZE(vcpu_names) <= KVM_STATS_NAMES,
	      "a place for each name");

const struct kvm_stats_names kvm_stats_vm_names = { vm_names, ARRAY_SIZE(vm_names) };
const struct kvm_stats_names kvm_stats_vcpu_names = { vcpu_names, ARRAY_SIZE(vcpu_names) };

static int read_whole(int fd, void *buf, size_t len, uint32_t at)
{
	ssize_t n;

	do {
		n = pread(fd, buf, len, (off_t)at);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int header_read(int fd, struct kvm_stats_header *h, struct err *e)
{
	int r = read_whole(fd, h, sizeof(*h), 0);

	if (r < 0)
		return err_set(e, r, "header: %s", strerror(-r));
	if (h->num_desc > DESCRIPTORS_MAX)
		return err_set(e, EBADMSG, "%u descriptors, at most %u make sense", h->num_desc,
			       DESCRIPTORS_MAX);
	if (h->name_size == 0 || h->name_size > NAME_BYTES_MAX)
		return err_set(e, EBADMSG, "names of %u bytes, 1 to %u make sense", h->name_size,
			       NAME_BYTES_MAX);
	if (h->desc_offset > FILE_OFFSET_MAX || h->data_offset > FILE_OFFSET_MAX)
		return err_set(e, EBADMSG, "descriptors at 0x%x and data at 0x%x are too far away",
			       h->desc_offset, h->data_offset);
	return 0;
}

/* A single number that only a name and a place are needed for. */
static bool is_number(const struct kvm_stats_desc *d)
{
	return (d->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_PEAK && d->size == 1 &&
	       d->offset % sizeof(uint64_t) == 0 && d->offset <= DATA_BYTES_MAX - sizeof(uint64_t);
}

static void descriptor_take(struct kvm_stats_layout *l, const struct kvm_stats_desc *d,
			    const char *name, size_t name_bytes)
{
	uint32_t end = d->offset + (uint32_t)sizeof(uint64_t);

	if (!is_number(d) || memchr(name, '\0', name_bytes) == NULL)
		return;
	for (size_t i = 0; i < l->set->count; i++) {
		if (strcmp(l->set->names[i], name) != 0)
			continue;
		l->present[i] = true;
		l->offset[i] = d->offset;
		if (end > l->data_bytes)
			l->data_bytes = end;
		return;
	}
}

int kvm_stats_layout_read(int stats_fd, const struct kvm_stats_names *set,
			  struct kvm_stats_layout *out, struct err *e)
{
	struct kvm_stats_layout l = { .set = set };
	auto_free uint8_t *bytes = NULL;
	struct kvm_stats_header h;
	int r = header_read(stats_fd, &h, e);
	size_t row;

	if (r < 0)
		return r;
	row = DESCRIPTOR_BYTES + h.name_size;
	bytes = malloc(h.num_desc * row + 1);
	if (bytes == NULL)
		return err_set(e, ENOMEM, "out of memory");
	r = read_whole(stats_fd, bytes, h.num_desc * row, h.desc_offset);
	if (r < 0)
		return err_set(e, r, "descriptors: %s", strerror(-r));
	l.data_offset = h.data_offset;
	for (uint32_t i = 0; i < h.num_desc; i++) {
		struct kvm_stats_desc d;

		memcpy(&d, bytes + i * row, DESCRIPTOR_BYTES);
		descriptor_take(&l, &d, (const char *)bytes + i * row + DESCRIPTOR_BYTES,
				h.name_size);
	}
	*out = l;
	return 0;
}

int kvm_stats_read(int stats_fd, const struct kvm_stats_layout *layout,
		   uint64_t values[KVM_STATS_NAMES])
{
	uint64_t data[DATA_BYTES_MAX / sizeof(uint64_t)];
	int r = layout->data_bytes == 0
			? 0
			: read_whole(stats_fd, data, layout->data_bytes, layout->data_offset);

	if (r < 0)
		return r;
	for (size_t i = 0; i < layout->set->count; i++)
		values[i] = layout->present[i] ? data[layout->offset[i] / sizeof(uint64_t)] : 0;
	return 0;
}
