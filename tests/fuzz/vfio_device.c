// SPDX-License-Identifier: BSD-3-Clause
/* What the kernel replies about a VFIO device and its IOMMU: any bytes at all. */
#include "tests/fake/vfio_kernel.h"

#include "iommu/dma.h"
#include "iommu/vfio_device.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct vfio_device *d)
{
	for (int i = 0; i < VFIO_REGIONS; i++) {
		const struct vfio_region_desc *r = &d->regions[i];

		for (unsigned int k = 0; k < r->area_count; k++)
			if (!range_fits(r->areas[k].offset, r->areas[k].size, r->size))
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t ram[4096] __attribute__((aligned(4096)));
	struct dma_range range = { 0x100000, sizeof(ram), ram };
	struct pci_addr address = { 0, 1, 0, 0 };
	uint8_t *const end = (uint8_t *)(&fake_vfio.iova_align + 1);
	struct dma_space *s = NULL;
	struct vfio_device d;

	memset(&fake_vfio, 0, sizeof(fake_vfio));
	memcpy(fake_vfio.iommu_info, data, u64_min(size, (size_t)(end - fake_vfio.iommu_info)));
	if (vfio_device_open(&d, 0, &address, NULL) == 0) {
		check(&d);
		vfio_device_close(&d);
	}
	for (enum dma_api api = 0; api < DMA_APIS; api++) {
		s = NULL;
		if (dma_space_create(api, 0, &s, NULL) == 0 &&
		    dma_space_attach(s, 0, "it", NULL) == 0)
			(void)dma_space_map(s, &range, DMA_READ, NULL);
		dma_space_destroy(s);
	}
	return 0;
}
