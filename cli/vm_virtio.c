// SPDX-License-Identifier: BSD-3-Clause
#include "cli/vm_virtio.h"

#include <stdio.h>

static void device_text(const json_t *one, char *buf, size_t cap)
{
	const json_t *cid = text_member(one, "cid"), *error = text_member(one, "error");
	bool is_used = json_is_true(text_member(one, "driver_active"));
	char name[64], of[80] = "", why[160] = "";

	text_value(text_member(one, "device"), name, sizeof(name));
	if (json_is_integer(cid))
		snprintf(of, sizeof(of), " of CID %lld", (long long)json_integer_value(cid));
	if (json_is_string(error)) {
		why[0] = ':';
		why[1] = ' ';
		text_value(error, why + 2, sizeof(why) - 2);
	}
	snprintf(buf, cap, "%s%s (%s%s)", name, of, is_used ? "in use" : "no driver", why);
}

void text_virtio(const json_t *list, char *buf, size_t cap)
{
	char clean[TEXT_CELL] = "", one[400];
	const json_t *row;
	size_t i, n = 0;

	json_array_foreach((json_t *)list, i, row) {
		device_text(row, one, sizeof(one));
		n += (size_t)snprintf(clean + n, sizeof(clean) - n, "%s%s", i > 0 ? ", " : "", one);
		if (n >= sizeof(clean))
			break;
	}
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}
