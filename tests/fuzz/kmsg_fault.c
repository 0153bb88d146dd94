// SPDX-License-Identifier: BSD-3-Clause
/* A record of the kernel's log, whoever wrote it: read within its bounds; what is taken out of it is a function that can
 * be, text that can be printed, and of the kernel alone. */
#include "iommu/kmsg_fault.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of its own size: a byte too far is a fault. */
	char *bytes = malloc(size > 0 ? size : 1);
	struct kmsg_record rec;
	struct kmsg_fault f;

	if (bytes == NULL)
		return 0;
	memcpy(bytes, data, size);
	if (kmsg_record_parse(bytes, size, &rec) == 0) {
		for (const char *p = rec.text; *p != '\0'; p++)
			if (*p < ' ' || *p > '~')
				abort();
		if (kmsg_fault_parse(rec.text, &f) &&
		    (f.source.dev > 31 || f.source.fn > 7 || f.kind > KMSG_SUPPRESSED ||
		     (!f.has_domain && f.source.domain != 0)))
			abort();
	}
	free(bytes);
	return 0;
}
