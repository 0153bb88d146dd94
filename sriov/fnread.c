// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/fnread.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>

#define CLASS_NVME    0x010802
#define CLASS_NETWORK 0x02 /* base class */

int fn_probe_config(const struct sysfs *sys, const struct pci_addr *fn)
{
	char path[SYSFS_PATH];
	struct cfg_space cfg;
	struct pci_caps caps;
	int fd = openat(sys->root_fd, sysfs_fn_path(fn, "config", path), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || cfg_open_fd(&cfg, fd) < 0)
		return -ENODEV;
	pci_caps_decode(&cfg, &caps);
	cfg_close(&cfg);
	return caps.is_dead ? -ENODEV : 0;
}

/* A function being read. What an attribute lacks is its own business, but being short of
 * descriptors or memory is not: then the facts would be silently wrong, so it is remembered and
 * ends the scan. */
struct reader {
	const struct sysfs *sys;
	struct pci_fn *fn;
	int r;
};

static int note(struct reader *rd, int r)
{
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		rd->r = r;
	return r;
}

static uint32_t read_number(struct reader *rd, const char *attr, uint32_t max)
{
	uint64_t v = 0;

	return note(rd, sysfs_fn_read_u64(rd->sys, &rd->fn->addr, attr, max, &v)) == 0 ? (uint32_t)v
										       : 0;
}

/* Names fn after an entry of its folder `sub`: with `index`, after the one with the lowest ifindex,
 * which goes there (of several network devices, ports or representors, the uplink came first). */
static int dev_name_read(struct reader *rd, const char *sub, unsigned *index)
{
	struct pci_fn *fn = rd->fn;
	char path[SYSFS_PATH], attr[SYSFS_PATH];
	int fd = openat(rd->sys->root_fd, sysfs_fn_path(&fn->addr, sub, path),
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return note(rd, -errno);
	dir = fdopendir(fd);
	if (dir == NULL) {
		fd_close(&fd);
		return note(rd, -ENOMEM);
	}
	while ((entry = readdir(dir)) != NULL) {
		uint32_t at = 0;

		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(fn->dev_name))
			continue;
		if (index != NULL) {
			snprintf(attr, sizeof(attr), "%s/%.64s/ifindex", sub, entry->d_name);
			at = read_number(rd, attr, INT32_MAX);
			if (at == 0)
				continue;
		}
		if (fn->dev_name[0] != '\0' && (index == NULL || at >= *index))
			continue;
		memcpy(fn->dev_name, entry->d_name, strlen(entry->d_name) + 1);
		if (index != NULL)
			*index = at;
	}
	closedir(dir);
	return fn->dev_name[0] != '\0' ? 0 : -ENOENT;
}

static ssize_t net_attr(struct reader *rd, const char *attr, char *buf, size_t cap)
{
	char path[128];
	ssize_t n;

	snprintf(path, sizeof(path), "net/%s/%s", rd->fn->dev_name, attr);
	n = sysfs_fn_read(rd->sys, &rd->fn->addr, path, buf, cap);
	note(rd, (int)n);
	return n;
}

static int net_number(struct reader *rd, const char *attr, uint64_t max, uint64_t *out)
{
	char text[32];
	ssize_t n = net_attr(rd, attr, text, sizeof(text));

	return n < 0 ? (int)n : parse_u64(text, max, out);
}

static void read_net(struct reader *rd)
{
	struct pci_fn *fn = rd->fn;
	struct net_facts *net = &fn->net;
	char text[64];
	uint64_t v;

	if (dev_name_read(rd, "net", &fn->ifindex) < 0)
		return;
	if (net_number(rd, "flags", UINT32_MAX, &v) == 0)
		net->admin_up = (v & IFF_UP) != 0;
	/* The kernel answers EINVAL while the device is down. */
	if (net_number(rd, "carrier", 1, &v) == 0) {
		net->has_carrier = true;
		net->carrier = v != 0;
	}
	/* -1, as text or as 32 bits, means unknown. */
	if (net_number(rd, "speed", INT32_MAX, &v) == 0) {
		net->has_speed = true;
		net->speed_mbps = (uint32_t)v;
	}
	if (net_number(rd, "mtu", UINT32_MAX, &v) == 0)
		net->mtu = (uint32_t)v;
	if (net_attr(rd, "address", text, sizeof(text)) > 0)
		(void)parse_mac(text, net->mac);
}

/* Anybody may open the file: what fails is not privilege, but that the function went (-ENOENT) or
 * that we are short of something. */
static int read_config(struct reader *rd)
{
	char path[SYSFS_PATH];
	struct cfg_space cfg;
	int r, fd = openat(rd->sys->root_fd, sysfs_fn_path(&rd->fn->addr, "config", path),
			   O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r = cfg_open_fd(&cfg, fd);
	if (r == 0)
		pci_caps_decode(&cfg, &rd->fn->caps);
	cfg_close(&cfg);
	return r;
}

static void read_pf(struct reader *rd)
{
	struct pci_fn *fn = rd->fn;
	char resource[1024]; /* 13 to 17 lines of 57 characters */
	struct sriov_cap *cap = &fn->caps.sriov;
	bool has_attr = sysfs_fn_has(rd->sys, &fn->addr, "sriov_totalvfs");

	if (!has_attr && !cap->present)
		return;
	fn->is_pf = true;
	fn->total_vfs = has_attr ? (uint16_t)read_number(rd, "sriov_totalvfs", UINT16_MAX)
				 : cap->total_vfs;
	fn->num_vfs = (uint16_t)read_number(rd, "sriov_numvfs", UINT16_MAX);
	fn->autoprobe = read_number(rd, "sriov_drivers_autoprobe", 1) != 0;
	if (note(rd, (int)sysfs_fn_read(rd->sys, &fn->addr, "resource", resource,
					sizeof(resource))) > 0)
		sriov_cap_add_sizes(cap, resource);
}

static int read_iommu_group(const struct sysfs *sys, const struct pci_addr *addr)
{
	char text[32];
	uint64_t v;

	if (sysfs_fn_link(sys, addr, "iommu_group", text, sizeof(text)) < 0 ||
	    parse_u64(text, INT32_MAX, &v) < 0)
		return -1;
	return (int)v;
}

static void read_driver(struct reader *rd)
{
	struct pci_fn *fn = rd->fn;
	if (sysfs_fn_link(rd->sys, &fn->addr, "driver", fn->driver, sizeof(fn->driver)) < 0)
		fn->driver[0] = '\0';
}

int fn_read(const struct sysfs *sys, const struct pci_addr *addr, struct pci_fn *out,
	    struct pci_addr *pf_addr)
{
	struct reader rd = { .sys = sys, .fn = out };
	char text[32];
	uint64_t v;
	int r;

	memset(out, 0, sizeof(*out));
	out->addr = *addr;
	pci_addr_text(addr, out->name);
	r = sysfs_fn_read_u64(sys, addr, "vendor", UINT16_MAX, &v);
	if (r < 0)
		return r;
	out->vendor = (uint16_t)v;
	if (sysfs_fn_birth(sys, addr, &out->birth) < 0)
		out->birth = 0;
	out->device = (uint16_t)read_number(&rd, "device", UINT16_MAX);
	out->subvendor = (uint16_t)read_number(&rd, "subsystem_vendor", UINT16_MAX);
	out->subdevice = (uint16_t)read_number(&rd, "subsystem_device", UINT16_MAX);
	out->class_code = read_number(&rd, "class", 0xffffff);
	out->revision = (uint8_t)read_number(&rd, "revision", UINT8_MAX);
	/* "-1" is not a number here, as it should be: none. */
	out->numa_node = note(&rd, sysfs_fn_read_u64(sys, addr, "numa_node", INT32_MAX, &v)) == 0
				 ? (int)v
				 : -1;
	out->iommu_group = read_iommu_group(sys, addr);
	read_driver(&rd);
	r = read_config(&rd);
	if (r < 0)
		return r;
	if (out->class_code >> 16 == CLASS_NETWORK) {
		out->kind = FN_NETWORK;
		read_net(&rd);
	} else if (out->class_code == CLASS_NVME) {
		out->kind = FN_NVME;
		(void)dev_name_read(&rd, "nvme", NULL);
	}
	if (sysfs_fn_link(sys, addr, "physfn", text, sizeof(text)) == 0 &&
	    parse_pci_addr(text, pf_addr) == 0)
		out->is_vf = true;
	else
		read_pf(&rd);
	return rd.r;
}
