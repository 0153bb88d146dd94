// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/host.h"

#include "base/fd.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define GROUPS_DIR     "sys/kernel/iommu_groups"
#define UNITS_DIR      "sys/class/iommu"
#define UNSAFE_PARAM   "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
#define IOMMUFD_PARAM  "sys/module/iommufd/parameters/allow_unsafe_interrupts"
#define LINE_MAX_BYTES 16384 /* /proc/interrupts: a column per CPU */

static int root_open(int root_fd, int *out, struct err *e)
{
	*out = root_fd >= 0 ? dup(root_fd) : open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *out < 0 ? err_set(e, errno, "open /: %s", strerror(errno)) : 0;
}

/* Calls fn for each entry of a directory below dirfd, "." and ".." left out. -ENOENT: no such. */
static int dir_each(int dirfd, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *d;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (dir == NULL) {
		int r = -errno;

		close(fd);
		return r;
	}
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.')
			fn(arg, d->d_name);
	closedir(dir);
	return 0;
}

static void unit_count(void *arg, const char *name)
{
	struct iommu_host *h = arg;

	h->units++;
	if (strncmp(name, "dmar", 4) == 0)
		strcpy(h->kind, "VT-d");
	else if (strncmp(name, "ivhd", 4) == 0)
		strcpy(h->kind, "AMD-Vi");
	else if (h->kind[0] == '\0')
		strcpy(h->kind, "other");
}

static void group_count(void *arg, const char *name)
{
	struct iommu_host *h = arg;

	h->groups += isdigit((unsigned char)name[0]) != 0;
}

/* The chip names of /proc/interrupts: "IR-IO-APIC", "IR-PCI-MSIX-0000:01:00.0" behind remapping,
 * "IO-APIC", "PCI-MSI" without. */
static void interrupts_read(int root, struct iommu_host *h)
{
	int fd = openat(root, "proc/interrupts", O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;
	unsigned int remapped = 0, plain = 0;
	char line[LINE_MAX_BYTES];

	if (f == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strstr(line, " AMD-Vi") != NULL)
			continue; /* the unit's own interrupt: it does not pass its own remapping */
		if (strstr(line, " IR-IO-APIC") != NULL || strstr(line, " IR-PCI-MSI") != NULL)
			remapped++;
		else if (strstr(line, " IO-APIC") != NULL || strstr(line, " PCI-MSI") != NULL)
			plain++;
	}
	fclose(f);
	if (remapped + plain == 0)
		return;
	/* One interrupt outside remapping is one too many. DMAR-MSI, the unit's own, is neither. */
	h->interrupt_remapping = plain == 0 ? IOMMU_ON : IOMMU_OFF;
	snprintf(h->evidence, sizeof(h->evidence),
		 "/proc/interrupts: %u interrupts remapped, %u not", remapped, plain);
}

static bool parameter_is_set(int root, const char *path)
{
	char text[8];

	return file_read_at(root, path, text, sizeof(text)) > 0 &&
	       (text[0] == 'Y' || text[0] == '1');
}

int iommu_host_read(int root_fd, struct iommu_host *out, struct err *e)
{
	struct iommu_host h = { 0 };
	auto_fd int root = -1;
	int r = root_open(root_fd, &root, e);

	if (r < 0)
		return r;
	(void)dir_each(root, UNITS_DIR, unit_count, &h);
	if (h.units == 0)
		strcpy(h.kind, "none");
	(void)dir_each(root, GROUPS_DIR, group_count, &h);
	h.dma_remapping = h.groups > 0 ? IOMMU_ON : IOMMU_OFF;
	interrupts_read(root, &h);
	h.unsafe_interrupts_allowed = parameter_is_set(root, UNSAFE_PARAM);
	h.iommufd_unsafe_allowed = parameter_is_set(root, IOMMUFD_PARAM);
	h.vfio_driver_loaded = faccessat(root, "sys/bus/pci/drivers/vfio-pci", F_OK, 0) == 0;
	*out = h;
	return 0;
}

/* Interrupts of guests' devices are not kept apart from the host's. */
static int interrupts_refused(const struct iommu_host *host, bool risk_is_accepted, struct err *e)
{
	static const char danger[] = "a device of a guest could forge interrupts of the host";
	const char *is = host->interrupt_remapping == IOMMU_OFF ? "off" : "not to be seen";

	if (risk_is_accepted && host->unsafe_interrupts_allowed)
		return 0;
	if (risk_is_accepted) {
		err_set(e, EPERM,
			"interrupt remapping is %s, and without vfio_iommu_type1's parameter "
			"allow_unsafe_interrupts, which viaduct never sets, the kernel refuses the function",
			is);
		err_code(e, "unsafe-not-set");
		return err_hint(e,
				"switch interrupt remapping on; or echo 1 > "
				"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	}
	if (host->unsafe_interrupts_allowed) {
		err_set(e, EPERM,
			"interrupt remapping is %s: %s; allow_unsafe_interrupts is set on this host, viaduct "
			"does not rely on it",
			is, danger);
		err_code(e, "unsafe-interrupts");
		return err_hint(
			e, "switch interrupt remapping on and boot without intremap=off; to take "
			   "the risk for one VM: viaduct vm run FILE --allow-unsafe-interrupts "
			   "\"REASON\"");
	}
	err_set(e, EPERM, "interrupt remapping is %s: %s", is, danger);
	err_code(e, "no-interrupt-remapping");
	return err_hint(
		e, "switch interrupt remapping (x2APIC, VT-d IR) on in the firmware's set-up and "
		   "boot without intremap=off; then viaduct host check");
}

int iommu_host_check(const struct iommu_host *host, bool risk_is_accepted, struct err *e)
{
	if (host->dma_remapping != IOMMU_ON) {
		err_set(e, ENODEV,
			"the host's IOMMU is off: a device of a guest could reach all memory");
		err_code(e, "no-iommu");
		return err_hint(e,
				"switch VT-d (or AMD-Vi) on in the firmware's set-up and boot with "
				"intel_iommu=on (AMD: on by default); then viaduct host check");
	}
	return host->interrupt_remapping == IOMMU_ON
		       ? 0
		       : interrupts_refused(host, risk_is_accepted, e);
}

int iommu_memlock_check(uint64_t need, uint64_t limit, struct err *e)
{
	if (limit == UINT64_MAX || need <= limit)
		return 0;
	err_set(e, ENOMEM,
		"guest memory must be locked for DMA: need %llu MiB, RLIMIT_MEMLOCK allows %llu MiB",
		(unsigned long long)(need >> 20), (unsigned long long)(limit >> 20));
	err_code(e, "memlock-short");
	return err_hint(
		e,
		"raise the limit: LimitMEMLOCK=infinity in viaductd's unit, or ulimit -l unlimited");
}

struct member_list {
	int root;
	uint32_t nr;
	struct iommu_group *group;
};

static void member_add(void *arg, const char *name)
{
	struct member_list *list = arg;
	struct iommu_group_member *m;
	char path[400];

	if (list->group->count++ >= IOMMU_GROUP_MEMBERS)
		return;
	m = &list->group->members[list->group->count - 1];
	snprintf(m->address, sizeof(m->address), "%.*s", (int)sizeof(m->address) - 1, name);
	snprintf(path, sizeof(path), GROUPS_DIR "/%u/devices/%.255s/driver", list->nr, name);
	(void)link_base_at(list->root, path, m->driver, sizeof(m->driver));
}

int iommu_group_read(int root_fd, uint32_t nr, struct iommu_group *out, struct err *e)
{
	struct member_list list = { .nr = nr, .group = out };
	auto_fd int root = -1;
	char path[64];
	int r = root_open(root_fd, &root, e);

	if (r < 0)
		return r;
	memset(out, 0, sizeof(*out));
	list.root = root;
	snprintf(path, sizeof(path), GROUPS_DIR "/%u/devices", nr);
	r = dir_each(root, path, member_add, &list);
	if (r < 0)
		return err_set(e, r, "IOMMU group %u: %s", nr,
			       r == -ENOENT ? "no such group" : strerror(-r));
	return 0;
}

/* Whether the group has a reserved region of this type; `otherwise` if that cannot be read. */
static bool group_has_region(int root_fd, uint32_t nr, const char *wanted, bool otherwise)
{
	auto_fd int root = -1;
	char path[64], text[4096];

	if (root_open(root_fd, &root, NULL) < 0)
		return otherwise;
	snprintf(path, sizeof(path), GROUPS_DIR "/%u/reserved_regions", nr);
	if (file_read_at(root, path, text, sizeof(text)) < 0)
		return otherwise;
	/* Lines "0xSTART 0xEND TYPE"; "direct-relaxable" ones (USB, graphics) may be given up. */
	for (char *save, *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *type = strrchr(line, ' ');

		if (type != NULL && strcmp(type + 1, wanted) == 0)
			return true;
	}
	return false;
}

bool iommu_group_has_direct_region(int root_fd, uint32_t nr)
{
	return group_has_region(root_fd, nr, "direct", true); /* not known to be free of one */
}

bool iommu_group_has_relaxable_region(int root_fd, uint32_t nr)
{
	return group_has_region(root_fd, nr, "direct-relaxable", false);
}
