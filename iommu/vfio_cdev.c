// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vfio_cdev.h"

#include "iommu/dma_ops.h"
#include "iommu/iommufd.h"
#include "iommu/vfio.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int iommufd_open(const char *dev_dir, int *fd, struct err *e)
{
	auto_fd int iommufd = -1;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/iommu", dev_dir);
	iommufd = open(path, O_RDWR | O_CLOEXEC);
	if (iommufd < 0) {
		r = err_set(e, errno, "open %s: %s", path, strerror(errno));
		err_code(e, "no-iommufd");
		return err_hint(
			e, r == -EACCES ? "run viaductd as root"
					: "modprobe iommufd; or take `dma: auto` in viaductd.yaml");
	}
	/* The limit is set for the VMM's process and worked out for it. Without the right to choose (CAP_SYS_RESOURCE)
	 * the kernel counts by user, and each VM has its own. */
	r = iommufd_option_set(iommufd, IOMMU_OPTION_RLIMIT_MODE, 1);
	if (r < 0 && r != -EPERM)
		return err_set(e, r, "%s: memory counted by process: %s", path, strerror(-r));
	*fd = fd_take(&iommufd);
	return 0;
}

bool iommufd_is_there(const char *dev_dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/iommu", dev_dir);
	return access(path, F_OK) == 0;
}

/* The folder vfio-dev of a function has one vfioN, which has a number (dev) if there is a file for it. */
static bool is_cdev(int dir, const char *name)
{
	char path[VFIO_CDEV_NAME + 8];

	if (strncmp(name, "vfio", 4) != 0 || strlen(name) >= VFIO_CDEV_NAME)
		return false;
	snprintf(path, sizeof(path), "%s/dev", name);
	return faccessat(dir, path, F_OK, 0) == 0;
}

static int root_open(int root_fd)
{
	return root_fd >= 0 ? dup(root_fd) : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int vfio_cdev_find(int root_fd, const char *fn, char name[VFIO_CDEV_NAME])
{
	auto_fd int root = root_open(root_fd);
	const struct dirent *d;
	char path[128];
	int fd, r = -ENOENT;
	DIR *dir;

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vfio-dev", fn);
	fd = root >= 0 ? openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		fd_close(&fd);
		return -ENOENT;
	}
	while (r < 0 && (d = readdir(dir)) != NULL) {
		if (!is_cdev(fd, d->d_name))
			continue;
		snprintf(name, VFIO_CDEV_NAME, "%.*s", VFIO_CDEV_NAME - 1, d->d_name);
		r = 0;
	}
	closedir(dir);
	return r;
}

static int bind_failed(const char *name, int r, struct err *e)
{
	switch (-r) {
	case EPERM:
		return dma_interrupts_refused(name, "iommufd", e);
	case EINVAL: /* it is bound already */
	case EBUSY: /* its group is: to another iommufd, a container or a host's driver */
		err_set(e, EBUSY,
			"VFIO device %s: another process has it, or a host's driver has another "
			"member of its IOMMU group",
			name);
		err_code(e, "group-busy");
		return err_hint(e,
				"viaduct vm list   shows viaduct's holders; fuser "
				"/dev/vfio/devices/%s any other",
				name);
	default:
		return err_set(e, r, "VFIO device %s: bind it to the iommufd: %s", name,
			       strerror(-r));
	}
}

/* An open file keeps its function, and with it the number: what sysfs says from then on is of this one. */
static bool is_of_function(const struct vfio_cdev_at *at, const char *name, int cdev)
{
	auto_fd int root = root_open(at->root_fd);
	char path[160], text[32];
	unsigned int major_nr, minor_nr;
	struct stat st;

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vfio-dev/%s/dev", at->fn, name);
	return root >= 0 && file_read_at(root, path, text, sizeof(text)) > 0 &&
	       sscanf(text, "%u:%u", &major_nr, &minor_nr) == 2 && fstat(cdev, &st) == 0 &&
	       S_ISCHR(st.st_mode) && st.st_rdev == makedev(major_nr, minor_nr);
}

static void node_path(const struct vfio_cdev_at *at, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/vfio/devices/%s", at->dev_dir, name);
}

bool vfio_cdev_is_usable(const struct vfio_cdev_at *at)
{
	char name[VFIO_CDEV_NAME], path[PATH_MAX];

	if (vfio_cdev_find(at->root_fd, at->fn, name) < 0)
		return false;
	node_path(at, name, path);
	return access(path, R_OK | W_OK) == 0;
}

int vfio_cdev_open(const struct vfio_cdev_at *at, int iommufd, int *fd, struct err *e)
{
	auto_fd int cdev = -1;
	char name[VFIO_CDEV_NAME], path[PATH_MAX];
	int r = vfio_cdev_find(at->root_fd, at->fn, name);

	if (r < 0) {
		err_set(e, r, "the kernel has made no VFIO device file for it");
		return err_code(e, "no-cdev");
	}
	node_path(at, name, path);
	cdev = open(path, O_RDWR | O_CLOEXEC);
	if (cdev < 0) {
		r = err_set(e, errno, "open %s: %s", path, strerror(errno));
		if (r == -ENOENT)
			err_code(e, "no-cdev");
		return r == -EACCES || r == -EPERM ? err_hint(e, "run viaductd as root") : r;
	}
	if (!is_of_function(at, name, cdev)) {
		err_set(e, ENODEV, "%s is not the VFIO device file of %s: it has another number",
			path, at->fn);
		err_code(e, "no-cdev");
		return err_hint(e, "is there a devtmpfs on /dev? Or take `dma: type1` in "
				   "viaductd.yaml");
	}
	r = vfio_cdev_bind(cdev, iommufd);
	if (r < 0)
		return bind_failed(name, r, e);
	*fd = fd_take(&cdev);
	return 0;
}
