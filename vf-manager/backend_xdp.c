// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/backend_core.h"

#include "base/log.h"
#include "sriov/xdpprog.h"

#include <net/if.h>

int backend_xdp_clear(struct backend *b, const char *device, struct err *e)
{
	unsigned int ifindex = if_nametoindex(device);
	struct rtnl *nl;
	int r;

	/* Without root viaduct-pmd would not be given such a device; that there is none it says itself. */
	if (!b->d->is_root || ifindex == 0)
		return 0;
	r = rtnl_create(&nl, e);
	if (r < 0)
		return r;
	r = xdp_leftover_remove(nl, ifindex, backend_uid(&b->d->config), e);
	rtnl_destroy(nl);
	if (r > 0)
		log_info("%s: the XDP program of a viaduct-pmd that was killed is off", device);
	return r < 0 ? err_wrap(e, "%s", device) : 0;
}
