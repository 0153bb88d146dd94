// SPDX-License-Identifier: BSD-3-Clause
/* What the tester of `host selftest` says becomes a report: each step once, in known words, whatever it says. */
#include "base/json.h"
#include "vf-manager/selftest.h"

#include <stdint.h>
#include <stdlib.h>

#define TESTERS 7 /* steps of the tester's */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *said = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	auto_json json_t *steps = json_array();
	const char *verdict;

	selftest_steps_take(steps, said, NULL);
	selftest_posted_add(steps, said, IOMMU_ON, IOMMU_ON);
	if (json_array_size(steps) != TESTERS + 1)
		abort();
	selftest_steps_skip(steps, "none", NULL);
	verdict = selftest_verdict(steps);
	/* It was never wiped. */
	if (strcmp(verdict, "pass") == 0)
		abort();
	return 0;
}
