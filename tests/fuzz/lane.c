// SPDX-License-Identifier: BSD-3-Clause
/* Whatever guests send and write: the short way through the switch does as the long one (tests/fake/lane_worlds.h). */
#include "../fake/lane_worlds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lane_worlds_facts facts;

	lane_worlds_run(data, size, &facts);
	return 0;
}
