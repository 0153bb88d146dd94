// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/vfio_guest.h"

#include "tests/fake/fault.h"

#include "base/fd.h"
#include "vmm/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define VM_FD	   1000 /* never used as a real one */
#define RAM_BYTES  MIB(2)
#define CFG_OFFSET ((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << FAKE_REGION_SHIFT)

struct fake_guest fake_guest;

int __wrap_ioctl(int fd, unsigned long request, ...);

static int fail(int errnum)
{
	errno = errnum;
	return -1;
}

static void trace(char what)
{
	static pthread_mutex_t lock =
		PTHREAD_MUTEX_INITIALIZER; /* functions are opened by threads */
	size_t len;

	pthread_mutex_lock(&lock);
	len = strlen(fake_guest.order);
	if (len < sizeof(fake_guest.order) - 1)
		fake_guest.order[len] = what;
	pthread_mutex_unlock(&lock);
}

static bool is_bus_master(void)
{
	uint8_t command[2] = { 0 };

	return pread(fake_guest.memfd, command, 2, CFG_OFFSET + 4) == 2 && (command[0] & 4) != 0;
}

/* The chain behind the struct: the MSI-X table may be mapped; then which areas, if there is a list. */
static size_t region_chain(uint32_t index, uint8_t chain[256])
{
	const struct fake_guest *g = &fake_guest;
	const uint32_t first = sizeof(struct vfio_region_info);
	struct vfio_info_cap_header cap = { .id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
					    .version = 1 };
	struct vfio_region_info_cap_sparse_mmap sparse = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		.nr_areas = g->area_count[index],
	};
	size_t len = sizeof(cap);

	if (sparse.nr_areas != 0)
		cap.next = first + sizeof(cap);
	memcpy(chain, &cap, sizeof(cap));
	if (sparse.nr_areas == 0)
		return len;
	memcpy(chain + len, &sparse, sizeof(sparse));
	len += sizeof(sparse);
	for (unsigned int i = 0; i < sparse.nr_areas; i++) {
		const struct vfio_region_sparse_mmap_area area = { g->areas[index][i].offset,
								   g->areas[index][i].size };

		memcpy(chain + len, &area, sizeof(area));
		len += sizeof(area);
	}
	return len;
}

static int region_info(struct vfio_region_info *info)
{
	uint8_t chain[256];
	uint32_t room = info->argsz;
	size_t len;

	if (info->index >= ARRAY_SIZE(fake_guest.region_bytes))
		return fail(EINVAL);
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->size = fake_guest.region_bytes[info->index];
	info->offset = (uint64_t)info->index << FAKE_REGION_SHIFT;
	if (info->index > 5 || info->size < 4096 || fake_guest.no_mmap[info->index])
		return 0;
	len = region_chain(info->index, chain);
	info->flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
	info->argsz = (uint32_t)(sizeof(*info) + len);
	info->cap_offset = 0;
	if (room >= info->argsz) {
		info->cap_offset = sizeof(*info);
		memcpy(info + 1, chain, len);
	}
	return 0;
}

static int irq_info(struct vfio_irq_info *info)
{
	if (info->index >= ARRAY_SIZE(fake_guest.irq_count))
		return fail(EINVAL);
	info->count = fake_guest.irq_count[info->index];
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (info->index == VFIO_PCI_MSI_IRQ_INDEX ||
	    (info->index == VFIO_PCI_MSIX_IRQ_INDEX && fake_guest.msix_noresize))
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

/* As vfio-pci does it: the first call sets up vectors, later ones more only if it may grow, and then those
 * alone that are asked for. */
static int irqs_set(const struct vfio_irq_set *set)
{
	struct fake_guest *g = &fake_guest;
	uint32_t *enabled = &g->enabled[set->index];
	bool is_real = set->index <= VFIO_PCI_MSIX_IRQ_INDEX; /* the others are the driver's own */
	bool can_grow = set->index == VFIO_PCI_MSIX_IRQ_INDEX && !g->msix_noresize;
	uint32_t more = 0;

	if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) == 0) {
		for (int i = 0; i < FAKE_VECTORS_MAX; i++)
			g->trigger[set->index][i] = -1;
		memset(g->has_vector[set->index], 0, sizeof(g->has_vector[0]));
		g->host_vectors_left += is_real ? *enabled : 0;
		*enabled = 0;
		return 0;
	}
	if (!range_fits(set->start, set->count, FAKE_VECTORS_MAX))
		return fail(EINVAL);
	for (uint32_t i = set->start; i < set->start + set->count; i++)
		more += !g->has_vector[set->index][i];
	if (more != 0 && *enabled != 0 && !can_grow)
		return fail(EINVAL);
	if (is_real && more > g->host_vectors_left)
		return fail(ENOSPC);
	g->host_vectors_left -= is_real ? more : 0;
	*enabled += more;
	memset(&g->has_vector[set->index][set->start], 1, set->count);
	memcpy(&g->trigger[set->index][set->start], set->data, set->count * sizeof(int32_t));
	return 0;
}

static int attached(bool on)
{
	fake_guest.groups += on ? 1U : -1U;
	trace(on ? 'A' : 'G');
	return 0;
}

static int mapped(bool on)
{
	fake_guest.dma_maps += on ? 1U : -1U;
	fake_guest.dma_hole |= !on && is_bus_master();
	trace(on ? 'M' : 'U');
	return 0;
}

static int type1_ioctl(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GROUP_SET_CONTAINER:
	case VFIO_GROUP_UNSET_CONTAINER:
		return attached(request == VFIO_GROUP_SET_CONTAINER);
	case VFIO_SET_IOMMU:
		return 0;
	case VFIO_IOMMU_GET_INFO:
		((struct vfio_iommu_type1_info *)arg)->flags = VFIO_IOMMU_INFO_PGSIZES;
		((struct vfio_iommu_type1_info *)arg)->iova_pgsizes = 4096;
		return 0;
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		return mapped(request == VFIO_IOMMU_MAP_DMA);
	case VFIO_GROUP_GET_DEVICE_FD:
		trace('D');
		return fcntl(fake_guest.memfd, F_DUPFD_CLOEXEC, 0);
	default:
		return fail(ENOTTY);
	}
}

static int iova_ranges(struct iommu_ioas_iova_ranges *ask)
{
	const struct iommu_iova_range all = { 0, (1ULL << 48) - 1 };

	memcpy((void *)(uintptr_t)ask->allowed_iovas, &all, sizeof(all));
	ask->num_iovas = 1;
	ask->out_iova_alignment = 4096;
	return 0;
}

static int iommufd_ioctl(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		return attached(request == VFIO_DEVICE_ATTACH_IOMMUFD_PT);
	case IOMMU_IOAS_ALLOC:
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = 5;
		fake_guest.ioas++;
		return 0;
	case IOMMU_DESTROY:
		fake_guest.ioas--;
		trace('X');
		return 0;
	case IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(arg);
	case IOMMU_IOAS_MAP:
	case IOMMU_IOAS_UNMAP:
		return mapped(request == IOMMU_IOAS_MAP);
	default:
		return fail(ENOTTY);
	}
}

int fake_vfio_ioctl(unsigned long request, void *arg)
{
	struct fake_guest *g = &fake_guest;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		if (g->over_iommufd)
			trace('D');
		*(struct vfio_device_info *)arg = (struct vfio_device_info){
			.flags = VFIO_DEVICE_FLAGS_PCI |
				 (g->no_reset ? 0 : VFIO_DEVICE_FLAGS_RESET),
			.num_regions = 9,
			.num_irqs = 5
		};
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return irq_info(arg);
	case VFIO_DEVICE_SET_IRQS:
		return irqs_set(arg);
	case VFIO_DEVICE_RESET:
		g->resets++;
		trace('R');
		return 0;
	default:
		/* Either kind's requests do for it alone. */
		return g->over_iommufd ? iommufd_ioctl(request, arg) : type1_ioctl(request, arg);
	}
}

static int slot_set(const struct kvm_userspace_memory_region *r)
{
	struct fake_slot *s = &fake_guest.slots[r->slot];

	if (r->memory_size == 0) {
		memset(s, 0, sizeof(*s));
		return 0;
	}
	for (int i = 0; i < FAKE_SLOTS; i++)
		if (fake_guest.slots[i].size != 0 &&
		    r->guest_phys_addr < fake_guest.slots[i].gpa + fake_guest.slots[i].size &&
		    fake_guest.slots[i].gpa < r->guest_phys_addr + r->memory_size)
			return fail(EEXIST);
	*s = (struct fake_slot){ r->guest_phys_addr, r->memory_size, r->userspace_addr };
	return 0;
}

static void routes_set(const struct kvm_irq_routing *table)
{
	fake_guest.routes = 0;
	for (uint32_t i = 0; i < table->nr; i++) {
		const struct kvm_irq_routing_entry *e = &table->entries[i];

		if (e->type != KVM_IRQ_ROUTING_MSI)
			continue;
		fake_guest.routes++;
		fake_guest.last_route_addr = e->u.msi.address_lo | (uint64_t)e->u.msi.address_hi
									   << 32;
	}
}

static int kvm_ioctl(unsigned long request, void *arg)
{
	const struct kvm_device_attr *attr = arg;

	switch (request) {
	case KVM_CHECK_EXTENSION:
		return FAKE_SLOTS;
	case KVM_SET_USER_MEMORY_REGION:
		return slot_set(arg);
	case KVM_IRQFD:
		if (((struct kvm_irqfd *)arg)->flags & KVM_IRQFD_FLAG_DEASSIGN)
			fake_guest.irqfds--;
		else
			fake_guest.irqfds++;
		return 0;
	case KVM_SET_GSI_ROUTING:
		routes_set(arg);
		return 0;
	case KVM_CREATE_DEVICE:
		((struct kvm_create_device *)arg)->fd = (uint32_t)eventfd(0, EFD_CLOEXEC);
		return 0;
	case KVM_SET_DEVICE_ATTR:
		trace(attr->attr == KVM_DEV_VFIO_GROUP_ADD ? 'K' : 'k');
		return 0;
	case KVM_SIGNAL_MSI:
		return 1;
	default:
		return fail(ENOTTY);
	}
}

/* Weak: a fake of more of KVM takes its place. */
__attribute__((weak)) int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fault_hits("ioctl", EIO))
		return -1;
	fault_pause();
	r = _IOC_TYPE(request) == VFIO_TYPE ? fake_vfio_ioctl(request, arg)
					    : kvm_ioctl(request, arg);
	fault_resume();
	return r;
}

static void config_put(const uint32_t (*dwords)[2], size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_le32(&fake_guest.config[dwords[i][0]], dwords[i][1]);
}

void fake_guest_init(void)
{
	static const uint32_t vf[][2] = {
		{ 0x00, 0x10CA8086 },  { 0x04, 0x00100000 },	  { 0x08, 0x02000001 },
		{ 0x10, 0x0000000C },  { 0x1C, 0x0000000C },	  { 0x2C, 0x00008086 },
		{ 0x34, FAKE_PM },     { 0x40, 0xF8235001 },	  { 0x44, 0x00000003 },
		{ 0x50, 0x01807005 },  { FAKE_MSIX, 0x0002A011 }, { 0x74, 0x00000003 },
		{ 0x78, 0x00002003 },  { FAKE_PCIE, 0x00020010 }, { 0xA4, 0x10008CC2 },
		{ 0x100, 0x15010001 }, { 0x150, 0x1A01000E },	  { 0x1A0, 0x1C010003 },
		{ 0x1A4, 0xFF9FEFAA }, { 0x1C0, 0x00010010 },
	};
	struct fake_guest *g = &fake_guest;

	memset(g, 0, sizeof(*g));
	g->memfd = g->gmem.memfd = -1;
	vmm_spec_init(&g->spec);
	config_put(vf, ARRAY_SIZE(vf));
	g->region_bytes[0] = g->region_bytes[3] = FAKE_BAR_BYTES;
	g->region_bytes[VFIO_PCI_CONFIG_REGION_INDEX] = sizeof(g->config);
	g->irq_count[VFIO_PCI_MSI_IRQ_INDEX] = 1;
	g->irq_count[VFIO_PCI_MSIX_IRQ_INDEX] = FAKE_VECTORS;
	g->irq_count[VFIO_PCI_ERR_IRQ_INDEX] = g->irq_count[VFIO_PCI_REQ_IRQ_INDEX] = 1;
	g->host_vectors_left = 100;
	memset(g->trigger, 0xFF, sizeof(g->trigger));
	pthread_mutex_init(&g->lock, NULL);
}

static void ended(void *arg, bool requested, const char *text)
{
	struct fake_guest *g = arg;

	g->ended = true;
	g->ended_by_request = requested;
	memcpy(g->end_text, text, strlen(text) + 1);
}

static int board_start(struct fake_guest *g, struct err *e)
{
	struct pci_host_env env = { .pio = &g->pio,
				    .mmio = &g->mmio,
				    .mmio64_base = 0xC000000000,
				    .mmio64_size = GIB(64) };
	uint32_t slot;
	int r = slots_init(&g->kvm_slots, VM_FD, e);

	if (r == 0 && slots_add(&g->kvm_slots, 0, RAM_BYTES, g->gmem.host, &slot) < 0)
		r = err_set(e, EIO, "slot of RAM");
	if (r == 0)
		r = irq_router_create(VM_FD, &g->irq, e);
	env.irq = g->irq;
	return r < 0 ? r : pci_host_create(&env, &g->pci, e);
}

static void spec_fill(struct fake_guest *g)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	*(g->over_iommufd ? &g->spec.iommufd_fd : &g->spec.container_fd) = fd;
	strcpy(g->spec.members[0].name, g->over_iommufd ? "cdev:0000:01:10.0" : "group:26");
	g->spec.members[0].fd = fcntl(g->over_iommufd ? g->memfd : fd, F_DUPFD_CLOEXEC, 0);
	g->spec.member_count = 1;
	strcpy(g->spec.devices[0].port, "wan");
	g->spec.devices[0].address = (struct pci_addr){ 0, 1, 0x10, 0 };
	g->spec.devices[0].group = 26;
	g->spec.device_count = 1;
}

int fake_guest_device(void)
{
	struct fake_guest *g = &fake_guest;

	g->memfd = memfd_create("fake device", MFD_CLOEXEC);
	if (g->memfd < 0 || ftruncate(g->memfd, 9LL << FAKE_REGION_SHIFT) < 0 ||
	    pwrite(g->memfd, g->config, sizeof(g->config), CFG_OFFSET) != sizeof(g->config))
		return -errno;
	return 0;
}

void fake_guest_device_close(void)
{
	fd_close(&fake_guest.memfd);
}

/* What the test brings along: device, RAM, fds. */
static int device_make(struct fake_guest *g)
{
	int r = fake_guest_device();

	if (r < 0)
		return r;
	g->gmem.host = aligned_alloc(4096, RAM_BYTES);
	g->gmem.slots[0] = (struct gmem_slot){ .size = RAM_BYTES, .host = g->gmem.host };
	g->gmem.slot_count = 1;
	spec_fill(g);
	return 0;
}

int fake_guest_start(bool assign, struct err *e)
{
	struct fake_guest *g = &fake_guest;
	struct vfio_env env = { .loop = NULL,
				.lock = &g->lock,
				.mmio = &g->mmio,
				.slots = &g->kvm_slots,
				.end = ended,
				.arg = g };
	int r;

	fault_pause();
	r = device_make(g);
	fault_resume();
	if (r < 0)
		return r;
	r = loop_create(&g->loop, e);
	if (r < 0)
		return r;
	if (bus_init(&g->pio, &g->lock) < 0 || bus_init(&g->mmio, &g->lock) < 0)
		return err_set(e, ENOMEM, "buses: out of memory");
	r = board_start(g, e);
	if (r == 0)
		r = vfio_set_create(&g->spec, VM_FD, &g->set, e);
	if (r == 0)
		r = vfio_set_map(g->set, &g->gmem, e);
	env.loop = g->loop;
	env.irq = g->irq;
	env.pci = g->pci;
	if (r == 0)
		r = vfio_set_plug(g->set, &env, e);
	return r < 0 || !assign ? r : pci_host_assign(g->pci, e);
}

void fake_guest_stop(void)
{
	struct fake_guest *g = &fake_guest;

	fault_disarm();
	pci_host_destroy(g->pci);
	vfio_set_destroy(g->set);
	irq_router_destroy(g->irq);
	bus_fini(&g->mmio);
	bus_fini(&g->pio);
	loop_destroy(g->loop);
	vmm_spec_fini(&g->spec);
	free(g->gmem.host);
	fake_guest_device_close();
	pthread_mutex_destroy(&g->lock);
	memset(&g->gmem, 0, sizeof(g->gmem));
	g->set = NULL;
	g->pci = NULL;
}

/* Behind the first root port, which pci_host_assign() gave bus 1. */
static uint64_t ecam(unsigned int off)
{
	return LAYOUT_ECAM + (1 << 20) + off;
}

uint32_t fake_cfg_read(unsigned int off, unsigned int len)
{
	uint8_t bytes[8] = { 0 };

	bus_read(&fake_guest.mmio, 0, ecam(off), bytes, len);
	return get_le32(bytes);
}

void fake_cfg_write(unsigned int off, unsigned int len, uint32_t value)
{
	uint8_t bytes[4];

	put_le32(bytes, value);
	bus_write(&fake_guest.mmio, 0, ecam(off), bytes, len);
}

uint64_t fake_bar(unsigned int bar)
{
	uint32_t low = fake_cfg_read(0x10 + 4 * bar, 4);
	uint64_t high = (low & 4) != 0 ? fake_cfg_read(0x14 + 4 * bar, 4) : 0;

	return (low & ~0xFU) | high << 32;
}

static uint8_t *slot_host(uint64_t gpa, unsigned int len)
{
	for (int i = 0; i < FAKE_SLOTS; i++) {
		const struct fake_slot *s = &fake_guest.slots[i];

		if (s->size != 0 && gpa >= s->gpa && range_fits(gpa - s->gpa, len, s->size))
			return (uint8_t *)(uintptr_t)s->host + (gpa - s->gpa);
	}
	return NULL;
}

void fake_mem_get(uint64_t gpa, void *bytes, unsigned int len)
{
	const uint8_t *host = slot_host(gpa, len);

	if (host != NULL)
		memcpy(bytes, host, len);
	else
		bus_read(&fake_guest.mmio, 0, gpa, bytes, len);
}

void fake_mem_put(uint64_t gpa, const void *bytes, unsigned int len)
{
	uint8_t *host = slot_host(gpa, len);

	if (host != NULL)
		memcpy(host, bytes, len);
	else
		bus_write(&fake_guest.mmio, 0, gpa, bytes, len);
}

uint32_t fake_mem_read(uint64_t gpa)
{
	uint8_t bytes[4];

	fake_mem_get(gpa, bytes, sizeof(bytes));
	return get_le32(bytes);
}

void fake_mem_write(uint64_t gpa, uint32_t value)
{
	uint8_t bytes[4];

	put_le32(bytes, value);
	fake_mem_put(gpa, bytes, sizeof(bytes));
}

bool fake_is_mapped(uint64_t gpa)
{
	return slot_host(gpa, 1) != NULL;
}

void fake_bar_set(unsigned int bar, uint64_t bytes, uint32_t reg)
{
	fake_guest.region_bytes[bar] = bytes;
	put_le32(&fake_guest.config[0x10 + 4 * bar], bytes != 0 ? reg : 0);
}

uint32_t fake_device_read(unsigned int bar, uint64_t off)
{
	uint8_t bytes[4] = { 0 };

	if (pread(fake_guest.memfd, bytes, 4,
		  (off_t)(((uint64_t)bar << FAKE_REGION_SHIFT) + off)) != 4)
		return UINT32_MAX;
	return get_le32(bytes);
}

unsigned int fake_slot_count(void)
{
	unsigned int n = 0;

	for (int i = 0; i < FAKE_SLOTS; i++)
		n += fake_guest.slots[i].size != 0;
	return n;
}
