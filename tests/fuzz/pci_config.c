// SPDX-License-Identifier: BSD-3-Clause
/* A device's configuration space, and the text of `resource` behind its first 4096 bytes. */
#include "sriov/pcicaps.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t space = (size_t)u64_min(size, CFG_SIZE_MAX);
	struct pci_caps caps;
	struct cfg_space cfg;
	char text[1024] = "";

	cfg_from_bytes(&cfg, data, space);
	pci_caps_decode(&cfg, &caps);
	memcpy(text, data + space, (size_t)u64_min(size - space, sizeof(text) - 1));
	sriov_cap_add_sizes(&caps.sriov, text);
	if (caps.sriov.bar_count > VF_BARS)
		abort();
	for (unsigned id = 0; id < 64; id++) {
		int cap = cfg_find_cap(&cfg, (uint8_t)id),
		    ext = cfg_find_ext_cap(&cfg, (uint16_t)id);

		if ((cap >= 0 && (cap < 64 || cap > 252)) ||
		    (ext >= 0 && (ext < 256 || ext > 4092)))
			abort();
	}
	return 0;
}
