// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"

#include "vmm/gmem.h"

#include "vmm/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void create(struct gmem *gm, uint64_t size, uint64_t low_limit)
{
	struct err e = { 0 };

	if (gmem_create(gm, size, 0, low_limit, &e) < 0)
		fail_msg("%s", e.text);
}

static void sizes_out_of_bounds_are_refused(void **state)
{
	static const struct {
		uint64_t size, hugepage, low_limit;
		int r;
		const char *text;
	} rows[] = {
		{ 0, 0, 0, -ERANGE, "memory of 0 bytes" },
		{ MIB(62), 0, 0, -ERANGE, "64 MiB" },
		{ GIB(1024) + MIB(2), 0, 0, -ERANGE, "1024 GiB" },
		{ UINT64_MAX, 0, 0, -ERANGE, "must be" },
		{ MIB(64) + 4096, 0, 0, -EINVAL, "no multiple of 2 MiB" },
		{ MIB(128), MIB(4), 0, -EINVAL, "hugepages" },
		{ GIB(1) + MIB(2), GIB(1), 0, -EINVAL, "1 GiB hugepages" },
		{ MIB(128), 0, MIB(32), -ERANGE, "low_limit" },
		{ MIB(128), 0, MIB(64) + 4096, -ERANGE, "low_limit" },
		{ MIB(128), 0, GIB(4), -ERANGE, "low_limit" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };
		struct gmem gm;

		assert_int_equal(gmem_create(&gm, rows[i].size, rows[i].hugepage, rows[i].low_limit,
					     &e),
				 rows[i].r);
		assert_non_null(strstr(e.text, rows[i].text));
		gmem_destroy(&gm);
	}
}

static void small_ram_is_one_slot(void **state)
{
	struct gmem gm;

	create(&gm, MIB(64), 0);
	assert_int_equal(gm.slot_count, 1);
	assert_int_equal(gm.slots[0].gpa, 0);
	assert_int_equal(gm.slots[0].size, MIB(64));
	assert_true(is_aligned((uintptr_t)gm.host, MIB(2)));
	gmem_destroy(&gm);
	gmem_destroy(&gm);
	assert_int_equal(gm.memfd, -1);
}

static void large_ram_is_split_below_4_gib(void **state)
{
	struct gmem gm;

	/* Nothing is populated: address space only. */
	create(&gm, LAYOUT_LOW_RAM_MAX, 0);
	assert_int_equal(gm.slot_count, 1);
	gmem_destroy(&gm);

	create(&gm, LAYOUT_LOW_RAM_MAX + MIB(2), 0);
	assert_int_equal(gm.slot_count, 2);
	assert_int_equal(gm.slots[0].size, LAYOUT_LOW_RAM_SPLIT);
	assert_int_equal(gm.slots[1].gpa, LAYOUT_HIGH_RAM);
	assert_int_equal(gm.slots[1].size, LAYOUT_LOW_RAM_MAX + MIB(2) - LAYOUT_LOW_RAM_SPLIT);
	assert_ptr_equal(gm.slots[1].host, gm.host + LAYOUT_LOW_RAM_SPLIT);
	assert_int_equal(gm.slots[1].offset, LAYOUT_LOW_RAM_SPLIT);
	gmem_destroy(&gm);
}

/* AMD's hosts map nothing from 1012 GiB to 1 TiB. */
static void huge_ram_goes_around_the_hole_below_1_tib(void **state)
{
	static const struct {
		uint64_t size, low_limit, high, end;
	} rows[] = {
		{ MIB(64), 0, 0, MIB(64) },
		{ MIB(128), MIB(64), GIB(4), GIB(4) + MIB(64) },
		{ GIB(1010), 0, GIB(4), GIB(1012) },
		{ GIB(1010) + MIB(2), 0, GIB(1024), GIB(2032) + MIB(2) },
		{ GIB(1024), 0, GIB(1024), GIB(2046) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct gmem_slot *top;
		uint64_t end_gpa = 0;
		struct gmem gm;

		assert_int_equal(gmem_end(rows[i].size, rows[i].low_limit, &end_gpa, NULL), 0);
		assert_int_equal(end_gpa, rows[i].end);
		create(&gm, rows[i].size, rows[i].low_limit);
		top = &gm.slots[gm.slot_count - 1];
		assert_int_equal(top->gpa, rows[i].high);
		assert_int_equal(top->gpa + top->size, rows[i].end);
		assert_int_equal(top->offset + top->size, rows[i].size);
		gmem_destroy(&gm);
	}
}

static void low_limit_splits_small_ram(void **state)
{
	struct gmem gm;

	create(&gm, MIB(512), MIB(256));
	assert_int_equal(gm.slot_count, 2);
	assert_int_equal(gm.slots[0].size, MIB(256));
	assert_int_equal(gm.slots[1].gpa, LAYOUT_HIGH_RAM);
	assert_int_equal(gm.slots[1].size, MIB(256));
	gmem_destroy(&gm);
	create(&gm, MIB(128), MIB(256));
	assert_int_equal(gm.slot_count, 1);
	gmem_destroy(&gm);
}

static void accesses_are_bounded(void **state)
{
	struct gmem gm;
	uint32_t value = 0x12345678, back = 0;

	create(&gm, MIB(128), MIB(64));
	assert_int_equal(gmem_write(&gm, MIB(64) - 4, &value, 4), 0);
	assert_int_equal(gmem_read(&gm, MIB(64) - 4, &back, 4), 0);
	assert_int_equal(back, value);
	assert_int_equal(gmem_write(&gm, LAYOUT_HIGH_RAM + MIB(64) - 4, &value, 4), 0);
	assert_int_equal(gmem_write(&gm, MIB(64) - 3, &value, 4), -EFAULT);
	assert_int_equal(gmem_write(&gm, MIB(64), &value, 1), -EFAULT);
	assert_int_equal(gmem_read(&gm, LAYOUT_HIGH_RAM - 1, &back, 4), -EFAULT);
	assert_int_equal(gmem_read(&gm, LAYOUT_HIGH_RAM + MIB(64) - 3, &back, 4), -EFAULT);
	assert_int_equal(gmem_read(&gm, UINT64_MAX, &back, 4), -EFAULT);
	assert_null(gmem_host(&gm, 1, UINT64_MAX));
	assert_null(gmem_host(&gm, 0, MIB(64) + 1));
	assert_ptr_equal(gmem_host(&gm, LAYOUT_HIGH_RAM, MIB(64)), gm.host + MIB(64));
	gmem_destroy(&gm);
}

static void memfd_is_sealed(void **state)
{
	struct gmem gm;

	create(&gm, MIB(64), 0);
	assert_int_equal(fcntl(gm.memfd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(ftruncate(gm.memfd, 0), -1);
	assert_int_equal(ftruncate(gm.memfd, (off_t)GIB(1)), -1);
	assert_int_equal(fcntl(gm.memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	gmem_destroy(&gm);
}

static void prefault_populates_every_page(void **state)
{
	static unsigned char resident[MIB(64) / 4096];
	struct gmem gm;
	struct err e = { 0 };

	create(&gm, MIB(64), 0);
	assert_int_equal(gmem_prefault(&gm, 4, &e), 0);
	assert_int_equal(mincore(gm.host, gm.size, resident), 0);
	for (size_t i = 0; i < ARRAY_SIZE(resident); i++)
		assert_true(resident[i] & 1);
	gmem_destroy(&gm);
}

static void missing_hugepages_are_counted(void **state)
{
	struct gmem gm;
	struct err e = { 0 };

	/* More than any test machine sets aside. */
	if (gmem_create(&gm, GIB(512), MIB(2), 0, &e) < 0)
		skip(); /* a kernel without hugetlb */
	assert_int_equal(gmem_prefault(&gm, 2, &e), -ENOMEM);
	assert_non_null(strstr(e.text, "262144 hugepages of 2 MiB"));
	assert_non_null(strstr(e.text, "are free"));
	assert_non_null(strstr(e.hint, "hugepages-2048kB"));
	assert_string_equal(e.code, "hugepages-short");
	gmem_destroy(&gm);
}

struct ram {
	uint64_t size;
	unsigned int slots;
	struct gmem gm;
};

static int ram_make(void *arg, struct err *e)
{
	struct ram *ram = arg;
	int r = gmem_create(&ram->gm, ram->size, 0, 0, e);

	if (r < 0)
		assert_int_equal(ram->gm.memfd, -1);
	else
		assert_int_equal(ram->gm.slot_count, ram->slots);
	return r;
}

static void ram_end(void *arg)
{
	gmem_destroy(&((struct ram *)arg)->gm);
}

static void each_call_may_fail(void **state)
{
	struct ram low = { MIB(64), 1 }, both = { GIB(4), 2 };
	const struct fault_sweep one = { "RAM", &low, ram_make, ram_end, NULL };
	const struct fault_sweep two = { "RAM in two slots", &both, ram_make, ram_end, NULL };

	assert_int_equal(fault_sweep(&one), 7);
	assert_int_equal(fault_sweep(&two), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_out_of_bounds_are_refused),
		cmocka_unit_test(small_ram_is_one_slot),
		cmocka_unit_test(large_ram_is_split_below_4_gib),
		cmocka_unit_test(huge_ram_goes_around_the_hole_below_1_tib),
		cmocka_unit_test(low_limit_splits_small_ram),
		cmocka_unit_test(accesses_are_bounded),
		cmocka_unit_test(memfd_is_sealed),
		cmocka_unit_test(prefault_populates_every_page),
		cmocka_unit_test(missing_hugepages_are_counted),
		cmocka_unit_test(each_call_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
