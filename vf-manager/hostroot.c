// SPDX-License-Identifier: BSD-3-Clause
/* What stands for "/" in the tree that the daemon looks at. */
#include "vf-manager/hostcheck.h"

#include "base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

int host_root_open(const struct daemon *d)
{
	char path[PATH_MAX];

	if (d->opt->sysfs_root == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/..", d->opt->sysfs_root);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int host_iommu_read(const struct daemon *d, struct iommu_host *out, struct err *e)
{
	auto_fd int root = host_root_open(d);

	return iommu_host_read(root, out, e);
}
