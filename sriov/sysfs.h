/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The root of all that sriov/ reads and writes: /sys, or another folder with the same shape
 * (tests). Passed to every function, so that none of them knows an absolute path.
 */
#ifndef VIADUCT_SRIOV_SYSFS_H
#define VIADUCT_SRIOV_SYSFS_H

#include "base/err.h"
#include "base/parse.h"

#include <sys/types.h>

#define SYSFS_PATH 192 /* the longest relative path that is built here, with its NUL */

struct sysfs {
	int root_fd; /* owned; -1 when closed */
	/* The kernel's own /sys: devices are listed by libpciaccess and device nodes are in /dev.
	 * Else devices are the folder's entries and device nodes are in its "dev". */
	bool is_host;
};

/* `root` NULL means /sys. -ENOENT or -EACCES with the path in the error. */
int sysfs_open(struct sysfs *sys, const char *root, struct err *e);

/* Safe on a struct that sysfs_open() never filled, if root_fd is -1. */
void sysfs_close(struct sysfs *sys);

/* Writes "bus/pci/devices/ADDR/ATTR" (ATTR "" for the folder itself). Returns buf. */
char *sysfs_fn_path(const struct pci_addr *fn, const char *attr, char buf[SYSFS_PATH]);

/* An attribute of a function: text without trailing white space; returns its length or -errno. */
ssize_t sysfs_fn_read(const struct sysfs *sys, const struct pci_addr *fn, const char *attr,
		      char *buf, size_t cap);

/* A decimal or 0x number. -EINVAL if the attribute is no such number. */
int sysfs_fn_read_u64(const struct sysfs *sys, const struct pci_addr *fn, const char *attr,
		      uint64_t max, uint64_t *out);

int sysfs_fn_write(const struct sysfs *sys, const struct pci_addr *fn, const char *attr,
		   const char *text);

/* Last component of a link's target, such as the driver's name; -ENOENT if there is no link. */
int sysfs_fn_link(const struct sysfs *sys, const struct pci_addr *fn, const char *attr, char *buf,
		  size_t cap);

/* A number that no other function of this boot has or had at this address: that of its folder, which the
 * kernel never gives out twice. -ENOENT: there is no such function. */
int sysfs_fn_birth(const struct sysfs *sys, const struct pci_addr *fn, uint64_t *out);

bool sysfs_fn_has(const struct sysfs *sys, const struct pci_addr *fn, const char *attr);

#endif
