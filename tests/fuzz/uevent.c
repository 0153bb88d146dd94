// SPDX-License-Identifier: BSD-3-Clause
/* A message of the kernel's, or of whoever looks like it: read within its bounds, and found ours only where a whole
 * word says so. */
#include "sriov/kevents.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of its own size: a byte too far is a fault. */
	char *msg = malloc(size > 0 ? size : 1);

	if (msg == NULL)
		return 0;
	memcpy(msg, data, size);
	if (uevent_is_ours(msg, size) && memmem(msg, size, "SUBSYSTEM=", 10) == NULL)
		abort();
	free(msg);
	return 0;
}
