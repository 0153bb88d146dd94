// SPDX-License-Identifier: BSD-3-Clause
/* iommufd or type1, on hosts made of files that have more or less of either. */
#include "tests/fake/sysfs_tree.h"

#include "base/fd.h"
#include "iommu/vfio_cdev.h"
#include "vf-manager/dmachoice.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/privops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define A  "0000:04:00.0"
#define B  "0000:05:00.0"
#define FN "bus/pci/devices/"

static struct options opt;
static struct daemon d;
static const struct pci_addr fns[] = { { .bus = 4 }, { .bus = 5 } };
static int iommufd_errno, group_errno, bind_errno;
static unsigned int containers, iommufds, groups, bonds; /* opened so far */
static struct err err;

static int fd_give(unsigned int *count, int errnum, int *fd, struct err *e)
{
	if (errnum != 0)
		return err_set(e, errnum, "the kernel says no");
	++*count;
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return 0;
}

int __wrap_vfio_container_open(int *fd, struct err *e);
int __wrap_vfio_group_open(uint32_t nr, int *fd, struct err *e);
int __wrap_iommufd_open(const char *dev_dir, int *fd, struct err *e);
int __wrap_vfio_cdev_open(const struct vfio_cdev_at *at, int iommufd, int *fd, struct err *e);
int __wrap_host_root_open(const struct daemon *daemon);

int __wrap_vfio_container_open(int *fd, struct err *e)
{
	return fd_give(&containers, 0, fd, e);
}

int __wrap_vfio_group_open(uint32_t nr, int *fd, struct err *e)
{
	assert_int_equal(nr, 12);
	return fd_give(&groups, group_errno, fd, e);
}

int __wrap_iommufd_open(const char *dev_dir, int *fd, struct err *e)
{
	int r = fd_give(&iommufds, iommufd_errno, fd, e);

	assert_string_equal(dev_dir, tree.root);
	return r < 0 ? err_code(e, "no-iommufd") : 0;
}

int __wrap_vfio_cdev_open(const struct vfio_cdev_at *at, int iommufd, int *fd, struct err *e)
{
	assert_string_equal(at->dev_dir, tree.root);
	assert_true(strcmp(at->fn, A) == 0 || strcmp(at->fn, B) == 0);
	assert_true(fcntl(iommufd, F_GETFD) >= 0);
	return fd_give(&bonds, bind_errno, fd, e);
}

/* What stands for "/": the tree is its /sys. */
int __wrap_host_root_open(const struct daemon *daemon)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/root", tree.root);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void cdev_make(const char *fn)
{
	char path[128];

	snprintf(path, sizeof(path), FN "%s/vfio-dev/vfio0/dev", fn);
	tree_file(path, "250:0\n");
	tree_file("vfio/devices/vfio0", "\n");
}

static int setup(void **state)
{
	tree_make();
	tree_fn(A, 0x808610d3, 0x020000, 12);
	tree_fn(B, 0x808610d3, 0x020000, 13);
	tree_driver("vfio-pci", A);
	tree_driver("vfio-pci", B);
	tree_link("root/sys", tree.root);
	memset(&d, 0, sizeof(d));
	opt.dev_dir = tree.root;
	d.opt = &opt;
	iommufd_errno = group_errno = bind_errno = 0;
	containers = iommufds = groups = bonds = 0;
	assert_int_equal(inventory_create(&d.inv, tree.root, &err), 0);
	assert_int_equal(inventory_scan(d.inv, &err), 0);
	return 0;
}

static int teardown(void **state)
{
	inventory_destroy(d.inv);
	tree_remove();
	return 0;
}

static int choose(enum dma_wish wish, bool is_unsafe, enum dma_api *api)
{
	const struct dma_ask ask = { .fns = fns, .count = 2, .is_unsafe = is_unsafe };
	int fd = -1, lowest = open("/dev/null", O_RDONLY | O_CLOEXEC), r, next;

	close(lowest);
	d.config.dma = wish;
	memset(&err, 0, sizeof(err));
	r = dma_open(&d, &ask, api, &fd, &err);
	assert_int_equal(fd >= 0, r == 0);
	fd_close(&fd);
	/* Whatever was tried before is closed. */
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(next, lowest);
	close(next);
	return r;
}

static void iommufd_where_all_of_it_is_there(void **state)
{
	enum dma_api api;

	cdev_make(A);
	cdev_make(B);
	assert_int_equal(choose(DMA_WISH_AUTO, false, &api), 0);
	assert_int_equal(api, DMA_IOMMUFD);
	assert_int_equal(choose(DMA_WISH_IOMMUFD, false, &api), 0);
	assert_int_equal(api, DMA_IOMMUFD);
	assert_int_equal(containers, 0);
	assert_int_equal(choose(DMA_WISH_TYPE1, false, &api), 0);
	assert_int_equal(api, DMA_TYPE1);
	assert_int_equal(iommufds, 2);
	/* The parameter that the operator's word is about is type1's. */
	assert_int_equal(choose(DMA_WISH_AUTO, true, &api), 0);
	assert_int_equal(api, DMA_TYPE1);
}

static void else_type1_unless_iommufd_is_forced(void **state)
{
	enum dma_api api;

	/* One of two functions has no device file. */
	cdev_make(A);
	assert_int_equal(choose(DMA_WISH_AUTO, false, &api), 0);
	assert_int_equal(api, DMA_TYPE1);
	assert_int_equal(choose(DMA_WISH_IOMMUFD, false, &api), -ENOENT);
	assert_string_equal(err.code, "no-cdev");
	assert_non_null(strstr(err.text, B));
	cdev_make(B);
	iommufd_errno = ENODEV;
	assert_int_equal(choose(DMA_WISH_AUTO, false, &api), 0);
	assert_int_equal(api, DMA_TYPE1);
	assert_int_equal(choose(DMA_WISH_IOMMUFD, false, &api), -ENODEV);
	assert_string_equal(err.code, "no-iommufd");
}

/* The same as with groups alone: a VF is free when nobody can have it. */
static void a_function_is_idle_if_it_can_be_had(void **state)
{
	assert_int_equal(priv_fn_is_idle(&d, &fns[0], &err), 0);
	cdev_make(A);
	group_errno = EBUSY; /* held by a group's file or a device file */
	assert_int_equal(priv_fn_is_idle(&d, &fns[0], &err), -EBUSY);
	assert_int_equal(bonds, 0);
	group_errno = ENOENT; /* a kernel without groups' files */
	assert_int_equal(priv_fn_is_idle(&d, &fns[0], &err), 0);
	assert_int_equal(bonds, 1);
	bind_errno = EBUSY;
	assert_int_equal(priv_fn_is_idle(&d, &fns[0], &err), -EBUSY);
	tree_delete(FN A "/vfio-dev/vfio0/dev");
	assert_int_equal(priv_fn_is_idle(&d, &fns[0], &err), -ENOENT);
}

static void foreseen(enum dma_wish wish, bool is_well, const char *said)
{
	char text[256];

	d.config.dma = wish;
	assert_int_equal(dma_foresee(&d, text, sizeof(text)), is_well);
	if (strstr(text, said) != text)
		fail_msg("\"%s\" does not begin with \"%s\"", text, said);
}

static void the_host_check_says_which_and_why(void **state)
{
	foreseen(DMA_WISH_AUTO, true, "type1 (dma: auto): there is no /dev/iommu");
	foreseen(DMA_WISH_IOMMUFD, false, "type1 (dma: iommufd): there is no /dev/iommu");
	tree_file("iommu", "%s", "");
	foreseen(DMA_WISH_AUTO, true,
		 "type1 (dma: auto): the kernel has iommufd, but makes no VFIO");
	foreseen(DMA_WISH_IOMMUFD, false, "type1 (dma: iommufd)");
	cdev_make(A);
	cdev_make(B);
	foreseen(DMA_WISH_AUTO, true, "iommufd (dma: auto): the kernel has iommufd");
	foreseen(DMA_WISH_IOMMUFD, true, "iommufd (dma: iommufd)");
	foreseen(DMA_WISH_TYPE1, true, "type1 (dma: type1): the configuration says so");
	tree_delete("iommu");
	foreseen(DMA_WISH_TYPE1, true, "type1 (dma: type1): the configuration says so");
}

static void words_are_read_as_they_are_shown(void **state)
{
	enum dma_wish wish;

	for (enum dma_wish w = DMA_WISH_AUTO; w <= DMA_WISH_IOMMUFD; w++) {
		assert_int_equal(dma_wish_parse(dma_wish_text(w), &wish), 0);
		assert_int_equal(wish, w);
	}
	assert_int_equal(dma_wish_parse("vfio", &wish), -EINVAL);
	assert_string_equal(dma_api_text(DMA_IOMMUFD), "iommufd");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(iommufd_where_all_of_it_is_there),
		CASE(else_type1_unless_iommufd_is_forced),
		CASE(a_function_is_idle_if_it_can_be_had),
		CASE(the_host_check_says_which_and_why),
		cmocka_unit_test(words_are_read_as_they_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
