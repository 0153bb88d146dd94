// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/reset.h"

#include "sriov/fnread.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PCI_COMMAND	   0x04
#define PCI_COMMAND_MASTER BIT(2)
#define POLL_NS		   10000000L

/* Resets that end at the function, in the words of sysfs `reset_method`. */
static const char *const own_methods[] = { "flr", "af_flr", "device_specific", NULL };

/* All that the kernel offers end at a function that is alone on its bus. */
static const char *const alone_methods[] = { "flr",  "af_flr", "device_specific", "pm", "bus",
					     "acpi", NULL };

static int command_read(int fd, uint16_t *out)
{
	uint8_t raw[2];
	ssize_t n = pread(fd, raw, sizeof(raw), PCI_COMMAND);

	if (n < 0)
		return -errno;
	if (n != sizeof(raw))
		return -EIO;
	*out = get_le16(raw);
	return *out == UINT16_MAX ? -ENODEV : 0;
}

static int command_clear_master(int fd)
{
	uint8_t raw[2];
	uint16_t command;
	int r = command_read(fd, &command);

	if (r < 0)
		return r;
	if ((command & PCI_COMMAND_MASTER) == 0)
		return 0;
	put_le16(raw, command & ~PCI_COMMAND_MASTER);
	if (pwrite(fd, raw, sizeof(raw), PCI_COMMAND) != sizeof(raw))
		return -EIO;
	r = command_read(fd, &command);
	if (r < 0)
		return r;
	return (command & PCI_COMMAND_MASTER) != 0 ? -EIO : 0;
}

int fn_dma_stop(const struct sysfs *sys, const struct pci_addr *fn, struct err *e)
{
	char path[SYSFS_PATH], name[PCI_ADDR_TEXT];
	auto_fd int fd =
		openat(sys->root_fd, sysfs_fn_path(fn, "config", path), O_RDWR | O_CLOEXEC);
	int r = fd < 0 ? -errno : command_clear_master(fd);

	if (r < 0) {
		r = err_set(e, r, "stop the DMA of %s: %s", pci_addr_text(fn, name), strerror(-r));
		err_code(e, "dma-stop-failed");
	}
	return r;
}

/* True if the first method that the kernel would use (their order is its order) is in the list. */
static bool has_method(const struct sysfs *sys, const struct pci_addr *fn, const char *const *list)
{
	char methods[128];
	ssize_t n = sysfs_fn_read(sys, fn, "reset_method", methods, sizeof(methods));

	if (n <= 0)
		return false;
	methods[strcspn(methods, " ")] = '\0';
	while (*list != NULL && strcmp(methods, *list) != 0)
		list++;
	return *list != NULL;
}

static bool is_quiet(const struct sysfs *sys, const struct pci_addr *fn)
{
	char path[SYSFS_PATH];
	auto_fd int fd =
		openat(sys->root_fd, sysfs_fn_path(fn, "config", path), O_RDONLY | O_CLOEXEC);
	uint16_t command;

	return fd >= 0 && fn_probe_config(sys, fn) == 0 && command_read(fd, &command) == 0 &&
	       (command & PCI_COMMAND_MASTER) == 0;
}

static int method_refuse(const struct pci_addr *fn, const char *what, struct err *e)
{
	char name[PCI_ADDR_TEXT];

	err_set(e, EOPNOTSUPP, "%s has no %s", pci_addr_text(fn, name), what);
	err_code(e, "no-flr");
	return err_hint(e, "cat /sys/bus/pci/devices/%s/reset_method   shows what the kernel has",
			name);
}

static int reset_do(const struct sysfs *sys, const struct pci_addr *fn, uint64_t deadline_ns,
		    struct err *e)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	char name[PCI_ADDR_TEXT];
	int r;

	pci_addr_text(fn, name);
	/* The kernel restores the command register after the reset, so it must be right before. */
	r = fn_dma_stop(sys, fn, e);
	if (r < 0)
		return r;
	r = sysfs_fn_write(sys, fn, "reset", "1");
	if (r < 0)
		return err_set(e, r, "reset %s: %s", name, strerror(-r));
	while (!is_quiet(sys, fn)) {
		if (now_ns() >= deadline_ns) {
			r = err_set(e, ETIMEDOUT, "%s does not answer after its reset", name);
			err_code(e, "reset-timeout");
			return r;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

int fn_reset(const struct sysfs *sys, const struct pci_addr *fn, uint64_t deadline_ns,
	     struct err *e)
{
	return has_method(sys, fn, own_methods) ? reset_do(sys, fn, deadline_ns, e)
						: method_refuse(fn, "function-level reset", e);
}

int fn_reset_alone(const struct sysfs *sys, const struct pci_addr *fn, uint64_t deadline_ns,
		   struct err *e)
{
	return has_method(sys, fn, alone_methods) ? reset_do(sys, fn, deadline_ns, e)
						  : method_refuse(fn, "reset of its own", e);
}

bool fn_can_reset_alone(const struct sysfs *sys, const struct pci_addr *fn)
{
	return has_method(sys, fn, alone_methods);
}
