// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/dmachoice.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/privops.h"

#include "base/fd.h"
#include "iommu/vfio_cdev.h"
#include "sriov/bind.h"

#include <errno.h>
#include <stdio.h>

static const char *const apis[DMA_APIS] = DMA_API_WORDS;
static const char *const wishes[] = {
	[DMA_WISH_AUTO] = "auto",
	[DMA_WISH_TYPE1] = "type1",
	[DMA_WISH_IOMMUFD] = "iommufd",
};

const char *dma_api_text(enum dma_api api)
{
	return apis[api];
}

const char *dma_wish_text(enum dma_wish wish)
{
	return wishes[wish];
}

int dma_wish_parse(const char *text, enum dma_wish *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (strcmp(wishes[i], text) == 0) {
			*out = (enum dma_wish)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int cdevs_check(struct daemon *d, const struct dma_ask *ask, struct err *e)
{
	char addr[PCI_ADDR_TEXT];

	for (unsigned int i = 0; i < ask->count; i++) {
		if (priv_cdev_is_there(d, &ask->fns[i]))
			continue;
		err_set(e, ENOENT, "there is no VFIO device file for %s that can be opened",
			pci_addr_text(&ask->fns[i], addr));
		err_code(e, "no-cdev");
		return err_hint(e, "take `dma: auto` in viaductd.yaml, or a kernel with "
				   "CONFIG_VFIO_DEVICE_CDEV");
	}
	return 0;
}

static int iommufd_try(struct daemon *d, const struct dma_ask *ask, int *fd, struct err *e)
{
	auto_fd int iommufd = -1;
	int r = priv_iommufd_open(d, &iommufd, e);

	if (r == 0)
		r = cdevs_check(d, ask, e);
	if (r == 0)
		*fd = fd_take(&iommufd);
	return r;
}

int dma_open(struct daemon *d, const struct dma_ask *ask, enum dma_api *api, int *fd, struct err *e)
{
	enum dma_wish wish = d->config.dma;
	struct err why = { 0 };
	int r;

	/* What was accepted is type1's parameter: iommufd has one of its own. */
	if (wish == DMA_WISH_AUTO && ask->is_unsafe)
		wish = DMA_WISH_TYPE1;
	*api = DMA_IOMMUFD;
	r = wish != DMA_WISH_TYPE1 ? iommufd_try(d, ask, fd, &why) : -ENOENT;
	if (r == 0)
		return 0;
	if (wish == DMA_WISH_IOMMUFD) {
		if (e != NULL)
			*e = why;
		return r;
	}
	*api = DMA_TYPE1;
	return priv_container_open(d, fd, e);
}

/* Of the functions on vfio-pci, how many the kernel has device files for. */
static unsigned int cdevs_count(struct daemon *d, unsigned int *bound)
{
	unsigned int count = 0;

	*bound = 0;
	for (size_t i = 0; i < inventory_count(d->inv); i++) {
		const struct pci_fn *fn = inventory_at(d->inv, i);

		if (strcmp(fn->driver, DRIVER_VFIO) != 0)
			continue;
		++*bound;
		count += priv_cdev_is_there(d, &fn->addr);
	}
	return count;
}

bool dma_foresee(struct daemon *d, char *text, size_t size)
{
	enum dma_wish wish = d->config.dma;
	bool is_there = iommufd_is_there(d->opt->dev_dir);
	unsigned int bound, cdevs = cdevs_count(d, &bound);
	const char *why = "the kernel has iommufd";
	bool takes_iommufd = is_there && cdevs == bound;

	if (wish == DMA_WISH_TYPE1) {
		takes_iommufd = false;
		why = "the configuration says so";
	} else if (!is_there) {
		why = "there is no /dev/iommu";
	} else if (cdevs != bound) {
		why = "the kernel has iommufd, but makes no VFIO device files "
		      "(CONFIG_VFIO_DEVICE_CDEV)";
	} else if (bound == 0) {
		why = "the kernel has iommufd; whether it makes VFIO device files shows when a "
		      "function is on vfio-pci, and without them it is type1";
	}
	snprintf(text, size, "%s (dma: %s): %s",
		 dma_api_text(takes_iommufd ? DMA_IOMMUFD : DMA_TYPE1), dma_wish_text(wish), why);
	return takes_iommufd || wish != DMA_WISH_IOMMUFD;
}
