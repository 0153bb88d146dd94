// SPDX-License-Identifier: BSD-3-Clause
/* Device files: found in a sysfs made of files, opened below a /dev made of files, bound by a kernel that is a fake. */
#include "tests/fake/fault_sweep.h"
#include "tests/fake/vfio_kernel.h"

#include "iommu/vfio_cdev.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FN "0000:01:10.0"

static char root[64];
static int root_fd = -1;

static void file_make(const char *path)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *slash = strchr(full + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(full, 0700);
		*slash = '/';
	}
	fd = open(full, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

/* A device with a number: /dev/null's. */
static void cdev_place(const char *number)
{
	char full[256];
	FILE *f;

	file_make("vfio/devices/other");
	snprintf(full, sizeof(full), "%s/vfio/devices/vfio3", root);
	(void)unlink(full);
	assert_int_equal(symlink("/dev/null", full), 0);
	file_make("sys/bus/pci/devices/" FN "/vfio-dev/vfio3/dev");
	snprintf(full, sizeof(full), "%s/sys/bus/pci/devices/" FN "/vfio-dev/vfio3/dev", root);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(number, f);
	assert_int_equal(fclose(f), 0);
}

static int cdev_make(void *fd, struct err *e)
{
	return vfio_cdev_open(&(struct vfio_cdev_at){ root, root_fd, FN }, 10, fd, e);
}

static int setup(void **state)
{
	memset(&fake_vfio, 0, sizeof(fake_vfio));
	strcpy(root, "/tmp/viaduct-cdev-XXXXXX");
	assert_non_null(mkdtemp(root));
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0;
}

static int teardown(void **state)
{
	char command[128];

	fd_close(&root_fd);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void a_function_has_a_file_if_it_has_a_number(void **state)
{
	char name[VFIO_CDEV_NAME] = "";

	/* Not on vfio-pci; on it, in a kernel without device files; in one that has them. */
	assert_int_equal(vfio_cdev_find(root_fd, FN, name), -ENOENT);
	file_make("sys/bus/pci/devices/" FN "/vfio-dev/vfio3/power");
	assert_int_equal(vfio_cdev_find(root_fd, FN, name), -ENOENT);
	file_make("sys/bus/pci/devices/" FN "/vfio-dev/other/dev");
	file_make("sys/bus/pci/devices/" FN "/vfio-dev/vfio"
		  "0123456789012345678901234567890/dev");
	assert_int_equal(vfio_cdev_find(root_fd, FN, name), -ENOENT);
	file_make("sys/bus/pci/devices/" FN "/vfio-dev/vfio3/dev");
	assert_int_equal(vfio_cdev_find(root_fd, FN, name), 0);
	assert_string_equal(name, "vfio3");
	assert_int_equal(vfio_cdev_find(-1, "ffff:ff:1f.7", name), -ENOENT);
}

static void memory_is_counted_by_process_where_we_may_choose(void **state)
{
	struct err e;
	int fd = -1;

	assert_false(iommufd_is_there(root));
	assert_int_equal(iommufd_open(root, &fd, &e), -ENOENT);
	assert_string_equal(e.code, "no-iommufd");
	assert_non_null(strstr(e.hint, "modprobe iommufd"));
	file_make("iommu");
	assert_true(iommufd_is_there(root));
	assert_int_equal(iommufd_open(root, &fd, &e), 0);
	assert_int_equal(fake_vfio.accounting, 1);
	fd_close(&fd);
	fake_vfio.option_errno = EPERM; /* it counts by user: each VM has its own */
	assert_int_equal(iommufd_open(root, &fd, &e), 0);
	fd_close(&fd);
	fake_vfio.option_errno = ENOTTY; /* whatever it is, it is no iommufd */
	assert_int_equal(iommufd_open(root, &fd, &e), -ENOTTY);
	assert_int_equal(fd, -1);
}

static void a_bond_that_the_kernel_refuses_says_why(void **state)
{
	static const struct {
		int errnum, r;
		const char *code, *text;
	} rows[] = {
		{ EINVAL, -EBUSY, "group-busy", "VFIO device vfio3: another process has it" },
		{ EBUSY, -EBUSY, "group-busy", "VFIO device vfio3: another process has it" },
		{ EPERM, -EPERM, "no-interrupt-remapping", "iommufd's allow_unsafe_interrupts" },
		{ ENOMEM, -ENOMEM, "", "bind it to the iommufd: Cannot allocate" },
	};
	struct err e;
	int fd = -1;

	assert_int_equal(cdev_make(&fd, &e), -ENOENT);
	assert_string_equal(e.code, "no-cdev");
	assert_false(vfio_cdev_is_usable(&(struct vfio_cdev_at){ root, root_fd, FN }));
	/* The file of something else: it is not bound, which would reset that. */
	cdev_place("1:5\n");
	assert_int_equal(cdev_make(&fd, &e), -ENODEV);
	assert_string_equal(e.code, "no-cdev");
	assert_int_equal(fake_vfio.bound, 0);
	cdev_place("1:3\n");
	assert_true(vfio_cdev_is_usable(&(struct vfio_cdev_at){ root, root_fd, FN }));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		e = (struct err){ 0 };
		fake_vfio.bind_errno = rows[i].errnum;
		assert_int_equal(cdev_make(&fd, &e), rows[i].r);
		assert_string_equal(e.code, rows[i].code);
		if (strstr(e.text, rows[i].text) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", rows[i].text, e.text);
		assert_int_equal(fd, -1);
	}
	fake_vfio.bind_errno = 0;
	assert_int_equal(cdev_make(&fd, &e), 0);
	assert_int_equal(fake_vfio.bound, 1);
	fd_close(&fd);
}

static int iommufd_make(void *fd, struct err *e)
{
	return iommufd_open(root, fd, e);
}

static void fd_end(void *fd)
{
	fd_close(fd);
}

static void each_call_may_fail(void **state)
{
	int fd = -1;
	const struct fault_sweep iommufd = { "iommufd", &fd, iommufd_make, fd_end, NULL };
	const struct fault_sweep cdev = { "device file", &fd, cdev_make, fd_end, NULL };

	file_make("iommu");
	cdev_place("1:3\n");
	assert_int_equal(fault_sweep(&iommufd), 2);
	assert_int_equal(fault_sweep(&cdev), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_function_has_a_file_if_it_has_a_number, setup,
						teardown),
		cmocka_unit_test_setup_teardown(memory_is_counted_by_process_where_we_may_choose,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_bond_that_the_kernel_refuses_says_why, setup,
						teardown),
		cmocka_unit_test_setup_teardown(each_call_may_fail, setup, teardown),
	};

	return cmocka_run_group_tests_name("iommu-vfio_cdev", tests, NULL, NULL);
}
