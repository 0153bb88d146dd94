// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/bind.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NO_OVERRIDE "\n" /* as the kernel wants it; a write of nothing is no write */

int fn_driver(const struct sysfs *sys, const struct pci_addr *fn, char buf[DRIVER_NAME])
{
	int r = sysfs_fn_link(sys, fn, "driver", buf, DRIVER_NAME);

	if (r != -ENOENT)
		return r;
	if (!sysfs_fn_has(sys, fn, ""))
		return -ENODEV;
	buf[0] = '\0';
	return 0;
}

static int driver_read(const struct sysfs *sys, const struct pci_addr *fn, char buf[DRIVER_NAME],
		       struct err *e)
{
	int r = fn_driver(sys, fn, buf);

	if (r == -ENODEV) {
		r = err_set(e, ENODEV, "there is no such function any more");
		err_code(e, "no-such-function");
		err_hint(e, "viaduct vf list   shows what is there");
		return r;
	}
	return r < 0 ? err_set(e, r, "read the driver link: %s", strerror(-r)) : 0;
}

static void override_read(const struct sysfs *sys, const struct pci_addr *fn, char buf[DRIVER_NAME])
{
	if (sysfs_fn_read(sys, fn, "driver_override", buf, DRIVER_NAME) < 0 ||
	    strcmp(buf, "(null)") == 0)
		buf[0] = '\0';
}

static int override_write(const struct sysfs *sys, const struct pci_addr *fn, const char *driver,
			  struct err *e)
{
	int r = sysfs_fn_write(sys, fn, "driver_override", *driver != '\0' ? driver : NO_OVERRIDE);

	if (r < 0)
		return err_set(e, r, "write driver_override: %s", strerror(-r));
	return 0;
}

/* The present driver lets go; none is fine. */
static int driver_detach(const struct sysfs *sys, const struct pci_addr *fn, struct err *e)
{
	char name[PCI_ADDR_TEXT], driver[DRIVER_NAME];
	int r = sysfs_fn_write(sys, fn, "driver/unbind", pci_addr_text(fn, name));

	/* -ENOENT: no driver. -ENODEV: it let go just before we asked. */
	if (r < 0 && r != -ENOENT && r != -ENODEV)
		return err_set(e, r, "take it from its driver: %s", strerror(-r));
	r = driver_read(sys, fn, driver, e);
	if (r < 0)
		return r;
	if (driver[0] != '\0') {
		r = err_set(e, EBUSY, "driver %s does not let it go", driver);
		err_code(e, "unbind-refused");
		err_hint(e, "dmesg shows the driver's reason");
		return r;
	}
	return 0;
}

/* Asks the kernel to find a driver. Success says nothing: read the link. */
static int driver_probe(const struct sysfs *sys, const struct pci_addr *fn)
{
	char name[PCI_ADDR_TEXT];

	return file_write_at(sys->root_fd, "bus/pci/drivers_probe", pci_addr_text(fn, name));
}

static int driver_check_loaded(const struct sysfs *sys, const char *driver, struct err *e)
{
	char path[SYSFS_PATH];
	int r;

	if (*driver == '\0' || strchr(driver, '/') != NULL || *driver == '.' ||
	    strlen(driver) >= DRIVER_NAME)
		return err_set(e, EINVAL, "\"%.64s\" is no name of a driver", driver);
	snprintf(path, sizeof(path), "bus/pci/drivers/%s", driver);
	if (faccessat(sys->root_fd, path, F_OK, 0) == 0)
		return 0;
	r = err_set(e, ENODEV, "driver %s is not loaded", driver);
	err_code(e, "driver-not-loaded");
	err_hint(e, "modprobe %s", driver);
	return r;
}

/* Override, detach, probe, verify; no way back here. */
static int bind_try(const struct sysfs *sys, const struct pci_addr *fn, const char *driver,
		    struct err *e)
{
	char now[DRIVER_NAME];
	int probed, r = override_write(sys, fn, driver, e);

	if (r < 0)
		return r;
	r = driver_detach(sys, fn, e);
	if (r < 0)
		return r;
	probed = driver_probe(sys, fn);
	r = driver_read(sys, fn, now, e);
	if (r < 0)
		return r;
	if (strcmp(now, driver) == 0)
		return 0;
	if (now[0] != '\0')
		r = err_set(e, EBUSY, "driver %s took it instead of %s", now, driver);
	else if (probed < 0)
		r = err_set(e, EBUSY, "driver %s did not take it: %s", driver, strerror(-probed));
	else
		r = err_set(e, EBUSY, "driver %s did not take it", driver);
	err_code(e, "bind-refused");
	if (strcmp(driver, DRIVER_VFIO) == 0)
		err_hint(e, "dmesg shows the reason; vfio-pci needs an IOMMU: viaduct host check");
	else
		err_hint(e, "dmesg shows the driver's reason");
	return r;
}

int fn_bind(const struct sysfs *sys, const struct pci_addr *fn, const char *driver, struct err *e)
{
	char name[PCI_ADDR_TEXT], former[DRIVER_NAME], override[DRIVER_NAME];
	int r = driver_read(sys, fn, former, e);

	pci_addr_text(fn, name);
	if (r == 0)
		r = driver_check_loaded(sys, driver, e);
	if (r < 0) {
		err_wrap(e, "bind %s to %.32s", name, driver);
		return r;
	}
	override_read(sys, fn, override);
	if (strcmp(former, driver) == 0 && strcmp(override, driver) == 0)
		return 0;
	/* Its driver already: it only has to stay so. */
	r = strcmp(former, driver) == 0 ? override_write(sys, fn, driver, e)
					: bind_try(sys, fn, driver, e);
	if (r < 0) {
		err_wrap(e, "bind %s to %.32s", name, driver);
		(void)override_write(sys, fn, override, NULL);
		if (former[0] != '\0')
			(void)driver_probe(sys, fn);
	}
	return r;
}

int fn_unbind(const struct sysfs *sys, const struct pci_addr *fn, struct err *e)
{
	char name[PCI_ADDR_TEXT], driver[DRIVER_NAME];
	int r = driver_read(sys, fn, driver, e);

	if (r == 0)
		r = override_write(sys, fn, "", e);
	if (r == 0 && driver[0] != '\0')
		r = driver_detach(sys, fn, e);
	if (r < 0)
		err_wrap(e, "unbind %s", pci_addr_text(fn, name));
	return r;
}

int fn_binding_read(const struct sysfs *sys, const struct pci_addr *fn, struct fn_binding *out,
		    struct err *e)
{
	override_read(sys, fn, out->override);
	return driver_read(sys, fn, out->driver, e);
}

/* The kernel's own choice first; a driver that was bound by hand is asked by hand. */
static int driver_again(const struct sysfs *sys, const struct pci_addr *fn, const char *driver,
			struct err *e)
{
	char now[DRIVER_NAME], name[PCI_ADDR_TEXT], path[SYSFS_PATH];
	int asked = 0, r = driver_check_loaded(sys, driver, e);

	if (r < 0)
		return r;
	(void)driver_probe(sys, fn);
	r = driver_read(sys, fn, now, e);
	if (r == 0 && now[0] == '\0') {
		snprintf(path, sizeof(path), "bus/pci/drivers/%s/bind", driver);
		asked = file_write_at(sys->root_fd, path, pci_addr_text(fn, name));
		r = driver_read(sys, fn, now, e);
	}
	if (r < 0 || strcmp(now, driver) == 0)
		return r;
	r = now[0] != '\0' ? err_set(e, EBUSY, "driver %s took it instead of %s", now, driver)
	    : asked < 0
		    ? err_set(e, EBUSY, "driver %s did not take it: %s", driver, strerror(-asked))
		    : err_set(e, EBUSY, "driver %s did not take it", driver);
	err_code(e, "bind-refused");
	err_hint(e, "dmesg shows the driver's reason");
	return r;
}

int fn_bind_back(const struct sysfs *sys, const struct pci_addr *fn, const struct fn_binding *was,
		 struct err *e)
{
	char now[DRIVER_NAME], name[PCI_ADDR_TEXT];
	int r = driver_read(sys, fn, now, e);

	if (r == 0)
		r = override_write(sys, fn, was->override, e);
	if (r == 0 && strcmp(now, was->driver) != 0) {
		r = driver_detach(sys, fn, e);
		if (r == 0 && was->driver[0] != '\0')
			r = driver_again(sys, fn, was->driver, e);
	}
	if (r < 0)
		err_wrap(e, "give %s back to the driver %.32s", pci_addr_text(fn, name),
			 was->driver);
	return r;
}
