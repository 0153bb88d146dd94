// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/spec_firmware.h"

#include "base/json.h"

#include <errno.h>

#define UUID_TEXT 36

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c != '\0' ? strchr(digits, c) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

/* 8-4-4-4-12 lower-case digits (RFC 4122, 3). */
static int uuid_parse(const char *text, uint8_t out[16])
{
	unsigned int n = 0;

	if (strlen(text) != UUID_TEXT)
		return -EINVAL;
	for (unsigned int i = 0; i < UUID_TEXT; i++) {
		int digit = hex_digit(text[i]);

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return -EINVAL;
			continue;
		}
		if (digit < 0)
			return -EINVAL;
		out[n / 2] = (uint8_t)(out[n / 2] << 4 | digit);
		n++;
	}
	return 0;
}

int spec_firmware_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	char text[UUID_TEXT + 1] = "";
	int r = json_get_str_opt(obj, "uuid", text, sizeof(text), e);

	if (r == 0 && text[0] != '\0' && uuid_parse(text, spec->uuid) < 0)
		r = err_set(e, EINVAL, "uuid: \"%s\" is no UUID", text);
	if (r < 0)
		return r;
	if (spec->firmware_fd < 0 && spec->kernel_fd < 0)
		return err_set(e, ENOENT, "fd \"kernel\" is missing");
	if (spec->firmware_fd < 0 && spec->vars_fd >= 0)
		return err_set(e, EINVAL, "fd \"vars\" without \"firmware\"");
	if (spec->kernel_fd < 0 && spec->initrd_fd >= 0)
		return err_set(e, EINVAL, "fd \"initrd\" without \"kernel\"");
	return 0;
}
