// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/gmem.h"

#include "vmm/layout.h"
#include "vmm/vmm_msg.h"

#include "base/fd.h"
#include "base/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define PREFAULT_CHUNK	     (64ULL << 20)
#define PREFAULT_THREADS_MAX 16

static int sizes_check(uint64_t size, uint64_t hugepage, uint64_t low_limit, struct err *e)
{
	if (size < VMM_MIN_MEMORY || size > VMM_MAX_MEMORY)
		return err_set(e, ERANGE, "memory of %llu bytes: must be %llu MiB to %llu GiB",
			       (unsigned long long)size, VMM_MIN_MEMORY >> 20,
			       VMM_MAX_MEMORY >> 30);
	if (hugepage != 0 && hugepage != MIB(2) && hugepage != GIB(1))
		return err_set(e, EINVAL, "hugepages of %llu bytes: must be 0, 2 MiB or 1 GiB",
			       (unsigned long long)hugepage);
	if (!is_aligned(size, MIB(2)) || (hugepage != 0 && !is_aligned(size, hugepage)))
		return err_set(e, EINVAL, "memory of %llu bytes is no multiple of %s",
			       (unsigned long long)size,
			       hugepage == GIB(1) ? "the 1 GiB hugepages" : "2 MiB");
	if (low_limit != 0 && (low_limit < VMM_MIN_MEMORY || low_limit > LAYOUT_LOW_RAM_MAX ||
			       !is_aligned(low_limit, MIB(2))))
		return err_set(
			e, ERANGE,
			"low_limit of %llu bytes: must be 0 or %llu to %llu MiB in steps of 2",
			(unsigned long long)low_limit, VMM_MIN_MEMORY >> 20,
			LAYOUT_LOW_RAM_MAX >> 20);
	return 0;
}

static uint64_t low_bytes(uint64_t size, uint64_t low_limit)
{
	uint64_t low = size <= LAYOUT_LOW_RAM_MAX ? size : LAYOUT_LOW_RAM_SPLIT;

	return low_limit != 0 ? u64_min(low, low_limit) : low;
}

static uint64_t high_start(uint64_t high_bytes)
{
	return high_bytes > VMM_HIGH_RAM_ROOM ? VMM_FAR_RAM : LAYOUT_HIGH_RAM;
}

int gmem_end(uint64_t size, uint64_t low_limit, uint64_t *end, struct err *e)
{
	int r = sizes_check(size, 0, low_limit, e);
	uint64_t low;

	if (r < 0)
		return r;
	low = low_bytes(size, low_limit);
	*end = low == size ? size : high_start(size - low) + (size - low);
	return 0;
}

static void slots_place(struct gmem *gm, uint64_t low_limit)
{
	uint64_t low = low_bytes(gm->size, low_limit);

	gm->slots[0] = (struct gmem_slot){ .gpa = 0, .size = low, .host = gm->host };
	gm->slot_count = 1;
	if (low == gm->size)
		return;
	gm->slots[1] = (struct gmem_slot){ .gpa = high_start(gm->size - low),
					   .size = gm->size - low,
					   .offset = low,
					   .host = gm->host + low };
	gm->slot_count = 2;
}

/* How many bytes of the memfd's hugepages the pool can still reserve: a mapping of a hugetlb file
 * reserves its pages, so the largest mapping that works tells it without opening anything. */
static uint64_t hugepages_free(const struct gmem *gm)
{
	uint64_t works = 0, fails = gm->size / gm->page_size;

	while (fails - works > 1) {
		uint64_t mid = works + (fails - works) / 2;
		void *p = mmap(NULL, mid * gm->page_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			       gm->memfd, 0);

		if (p == MAP_FAILED) {
			fails = mid;
			continue;
		}
		munmap(p, mid * gm->page_size);
		works = mid;
	}
	return works;
}

static int hugepages_short(const struct gmem *gm, struct err *e)
{
	uint64_t need = gm->size / gm->page_size, have;

	/* What was populated before they ran out goes back first. */
	if (gm->host != NULL)
		(void)madvise(gm->host, gm->size, MADV_REMOVE);
	have = hugepages_free(gm);
	err_set(e, ENOMEM, "guest RAM needs %llu hugepages of %llu MiB and %llu are free",
		(unsigned long long)need, (unsigned long long)gm->page_size >> 20,
		(unsigned long long)have);
	err_code(e, "hugepages-short");
	return err_hint(
		e,
		"add %llu: echo MORE > /sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages"
		", or set memory.hugepages: off",
		(unsigned long long)(need - have), (unsigned long long)gm->page_size >> 10);
}

/* Linux before 5.14 cannot: there pages are touched, and a hugepage that is not there would be SIGBUS. */
static bool can_populate(void)
{
	return madvise(NULL, 0, MADV_POPULATE_WRITE) == 0;
}

/* Maps the memfd where huge pages of any size can back it: host and guest addresses congruent. Hugepages
 * are not reserved here, if that can be helped: the kernel would make and clear all of them in this one
 * thread, and place them before the NUMA rule is set. gmem_prefault() takes them. */
static int ram_map(struct gmem *gm, struct err *e)
{
	const struct map_wish wish = { .fd = gm->memfd,
				       .size = gm->size,
				       .align = gm->size >= GIB(1) ? GIB(1) : MIB(2),
				       .flags = gm->page_size != 4096 && can_populate()
							? MAP_NORESERVE
							: 0 };
	void *host;
	int r = map_aligned(&wish, &host);

	if (r == -ENOMEM && gm->page_size != 4096)
		return hugepages_short(gm, e);
	if (r < 0)
		return err_set(e, r, "map %llu MiB of guest RAM: %s",
			       (unsigned long long)gm->size >> 20, strerror(-r));
	gm->host = host;
	/* A guest's memory is never part of a core dump. */
	if (madvise(gm->host, gm->size, MADV_DONTDUMP) < 0)
		r = err_set(e, errno, "madvise(DONTDUMP): %s", strerror(errno));
	/* Only advice: hosts without huge pages for shared memory refuse it. */
	if (gm->page_size == 4096)
		(void)madvise(gm->host, gm->size, MADV_HUGEPAGE);
	return r;
}

int gmem_create(struct gmem *gm, uint64_t size, uint64_t hugepage, uint64_t low_limit,
		struct err *e)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int r;

	memset(gm, 0, sizeof(*gm));
	gm->memfd = -1;
	r = sizes_check(size, hugepage, low_limit, e);
	if (r < 0)
		return r;
	gm->size = size;
	gm->page_size = hugepage != 0 ? hugepage : 4096;
	if (hugepage != 0)
		flags |= MFD_HUGETLB | (hugepage == GIB(1) ? MFD_HUGE_1GB : MFD_HUGE_2MB);
	gm->memfd = memfd_create(VMM_RAM_NAME, flags);
	if (gm->memfd < 0) {
		r = err_set(e, errno, "memfd for guest RAM (%llu KiB pages): %s",
			    (unsigned long long)gm->page_size >> 10, strerror(errno));
		goto fail;
	}
	if (ftruncate(gm->memfd, (off_t)size) < 0) {
		r = err_set(e, errno, "size guest RAM to %llu MiB: %s",
			    (unsigned long long)size >> 20, strerror(errno));
		goto fail;
	}
	/* F_SEAL_SEAL: no receiver of the fd can add a seal that would stop our own writes. */
	if (fcntl(gm->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = err_set(e, errno, "seal guest RAM: %s", strerror(errno));
		goto fail;
	}
	r = ram_map(gm, e);
	if (r < 0)
		goto fail;
	slots_place(gm, low_limit);
	return 0;

fail:
	gmem_destroy(gm);
	return r;
}

void gmem_destroy(struct gmem *gm)
{
	if (gm->host != NULL)
		munmap(gm->host, gm->size);
	gm->host = NULL;
	gm->slot_count = 0;
	if (gm->size != 0)
		fd_close(&gm->memfd);
	gm->size = 0;
}

struct prefault {
	const struct gmem *gm;
	_Atomic uint64_t next; /* relaxed: only hands out disjoint chunks; join orders the rest */
	_Atomic int errnum;
};

static int chunk_populate(uint8_t *start, uint64_t len, uint64_t page_size)
{
	if (madvise(start, len, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return errno;
	/* Linux before 5.14. Nobody else uses the pages yet. */
	for (uint64_t off = 0; off < len; off += page_size)
		((volatile uint8_t *)start)[off] = 0;
	return 0;
}

static void *prefault_worker(void *arg)
{
	struct prefault *pf = arg;
	uint64_t chunk = u64_max(PREFAULT_CHUNK, pf->gm->page_size);

	for (;;) {
		uint64_t off = atomic_fetch_add_explicit(&pf->next, chunk, memory_order_relaxed);
		int errnum;

		if (off >= pf->gm->size ||
		    atomic_load_explicit(&pf->errnum, memory_order_relaxed) != 0)
			return NULL;
		do {
			errnum = chunk_populate(pf->gm->host + off,
						u64_min(chunk, pf->gm->size - off),
						pf->gm->page_size);
		} while (errnum == EINTR || errnum == EAGAIN);
		if (errnum != 0)
			atomic_store_explicit(&pf->errnum, errnum, memory_order_relaxed);
	}
}

int gmem_prefault(struct gmem *gm, unsigned int threads, struct err *e)
{
	struct prefault pf = { .gm = gm };
	pthread_t workers[PREFAULT_THREADS_MAX];
	unsigned int started = 0;
	int errnum;

	/* The caller is one of the workers; the others are only help. */
	while (started + 1 < threads && started < PREFAULT_THREADS_MAX &&
	       pthread_create(&workers[started], NULL, prefault_worker, &pf) == 0)
		started++;
	prefault_worker(&pf);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(workers[i], NULL);
	errnum = atomic_load_explicit(&pf.errnum, memory_order_relaxed);
	if (errnum == 0)
		return 0;
	/* EFAULT: for hugetlb it means that there is no page, by number or by cgroup. */
	if (gm->page_size != 4096 && (errnum == ENOMEM || errnum == EFAULT))
		return hugepages_short(gm, e);
	err_set(e, errnum, "populate %llu MiB of guest RAM: %s", (unsigned long long)gm->size >> 20,
		strerror(errnum));
	return err_hint(e, "less memory for the VM, or more free memory or hugepages on the host");
}

void *gmem_host(const struct gmem *gm, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < gm->slot_count; i++) {
		const struct gmem_slot *s = &gm->slots[i];

		if (gpa >= s->gpa && range_fits(gpa - s->gpa, len, s->size))
			return s->host + (gpa - s->gpa);
	}
	return NULL;
}

int gmem_read(const struct gmem *gm, uint64_t gpa, void *buf, uint64_t len)
{
	const void *p = gmem_host(gm, gpa, len);

	if (p == NULL)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int gmem_write(const struct gmem *gm, uint64_t gpa, const void *buf, uint64_t len)
{
	void *p = gmem_host(gm, gpa, len);

	if (p == NULL)
		return -EFAULT;
	memcpy(p, buf, len);
	return 0;
}
