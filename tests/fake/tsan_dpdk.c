// SPDX-License-Identifier: BSD-3-Clause
/*
 * Linked into viaduct-pmd of the tsan build: what the thread sanitizer is not told by itself.
 *
 *  - DPDK is not built with it, so what DPDK does to hand something from one thread to another is not seen, and looks like
 *    a race of ours: a buffer that goes through the pool, the end of an lcore.
 *  - Unmapping guest memory does not count as an access for it; here it is a write of all that is unmapped, so that an
 *    lcore that could still look there is reported instead of faulting once in a long time.
 *  - Names are read from the executable, which the sandbox hides: one look before it makes the runtime read them all.
 *
 * Not seen at all: races inside DPDK's own code, and between us and a guest (another process; the rules for its memory
 * are those of vring_core.h). Fences (atomic_thread_fence) are not modelled; ours order memory that guests share only.
 */
#include "pmd-backends/guest_memory.h"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include <sanitizer/tsan_interface.h>

/* Of the runtime; its headers do not have them. */
void __sanitizer_symbolize_pc(void *pc, const char *format, char *out, size_t size);
void __tsan_write_range(void *at, long size);

/* One for each lcore: what it runs, and what it and its end are known by. */
struct job {
	lcore_function_t *fn;
	void *arg;
};

static struct job jobs[RTE_MAX_LCORE];

int __real_rte_eal_remote_launch(lcore_function_t *fn, void *arg, unsigned int id);
int __wrap_rte_eal_remote_launch(lcore_function_t *fn, void *arg, unsigned int id);
int __real_rte_eal_wait_lcore(unsigned int id);
int __wrap_rte_eal_wait_lcore(unsigned int id);
void __real_guest_memory_unmap(struct guest_memory *m);
void __wrap_guest_memory_unmap(struct guest_memory *m);

static int job_run(void *arg)
{
	struct job *job = arg;
	int r = job->fn(job->arg);

	__tsan_release(job);
	return r;
}

int __wrap_rte_eal_remote_launch(lcore_function_t *fn, void *arg, unsigned int id)
{
	jobs[id] = (struct job){ fn, arg };
	return __real_rte_eal_remote_launch(job_run, &jobs[id], id);
}

int __wrap_rte_eal_wait_lcore(unsigned int id)
{
	int r = __real_rte_eal_wait_lcore(id);

	__tsan_acquire(&jobs[id]);
	return r;
}

void __wrap_guest_memory_unmap(struct guest_memory *m)
{
	for (unsigned int i = 0; i < m->count; i++)
		__tsan_write_range(m->regions[i].at, (long)m->regions[i].size);
	__real_guest_memory_unmap(m);
}

/* Buffers that more than one lcore has had went through the pool's ring. */
static rte_mempool_enqueue_t enqueue_before;
static rte_mempool_dequeue_t dequeue_before;

static int ring_enqueue(struct rte_mempool *pool, void *const *list, unsigned int n)
{
	__tsan_release(pool);
	return enqueue_before(pool, list, n);
}

static int ring_dequeue(struct rte_mempool *pool, void **list, unsigned int n)
{
	int r = dequeue_before(pool, list, n);

	__tsan_acquire(pool);
	return r;
}

/* After the constructors of DPDK, which fill the table. */
__attribute__((constructor(65535))) static void begin(void)
{
	char name[256];

	for (unsigned int i = 0; i < rte_mempool_ops_table.num_ops; i++) {
		struct rte_mempool_ops *ops = &rte_mempool_ops_table.ops[i];

		if (strcmp(ops->name, "ring_mp_mc") != 0)
			continue;
		enqueue_before = ops->enqueue;
		dequeue_before = ops->dequeue;
		ops->enqueue = ring_enqueue;
		ops->dequeue = ring_dequeue;
	}
	__sanitizer_symbolize_pc((void *)begin, "%f", name, sizeof(name));
}
