// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"
#include "tests/fake/vfio_kernel.h"

#include "iommu/dma.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>

static uint8_t ram[2][4096] __attribute__((aligned(4096)));

/* An IOMMU of 4 KiB pages whose addresses leave out the MSI window and end at 48 bits. */
static void iommu_describe(const struct vfio_iova_range *ranges, uint32_t count, uint32_t claim)
{
	struct vfio_iommu_type1_info info = { .flags = VFIO_IOMMU_INFO_PGSIZES |
						       VFIO_IOMMU_INFO_CAPS,
					      .iova_pgsizes = 0x40201000,
					      .cap_offset = sizeof(info) };
	struct vfio_iommu_type1_info_cap_iova_range cap = {
		.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .nr_iovas = claim
	};
	size_t at = sizeof(info);

	info.argsz = (uint32_t)(sizeof(info) + sizeof(cap) + count * sizeof(*ranges));
	memcpy(fake_vfio.iommu_info, &info, sizeof(info));
	memcpy(fake_vfio.iommu_info + at, &cap, sizeof(cap));
	memcpy(fake_vfio.iommu_info + at + sizeof(cap), ranges, count * sizeof(*ranges));
}

static int setup(void **state)
{
	static const struct vfio_iova_range usable[] = { { 0, 0xfedfffff },
							 { 0xfef00000, (1ULL << 48) - 1 } };

	memset(&fake_vfio, 0, sizeof(fake_vfio));
	iommu_describe(usable, 2, 2);
	return 0;
}

static struct dma_space *space_attached(void)
{
	struct dma_space *s = NULL;
	struct err e;

	assert_int_equal(dma_space_create(10, &s, &e), 0);
	assert_int_equal(dma_space_attach(s, 11, 7, &e), 0);
	return s;
}

static void one_map_per_slot_and_all_undone(void **state)
{
	struct dma_range low = { 0, 4096, ram[0] }, high = { GIB(4), 4096, ram[1] };
	struct dma_space *s = space_attached();
	struct err e;

	assert_int_equal(dma_space_map(s, &low, DMA_READ | DMA_WRITE, &e), 0);
	assert_int_equal(dma_space_map(s, &high, DMA_READ | DMA_WRITE, &e), 0);
	assert_int_equal(dma_space_map(s, &high, DMA_READ, &e), -EEXIST);
	assert_int_equal(fake_vfio.mapped, 2);
	assert_int_equal(dma_space_mapped(s), 8192);
	assert_int_equal(dma_space_unmap(s, 0, 8192, &e), -ENOENT);
	assert_int_equal(dma_space_unmap(s, 0, 4096, &e), 0);
	dma_space_destroy(s);
	assert_int_equal(fake_vfio.unmapped, 2);
	assert_int_equal(fake_vfio.bytes_mapped, 0);
	assert_int_equal(fake_vfio.attached, 0);
}

static void the_type_is_set_once(void **state)
{
	struct dma_space *s = space_attached();

	assert_int_equal(dma_space_attach(s, 12, 8, NULL), 0);
	assert_int_equal(fake_vfio.iommu_set, 1);
	assert_int_equal(fake_vfio.attached, 2);
	dma_space_destroy(s);
	assert_int_equal(fake_vfio.attached, 0);
}

static void unreachable_addresses_are_refused(void **state)
{
	const struct dma_range bad[] = {
		{ 0xfedff000, 8192, ram[0] }, /* runs into the MSI window */
		{ 0xfee00000, 4096, ram[0] },
		{ 1ULL << 48, 4096, ram[0] },
		{ UINT64_MAX - 4095, 8192, ram[0] },
		{ 0, 0, ram[0] },
		{ 512, 4096, ram[0] },
		{ 0, 4096, ram[0] + 1 },
	};
	struct dma_space *s = space_attached();
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(dma_space_map(s, &bad[i], DMA_READ, &e) < 0);
	assert_int_equal(fake_vfio.mapped, 0);
	assert_int_equal(dma_space_check(s, &bad[0], &e), -ERANGE);
	assert_non_null(strstr(e.text, "0xfedfffff"));
	dma_space_destroy(s);
}

static void nothing_before_a_group(void **state)
{
	struct dma_range r = { 0, 4096, ram[0] };
	struct dma_space *s = NULL;

	assert_int_equal(dma_space_create(10, &s, NULL), 0);
	assert_int_equal(dma_space_map(s, &r, DMA_READ, NULL), -EINVAL);
	dma_space_destroy(s);
	dma_space_destroy(NULL);
}

static void no_interrupt_remapping_says_so(void **state)
{
	struct dma_space *s = NULL;
	struct err e;

	fake_vfio.refuse_attach = true;
	assert_int_equal(dma_space_create(10, &s, &e), 0);
	assert_int_equal(dma_space_attach(s, 11, 7, &e), -EPERM);
	assert_non_null(strstr(e.text, "interrupt remapping"));
	assert_string_not_equal(e.hint, "");
	dma_space_destroy(s);
}

static void a_list_that_lies_about_its_length(void **state)
{
	static const struct vfio_iova_range usable[] = { { 0, 0xfff } };
	struct dma_space *s = NULL;

	iommu_describe(usable, 1, 1000000);
	assert_int_equal(dma_space_create(10, &s, NULL), 0);
	assert_int_equal(dma_space_attach(s, 11, 7, NULL), -EBADMSG);
	assert_int_equal(fake_vfio.attached, 0);
	dma_space_destroy(s);
}

static void short_unmap_is_an_error(void **state)
{
	struct dma_range r = { 0, 4096, ram[0] };
	struct dma_space *s = space_attached();

	assert_int_equal(dma_space_map(s, &r, DMA_READ, NULL), 0);
	fake_vfio.short_unmap = 4096;
	assert_int_equal(dma_space_unmap(s, 0, 4096, NULL), -EIO);
	dma_space_destroy(s);
}

static struct dma_space *swept;

static int space_make(void *arg, struct err *e)
{
	const struct dma_range r = { 0, 4096, ram[0] };
	int result;

	setup(NULL);
	result = dma_space_create(10, &swept, e);
	if (result < 0)
		return result;
	result = dma_space_attach(swept, 11, 7, e);
	if (result == 0)
		result = dma_space_map(swept, &r, DMA_READ, e);
	if (result < 0)
		dma_space_destroy(swept);
	return result;
}

static void space_end(void *arg)
{
	dma_space_destroy(swept);
}

static void nothing_stays(void *arg)
{
	assert_int_equal(fake_vfio.attached, 0);
	assert_int_equal(fake_vfio.bytes_mapped, 0);
}

static void each_call_may_fail(void **state)
{
	const struct fault_sweep sweep = { "DMA space", NULL, space_make, space_end,
					   nothing_stays };

	assert_true(fault_sweep(&sweep) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_map_per_slot_and_all_undone, setup),
		cmocka_unit_test_setup(the_type_is_set_once, setup),
		cmocka_unit_test_setup(unreachable_addresses_are_refused, setup),
		cmocka_unit_test_setup(nothing_before_a_group, setup),
		cmocka_unit_test_setup(no_interrupt_remapping_says_so, setup),
		cmocka_unit_test_setup(a_list_that_lies_about_its_length, setup),
		cmocka_unit_test_setup(short_unmap_is_an_error, setup),
		cmocka_unit_test_setup(each_call_may_fail, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
