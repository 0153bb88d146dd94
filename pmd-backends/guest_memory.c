// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/guest_memory.h"

#include "base/fd.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Twice what all ports need (memory, in-flight region, log), since a new one is mapped before the old one goes. */
#define GUARDS 1536

/* `begin` 0: none. A change sets it to 0 first and to its value last, so that who reads it twice sees a whole range. */
struct range {
	_Atomic uintptr_t begin, end;
	_Atomic uintptr_t page; /* bytes that go away together */
};

struct guest_guard {
	_Atomic bool taken, lost;
	struct range ranges[GUEST_MAX_REGIONS];
};

/* A handler of signals gets no object passed, and may take no lock. */
static struct guest_guard guards[GUARDS];
static struct sigaction before;

/* What is to be replaced if this is a fault in a range. */
struct hole {
	uintptr_t begin, size; /* bytes */
};

static bool range_has(const struct range *r, uintptr_t at, struct hole *hole)
{
	/* acquire: pairs with release in guard_set() */
	uintptr_t begin = atomic_load_explicit(&r->begin, memory_order_acquire);
	uintptr_t end = atomic_load_explicit(&r->end, memory_order_acquire);
	uintptr_t page = atomic_load_explicit(&r->page, memory_order_acquire);

	if (begin == 0 || at < begin || at >= end ||
	    atomic_load_explicit(&r->begin, memory_order_acquire) != begin)
		return false;
	hole->begin = begin + align_down(at - begin, page);
	hole->size = u64_min(page, end - hole->begin);
	return true;
}

static struct guest_guard *guard_find(uintptr_t at, struct hole *hole)
{
	for (size_t i = 0; i < GUARDS; i++) {
		if (!atomic_load_explicit(&guards[i].taken, memory_order_acquire))
			continue;
		for (size_t k = 0; k < GUEST_MAX_REGIONS; k++)
			if (range_has(&guards[i].ranges[k], at, hole))
				return &guards[i];
	}
	return NULL;
}

static bool hole_fill(const struct hole *hole)
{
	void *place = (void *)hole->begin;

	return mmap(place, hole->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == place;
}

/* Only what may be done in a handler: system calls and lock-free atomics. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	struct hole hole;
	/* Not positive: somebody has sent it. */
	struct guest_guard *g = info->si_code > 0 ? guard_find((uintptr_t)info->si_addr, &hole)
						  : NULL;

	if (g != NULL)
		atomic_store(&g->lost, true);
	if (g == NULL || !hole_fill(&hole)) {
		/* Comes again when this returns, to whoever had it before us. */
		(void)sigaction(SIGBUS, &before, NULL);
		(void)raise(SIGBUS);
	}
	errno = saved;
}

int guest_memory_guard(void)
{
	struct sigaction act = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO }, old;

	sigemptyset(&act.sa_mask);
	if (sigaction(SIGBUS, NULL, &old) < 0)
		return -errno;
	if ((old.sa_flags & SA_SIGINFO) != 0 && old.sa_sigaction == on_sigbus)
		return 0;
	before = old;
	return sigaction(SIGBUS, &act, NULL) < 0 ? -errno : 0;
}

static struct guest_guard *guard_take(void)
{
	for (size_t i = 0; i < GUARDS; i++) {
		bool was = false;

		if (!atomic_compare_exchange_strong(&guards[i].taken, &was, true))
			continue;
		atomic_store(&guards[i].lost, false);
		return &guards[i];
	}
	return NULL;
}

static void guard_set(struct guest_guard *g, unsigned int i, const struct guest_region *r,
		      uint64_t page)
{
	struct range *range = &g->ranges[i];

	atomic_store(&range->page, page);
	atomic_store(&range->end, (uintptr_t)r->map + r->map_size);
	/* release: pairs with acquire in range_has() */
	atomic_store_explicit(&range->begin, (uintptr_t)r->map, memory_order_release);
}

static void guard_drop(struct guest_guard *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < GUEST_MAX_REGIONS; i++)
		atomic_store(&g->ranges[i].begin, 0);
	atomic_store(&g->taken, false);
}

/* hugetlb maps and unmaps whole pages of its own size only, which fstat gives as the block size. */
static uint64_t page_size(int fd)
{
	uint64_t small = (uint64_t)sysconf(_SC_PAGESIZE);
	struct stat st;

	/* What is no file shows when it is to be mapped. */
	if (fd_stat(fd, &st) < 0 || !is_pow2((uint64_t)st.st_blksize))
		return small;
	return u64_max((uint64_t)st.st_blksize, small);
}

static int region_map(struct guest_memory *m, const struct guest_region_wire *wire, int fd,
		      struct err *e)
{
	struct guest_region *r = &m->regions[m->count];
	uint64_t page = page_size(fd), begin, size;

	if (wire->size == 0 || wire->offset > INT64_MAX || wire->size > INT64_MAX / 2)
		return err_set(e, EINVAL, "guest memory of %llu bytes at %llu of its file",
			       (unsigned long long)wire->size, (unsigned long long)wire->offset);
	begin = align_down(wire->offset, page);
	size = align_up(wire->offset - begin + wire->size, page);
	*r = (struct guest_region){ .gpa = wire->gpa, .size = wire->size, .user = wire->user };
	/* No reservation: what the VMM has not touched is not taken from it. */
	r->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		      (off_t)begin);
	if (r->map == MAP_FAILED)
		return err_set(e, errno, "guest memory of %llu MiB cannot be mapped: %s",
			       (unsigned long long)size >> 20, strerror(errno));
	r->map_size = size;
	r->at = (uint8_t *)r->map + (wire->offset - begin);
	guard_set(m->guard, m->count, r, page);
	m->count++;
	return 0;
}

int guest_memory_map(struct guest_memory *m, const struct guest_region_wire *table, const int *fds,
		     unsigned int count, struct err *e)
{
	struct guest_memory made = { .guard = guard_take() };
	int r = 0;

	if (count > GUEST_MAX_REGIONS)
		r = err_set(e, EINVAL, "guest memory in %u parts", count);
	else if (made.guard == NULL)
		r = err_set(e, ENOSPC, "more guest memories than there are ports");
	for (unsigned int i = 0; r == 0 && i < count; i++)
		r = region_map(&made, &table[i], fds[i], e);
	if (r < 0) {
		guest_memory_unmap(&made);
		return r;
	}
	*m = made;
	return 0;
}

void guest_memory_unmap(struct guest_memory *m)
{
	/* First, since something else may be mapped there at once. */
	guard_drop(m->guard);
	for (unsigned int i = 0; i < m->count; i++)
		munmap(m->regions[i].map, m->regions[i].map_size);
	*m = (struct guest_memory){ .count = 0 };
}

bool guest_memory_is_lost(const struct guest_memory *m)
{
	return m->guard != NULL && atomic_load_explicit(&m->guard->lost, memory_order_relaxed);
}

uint8_t *guest_at_user(const struct guest_memory *m, uint64_t user, uint64_t len)
{
	for (unsigned int i = 0; i < m->count; i++) {
		const struct guest_region *r = &m->regions[i];

		if (user >= r->user && range_fits(user - r->user, len, r->size))
			return r->at + (user - r->user);
	}
	return NULL;
}

uint64_t guest_address(const struct guest_memory *m, const uint8_t *at)
{
	for (unsigned int i = 0; i < m->count; i++) {
		const struct guest_region *r = &m->regions[i];

		if (at >= r->at && (uint64_t)(at - r->at) < r->size)
			return r->gpa + (uint64_t)(at - r->at);
	}
	return UINT64_MAX;
}
