// SPDX-License-Identifier: BSD-3-Clause
/* Remapping structures of any content: bytes 0 and 8 are RTADDR and IRTA, bytes 16 and 17 the source, pages follow. Every page
 * beyond the input repeats one of it, so tables lead somewhere; the walk must be bounded by its limit all the same. */
#include "iommu/vtd_tables.h"
#include "iommu/vtd_walk.h"

#include <errno.h>
#include <stdlib.h>

#define HEAD	   24
#define MAX_TABLES 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *bytes;
	size_t size;
	uint64_t reads, last_end;
	struct vtd_walk *walk;
};

static int read_cb(void *arg, uint64_t hpa, void *buf, size_t len)
{
	struct input *in = arg;

	if (hpa / VTD_PAGE != (hpa + len - 1) / VTD_PAGE)
		abort(); /* what struct physmem promises */
	in->reads++;
	if (hpa >= GIB(1))
		return -EFAULT;
	for (size_t done = 0, n; done < len; done += n) {
		size_t from = (hpa + done) % in->size;

		n = u64_min(len - done, in->size - from);
		memcpy((uint8_t *)buf + done, in->bytes + from, n);
	}
	return 0;
}

static int mapping_cb(void *arg, const struct vtd_mapping *m)
{
	struct input *in = arg;

	if (m->size == 0 || !is_aligned(m->iova, m->page_size) ||
	    !is_aligned(m->hpa, m->page_size) || !is_aligned(m->size, m->page_size) ||
	    m->access == 0)
		abort();
	if (in->walk->mappings > 1 && m->iova < in->last_end && in->last_end != 0)
		abort(); /* addresses rise */
	in->last_end = m->iova + m->size;
	return 0;
}

static int irte_cb(void *arg, const struct vtd_irte *irte)
{
	struct input *in = arg;
	const struct physmem mem = { read_cb, in };
	struct vtd_posted pd;

	(void)vtd_irte_admits(irte, 0x100);
	if (irte->is_posted && in->reads < 4096)
		(void)vtd_posted_read(&mem, irte->pda, true, &pd, NULL);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .bytes = data + HEAD, .size = size - HEAD };
	const struct physmem mem = { read_cb, &in };
	struct vtd_walk w = { .fn = mapping_cb, .arg = &in, .max_tables = MAX_TABLES };
	struct vtd_irt_walk irt = { .fn = irte_cb, .arg = &in };
	struct vtd_domain d;

	if (size <= HEAD)
		return 0;
	in.walk = &w;
	if (vtd_domain_read(&mem, get_le64(data), get_le16(data + 16), &d, NULL) == 0 &&
	    (d.kind == VTD_SECOND_STAGE || d.kind == VTD_FIRST_STAGE)) {
		(void)vtd_tables_walk(&mem, &d, &w, NULL);
		if (w.tables > MAX_TABLES || w.mappings > MAX_TABLES * VTD_WORDS)
			abort();
	}
	(void)vtd_irt_walk(&mem, get_le64(data + 8) & ~14ULL, &irt, NULL);
	return 0;
}
