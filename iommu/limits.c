// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/limits.h"

#include "iommu/vtd_regs.h"

#include "base/fd.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENTRY_LIMIT "sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* A text file below root; its length or -errno. */
static ssize_t text_read(int root_fd, const char *path, char *buf, size_t cap)
{
	auto_fd int root = root_fd >= 0 ? dup(root_fd)
					: open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? -errno : file_read_at(root, path, buf, cap);
}

int iommu_dma_entry_limit(int root_fd, uint64_t *out)
{
	char text[32];

	if (text_read(root_fd, ENTRY_LIMIT, text, sizeof(text)) < 0)
		return -ENOENT;
	text[strcspn(text, "\n")] = '\0';
	return parse_u64(text, UINT64_MAX, out) < 0 ? -ENOENT : 0;
}

int iommu_address_bits(int root_fd, const char *fn, unsigned int *out)
{
	char path[128], text[32], *end;
	unsigned int wide;
	uint64_t cap;

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/iommu/intel-iommu/cap", fn);
	if (text_read(root_fd, path, text, sizeof(text)) < 0)
		return -ENOENT;
	/* Hexadecimal, without 0x. */
	errno = 0;
	cap = strtoull(text, &end, 16);
	if (errno != 0 || end == text)
		return -ENOENT;
	wide = vtd_address_bits(cap);
	if (wide == 0)
		return -ENOENT;
	*out = wide;
	return 0;
}

/* "0xSTART 0xEND TYPE"; false: not such a line. */
static bool region_parse(char *line, uint64_t *first, uint64_t *last, const char **type)
{
	char *save, *from = strtok_r(line, " ", &save), *to = strtok_r(NULL, " ", &save), *end;

	*type = strtok_r(NULL, " ", &save);
	if (from == NULL || to == NULL || *type == NULL)
		return false;
	errno = 0;
	*first = strtoull(from, &end, 16);
	if (*end != '\0' || errno != 0)
		return false;
	*last = strtoull(to, &end, 16);
	return *end == '\0' && errno == 0 && *last >= *first;
}

int iommu_group_reach_check(int root_fd, uint32_t nr, uint64_t first, uint64_t last, struct err *e)
{
	char path[64], text[4096], *save;

	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/reserved_regions", nr);
	if (text_read(root_fd, path, text, sizeof(text)) < 0)
		return 0;
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		uint64_t from, to;
		const char *type;

		if (!region_parse(line, &from, &to, &type) || from > last || to < first ||
		    strcmp(type, "direct-relaxable") == 0)
			continue;
		err_set(e, ERANGE,
			"guest memory 0x%" PRIx64 "-0x%" PRIx64
			" would lie where IOMMU group %u has a reserved region (%s 0x%" PRIx64
			"-0x%" PRIx64 ")",
			first, last, nr, type, from, to);
		err_code(e, "iova-out-of-range");
		return err_hint(e, "give the VM less memory, or a function without that region: "
				   "cat /sys/kernel/iommu_groups/*/reserved_regions");
	}
	return 0;
}
