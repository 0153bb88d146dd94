// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/kcore.h"

#include <elf.h>
#include <errno.h>
#include <unistd.h>

#define HEADERS_MAX    4096U
#define PHYSICAL_LIMIT (1ULL << 52)
#define KERNEL_TEXT \
	0xFFFFFFFF80000000ULL /* from here on the kernel's image is mapped a second time */

static int bad(struct err *e, const char *what)
{
	return err_set(e, EBADMSG, "/proc/kcore: %s", what);
}

static int all_read(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : (size_t)n == len ? 0 : -EFAULT;
}

static int header_read(int fd, Elf64_Ehdr *h, struct err *e)
{
	int r = all_read(fd, h, sizeof(*h), 0);

	if (r < 0)
		return err_set(e, r, "read /proc/kcore: %s", strerror(-r));
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
	    h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != ET_CORE || h->e_machine != EM_X86_64)
		return bad(e, "is no core file of this architecture");
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > HEADERS_MAX ||
	    h->e_phoff > INT64_MAX - HEADERS_MAX * sizeof(Elf64_Phdr))
		return bad(e, "has program headers of another kind");
	return 0;
}

/* Memory, and not the second map of the kernel's image. */
static bool is_memory(const Elf64_Phdr *p)
{
	return p->p_type == PT_LOAD && p->p_paddr != UINT64_MAX && p->p_vaddr < KERNEL_TEXT &&
	       p->p_filesz > 0;
}

int kcore_init(struct kcore *k, int fd, struct err *e)
{
	uint64_t shift = 0;
	Elf64_Ehdr h;
	int r;

	*k = (struct kcore){ .fd = fd };
	r = header_read(fd, &h, e);
	for (unsigned int i = 0; r == 0 && i < h.e_phnum; i++) {
		Elf64_Phdr p;

		r = all_read(fd, &p, sizeof(p), h.e_phoff + i * sizeof(p));
		if (r < 0)
			return err_set(e, r, "read /proc/kcore: %s", strerror(-r));
		if (!is_memory(&p))
			continue;
		if (!range_fits(p.p_paddr, p.p_filesz, PHYSICAL_LIMIT) ||
		    !range_fits(p.p_offset, p.p_filesz, INT64_MAX))
			return bad(e, "has a segment that is out of range");
		/* One map, moved by one number: else these are no physical addresses (older kernels say 0 there). */
		if (k->count > 0 && p.p_vaddr - p.p_paddr != shift)
			return bad(e, "does not say where memory lies");
		if (k->count == KCORE_SEGMENTS)
			return bad(e, "has too many segments");
		shift = p.p_vaddr - p.p_paddr;
		k->segments[k->count++] =
			(struct kcore_segment){ p.p_paddr, p.p_filesz, p.p_offset };
	}
	return r < 0 ? r : k->count == 0 ? bad(e, "does not say where memory lies") : 0;
}

static int segment_read(void *arg, uint64_t hpa, void *buf, size_t len)
{
	const struct kcore *k = arg;

	for (size_t i = 0; i < k->count; i++) {
		const struct kcore_segment *s = &k->segments[i];

		if (hpa >= s->hpa && range_fits(hpa - s->hpa, len, s->size))
			return all_read(k->fd, buf, len, s->offset + (hpa - s->hpa));
	}
	return -EFAULT;
}

struct physmem kcore_memory(struct kcore *k)
{
	return (struct physmem){ segment_read, k };
}
