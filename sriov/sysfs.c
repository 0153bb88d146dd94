// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/sysfs.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int sysfs_open(struct sysfs *sys, const char *root, struct err *e)
{
	const char *path = root != NULL ? root : "/sys";
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, errno, "open %s: %s", path, strerror(errno));
	sys->root_fd = fd;
	sys->is_host = root == NULL;
	return 0;
}

void sysfs_close(struct sysfs *sys)
{
	fd_close(&sys->root_fd);
}

char *sysfs_fn_path(const struct pci_addr *fn, const char *attr, char buf[SYSFS_PATH])
{
	char name[PCI_ADDR_TEXT];

	snprintf(buf, SYSFS_PATH, "bus/pci/devices/%s%s%s", pci_addr_text(fn, name),
		 *attr != '\0' ? "/" : "", attr);
	return buf;
}

ssize_t sysfs_fn_read(const struct sysfs *sys, const struct pci_addr *fn, const char *attr,
		      char *buf, size_t cap)
{
	char path[SYSFS_PATH];

	return file_read_at(sys->root_fd, sysfs_fn_path(fn, attr, path), buf, cap);
}

int sysfs_fn_read_u64(const struct sysfs *sys, const struct pci_addr *fn, const char *attr,
		      uint64_t max, uint64_t *out)
{
	char text[32];
	ssize_t n = sysfs_fn_read(sys, fn, attr, text, sizeof(text));

	return n < 0 ? (int)n : parse_u64(text, max, out);
}

int sysfs_fn_write(const struct sysfs *sys, const struct pci_addr *fn, const char *attr,
		   const char *text)
{
	char path[SYSFS_PATH];

	return file_write_at(sys->root_fd, sysfs_fn_path(fn, attr, path), text);
}

int sysfs_fn_link(const struct sysfs *sys, const struct pci_addr *fn, const char *attr, char *buf,
		  size_t cap)
{
	char path[SYSFS_PATH];

	return link_base_at(sys->root_fd, sysfs_fn_path(fn, attr, path), buf, cap);
}

int sysfs_fn_birth(const struct sysfs *sys, const struct pci_addr *fn, uint64_t *out)
{
	char path[SYSFS_PATH];
	struct stat st;

	if (fstatat(sys->root_fd, sysfs_fn_path(fn, "", path), &st, 0) < 0)
		return -errno;
	*out = st.st_ino;
	return 0;
}

bool sysfs_fn_has(const struct sysfs *sys, const struct pci_addr *fn, const char *attr)
{
	char path[SYSFS_PATH];

	return faccessat(sys->root_fd, sysfs_fn_path(fn, attr, path), F_OK, 0) == 0;
}
