// SPDX-License-Identifier: BSD-3-Clause
/* A VMM's statistics as the daemon takes them, then as the command shows what came out. */
#include "base/json.h"
#include "cli/render.h"
#include "vf-manager/vmstats.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(json_t *stats)
{
	auto_json json_t *pair = json_pack("{s:O, s:O}", "before", stats, "after", stats);
	struct err e = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	/* Whatever passed the daemon's checks can be shown. */
	if (out == NULL || render_vm_stats(out, pair, &e) < 0)
		abort();
	fclose(out);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' && text[i] != '\n')
			abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *ports = json_pack("[{s:s, s:s}]", "name", "wan", "vf", "0000:01:10.0");
	struct stats_source src = {
		.ports = ports,
		.interrupts = "57: 1 IR-PCI-MSIX 0-edge vfio-msix[0](0000:01:10.0)\n",
		.sysfs_fd = -1,
	};
	auto_json json_t *reply = NULL, *out = NULL;
	struct err e = { 0 };

	reply = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(reply))
		return 0;
	src.reply = reply;
	if (stats_build(&src, &out, &e) == 0)
		show(out);
	else if (e.text[0] == '\0' || out != NULL)
		abort();
	return 0;
}
