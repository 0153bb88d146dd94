// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/pflink.h"

#include <errno.h>

static int check_netdev(const struct pci_fn *pf, struct err *e)
{
	int r;

	if (pf->ifindex != 0)
		return 0;
	if (pf->driver[0] == '\0')
		r = err_set(e, ENODEV, "PF %s has no driver, so no network device", pf->name);
	else
		r = err_set(e, ENODEV, "PF %s has no network device here (driver %s)", pf->name,
			    pf->driver);
	err_code(e, "no-netdev");
	err_hint(e, "bind the PF to its own driver, and leave it in the host's network namespace");
	return r;
}

int pf_link_up(struct rtnl *nl, const struct pci_fn *pf, struct err *e)
{
	int r;

	if (pf->kind != FN_NETWORK)
		return 0;
	r = check_netdev(pf, e);
	if (r < 0)
		return r;
	r = rtnl_link_set_up(nl, pf->ifindex, true, e);
	if (r < 0)
		err_wrap(e, "PF %s", pf->dev_name);
	return r;
}
