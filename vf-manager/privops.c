// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/privops.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/macuse.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/seqmsg.h"
#include "iommu/vfio_cdev.h"
#include "iommu/vfio_group.h"
#include "sriov/bind.h"
#include "sriov/pflink.h"
#include "sriov/pfquirk.h"
#include "sriov/vfcount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define VFS_DEADLINE_NS 30000000000ULL
#define GROUP_TRIES	100
#define GROUP_PAUSE_NS	100000000L

int priv_vf_now(struct daemon *d, const struct pci_addr *vf, const struct pci_fn **out,
		struct err *e)
{
	char text[PCI_ADDR_TEXT];
	const struct pci_fn *fn;
	int r = daemon_scan_vf_pf(d, vf, e);

	if (r < 0)
		return r;
	fn = inventory_find(d->inv, vf);
	if (fn == NULL || !fn->is_vf)
		return err_set(e, ENODEV, "there is no VF %s any more", pci_addr_text(vf, text));
	*out = fn;
	return 0;
}

static const struct pf_quirk *quirk_of(struct daemon *d, const struct pci_addr *pf)
{
	char driver[DRIVER_NAME];

	return fn_driver(inventory_sysfs(d->inv), pf, driver) == 0 ? pf_quirk_find(driver) : NULL;
}

static void vfs_settle(const struct pf_quirk *quirk)
{
	if (quirk != NULL && quirk->settle_ms != 0)
		nanosleep(&(struct timespec){ .tv_sec = quirk->settle_ms / 1000,
					      .tv_nsec = quirk->settle_ms % 1000 * 1000000L },
			  NULL);
}

int priv_pf_vfs_set(struct daemon *d, const struct pci_addr *pf, uint16_t vfs, struct err *e)
{
	const struct pf_quirk *quirk = quirk_of(d, pf);
	const uint64_t most_ns = quirk != NULL ? 1000000000ULL * quirk->appear_s : 0;
	const struct pci_fn *fn;
	int r = sriov_vfs_set(inventory_sysfs(d->inv), pf, vfs,
			      now_ns() + u64_max(VFS_DEADLINE_NS, most_ns), e);

	if (r == 0 && vfs > 0)
		vfs_settle(quirk);
	state_lock(d);
	if (daemon_scan(d, r < 0 ? NULL : e) < 0 && r == 0)
		r = -EIO;
	fn = inventory_find(d->inv, pf);
	if (r == 0 && vfs > 0 && fn != NULL && fn->kind == FN_NETWORK && fn->ifindex != 0)
		r = pf_link_up(d->nl, fn, e);
	state_unlock(d);
	return r;
}

int priv_pf_up(struct daemon *d, const struct pci_addr *vf, struct err *e)
{
	const struct pci_fn *fn;
	int r;

	state_lock(d);
	r = priv_vf_now(d, vf, &fn, e);
	if (r == 0 && fn->pf->kind == FN_NETWORK && fn->pf->ifindex != 0)
		r = pf_link_up(d->nl, fn->pf, e);
	state_unlock(d);
	return r;
}

int priv_vf_leave_host(struct daemon *d, const struct pci_addr *vf, struct err *e)
{
	const struct sysfs *sys = inventory_sysfs(d->inv);
	struct pci_addr pf = { 0 };
	const struct pci_fn *fn;
	char driver[DRIVER_NAME];
	int r;

	state_lock(d);
	r = priv_vf_now(d, vf, &fn, e);
	if (r == 0) {
		pf = fn->pf->addr;
		snprintf(driver, sizeof(driver), "%s", fn->driver);
	}
	state_unlock(d);
	if (r < 0)
		return r;
	r = sriov_autoprobe_off(sys, &pf, e);
	return r < 0 || strcmp(driver, DRIVER_VFIO) == 0 ? r : fn_unbind(sys, vf, e);
}

int priv_vf_bind(struct daemon *d, const struct pci_addr *vf, struct err *e)
{
	char driver[DRIVER_NAME], text[PCI_ADDR_TEXT];
	int r = fn_driver(inventory_sysfs(d->inv), vf, driver);

	if (r < 0)
		return err_set(e, r, "read the driver of %s: %s", pci_addr_text(vf, text),
			       strerror(-r));
	if (driver[0] != '\0' && strcmp(driver, DRIVER_VFIO) != 0)
		return err_set(e, EBUSY, "%s is in use by the driver %s", pci_addr_text(vf, text),
			       driver);
	return fn_bind_vfio(inventory_sysfs(d->inv), vf, e);
}

/* State locked. A MAC in the VLAN that it shall have, whichever of the two is new. */
static int mac_check(struct daemon *d, const struct pci_fn *vf, const struct vf_attrs *attrs,
		     struct err *e)
{
	struct vf_attrs then = { 0 };
	struct mac_wish wish = { .vf = vf };
	int r;

	if ((attrs->mask & (BIT(VF_ATTR_MAC) | BIT(VF_ATTR_VLAN))) == 0)
		return 0;
	r = vf_attrs_get(d->nl, vf, &then, e);
	if (r < 0)
		return r;
	vf_attrs_overlay(&then, attrs);
	wish.mac = then.mac;
	wish.vlan = then.vlan;
	return mac_use_check(d, &wish, e);
}

int priv_vf_attrs_set(struct daemon *d, const struct pci_addr *vf, struct vf_attrs *attrs,
		      struct err *e)
{
	const struct pci_fn *fn;
	int r = vf_attrs_check(attrs, e);

	if (r < 0)
		return r;
	state_lock(d);
	r = priv_vf_now(d, vf, &fn, e);
	if (r == 0)
		r = mac_check(d, fn, attrs, e);
	if (r == 0)
		r = vf_attrs_set(d->nl, fn, attrs, e);
	state_unlock(d);
	return r;
}

int priv_vf_attrs_get(struct daemon *d, const struct pci_addr *vf, struct vf_attrs *attrs,
		      struct err *e)
{
	const struct pci_fn *fn;
	int r;

	state_lock(d);
	r = priv_vf_now(d, vf, &fn, e);
	if (r == 0)
		r = vf_attrs_get(d->nl, fn, attrs, e);
	state_unlock(d);
	return r;
}

int priv_vf_attrs_restore(struct daemon *d, const struct pci_addr *vf, const struct vf_attrs *want,
			  struct err *e)
{
	struct vf_attrs all = vf_attrs_default, now = { 0 };
	int r = priv_vf_attrs_get(d, vf, &now, e);

	if (r < 0)
		return r;
	vf_attrs_overlay(&all, want);
	all.mask = vf_attrs_difference(now.mask, &all, &now);
	return all.mask != 0 ? priv_vf_attrs_set(d, vf, &all, e) : 0;
}

static int device_open(struct daemon *d, const char *name, int *fd_out, struct err *e)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", d->opt->dev_dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(e, errno, "open %s: %s", path, strerror(errno));
	*fd_out = fd;
	return 0;
}

int priv_group_open(struct daemon *d, const struct pci_addr *fn, int *fd_out, struct err *e)
{
	char group[32];
	uint64_t nr;
	int r = sysfs_fn_link(inventory_sysfs(d->inv), fn, "iommu_group", group, sizeof(group));

	if (r < 0 || parse_u64(group, UINT32_MAX, &nr) < 0)
		return err_set(e, ENODEV, "it is in no IOMMU group");
	return vfio_group_open((uint32_t)nr, fd_out, e);
}

int priv_container_open(struct daemon *d, int *fd_out, struct err *e)
{
	return vfio_container_open(fd_out, e);
}

int priv_iommufd_open(struct daemon *d, int *fd_out, struct err *e)
{
	return iommufd_open(d->opt->dev_dir, fd_out, e);
}

bool priv_cdev_is_there(struct daemon *d, const struct pci_addr *fn)
{
	auto_fd int root = host_root_open(d);
	char addr[PCI_ADDR_TEXT];

	return vfio_cdev_is_usable(
		&(struct vfio_cdev_at){ d->opt->dev_dir, root, pci_addr_text(fn, addr) });
}

int priv_cdev_open(struct daemon *d, const struct pci_addr *fn, int iommufd, int *fd_out,
		   struct err *e)
{
	auto_fd int root = host_root_open(d);
	char addr[PCI_ADDR_TEXT];

	return vfio_cdev_open(&(struct vfio_cdev_at){ d->opt->dev_dir, root,
						      pci_addr_text(fn, addr) },
			      iommufd, fd_out, e);
}

int priv_fn_is_idle(struct daemon *d, const struct pci_addr *fn, struct err *e)
{
	auto_fd int iommufd = -1, fd = -1;
	int r = priv_group_open(d, fn, &fd, e);

	if (r != -ENOENT || !priv_cdev_is_there(d, fn))
		return r;
	r = priv_iommufd_open(d, &iommufd, e);
	return r == 0 ? priv_cdev_open(d, fn, iommufd, &fd, e) : r;
}

int priv_fn_idle_wait(struct daemon *d, const struct pci_addr *fn, struct err *e)
{
	const struct timespec pause = { .tv_nsec = GROUP_PAUSE_NS };
	int r = -EBUSY;

	for (int i = 0; i < GROUP_TRIES && r == -EBUSY; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		r = priv_fn_is_idle(d, fn, e);
	}
	return r;
}

int priv_kvm_open(struct daemon *d, int *fd_out, struct err *e)
{
	int r = device_open(d, "kvm", fd_out, e);

	return r < 0 ? err_hint(e, "viaduct host check   says what KVM lacks") : 0;
}
