// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/selftest_device.h"

#include <stddef.h>

/* Intel 82576 and I350, registers of a virtual function (82576 datasheet 7.3 and 8.27: VTEICS, VTEIMS, VTEIAC,
 * VTEIAM): cause bit 0 is MSI-X vector 0. The row of the I350 follows the same layout and has met no card yet. */
#define VTEICS 0x1520 /* a write raises causes */
#define VTEIMS 0x1524 /* enabled causes */
#define VTEIAC 0x152c /* causes that a message clears */
#define VTEIAM 0x1530 /* causes that a message disables: none */
#define CAUSE0 1U

#define ROW_82576(id)                                                             \
	{                                                                         \
		.vendor = 0x8086, .device = (id), .bar = 0,                       \
		.arm = { { VTEIAC, CAUSE0 }, { VTEIAM, 0 }, { VTEIMS, CAUSE0 } }, \
		.raise = { VTEICS, CAUSE0 }, .enabled = VTEIMS,                   \
	}

static const struct selftest_device devices[] = {
	ROW_82576(0x10ca),
	ROW_82576(0x1520),
};

const struct selftest_device *selftest_device_find(uint16_t vendor, uint16_t device)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (devices[i].vendor == vendor && devices[i].device == device)
			return &devices[i];
	return NULL;
}
