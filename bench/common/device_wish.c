// SPDX-License-Identifier: BSD-3-Clause
#include "bench/common/device.h"

#include "base/parse.h"

#include <errno.h>

/* What DPDK's own language of devices gives a meaning to has none here. */
static bool is_plain(const char *text)
{
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789._/:=@+-,")] == '\0';
}

int device_wish_read(const json_t *q, struct device_wish *out, struct err *e)
{
	static const char *const known[] = { "op", "name", "device", "mtu", "server", NULL };
	struct device_wish w = { .mtu = 1500 };
	int r = json_check_keys(q, known, e);

	if (r == 0)
		r = json_get_str(q, "name", w.name, sizeof(w.name), e);
	if (r == 0)
		r = json_get_str(q, "device", w.device, sizeof(w.device), e);
	if (r == 0)
		r = json_get_u64_opt(q, "mtu", DEVICE_MTU_MAX, &w.mtu, e);
	if (r == 0)
		r = json_get_bool_opt(q, "server", &w.server, e);
	if (r < 0)
		return r;
	if (parse_name(w.name) < 0)
		return err_set(e, EINVAL, "'%s' is no name for a port (a-z, 0-9, '.', '_', '-')",
			       w.name);
	if (w.device[0] == '\0' || !is_plain(w.device))
		return err_set(e, EINVAL, "'%s' is no device", w.device);
	if (w.mtu < DEVICE_MTU_MIN)
		return err_set(e, ERANGE, "mtu is %llu, at least %d is possible",
			       (unsigned long long)w.mtu, DEVICE_MTU_MIN);
	*out = w;
	return 0;
}
