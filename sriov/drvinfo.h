/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Versions of a network device's driver and firmware, by ethtool's ioctl (linux/ethtool.h, ETHTOOL_GDRVINFO).
 */
#ifndef VIADUCT_SRIOV_DRVINFO_H
#define VIADUCT_SRIOV_DRVINFO_H

#define DRIVER_INFO_TEXT 32

struct driver_info {
	char version[DRIVER_INFO_TEXT]; /* of the driver: the kernel's own where it has none; "": not told */
	char firmware[DRIVER_INFO_TEXT];
};

/* `dev`: as it is called now. 0 or -errno; *out is empty then. */
int driver_info_read(const char *dev, struct driver_info *out);

#endif
