// SPDX-License-Identifier: BSD-3-Clause
/* Both kinds of DMA space promise the same: most cases run for each. */
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
#include <sys/resource.h>

static uint8_t ram[2][4096] __attribute__((aligned(4096)));

static enum dma_api api;

/* An IOMMU of 4 KiB pages with these addresses; `claim`: so many, it says. */
static void type1_describe(const struct vfio_iova_range *ranges, uint32_t count, uint32_t claim)
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

/* Either kind says it in its own way. */
static void iommu_describe(const struct vfio_iova_range *ranges, uint32_t count, uint32_t claim)
{
	type1_describe(ranges, count, claim);
	for (uint32_t i = 0; i < count; i++)
		fake_vfio.iova[i] = (struct iommu_iova_range){ ranges[i].start, ranges[i].end };
	fake_vfio.iova_count = count;
	fake_vfio.iova_claim = claim != count ? claim : 0;
	fake_vfio.iova_align = 4096;
}

/* Addresses leave out the MSI window and end at 48 bits. */
static int setup(enum dma_api kind)
{
	static const struct vfio_iova_range usable[] = { { 0, 0xfedfffff },
							 { 0xfef00000, (1ULL << 48) - 1 } };

	memset(&fake_vfio, 0, sizeof(fake_vfio));
	api = kind;
	iommu_describe(usable, 2, 2);
	return 0;
}

static int setup_type1(void **state)
{
	return setup(DMA_TYPE1);
}

static int setup_iommufd(void **state)
{
	return setup(DMA_IOMMUFD);
}

static struct dma_space *space_attached(void)
{
	struct dma_space *s = NULL;
	struct err e;

	assert_int_equal(dma_space_create(api, 10, &s, &e), 0);
	assert_int_equal(dma_space_attach(s, 11, "IOMMU group 7", &e), 0);
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
	assert_int_equal(fake_vfio.bytes_mapped, 8192);
	assert_int_equal(dma_space_unmap(s, 0, 8192, &e), -ENOENT);
	assert_int_equal(dma_space_unmap(s, 0, 4096, &e), 0);
	dma_space_destroy(s);
	assert_int_equal(fake_vfio.unmapped, 2);
	assert_int_equal(fake_vfio.bytes_mapped, 0);
	assert_int_equal(fake_vfio.attached, 0);
	assert_int_equal(fake_vfio.ioas, 0);
	/* What is mapped goes before the members, and those before the space. */
	assert_string_equal(fake_vfio.order, api == DMA_TYPE1 ? "AMMUUG" : "AMMUUGX");
}

static void the_type_is_set_once(void **state)
{
	struct dma_space *s = space_attached();

	assert_int_equal(dma_space_attach(s, 12, "IOMMU group 8", NULL), 0);
	assert_int_equal(fake_vfio.iommu_set, api == DMA_TYPE1);
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

	assert_int_equal(dma_space_create(api, 10, &s, NULL), 0);
	assert_int_equal(dma_space_map(s, &r, DMA_READ, NULL), -EINVAL);
	dma_space_destroy(s);
	dma_space_destroy(NULL);
}

static void no_interrupt_remapping_says_so(void **state)
{
	struct dma_space *s = NULL;
	struct err e;

	fake_vfio.refuse_attach = true;
	assert_int_equal(dma_space_create(api, 10, &s, &e), 0);
	assert_int_equal(dma_space_attach(s, 11, "IOMMU group 7", &e), -EPERM);
	assert_non_null(strstr(e.text, "interrupt remapping"));
	assert_non_null(strstr(e.text, "IOMMU group 7"));
	assert_non_null(strstr(e.text, api == DMA_TYPE1 ? "vfio_iommu_type1" : "iommufd's allow"));
	assert_string_equal(e.code, "no-interrupt-remapping");
	assert_string_not_equal(e.hint, "");
	dma_space_destroy(s);
}

static void a_list_that_lies_about_its_length(void **state)
{
	static const struct vfio_iova_range usable[] = { { 0, 0xfff } };
	struct dma_space *s = NULL;

	iommu_describe(usable, 1, 1000000);
	assert_int_equal(dma_space_create(api, 10, &s, NULL), 0);
	assert_int_equal(dma_space_attach(s, 11, "IOMMU group 7", NULL), -EBADMSG);
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

/* A second member may leave less than the first, and what it leaves is all that counts. */
static void another_member_narrows_what_is_usable(void **state)
{
	static const struct vfio_iova_range less[] = { { 0, 0x7fffffff } };
	const struct dma_range high = { GIB(4), 4096, ram[0] }, low = { 0, 4096, ram[0] };
	struct dma_space *s = space_attached();
	struct err e;

	assert_int_equal(dma_space_check(s, &high, &e), 0);
	iommu_describe(less, 1, 1);
	assert_int_equal(dma_space_attach(s, 12, "it", &e), 0);
	assert_int_equal(dma_space_check(s, &high, &e), -ERANGE);
	assert_string_equal(e.code, "iova-out-of-range");
	assert_int_equal(dma_space_check(s, &low, &e), 0);
	/* What it says cannot be read: it is not let in, and the others' limits stay. */
	iommu_describe(less, 1, 1000000);
	assert_int_equal(dma_space_attach(s, 13, "it", &e), -EBADMSG);
	assert_int_equal(fake_vfio.attached, 2);
	assert_int_equal(dma_space_check(s, &high, &e), -ERANGE);
	assert_int_equal(dma_space_check(s, &low, &e), 0);
	dma_space_destroy(s);
}

static void the_last_member_takes_all_maps_along(void **state)
{
	const struct dma_range r = { 0, 4096, ram[0] };
	struct dma_space *s = space_attached();

	assert_int_equal(dma_space_attach(s, 12, "it", NULL), 0);
	assert_int_equal(dma_space_map(s, &r, DMA_READ, NULL), 0);
	assert_int_equal(dma_space_detach(s, 13), -ENOENT);
	assert_int_equal(dma_space_detach(s, 11), 0);
	assert_int_equal(fake_vfio.bytes_mapped, 4096);
	assert_int_equal(dma_space_detach(s, 12), 0);
	assert_int_equal(fake_vfio.bytes_mapped, 0);
	assert_int_equal(fake_vfio.bytes_mapped, 0);
	assert_int_equal(dma_space_map(s, &r, DMA_READ, NULL), -EINVAL);
	/* And it can begin anew. */
	assert_int_equal(dma_space_attach(s, 11, "it", NULL), 0);
	assert_int_equal(dma_space_map(s, &r, DMA_READ, NULL), 0);
	dma_space_destroy(s);
	assert_int_equal(fake_vfio.attached, 0);
	assert_int_equal(fake_vfio.bytes_mapped, 0);
}

static void a_map_that_the_kernel_refuses_says_why(void **state)
{
	static const struct {
		int errnum;
		const char *text[DMA_APIS], *code[DMA_APIS];
	} rows[] = {
		{ ENOMEM,
		  { "Cannot allocate memory", "for this user, of whose processes" },
		  { "", "memlock-short" } },
		{ ENOSPC, { "no further DMA map", "No space left" }, { "", "" } },
		{ EPERM, { "not permitted", "not permitted" }, { "", "" } },
		{ EFAULT, { "Bad address", "Bad address" }, { "", "" } },
	};
	const struct dma_range r = { 0, 4096, ram[0] };
	struct dma_space *s = space_attached();
	struct rlimit was, limit;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &was), 0);
	limit = was;
	limit.rlim_cur = u64_min(MIB(1), was.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };

		fake_vfio.map_errno = rows[i].errnum;
		assert_int_equal(dma_space_map(s, &r, DMA_READ, &e), -rows[i].errnum);
		if (strstr(e.text, rows[i].text[api]) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", rows[i].text[api], e.text);
		assert_string_equal(e.code, rows[i].code[api]);
		assert_int_equal(fake_vfio.bytes_mapped, 0);
	}
	if (was.rlim_max == RLIM_INFINITY) {
		struct err e = { 0 };

		limit.rlim_cur = RLIM_INFINITY;
		assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
		fake_vfio.map_errno = ENOMEM;
		assert_int_equal(dma_space_map(s, &r, DMA_READ, &e), -ENOMEM);
		assert_string_equal(e.code, "");
	}
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &was), 0);
	/* Nothing of it stayed. */
	fake_vfio.map_errno = 0;
	assert_int_equal(dma_space_map(s, &r, DMA_READ, NULL), 0);
	dma_space_destroy(s);
	assert_int_equal(fake_vfio.bytes_mapped, 0);
}

/* The process's own limit is the first thing to look at, whatever the kernel counts. */
static void a_short_limit_is_told_with_its_figures(void **state)
{
	const struct rlimit none = { 0, RLIM_INFINITY };
	const struct dma_range r = { 0, 4096, ram[0] };
	struct dma_space *s = space_attached();
	struct rlimit before;
	struct err e = { 0 };

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	fake_vfio.map_errno = ENOMEM;
	if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ none.rlim_cur, before.rlim_max }) == 0) {
		assert_int_equal(dma_space_map(s, &r, DMA_READ, &e), -ENOMEM);
		assert_non_null(strstr(e.text, "RLIMIT_MEMLOCK allows 0 MiB"));
		assert_string_equal(e.code, "memlock-short");
		assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
	}
	dma_space_destroy(s);
}

static void reserved_addresses_under_guest_memory_say_so(void **state)
{
	struct dma_space *s = space_attached();
	struct err e;

	fake_vfio.attach_errno = EADDRINUSE;
	assert_int_equal(dma_space_attach(s, 12, "cdev:0000:01:10.0", &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "cdev:0000:01:10.0 has reserved addresses"));
	fake_vfio.attach_errno = EBUSY;
	assert_int_equal(dma_space_attach(s, 12, "cdev:0000:01:10.0", &e), -EBUSY);
	assert_non_null(strstr(e.text, "cdev:0000:01:10.0"));
	assert_int_equal(fake_vfio.attached, 1);
	dma_space_destroy(s);
}

static void an_ioas_may_have_many_ranges(void **state)
{
	const struct dma_range r = { 63 * MIB(1), 4096, ram[0] },
			       hole = { 63 * MIB(1) - 4096, 4096, ram[0] };
	struct dma_space *s;

	for (uint64_t i = 0; i < 64; i++)
		fake_vfio.iova[i] = (struct iommu_iova_range){ i * MIB(1), i * MIB(1) + 8191 };
	fake_vfio.iova_count = 64;
	s = space_attached();
	assert_int_equal(fake_vfio.range_asks, 2);
	assert_int_equal(dma_space_check(s, &r, NULL), 0);
	assert_int_equal(dma_space_check(s, &hole, NULL), -ERANGE);
	dma_space_destroy(s);
}

static void what_an_ioas_says_is_checked(void **state)
{
	static const struct {
		uint64_t align, start, last;
		uint32_t count, claim;
		int errnum;
	} rows[] = {
		{ 0, 0, 4095, 1, 0, EPROTO },
		{ 3, 0, 4095, 1, 0, EPROTO },
		{ 1ULL << 40, 0, 4095, 1, 0, EPROTO },
		{ 4096, 0, 4095, 0, 0, EBADMSG }, /* nothing is usable */
		{ 4096, 0, 4095, 1, 33, EBADMSG }, /* more than there was room for */
		{ 4096, 0, 4095, 64, 16, EBADMSG }, /* too many for the room, but fewer */
		{ 4096, 0, 4095, 64, 1U << 30, EBADMSG },
		{ 4096, 4096, 0, 1, 0, EBADMSG },
		{ 4096, 0, 4095, 2, 0, EBADMSG }, /* one twice */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dma_space *s = NULL;
		struct err e = { 0 };

		memset(fake_vfio.iova, 0, sizeof(fake_vfio.iova));
		for (uint32_t k = 0; k < rows[i].count; k++)
			fake_vfio.iova[k] =
				(struct iommu_iova_range){ rows[i].start, rows[i].last };
		fake_vfio.iova_count = rows[i].count;
		fake_vfio.iova_claim = rows[i].claim;
		fake_vfio.iova_align = rows[i].align;
		assert_int_equal(dma_space_create(api, 10, &s, &e), 0);
		assert_int_equal(dma_space_attach(s, 11, "it", &e), -rows[i].errnum);
		assert_int_equal(fake_vfio.attached, 0);
		dma_space_destroy(s);
	}
}

/* An alignment of less than a page is not ours: the device would reach the rest of the page. */
static void an_ioas_maps_whole_pages(void **state)
{
	const struct dma_range half = { 0, 2048, ram[0] };
	struct dma_space *s;

	fake_vfio.iova_align = 1;
	s = space_attached();
	assert_int_equal(dma_space_map(s, &half, DMA_READ, NULL), -EINVAL);
	assert_int_equal(fake_vfio.mapped, 0);
	dma_space_destroy(s);
}

static struct dma_space *swept;

static int space_make(void *arg, struct err *e)
{
	const struct dma_range r = { 0, 4096, ram[0] };
	int result;

	setup(api);
	result = dma_space_create(api, 10, &swept, e);
	if (result < 0)
		return result;
	result = dma_space_attach(swept, 11, "it", e);
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
	assert_int_equal(fake_vfio.ioas, 0);
}

static void each_call_may_fail(void **state)
{
	const struct fault_sweep sweep = { "DMA space", NULL, space_make, space_end,
					   nothing_stays };

	assert_true(fault_sweep(&sweep) > 5);
}

#define TYPE1(name)                                             \
	{                                                       \
#name " (type1)", name, setup_type1, NULL, NULL \
	}
#define IOMMUFD(name)                                               \
	{                                                           \
#name " (iommufd)", name, setup_iommufd, NULL, NULL \
	}
#define BOTH(name) TYPE1(name), IOMMUFD(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(one_map_per_slot_and_all_undone),
		BOTH(the_type_is_set_once),
		BOTH(unreachable_addresses_are_refused),
		BOTH(nothing_before_a_group),
		BOTH(no_interrupt_remapping_says_so),
		BOTH(a_list_that_lies_about_its_length),
		BOTH(short_unmap_is_an_error),
		BOTH(another_member_narrows_what_is_usable),
		BOTH(the_last_member_takes_all_maps_along),
		BOTH(a_map_that_the_kernel_refuses_says_why),
		BOTH(a_short_limit_is_told_with_its_figures),
		IOMMUFD(reserved_addresses_under_guest_memory_say_so),
		IOMMUFD(an_ioas_may_have_many_ranges),
		IOMMUFD(what_an_ioas_says_is_checked),
		IOMMUFD(an_ioas_maps_whole_pages),
		BOTH(each_call_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
