// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"
#include "tests/fake/vfio_kernel.h"

#include "iommu/vfio_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>

static const struct pci_addr vf = { 0, 1, 0x10, 0 };

static void region_put(unsigned int index, uint32_t flags, uint64_t size)
{
	struct vfio_region_info r = { .argsz = sizeof(r),
				      .flags = flags,
				      .index = index,
				      .size = size,
				      .offset = (uint64_t)index << 40 };

	memcpy(fake_vfio.region[index], &r, sizeof(r));
}

/* Sparse areas behind the region's head; `claim` is what the count says. */
static void sparse_put(unsigned int index, const struct vfio_region_sparse_mmap_area *areas,
		       uint32_t count, uint32_t claim)
{
	struct vfio_region_info_cap_sparse_mmap cap = {
		.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .nr_areas = claim
	};
	struct vfio_region_info r;

	memcpy(&r, fake_vfio.region[index], sizeof(r));
	r.flags |= VFIO_REGION_INFO_FLAG_CAPS;
	r.cap_offset = sizeof(r);
	r.argsz = (uint32_t)(sizeof(r) + sizeof(cap) + count * sizeof(*areas));
	memcpy(fake_vfio.region[index], &r, sizeof(r));
	memcpy(fake_vfio.region[index] + sizeof(r), &cap, sizeof(cap));
	memcpy(fake_vfio.region[index] + sizeof(r) + sizeof(cap), areas, count * sizeof(*areas));
}

#define RW  (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
#define RWM (RW | VFIO_REGION_INFO_FLAG_MMAP)

static int setup(void **state)
{
	memset(&fake_vfio, 0, sizeof(fake_vfio));
	fake_vfio.device =
		(struct vfio_device_info){ .argsz = sizeof(struct vfio_device_info),
					   .flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
					   .num_regions = 9,
					   .num_irqs = 5 };
	region_put(0, RWM, 16384);
	region_put(3, RW, 16384);
	region_put(7, RW, 4096);
	for (uint32_t i = 0; i < 5; i++)
		fake_vfio.irq[i] = (struct vfio_irq_info){ sizeof(struct vfio_irq_info),
							   VFIO_IRQ_INFO_EVENTFD, i,
							   i == 2 ? 3 : 1 };
	return 0;
}

static void facts_of_a_device(void **state)
{
	struct vfio_device d;
	struct err e;

	assert_int_equal(vfio_device_open(&d, 11, &vf, &e), 0);
	assert_true(d.can_reset);
	assert_int_equal(d.regions[0].size, 16384);
	assert_int_equal(d.regions[0].area_count, 1);
	assert_int_equal(d.regions[0].areas[0].size, 16384);
	assert_int_equal(d.regions[3].area_count, 0);
	assert_int_equal(d.regions[1].size, 0);
	assert_int_equal(d.irqs[VFIO_IRQ_MSIX].count, 3);
	vfio_device_close(&d);
	assert_int_equal(d.fd, -1);
}

/* A vector that there is; the kernel hears of no other. */
static void vectors_are_raised_within_their_count(void **state)
{
	struct vfio_device d;
	unsigned int before;

	assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
	before = fake_vfio.irq_sets;
	assert_int_equal(vfio_device_irq_raise(&d, VFIO_IRQ_MSIX, 2), 0);
	assert_int_equal(fake_vfio.irq_sets, before + 1);
	assert_int_equal(vfio_device_irq_raise(&d, VFIO_IRQ_MSIX, 3), -EINVAL);
	assert_int_equal(fake_vfio.irq_sets, before + 1);
	vfio_device_close(&d);
}

static void sparse_areas(void **state)
{
	const struct vfio_region_sparse_mmap_area good[] = { { 0, 4096 }, { 8192, 8192 } };
	const struct vfio_region_sparse_mmap_area bad[][1] = { { { 8192, 16384 } },
							       { { 100, 4096 } },
							       { { 0, 100 } },
							       { { UINT64_MAX - 4095, 4096 } } };
	struct vfio_device d;

	sparse_put(0, good, 2, 2);
	assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
	assert_int_equal(d.regions[0].area_count, 2);
	assert_int_equal(d.regions[0].areas[1].offset, 8192);
	vfio_device_close(&d);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		region_put(0, RWM, 16384);
		sparse_put(0, bad[i], 1, 1);
		assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
		assert_int_equal(d.regions[0].area_count, 0);
		vfio_device_close(&d);
	}
	region_put(0, RWM, 16384);
	sparse_put(0, good, 2, 500000);
	assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
	assert_int_equal(d.regions[0].area_count, 0);
	vfio_device_close(&d);
}

static void accesses_stay_inside(void **state)
{
	struct vfio_device d;
	uint32_t v = 0;

	assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
	/* /dev/zero stands for the device: reads inside give zeros. */
	assert_int_equal(vfio_device_read(&d, VFIO_REGION_CONFIG, 4092, &v, 4), 0);
	assert_int_equal(v, 0);
	assert_int_equal(vfio_device_read(&d, VFIO_REGION_CONFIG, 4093, &v, 4), -EINVAL);
	assert_int_equal(v, UINT32_MAX);
	assert_int_equal(vfio_device_read(&d, VFIO_REGION_CONFIG, UINT64_MAX, &v, 4), -EINVAL);
	assert_int_equal(vfio_device_write(&d, VFIO_REGION_CONFIG, 4095, &v, 2), -EINVAL);
	assert_int_equal(vfio_device_write(&d, VFIO_REGION_BAR0 + 1, 0, &v, 1), -EINVAL);
	vfio_device_close(&d);
}

static void interrupts_stay_inside(void **state)
{
	const int fds[4] = { -1, -1, -1, -1 };
	struct vfio_device d;

	assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
	assert_int_equal(vfio_device_irq_set(&d, VFIO_IRQ_MSIX, 0, fds, 3), 0);
	assert_int_equal(vfio_device_irq_set(&d, VFIO_IRQ_MSIX, 0, fds, 4), -EINVAL);
	assert_int_equal(vfio_device_irq_set(&d, VFIO_IRQ_MSIX, UINT32_MAX, fds, 2), -EINVAL);
	assert_int_equal(vfio_device_irq_set(&d, VFIO_IRQ_MSIX, 0, fds, 0), -EINVAL);
	assert_int_equal(fake_vfio.irq_sets, 1);
	vfio_device_close(&d);
}

static void strange_devices_are_refused(void **state)
{
	struct vfio_device d;
	struct err e;

	fake_vfio.device.flags = 0;
	assert_int_equal(vfio_device_open(&d, 11, &vf, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "0000:01:10.0"));
	setup(NULL);
	region_put(7, RW, 64);
	assert_int_equal(vfio_device_open(&d, 11, &vf, &e), -EBADMSG);
	setup(NULL);
	region_put(7, RW, UINT64_MAX);
	assert_int_equal(vfio_device_open(&d, 11, &vf, &e), -EBADMSG);
	assert_int_equal(d.fd, -1);
}

static void quiet_means_reset(void **state)
{
	struct vfio_device d;

	assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
	assert_int_equal(vfio_device_quiesce(&d), 0);
	assert_int_equal(fake_vfio.resets, 1);
	assert_int_equal(fake_vfio.irq_sets, 5);
	vfio_device_close(&d);
	assert_int_equal(vfio_device_quiesce(&d), 0);
}

static int device_make(void *arg, struct err *e)
{
	struct vfio_device *d = arg;
	int r;

	setup(NULL);
	r = vfio_device_open(d, 11, &vf, e);
	if (r < 0)
		assert_int_equal(d->fd, -1);
	return r;
}

static void device_end(void *arg)
{
	vfio_device_close(arg);
}

static void each_call_may_fail(void **state)
{
	struct vfio_device d;
	const struct fault_sweep sweep = { "VFIO device", &d, device_make, device_end, NULL };

	assert_true(fault_sweep(&sweep) > 20);
}

static void *mapped;

static int area_map(void *arg, struct err *e)
{
	const struct vfio_area area = { 0, 8192 };

	return vfio_device_map(arg, VFIO_REGION_BAR0, &area, &mapped, e);
}

static void area_unmap(void *arg)
{
	vfio_device_unmap(mapped, 8192);
}

/* Its own reservation included, which may fail without harm: alignment is only lost. */
static void mapping_an_area_leaves_nothing_when_it_fails(void **state)
{
	struct vfio_device d;
	const struct fault_sweep sweep = { "map of an area", &d, area_map, area_unmap, NULL };

	assert_int_equal(vfio_device_open(&d, 11, &vf, NULL), 0);
	assert_int_equal(fault_sweep(&sweep), 2);
	vfio_device_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(facts_of_a_device, setup),
		cmocka_unit_test_setup(vectors_are_raised_within_their_count, setup),
		cmocka_unit_test_setup(sparse_areas, setup),
		cmocka_unit_test_setup(accesses_stay_inside, setup),
		cmocka_unit_test_setup(interrupts_stay_inside, setup),
		cmocka_unit_test_setup(strange_devices_are_refused, setup),
		cmocka_unit_test_setup(quiet_means_reset, setup),
		cmocka_unit_test_setup(each_call_may_fail, setup),
		cmocka_unit_test_setup(mapping_an_area_leaves_nothing_when_it_fails, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
