// SPDX-License-Identifier: BSD-3-Clause
/* meta-data of an operator's file: what is made of it is taken again, and lacks nothing then. */
#include "vf-manager/cloudinit.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cloud_who vm = { "a_vm", "0b5d9bd6-6f2c-4d3f-8a36-1f3a0a3b6c11" };
	struct cloud_text file = { malloc(size > 0 ? size : 1), size }, made, again;
	struct err e = { 0 };

	memcpy(file.data, data, size);
	if (cloud_meta_make(&file, "", &vm, &made, &e) == 0) {
		if (cloud_meta_make(&made, "", &vm, &again, &e) < 0 || again.len != made.len ||
		    memcmp(again.data, made.data, made.len) != 0)
			abort();
		cloud_text_free(&again);
		cloud_text_free(&made);
	} else if (e.text[0] == '\0') {
		abort();
	}
	cloud_text_free(&file);
	return 0;
}
