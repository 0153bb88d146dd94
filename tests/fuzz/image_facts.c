// SPDX-License-Identifier: BSD-3-Clause
/* qemu-img's words: what is taken tells of one file of a size that can be. */
#include "base/json.h"
#include "image/image_facts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int percent = image_progress_parse((const char *)data, size);

	if (percent < -1 || percent > 100)
		abort();
	for (unsigned int f = 0; f < IMAGE_FORMATS; f++) {
		auto_json json_t *info =
			json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
		uint64_t bytes = 0;

		if (image_facts_check(info, f, &bytes, NULL) == 0 &&
		    (bytes > IMAGE_MAX_BYTES || json_object_get(info, "backing-filename") != NULL))
			abort();
	}
	return 0;
}
