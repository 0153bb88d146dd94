/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that viaduct can make send an interrupt message by themselves, without their driver: a register raises one
 * by software. What is not in the table is tested without it, and the report says so.
 */
#ifndef VIADUCT_VMM_SELFTEST_DEVICE_H
#define VIADUCT_VMM_SELFTEST_DEVICE_H

#include <stdint.h>

#define SELFTEST_ARMS 4

struct selftest_register {
	uint32_t offset, value;
};

struct selftest_device {
	uint16_t vendor, device;
	uint8_t bar;
	struct selftest_register arm[SELFTEST_ARMS]; /* written once; offset 0 ends */
	struct selftest_register raise; /* each write of it is one message of vector 0 */
	uint32_t enabled; /* a register that is not 0 when armed: what a reset makes of it is told; 0: none */
};

/* NULL: not known. */
const struct selftest_device *selftest_device_find(uint16_t vendor, uint16_t device);

#endif
