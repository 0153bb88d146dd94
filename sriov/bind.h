/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which driver has a function. Always by driver_override and drivers_probe, never by new_id (which
 * fails the second time and catches functions nobody meant); always verified by reading the driver
 * link back, because drivers_probe succeeds without binding anything.
 */
#ifndef VIADUCT_SRIOV_BIND_H
#define VIADUCT_SRIOV_BIND_H

#include "sriov/sysfs.h"

#define DRIVER_NAME 64
#define DRIVER_VFIO "vfio-pci"

/* Name of the driver that has fn into buf; "" if none. -ENODEV if there is no such function. */
int fn_driver(const struct sysfs *sys, const struct pci_addr *fn, char buf[DRIVER_NAME]);

/*
 * Gives fn to the named driver and to no other until fn_unbind() or fn_bind_back(). Does nothing
 * if it is there already. Blocks while the present driver's users hold on (vfio-pci: until the last
 * fd of the device is closed). On failure the former override and driver are restored as far as
 * possible. -ENODEV code "driver-not-loaded": hint says modprobe. -EBUSY code "bind-refused": the
 * driver was asked and did not take it.
 */
int fn_bind(const struct sysfs *sys, const struct pci_addr *fn, const char *driver, struct err *e);

static inline int fn_bind_vfio(const struct sysfs *sys, const struct pci_addr *fn, struct err *e)
{
	return fn_bind(sys, fn, DRIVER_VFIO, e);
}

/* Takes the driver away and clears the override: the function is nobody's. */
int fn_unbind(const struct sysfs *sys, const struct pci_addr *fn, struct err *e);

/* Which driver has a function, and which one it is kept for; "": none. */
struct fn_binding {
	char driver[DRIVER_NAME];
	char override[DRIVER_NAME];
};

int fn_binding_read(const struct sysfs *sys, const struct pci_addr *fn, struct fn_binding *out,
		    struct err *e);

/*
 * Makes it `was` again after fn_bind(). Does nothing but set the override if that driver has it
 * already. -EBUSY code "bind-refused": the driver did not take it; then it has none.
 */
int fn_bind_back(const struct sysfs *sys, const struct pci_addr *fn, const struct fn_binding *was,
		 struct err *e);

#endif
