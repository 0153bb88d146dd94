// SPDX-License-Identifier: BSD-3-Clause
/* The text of a VM file, and of the daemon's configuration: both come from operators. */
#include "base/json.h"
#include "vf-manager/config.h"
#include "vf-manager/vmspec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_spec *spec = calloc(1, sizeof(*spec));
	struct config *config = calloc(1, sizeof(*config));
	auto_json json_t *warnings = json_array();
	char *text = malloc(size + 1);
	struct vm_text in = { .yaml = text, .base_dir = "/srv" };
	struct err e = { 0 };

	if (spec != NULL && config != NULL && text != NULL) {
		memcpy(text, data, size);
		text[size] = '\0';
		if (vm_spec_parse(&in, spec, warnings, &e) == 0)
			json_decref(vm_spec_json(spec));
		config_parse(text, size, config, &e);
	}
	free(text);
	free(config);
	free(spec);
	return 0;
}
