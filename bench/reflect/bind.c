// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/bind.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static int is_with(const char *function, const char *driver)
{
	char path[96], has[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.20s/driver", function);
	if (link_base_at(AT_FDCWD, path, has, sizeof(has)) < 0)
		return -ENODEV;
	return strcmp(has, driver) == 0;
}

int bind_to(const char *function, const char *driver, struct err *e)
{
	char path[96];
	int with = is_with(function, driver), r = 0;

	if (with == 1)
		return 0;
	if (with == 0) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.20s/driver/unbind", function);
		r = file_write_at(AT_FDCWD, path, function);
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.20s/driver_override", function);
	if (r == 0)
		r = file_write_at(AT_FDCWD, path, driver);
	if (r == 0)
		r = file_write_at(AT_FDCWD, "/sys/bus/pci/drivers_probe", function);
	if (r == 0 && is_with(function, driver) != 1)
		r = -ENODEV;
	return r < 0 ? err_set(e, r, "%s does not go to %s: %s", function, driver, strerror(-r))
		     : 0;
}
