/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space of one function, read on demand and only where a capability says that there
 * is something: some devices do not survive a read of everything. Every access is checked against
 * the size, every walk has a step bound; what the device says is not trusted. PCIe Base 6.0,
 * chapter 7.
 */
#ifndef VIADUCT_SRIOV_CFGSPACE_H
#define VIADUCT_SRIOV_CFGSPACE_H

#include "base/util.h"

#define CFG_SIZE_MAX	4096
#define CFG_SIZE_LEGACY 256
#define CFG_SIZE_PUBLIC 64 /* what the kernel shows to a reader without CAP_SYS_ADMIN */

struct cfg_space {
	int fd; /* the sysfs `config` file, owned; -1: all there is lies in data */
	uint16_t size_bytes; /* 0, 256 or 4096; any value up to 4096 for a buffer */
	bool is_cut; /* a read past CFG_SIZE_PUBLIC gave nothing: the reader is not privileged */
	uint64_t loaded[CFG_SIZE_MAX / 4 / 64]; /* one bit per dword of data that was read */
	uint8_t data[CFG_SIZE_MAX];
};

/* Takes over fd in every case. -errno of fstat; then the space is empty but usable. */
int cfg_open_fd(struct cfg_space *cfg, int fd);

/* A copy of len bytes (at most CFG_SIZE_MAX are used). */
void cfg_from_bytes(struct cfg_space *cfg, const void *bytes, size_t len);

void cfg_close(struct cfg_space *cfg);

/* Little-endian. Out of range, unaligned for the dword form, or unreadable: -ERANGE, -EIO; -EACCES
 * if the reader's lack of privilege cut the space. *out is written only on 0. */
int cfg_read16(struct cfg_space *cfg, unsigned off, uint16_t *out);
int cfg_read32(struct cfg_space *cfg, unsigned off, uint32_t *out);

/* Offset of the first capability with this id; -ENOENT if there is none (or the list is broken
 * before it), -EACCES if it cannot be known without privilege. Extended ones start at 0x100. */
int cfg_find_cap(struct cfg_space *cfg, uint8_t id);
int cfg_find_ext_cap(struct cfg_space *cfg, uint16_t id);

#endif
