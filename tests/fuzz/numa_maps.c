// SPDX-License-Identifier: BSD-3-Clause
/* A process's own word about its mappings, as the kernel writes it down: read within its bounds; shares are in order, no
 * node twice, and add up without a wrap. */
#include "vf-manager/numamaps.h"

#include "vmm/vmm_msg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of its own size: a byte too far is a fault. */
	char *text = malloc(size + 1), shown[80];
	struct numa_shares s;
	uint64_t total = 0;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (numa_maps_parse(text, VMM_RAM_NAME, &s) != (s.count > 0) || s.count > NUMA_SHARES)
		abort();
	for (unsigned int i = 0; i < s.count; i++) {
		const struct numa_share *one = &s.items[i];

		if (one->bytes == 0 || one->node > VMM_MAX_NODE || total + one->bytes < total ||
		    (i > 0 && one->node <= s.items[i - 1].node) ||
		    numa_share_of(&s, one->node) != one->bytes)
			abort();
		total += one->bytes;
	}
	if (total != s.total || strlen(numa_shares_text(&s, shown, sizeof(shown))) >= sizeof(shown))
		abort();
	free(text);
	return 0;
}
