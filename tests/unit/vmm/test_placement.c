// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/placement.h"

#include "vmm/gmem.h"

#include "base/cpulist.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>

#include <cmocka.h>

/* A host of two nodes, in the place of the kernel. */
static struct {
	int error; /* of every call; 0: none */
	int affinity_error;
	unsigned long mode, node_mask, bound_bytes;
	unsigned int far_from; /* pages from this one on lie on node 0 */
	unsigned int pages;
	cpu_set_t affinity; /* of the main thread */
	cpu_set_t widened; /* what a cpuset adds */
} kernel;

long __wrap_syscall(long nr, ...);
int __wrap_sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);

long __wrap_syscall(long nr, ...)
{
	unsigned long a[6];
	va_list ap;

	va_start(ap, nr);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (kernel.error != 0) {
		errno = kernel.error;
		return -1;
	}
	if (nr == SYS_mbind) {
		kernel.bound_bytes = a[1];
		kernel.mode = a[2];
		kernel.node_mask = *(unsigned long *)a[3];
		return 0;
	}
	assert_int_equal(nr, SYS_move_pages);
	assert_int_equal(a[3], 0); /* moves nothing */
	for (unsigned long i = 0; i < a[1]; i++)
		((int *)a[4])[i] = kernel.pages++ < kernel.far_from ? 1 : 0;
	return 0;
}

int __wrap_sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
	if (kernel.affinity_error != 0) {
		errno = kernel.affinity_error;
		return -1;
	}
	kernel.affinity = *set;
	return 0;
}

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	CPU_OR(set, &kernel.affinity, &kernel.widened);
	return 0;
}

struct fixture {
	struct vmm_spec spec;
	struct gmem gm;
	struct placement p;
	struct err e;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	memset(&kernel, 0, sizeof(kernel));
	kernel.far_from = UINT32_MAX;
	assert_int_equal(cpu_list_parse("0-7", &kernel.affinity), 0);
	vmm_spec_init(&f.spec);
	assert_int_equal(gmem_create(&f.gm, MIB(1024), 0, 0, NULL), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gmem_destroy(&f->gm);
	return 0;
}

static void a_strict_node_is_bound_and_checked(void **state)
{
	struct fixture *f = *state;

	f->spec.numa_node = 1;
	f->spec.numa_is_strict = true;
	assert_int_equal(placement_ram_bind(&f->spec, &f->gm, &f->e), 0);
	assert_int_equal(kernel.mode, MPOL_BIND);
	assert_int_equal(kernel.node_mask, 2);
	assert_int_equal(kernel.bound_bytes, MIB(1024));
	assert_int_equal(placement_ram_check(&f->p, &f->spec, &f->gm, &f->e), 0);
	assert_int_equal(kernel.pages, 512); /* one of each 2 MiB */
	assert_int_equal(f->p.node_bytes[1], MIB(1024));
	kernel.pages = 0;
	kernel.far_from = 510;
	memset(&f->p, 0, sizeof(f->p));
	assert_int_equal(placement_ram_check(&f->p, &f->spec, &f->gm, &f->e), -ENOMEM);
	assert_non_null(strstr(f->e.text, "4 of 1024 MiB of guest RAM are not on NUMA node 1"));
	assert_string_equal(f->e.code, "numa-short");
	kernel.error = EINVAL; /* a node without memory */
	assert_int_equal(placement_ram_bind(&f->spec, &f->gm, &f->e), -EINVAL);
	assert_non_null(strstr(f->e.hint, "memory.numa: auto"));
}

static void a_preferred_node_is_a_wish(void **state)
{
	struct fixture *f = *state;

	f->spec.numa_node = 1;
	assert_int_equal(placement_ram_bind(&f->spec, &f->gm, &f->e), 0);
	assert_int_equal(kernel.mode, MPOL_PREFERRED);
	kernel.far_from = 128;
	assert_int_equal(placement_ram_check(&f->p, &f->spec, &f->gm, &f->e), 0);
	assert_int_equal(f->p.node_bytes[1], MIB(256));
	assert_int_equal(f->p.node_bytes[0], MIB(768));
	kernel.error = ENOSYS; /* a kernel without NUMA */
	assert_int_equal(placement_ram_bind(&f->spec, &f->gm, &f->e), 0);
	assert_int_equal(placement_ram_check(&f->p, &f->spec, &f->gm, &f->e), 0);
	assert_false(f->p.is_known);
}

static void without_a_node_nothing_is_bound(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(placement_ram_bind(&f->spec, &f->gm, &f->e), 0);
	assert_int_equal(kernel.bound_bytes, 0);
	assert_int_equal(placement_ram_check(&f->p, &f->spec, &f->gm, &f->e), 0);
	assert_true(f->p.is_known);
}

static void the_main_thread_builds_near_and_stays_where_it_may(void **state)
{
	struct fixture *f = *state;
	char text[64];

	assert_int_equal(cpu_list_parse("4-7", &f->spec.numa_cpus), 0);
	placement_enter(&f->p, &f->spec);
	assert_string_equal(cpu_list_text(&kernel.affinity, text, sizeof(text)), "4-7");
	assert_int_equal(placement_leave(&f->p, &f->spec, &f->e), 0);
	assert_string_equal(cpu_list_text(&kernel.affinity, text, sizeof(text)), "0-7");
	assert_int_equal(cpu_list_parse("0-1", &f->spec.own_cpus), 0);
	assert_int_equal(placement_leave(&f->p, &f->spec, &f->e), 0);
	assert_string_equal(cpu_list_text(&kernel.affinity, text, sizeof(text)), "0-1");
}

static void a_main_thread_that_cannot_keep_off_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cpu_list_parse("0-1", &f->spec.own_cpus), 0);
	placement_enter(&f->p, &f->spec);
	CPU_SET(5, &kernel.widened);
	assert_int_equal(placement_leave(&f->p, &f->spec, &f->e), -EPERM);
	assert_non_null(strstr(f->e.text, "host CPUs 0-1"));
	kernel.affinity_error = EINVAL;
	assert_int_equal(placement_leave(&f->p, &f->spec, &f->e), -EINVAL);
	assert_true(f->e.hint[0] != '\0');
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_strict_node_is_bound_and_checked),
		CASE(a_preferred_node_is_a_wish),
		CASE(without_a_node_nothing_is_bound),
		CASE(the_main_thread_builds_near_and_stays_where_it_may),
		CASE(a_main_thread_that_cannot_keep_off_is_refused),
	};

	return cmocka_run_group_tests_name("vmm-placement", tests, NULL, NULL);
}
