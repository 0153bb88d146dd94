// SPDX-License-Identifier: BSD-3-Clause
/* /dev/vfio is this file's: open(2) comes here. */
#include "tests/fake/fault.h"
#include "tests/fake/fault_sweep.h"
#include "tests/fake/vfio_kernel.h"

#include "iommu/vfio_group.h"

#include "base/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static int open_errno; /* of every file below /dev/vfio */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	if (fault_hits("open", EMFILE))
		return -1;
	if (strncmp(path, "/dev/vfio/", strlen("/dev/vfio/")) != 0)
		return __real_open64(path, flags);
	if (open_errno == 0)
		return __real_open64("/dev/null", flags);
	errno = open_errno;
	return -1;
}

static int setup(void **state)
{
	memset(&fake_vfio, 0, sizeof(fake_vfio));
	fake_vfio.group_flags = VFIO_GROUP_FLAGS_VIABLE;
	open_errno = 0;
	return 0;
}

static void expect(int r, int want, const struct err *e, const char *text)
{
	assert_int_equal(r, want);
	if (strstr(e->text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, e->text);
}

static void container_must_be_one_that_serves(void **state)
{
	struct err e;
	int fd = -1;

	assert_int_equal(vfio_container_open(&fd, &e), 0);
	assert_true(fd >= 0);
	fd_close(&fd);
	fake_vfio.api_version = 1;
	expect(vfio_container_open(&fd, &e), -EPROTO, &e, "VFIO API version is 1, 0 is needed");
	fake_vfio.api_version = 0;
	fake_vfio.no_type1v2 = true;
	expect(vfio_container_open(&fd, &e), -EOPNOTSUPP, &e, "no type1v2 IOMMU");
	assert_string_equal(e.hint, "modprobe vfio_iommu_type1");
	assert_int_equal(fd, -1);
}

static void container_that_cannot_be_opened_names_the_remedy(void **state)
{
	struct err e;
	int fd = -1;

	open_errno = ENOENT;
	expect(vfio_container_open(&fd, &e), -ENOENT, &e, "open /dev/vfio/vfio: No such file");
	assert_string_equal(e.hint, "modprobe vfio-pci");
	assert_string_equal(e.code, "no-vfio");
	open_errno = EACCES;
	expect(vfio_container_open(&fd, &e), -EACCES, &e, "Permission denied");
	assert_string_equal(e.hint, "run viaductd as root");
}

static void group_that_cannot_be_opened_names_the_remedy(void **state)
{
	static const struct {
		int errnum;
		const char *code, *text, *hint;
	} rows[] = {
		{ EBUSY, "group-busy", "IOMMU group 26 is held by another process",
		  "viaduct vm list" },
		{ ENOENT, "group-unbound", "none of its functions is on vfio-pci",
		  "modprobe vfio-pci" },
		{ EACCES, "group-not-allowed", "Permission denied", "run viaductd as root" },
		{ EPERM, "group-not-allowed", "not permitted", "run viaductd as root" },
		{ ENODEV, "", "open /dev/vfio/26: No such device", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e;
		int fd = -1;

		open_errno = rows[i].errnum;
		expect(vfio_group_open(26, &fd, &e), -rows[i].errnum, &e, rows[i].text);
		assert_string_equal(e.code, rows[i].code);
		assert_non_null(strstr(e.hint, rows[i].hint));
		assert_int_equal(fd, -1);
	}
}

static void group_with_foreign_members_is_refused(void **state)
{
	struct err e;
	int fd = -1;

	/* No such group in this machine's sysfs, so nobody can be named. */
	fake_vfio.group_flags = 0;
	expect(vfio_group_open(4000000, &fd, &e), -EPERM, &e,
	       "IOMMU group 4000000 cannot be assigned: it is not viable");
	assert_int_equal(fd, -1);
	fake_vfio.group_flags = VFIO_GROUP_FLAGS_VIABLE;
	assert_int_equal(vfio_group_open(26, &fd, &e), 0);
	fd_close(&fd);
}

static int container_make(void *fd, struct err *e)
{
	return vfio_container_open(fd, e);
}

static int group_make(void *fd, struct err *e)
{
	return vfio_group_open(26, fd, e);
}

static void fd_end(void *fd)
{
	fd_close(fd);
}

static void each_call_may_fail(void **state)
{
	int fd = -1;
	const struct fault_sweep container = { "container", &fd, container_make, fd_end, NULL };
	const struct fault_sweep group = { "group", &fd, group_make, fd_end, NULL };

	assert_int_equal(fault_sweep(&container), 3);
	assert_int_equal(fault_sweep(&group), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(container_must_be_one_that_serves, setup),
		cmocka_unit_test_setup(container_that_cannot_be_opened_names_the_remedy, setup),
		cmocka_unit_test_setup(group_that_cannot_be_opened_names_the_remedy, setup),
		cmocka_unit_test_setup(group_with_foreign_members_is_refused, setup),
		cmocka_unit_test_setup(each_call_may_fail, setup),
	};

	return cmocka_run_group_tests_name("iommu-vfio_group", tests, NULL, NULL);
}
