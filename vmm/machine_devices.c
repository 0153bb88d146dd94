// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/machine_devices.h"

#include <errno.h>

#include "vmm/machine.h"

int machine_devices_pin(struct machine *m, struct err *e)
{
	if (m->spec->device_count != 0)
		return err_set(e, ENOTSUP, "VFIO functions are not built in");
	return 0;
}

int machine_devices_create(struct machine *m, struct err *e)
{
	return 0;
}

void machine_devices_destroy(struct machine *m)
{
}

json_t *machine_devices_status(struct machine *m)
{
	return json_array();
}
