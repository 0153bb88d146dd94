// SPDX-License-Identifier: BSD-3-Clause
/* Whole functions, from their driver to vfio-pci and back. */
#include "vf-manager/privops.h"

#include "sriov/bind.h"
#include "sriov/fnuse.h"
#include "sriov/reset.h"

#include <errno.h>
#include <stdio.h>

#define RESET_DEADLINE_NS 5000000000ULL
#define BACK_DEADLINE_NS \
	20000000000ULL /* a controller's own start-up, and its namespaces after it */
#define BACK_POLL_NS 50000000L

int priv_fn_bind(struct daemon *d, const struct pci_addr *fn, struct err *e)
{
	return fn_bind_vfio(inventory_sysfs(d->inv), fn, e);
}

/* What the VM left in it must not reach the host's driver, nor the next VM. */
static int fn_wipe(struct daemon *d, const struct pci_addr *fn, const char *driver, struct err *e)
{
	const struct sysfs *sys = inventory_sysfs(d->inv);
	int r = 0;

	if (strcmp(driver, DRIVER_VFIO) == 0)
		r = priv_fn_idle_wait(d, fn, e);
	else if (driver[0] != '\0')
		r = err_set(e, EBUSY, "the driver %s has taken it", driver);
	if (r == 0)
		r = fn_dma_stop(sys, fn, e);
	return r == 0 ? fn_reset_alone(sys, fn, now_ns() + RESET_DEADLINE_NS, e) : r;
}

static int back_wait(struct daemon *d, const struct fn_row *row, struct err *e)
{
	static const char *const signs[] = { [FN_NETWORK] = "its network device",
					     [FN_NVME] = "its controller with all namespaces",
					     [FN_OTHER] = "anything" };
	const struct timespec pause = { .tv_nsec = BACK_POLL_NS };
	const uint64_t deadline = now_ns() + BACK_DEADLINE_NS;
	enum fn_kind kind = FN_OTHER;
	const struct pci_fn *fn;
	int r;

	state_lock(d);
	r = daemon_scan(d, e);
	fn = r == 0 ? inventory_find(d->inv, &row->addr) : NULL;
	/* One that showed no device before, shows none now. */
	if (fn != NULL && row->dev_name[0] != '\0')
		kind = fn->kind;
	state_unlock(d);
	if (r < 0)
		return r;
	while (!fn_use_is_back(inventory_sysfs(d->inv), &row->addr, kind, row->namespaces)) {
		if (now_ns() >= deadline) {
			err_set(e, ETIMEDOUT, "the driver %s has it again, but %s does not appear",
				row->was.driver, signs[kind]);
			return err_hint(e, "dmesg shows the driver's reason");
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

int priv_fn_give_back(struct daemon *d, const struct fn_row *row, struct err *e)
{
	const struct sysfs *sys = inventory_sysfs(d->inv);
	char driver[DRIVER_NAME];
	int r = fn_driver(sys, &row->addr, driver);

	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return err_set(e, r, "read its driver: %s", strerror(-r));
	/* Its own driver may never have lost it, or has it by hand again: then it is in use. */
	if (driver[0] == '\0' || strcmp(driver, row->was.driver) != 0 ||
	    strcmp(driver, DRIVER_VFIO) == 0)
		r = fn_wipe(d, &row->addr, driver, e);
	if (r == 0)
		r = fn_bind_back(sys, &row->addr, &row->was, e);
	return r == 0 ? back_wait(d, row, e) : r;
}
