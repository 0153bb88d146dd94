// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vfio_group.h"

#include "iommu/host.h"
#include "iommu/vfio.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

int vfio_container_open(int *fd, struct err *e)
{
	auto_fd int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int r;

	if (container < 0) {
		r = err_set(e, errno, "open /dev/vfio/vfio: %s", strerror(errno));
		err_code(e, "no-vfio");
		return err_hint(e, r == -EACCES ? "run viaductd as root" : "modprobe vfio-pci");
	}
	r = vfio_api_version(container);
	if (r != VFIO_API_VERSION)
		return err_set(e, EPROTO, "VFIO API version is %d, %d is needed", r,
			       VFIO_API_VERSION);
	if (vfio_extension_check(container, VFIO_TYPE1v2_IOMMU) != 1) {
		err_set(e, EOPNOTSUPP, "this kernel's VFIO has no type1v2 IOMMU");
		return err_hint(e, "modprobe vfio_iommu_type1");
	}
	*fd = fd_take(&container);
	return 0;
}

static int group_open_failed(uint32_t nr, int errnum, struct err *e)
{
	int r = err_set(e, errnum, "open /dev/vfio/%u: %s", nr, strerror(errnum));

	switch (errnum) {
	case EBUSY:
		err_set(e, errnum, "IOMMU group %u is held by another process", nr);
		err_code(e, "group-busy");
		return err_hint(
			e,
			"viaduct vm list   shows viaduct's holders; fuser /dev/vfio/%u /dev/vfio/devices/* "
			"any other",
			nr);
	case ENOENT:
		err_set(e, errnum,
			"IOMMU group %u has no /dev/vfio/%u: none of its functions is on vfio-pci",
			nr, nr);
		err_code(e, "group-unbound");
		return err_hint(e, "modprobe vfio-pci; viaduct host check");
	case EACCES:
	case EPERM:
		err_code(e, "group-not-allowed");
		return err_hint(e, "run viaductd as root");
	default:
		return r;
	}
}

/* The kernel only says "not viable"; the members say why. */
static int group_not_viable(uint32_t nr, struct err *e)
{
	auto_free struct iommu_group *group = calloc(1, sizeof(*group));
	char who[160] = "";
	size_t len = 0;

	if (group == NULL || iommu_group_read(-1, nr, group, NULL) < 0)
		return err_set(e, EPERM, "IOMMU group %u cannot be assigned: it is not viable", nr);
	for (size_t i = 0; i < group->count && i < IOMMU_GROUP_MEMBERS && len < sizeof(who) - 1;
	     i++) {
		const struct iommu_group_member *m = &group->members[i];

		if (m->driver[0] == '\0' || strcmp(m->driver, "vfio-pci") == 0 ||
		    strcmp(m->driver, "pcieport") == 0)
			continue;
		len += (size_t)snprintf(who + len, sizeof(who) - len, "%s%s (%s)",
					len > 0 ? ", " : "", m->address, m->driver);
	}
	err_set(e, EPERM,
		"IOMMU group %u cannot be assigned: host drivers hold other members of it: %s", nr,
		who[0] != '\0' ? who : "unknown");
	err_code(e, "group-not-viable");
	return err_hint(
		e, "the members can reach each other's memory, so all go to the guest or none: "
		   "use a slot or card whose functions stand alone (ACS)");
}

int vfio_group_open(uint32_t nr, int *fd, struct err *e)
{
	struct vfio_group_status status = { 0 };
	auto_fd int group = -1;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/dev/vfio/%u", nr);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0)
		return group_open_failed(nr, errno, e);
	r = vfio_group_status(group, &status);
	if (r < 0)
		return err_set(e, r, "status of IOMMU group %u: %s", nr, strerror(-r));
	if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0)
		return group_not_viable(nr, e);
	*fd = fd_take(&group);
	return 0;
}
