// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/delivery.h"

#include "base/fd.h"

#include <stdio.h>

#define CAP_PI	  59 /* VT-d specification, 11.4.2 Capability Register: posted interrupts */
#define EFR_VAPIC 21 /* AMD IOMMU specification, 3.4.13 Extended Feature Register: GAMSup */

static const char *const names[] = {
	[DELIVERY_UNKNOWN] = "unknown",
	[DELIVERY_REMAPPED] = "remapped",
	[DELIVERY_POSTED] = "posted",
};

/* One kind of CPU: KVM's switch, and the IOMMU's register with the bit that says it can post. */
static const struct kind {
	const char *module, *parameter; /* kvm_intel.enable_apicv */
	const char *attribute; /* of the IOMMU that serves the function */
	unsigned int bit;
	const char *unit;
} kinds[] = {
	{ "kvm_intel", "enable_apicv", "intel-iommu/cap", CAP_PI, "VT-d" },
	{ "kvm_amd", "avic", "amd-iommu/features", EFR_VAPIC, "AMD-Vi" },
};

const char *delivery_name(enum delivery d)
{
	return names[d];
}

/* The register's text is hexadecimal; AMD's newer form has a second register in front ("0:59f77efa2094ade"). */
static bool bit_read(int sysfs_fd, const char *addr, const struct kind *k, bool *is_set)
{
	char path[128], text[64], *after;
	const char *digits;
	unsigned long long value;

	snprintf(path, sizeof(path), "bus/pci/devices/%s/iommu/%s", addr, k->attribute);
	if (file_read_at(sysfs_fd, path, text, sizeof(text)) <= 0)
		return false;
	digits = strrchr(text, ':') != NULL ? strrchr(text, ':') + 1 : text;
	value = strtoull(digits, &after, 16);
	*is_set = (value >> k->bit & 1) != 0;
	return after != digits && *after == '\0';
}

static enum delivery kind_read(int sysfs_fd, const char *addr, const struct kind *k, bool is_on,
			       char why[128])
{
	bool can_post;

	if (!is_on) {
		snprintf(why, 128, "%s.%s is off", k->module, k->parameter);
		return DELIVERY_REMAPPED;
	}
	if (!bit_read(sysfs_fd, addr, k, &can_post)) {
		snprintf(why, 128, "%s of the function's IOMMU cannot be read", k->attribute);
		return DELIVERY_UNKNOWN;
	}
	snprintf(why, 128, "%s.%s is on and the %s unit can%s post", k->module, k->parameter,
		 k->unit, can_post ? "" : "not");
	return can_post ? DELIVERY_POSTED : DELIVERY_REMAPPED;
}

enum delivery delivery_read(int sysfs_fd, const char *addr, char why[128])
{
	char path[128], text[16];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct kind *k = &kinds[i];

		snprintf(path, sizeof(path), "module/%s/parameters/%s", k->module, k->parameter);
		if (file_read_at(sysfs_fd, path, text, sizeof(text)) > 0)
			return kind_read(sysfs_fd, addr, k, text[0] == 'Y' || text[0] == '1', why);
	}
	snprintf(why, 128, "no parameter of KVM's module says so");
	return DELIVERY_UNKNOWN;
}
