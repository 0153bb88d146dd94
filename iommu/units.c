// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/units.h"

#include "base/fd.h"
#include "base/parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define UNITS_DIR "sys/class/iommu"

static int root_of(int root_fd)
{
	return root_fd >= 0 ? dup(root_fd) : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The kernel prints registers in hexadecimal without 0x. */
static int hex_read(int root, const char *unit, const char *attr, uint64_t *out)
{
	char path[128], text[32], *end;
	unsigned long long v;

	snprintf(path, sizeof(path), UNITS_DIR "/%s/intel-iommu/%s", unit, attr);
	if (file_read_at(root, path, text, sizeof(text)) <= 0)
		return -ENOENT;
	errno = 0;
	v = strtoull(text, &end, 16);
	if (errno != 0 || *end != '\0')
		return -EINVAL;
	*out = v;
	return 0;
}

static void count_read(int root, const char *unit, const char *attr, uint64_t *out)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), UNITS_DIR "/%s/intel-iommu/%s", unit, attr);
	if (file_read_at(root, path, text, sizeof(text)) <= 0 ||
	    parse_u64(text, INT64_MAX, out) < 0)
		*out = 0;
}

static void unit_read(int root, struct iommu_unit *u)
{
	char path[128], text[32];

	u->is_vtd = strncmp(u->name, "dmar", 4) == 0;
	u->has_registers = hex_read(root, u->name, "cap", &u->cap) == 0 &&
			   hex_read(root, u->name, "ecap", &u->ecap) == 0 &&
			   hex_read(root, u->name, "address", &u->address) == 0;
	snprintf(path, sizeof(path), UNITS_DIR "/%s/intel-iommu/version", u->name);
	if (file_read_at(root, path, text, sizeof(text)) > 0)
		(void)sscanf(text, "%u:%u", &u->version_major, &u->version_minor);
	count_read(root, u->name, "domains_supported", &u->domains);
	count_read(root, u->name, "domains_used", &u->domains_used);
}

static DIR *dir_open(int root, const char *path)
{
	int fd = root >= 0 ? openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir == NULL && fd >= 0)
		close(fd);
	return dir;
}

static int by_name(const void *a, const void *b)
{
	const struct iommu_unit *x = a, *y = b;
	size_t n = strlen(x->name), m = strlen(y->name);

	return n != m ? (n > m) - (n < m) : strcmp(x->name, y->name); /* dmar2 before dmar10 */
}

int iommu_units_read(int root_fd, struct iommu_units *out, struct err *e)
{
	auto_fd int root = root_of(root_fd);
	const struct dirent *d;
	DIR *dir;

	memset(out, 0, sizeof(*out));
	if (root < 0)
		return err_set(e, errno, "open /: %s", strerror(errno));
	dir = dir_open(root, UNITS_DIR);
	while (dir != NULL && out->count < IOMMU_UNITS_MAX && (d = readdir(dir)) != NULL) {
		struct iommu_unit *u = &out->units[out->count];

		if (d->d_name[0] == '.' || strlen(d->d_name) >= sizeof(u->name))
			continue;
		strcpy(u->name, d->d_name);
		unit_read(root, u);
		out->count++;
	}
	if (dir != NULL)
		closedir(dir);
	qsort(out->units, out->count, sizeof(out->units[0]), by_name);
	return 0;
}

const struct iommu_unit *iommu_unit_find(const struct iommu_units *units, const char *name)
{
	for (size_t i = 0; i < units->count; i++)
		if (strcmp(units->units[i].name, name) == 0)
			return &units->units[i];
	return NULL;
}

int iommu_unit_of(int root_fd, const char *fn, char out[IOMMU_UNIT_NAME])
{
	auto_fd int root = root_of(root_fd);
	char path[128];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%.32s/iommu", fn);
	return root < 0 || link_base_at(root, path, out, IOMMU_UNIT_NAME) < 0 ? -ENOENT : 0;
}

size_t iommu_unit_members(int root_fd, const char *unit, void (*each)(void *arg, const char *fn),
			  void *arg)
{
	auto_fd int root = root_of(root_fd);
	const struct dirent *d;
	char path[128];
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), UNITS_DIR "/%.31s/devices", unit);
	dir = dir_open(root, path);
	while (dir != NULL && (d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		each(arg, d->d_name);
		n++;
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}
