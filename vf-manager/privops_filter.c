// SPDX-License-Identifier: BSD-3-Clause
/* The addresses that PFs take beside their own. */
#include "vf-manager/privops.h"

#include <errno.h>
#include <net/if.h>

/* State locked. The kernel's device of that index is still the one that is meant: a test's machine has others. */
static int device_check(const struct filter_dev *dev, struct err *e)
{
	char name[IF_NAMESIZE] = "";

	if (if_indextoname(dev->ifindex, name) == NULL || strcmp(name, dev->name) != 0)
		return err_set(e, ENODEV, "there is no network device %s any more", dev->name);
	return 0;
}

int priv_filter_read(struct daemon *d, const struct filter_dev *dev, struct mac_filter *out,
		     struct err *e)
{
	int r;

	*out = (struct mac_filter){ 0 };
	state_lock(d);
	r = device_check(dev, e);
	if (r == 0)
		r = mac_filter_read(d->nl, dev->ifindex, out, e);
	state_unlock(d);
	return r;
}

int priv_filter_add(struct daemon *d, const struct filter_dev *dev, const uint8_t mac[6],
		    struct err *e)
{
	static const uint8_t none[6];
	int r;

	if ((mac[0] & 1) != 0 || memcmp(mac, none, 6) == 0)
		return err_set(e, EINVAL, "that is no station's address");
	state_lock(d);
	r = device_check(dev, e);
	if (r == 0)
		r = mac_filter_add(d->nl, dev->ifindex, mac, e);
	state_unlock(d);
	return r;
}

int priv_filter_del(struct daemon *d, const struct filter_dev *dev, const uint8_t mac[6],
		    struct err *e)
{
	int r;

	state_lock(d);
	r = device_check(dev, e);
	if (r == 0)
		r = mac_filter_del(d->nl, dev->ifindex, mac, e);
	state_unlock(d);
	return r;
}
