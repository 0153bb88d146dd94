// SPDX-License-Identifier: BSD-3-Clause
/* The first and last bytes of an image that nobody vouches for: what is taken names no other file that its header could
 * tell of. First two bytes: how the rest is cut into both ends. */
#include "image/image_format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void qcow2_is_alone(const struct image_ends *ends)
{
	uint64_t backing;

	memcpy(&backing, ends->head + 8, sizeof(backing));
	if (backing != 0 || ends->head_bytes < 72)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_ends ends = { 0 };
	enum image_format format;
	struct err e = { 0 };
	size_t tail;

	if (size < 2)
		return 0;
	tail = (size_t)(data[0] | (data[1] & 3) << 8) % (IMAGE_TAIL + 1);
	data += 2;
	size -= 2;
	ends.tail_bytes = tail < size ? tail : size;
	memcpy(ends.tail, data + size - ends.tail_bytes, ends.tail_bytes);
	ends.head_bytes = size < IMAGE_HEAD ? size : IMAGE_HEAD;
	memcpy(ends.head, data, ends.head_bytes);
	ends.file_bytes = size;
	if (image_format_probe(&ends, &format, &e) < 0 && (e.code[0] == '\0' || e.hint[0] == '\0'))
		abort();
	for (unsigned int f = 0; f < IMAGE_FORMATS; f++) {
		(void)image_virtual_bytes(&ends, f);
		if (image_format_check(&ends, f, &e) == 0 && f == IMAGE_QCOW2)
			qcow2_is_alone(&ends);
	}
	return 0;
}
