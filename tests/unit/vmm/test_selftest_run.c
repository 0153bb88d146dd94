// SPDX-License-Identifier: BSD-3-Clause
/* The self test's steps on a kernel that is made up: its VFIO function is a file, its guest is the fake's KVM_RUN. */
#include "vmm/kvm.h"
#include "vmm/sandbox.h"
#include "vmm/selftest.h"
#include "vmm/selftest_guest.h"

#include "base/fd.h"
#include "base/json.h"
#include "iommu/vfio.h"
#include "iommu/vfio_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define BAR_BYTES  0x4000
#define CONFIG_AT  0x10000
#define FILE_BYTES 0x20000
#define RUN_BYTES  8192
#define VTEICS	   0x1520

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_sandbox_filter(unsigned int phase, struct err *e);
int __wrap_vfio_device_write(const struct vfio_device *dev, enum vfio_region region, uint64_t off,
			     const void *buf, size_t len);
int __real_vfio_device_write(const struct vfio_device *dev, enum vfio_region region, uint64_t off,
			     const void *buf, size_t len);

/* How the machine is: one thing is wrong with it, or nothing. */
enum wrong {
	NOTHING,
	NO_VM,
	NO_FUNCTION,
	NO_MAP,
	NO_MSIX,
	DEAF_EVENTFD,
	SILENT_FUNCTION,
	OTHER_FUNCTION,
	GUEST_ASTRAY,
	GUEST_WRITES_NOWHERE,
	GUEST_HEARS_NOTHING,
	RESET_REFUSED,
	RESET_CHANGES,
	WRONGS
};

static struct {
	enum wrong wrong;
	int file, event;
	uint8_t *ram;
	struct kvm_run *run;
	unsigned int runs, resets;
	bool is_filtered;
} host;

int __wrap_sandbox_filter(unsigned int phase, struct err *e)
{
	host.is_filtered = phase == SANDBOX_RUN;
	return 0;
}

static void config_put(unsigned int at, uint16_t value)
{
	assert_int_equal(pwrite(host.file, &value, 2, CONFIG_AT + at), 2);
}

static void event_signal(void)
{
	const uint64_t one = 1;

	if (host.wrong != DEAF_EVENTFD)
		assert_int_equal(write(host.event, &one, sizeof(one)), sizeof(one));
}

int __wrap_vfio_device_write(const struct vfio_device *dev, enum vfio_region region, uint64_t off,
			     const void *buf, size_t len)
{
	if (region == VFIO_REGION_BAR0 && off == VTEICS && host.wrong != SILENT_FUNCTION)
		event_signal();
	return __real_vfio_device_write(dev, region, off, buf, len);
}

/* What selftest_guest.S does between two reports. */
static void guest_run(void)
{
	struct selftest_block block;

	assert_true(host.is_filtered);
	memcpy(&block, host.ram + SELFTEST_GUEST_BLOCK, sizeof(block));
	for (uint32_t at = block.touch_from; host.runs == 0 && at < block.touch_to; at += 4096)
		if (host.wrong != GUEST_WRITES_NOWHERE)
			memcpy(host.ram + at, &at, sizeof(at));
	if (host.runs++ > 0 && host.wrong != GUEST_HEARS_NOTHING)
		block.interrupts++;
	memcpy(host.ram + SELFTEST_GUEST_BLOCK, &block, sizeof(block));
	host.run->exit_reason = host.wrong == GUEST_ASTRAY ? KVM_EXIT_SHUTDOWN : KVM_EXIT_IO;
	host.run->io.port = SELFTEST_GUEST_PORT;
}

static void irq_set(const struct vfio_irq_set *set)
{
	if (set->index == VFIO_PCI_MSIX_IRQ_INDEX && (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0)
		memcpy(&host.event, set->data, sizeof(host.event));
	else if (set->index == VFIO_PCI_MSIX_IRQ_INDEX && set->count == 1)
		event_signal();
}

static void region_get(struct vfio_region_info *info)
{
	const bool is_config = info->index == VFIO_PCI_CONFIG_REGION_INDEX;

	info->argsz = sizeof(*info);
	info->size = is_config ? 256 : info->index == 0 ? BAR_BYTES : 0;
	info->offset = is_config ? CONFIG_AT : 0;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		      (info->index == 0 ? VFIO_REGION_INFO_FLAG_MMAP : 0);
}

static int vfio_answer(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_IOMMU_GET_INFO:
		((struct vfio_iommu_type1_info *)arg)->flags = VFIO_IOMMU_INFO_PGSIZES;
		((struct vfio_iommu_type1_info *)arg)->iova_pgsizes = 4096;
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		return host.wrong == NO_FUNCTION ? -ENODEV : dup(host.file);
	case VFIO_DEVICE_GET_INFO:
		((struct vfio_device_info *)arg)->flags = VFIO_DEVICE_FLAGS_PCI |
							  VFIO_DEVICE_FLAGS_RESET;
		((struct vfio_device_info *)arg)->num_regions = 9;
		((struct vfio_device_info *)arg)->num_irqs = 5;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		region_get(arg);
		return 0;
	case VFIO_DEVICE_GET_IRQ_INFO:
		((struct vfio_irq_info *)arg)->flags = VFIO_IRQ_INFO_EVENTFD;
		((struct vfio_irq_info *)arg)->count = host.wrong == NO_MSIX ? 0 : 3;
		return 0;
	case VFIO_DEVICE_SET_IRQS:
		irq_set(arg);
		return 0;
	case VFIO_DEVICE_RESET:
		if (host.resets++ == 0 && host.wrong == RESET_CHANGES)
			config_put(PCI_REVISION_ID, 0x1234);
		return host.wrong == RESET_REFUSED ? -EIO : 0;
	case VFIO_IOMMU_MAP_DMA:
		return host.wrong == NO_MAP ? -ENOMEM : 0;
	default:
		return 0;
	}
}

static int kvm_answer(unsigned long request, void *arg)
{
	const struct kvm_userspace_memory_region *region = arg;

	switch (request) {
	case KVM_CREATE_VM:
		return host.wrong == NO_VM ? -EMFILE : dup(host.file);
	case KVM_CREATE_VCPU:
		return dup(host.file);
	case KVM_CREATE_DEVICE:
		((struct kvm_create_device *)arg)->fd = (uint32_t)dup(host.file);
		return 0;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_BYTES;
	case KVM_SET_USER_MEMORY_REGION:
		if (region->slot == 0)
			host.ram = (uint8_t *)(uintptr_t)region->userspace_addr;
		return 0;
	case KVM_RUN:
		guest_run();
		return 0;
	default:
		return 0;
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	r = _IOC_TYPE(request) == VFIO_TYPE ? vfio_answer(request, arg) : kvm_answer(request, arg);
	errno = r < 0 ? -r : errno;
	return r < 0 ? -1 : r;
}

static json_t *run(enum wrong wrong)
{
	struct selftest_spec spec;
	struct err e = { 0 };
	json_t *result = NULL;

	memset(&host, 0, sizeof(host));
	host.wrong = wrong;
	host.file = memfd_create("function", MFD_CLOEXEC);
	assert_int_equal(ftruncate(host.file, FILE_BYTES), 0);
	/* The page of struct kvm_run is the file's first one, too: nothing here looks at BAR 0's own. */
	host.run = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, host.file, 0);
	assert_ptr_not_equal(host.run, MAP_FAILED);
	config_put(PCI_VENDOR_ID, 0x8086);
	config_put(PCI_DEVICE_ID, wrong == OTHER_FUNCTION ? 0x1889 : 0x10ca);
	selftest_spec_init(&spec);
	spec.kvm = dup(host.file);
	spec.container = dup(host.file);
	spec.group_fd = dup(host.file);
	assert_int_equal(selftest_run(&spec, &result, &e), 0);
	assert_true(host.is_filtered);
	assert_int_equal(json_array_size(json_object_get(result, "steps")), 7);
	selftest_spec_fini(&spec);
	munmap(host.run, RUN_BYTES);
	close(host.file);
	return result;
}

static const char *member(const json_t *result, const char *id, const char *key)
{
	const json_t *step;
	size_t i;

	json_array_foreach(json_object_get(result, "steps"), i, step)
		if (strcmp(json_string_value(json_object_get(step, "id")), id) == 0)
			return json_string_value(json_object_get(step, key));
	fail_msg("no step %s", id);
	return NULL;
}

static void what_is_right_passes(void **state)
{
	auto_json json_t *result = run(NOTHING);
	const json_t *step;
	size_t i;

	json_array_foreach(json_object_get(result, "steps"), i, step)
		if (strcmp(json_string_value(json_object_get(step, "result")), "pass") != 0)
			fail_msg("%s", json_string_value(json_object_get(step, "text")));
	assert_int_equal(json_integer_value(json_object_get(result, "sent")), 64);
	/* It was given no /proc/interrupts. */
	assert_int_equal(json_integer_value(json_object_get(result, "host_counted")), -1);
	assert_int_equal(host.resets, 2); /* the step's, and the one that leaves it quiet */
}

/* Each fault is its step's, with the words that say what it is; what does not need it goes on. */
static void what_is_wrong_is_said(void **state)
{
	static const struct {
		enum wrong wrong;
		const char *step, *result, *words;
		const char *goes_on; /* passes all the same */
		const char *held; /* is not run for it; or NULL */
	} rows[] = {
		{ NO_VM, "vcpu", "fail", "make a VM", "device-interrupt", "guest-interrupt" },
		{ NO_FUNCTION, "function", "fail", "vfio-pci", "vcpu", "reset" },
		{ NO_MAP, "dma", "fail", "", "guest-interrupt", NULL },
		{ NO_MSIX, "vfio-interrupt", "not-run", "no MSI-X", "reset", "guest-interrupt" },
		{ DEAF_EVENTFD, "vfio-interrupt", "fail", "trigger 1 of", "reset",
		  "device-interrupt" },
		{ SILENT_FUNCTION, "device-interrupt", "fail", "message 1 of", "guest-interrupt",
		  NULL },
		{ OTHER_FUNCTION, "device-interrupt", "not-run", "8086:1889", "guest-interrupt",
		  NULL },
		{ GUEST_ASTRAY, "vcpu", "fail", "astray: exit 8", "dma", "guest-interrupt" },
		{ GUEST_WRITES_NOWHERE, "vcpu", "fail", "in 0 of 768", "dma", "guest-interrupt" },
		{ GUEST_HEARS_NOTHING, "guest-interrupt", "fail", "did not get", "reset", NULL },
		{ RESET_REFUSED, "reset", "fail", "VFIO_DEVICE_RESET", "guest-interrupt", NULL },
		{ RESET_CHANGES, "reset", "fail", "differs at 0x8: 0x34", "guest-interrupt", NULL },
	};

	assert_int_equal(ARRAY_SIZE(rows), WRONGS - 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *result = run(rows[i].wrong);

		if (strstr(member(result, rows[i].step, "text"), rows[i].words) == NULL)
			fail_msg("%s: %s", rows[i].step, member(result, rows[i].step, "text"));
		assert_string_equal(member(result, rows[i].step, "result"), rows[i].result);
		assert_string_equal(member(result, rows[i].goes_on, "result"), "pass");
		if (rows[i].held != NULL)
			assert_string_equal(member(result, rows[i].held, "result"), "not-run");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_right_passes),
		cmocka_unit_test(what_is_wrong_is_said),
	};

	return cmocka_run_group_tests_name("vmm-selftest_run", tests, NULL, NULL);
}
