// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_vfio.h"
#include "vmm/vfio.h"
#include "vmm/vfio_func.h"

#include "base/fd.h"
#include "base/log.h"
#include "iommu/dma.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct vfio_group {
	uint32_t nr;
	int fd; /* owned; -1 once given back */
	bool attached; /* in the DMA space */
	bool known; /* to KVM */
};

/* The kernel resets a function while it opens it, and an FLR alone takes 100 ms (PCIe 6.0, 6.6.2): each
 * function is opened by a thread of its own while the machine makes its RAM. */
struct vfio_opening {
	pthread_t thread;
	bool is_running;
	const struct vmm_device_spec *spec;
	struct vfio_device device;
	int r;
	struct err e;
};

struct vfio_set {
	struct vfio_env env;
	struct vmm_spec *spec; /* borrowed */
	int container_fd;
	struct vfio_group groups[VMM_MAX_DEVICES];
	unsigned int group_count;
	struct vfio_opening openings[VMM_MAX_DEVICES]; /* by the spec's devices */
	struct dma_space *dma;
	int kvm_fd; /* KVM's VFIO device */
	struct vfio_func *funcs; /* those plugged and those retired */
	int retired_fd; /* eventfd: somebody retired a function */
};

const struct vfio_env *vfio_set_env(const struct vfio_set *set)
{
	return &set->env;
}

int vfio_set_map(struct vfio_set *set, const struct gmem *gm, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; set != NULL && r == 0 && i < gm->slot_count; i++) {
		const struct dma_range range = { .iova = gm->slots[i].gpa,
						 .size = gm->slots[i].size,
						 .host = gm->slots[i].host };

		r = dma_space_map(set->dma, &range, DMA_READ | DMA_WRITE, e);
	}
	return r;
}

/* The group joins the VM: its devices share the VM's DMA space, and KVM knows of it before any of
 * them is opened. */
static int group_attach(struct vfio_set *set, struct vfio_group *g, struct err *e)
{
	int r = dma_space_attach(set->dma, g->fd, g->nr, e);

	if (r < 0)
		return r;
	g->attached = true;
	r = kvm_vfio_add(set->kvm_fd, g->fd);
	if (r < 0)
		return err_set(e, r, "IOMMU group %u: KVM's VFIO device: %s", g->nr, strerror(-r));
	g->known = true;
	return 0;
}

static void *opening_run(void *arg)
{
	struct vfio_opening *o = arg;

	o->r = vfio_device_open(&o->device, o->spec->group_fd, &o->spec->address, &o->e);
	return NULL;
}

static void openings_start(struct vfio_set *set)
{
	for (unsigned int i = 0; i < set->spec->device_count; i++) {
		struct vfio_opening *o = &set->openings[i];

		o->spec = &set->spec->devices[i];
		o->is_running = pthread_create(&o->thread, NULL, opening_run, o) == 0;
		if (!o->is_running)
			opening_run(o);
	}
}

static void opening_wait(struct vfio_opening *o)
{
	if (o->is_running)
		pthread_join(o->thread, NULL);
	o->is_running = false;
}

static int set_build(struct vfio_set *set, int vm_fd, struct err *e)
{
	int r = dma_space_create(set->container_fd, &set->dma, e);

	if (r == 0)
		r = kvm_vfio_create(vm_fd, &set->kvm_fd, e);
	for (unsigned int i = 0; r == 0 && i < set->group_count; i++)
		r = group_attach(set, &set->groups[i], e);
	if (r == 0)
		openings_start(set);
	return r;
}

int vfio_set_create(struct vmm_spec *spec, int vm_fd, struct vfio_set **out, struct err *e)
{
	struct vfio_set *set;
	int r;

	*out = NULL;
	if (spec->device_count == 0)
		return 0;
	set = calloc(1, sizeof(*set));
	if (set == NULL)
		return err_set(e, ENOMEM, "VFIO: out of memory");
	set->spec = spec;
	set->kvm_fd = set->retired_fd = -1;
	for (unsigned int i = 0; i < VMM_MAX_DEVICES; i++)
		set->openings[i].device.fd = -1;
	set->container_fd = fd_take(&spec->container_fd);
	for (unsigned int i = 0; i < spec->group_count; i++)
		set->groups[set->group_count++] =
			(struct vfio_group){ .nr = spec->groups[i].nr,
					     .fd = fd_take(&spec->groups[i].fd) };
	r = set_build(set, vm_fd, e);
	if (r < 0) {
		vfio_set_destroy(set);
		return r;
	}
	*out = set;
	return 0;
}

/* Its last device is closed: KVM and the DMA space forget the group, and who waits for it gets it. */
static void group_give_back(struct vfio_set *set, struct vfio_group *g)
{
	int r;

	if (g->known)
		(void)kvm_vfio_del(set->kvm_fd, g->fd);
	g->known = false;
	if (g->attached && set->dma != NULL) {
		r = dma_space_detach(set->dma, g->fd);
		if (r < 0)
			log_warn("IOMMU group %u: leaves the DMA space: %s", g->nr, strerror(-r));
	}
	g->attached = false;
	fd_close(&g->fd);
}

static bool group_is_used(const struct vfio_set *set, uint32_t nr)
{
	for (const struct vfio_func *f = set->funcs; f != NULL; f = f->next)
		if (f->group == nr)
			return true;
	return false;
}

/* Main thread: frees what was unplugged, and gives its groups back. */
static void retired_free(struct vfio_set *set)
{
	struct vfio_func **p = &set->funcs;

	while (*p != NULL) {
		struct vfio_func *f = *p;

		if (!f->retired) {
			p = &f->next;
			continue;
		}
		*p = f->next;
		log_info("port %s: given back to the host", f->name);
		vfio_func_free(f);
	}
	for (unsigned int i = 0; i < set->group_count; i++)
		if (set->groups[i].fd >= 0 && !group_is_used(set, set->groups[i].nr))
			group_give_back(set, &set->groups[i]);
}

static void retired_ready(void *arg, int fd, uint32_t events)
{
	struct vfio_set *set = arg;
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
	pthread_mutex_lock(set->env.lock);
	retired_free(set);
	pthread_mutex_unlock(set->env.lock);
}

void vfio_set_retire(struct vfio_func *f)
{
	const uint64_t one = 1;

	f->retired = true;
	if (f->set->retired_fd >= 0)
		(void)!write(f->set->retired_fd, &one, sizeof(one));
}

void vfio_set_moved(struct vfio_func *moved)
{
	for (struct vfio_func *f = moved->set->funcs; f != NULL; f = f->next)
		if (f != moved && !f->retired && vfio_bars_wait(&f->bars, &f->config))
			vfio_bars_update(&f->bars, &f->config);
}

static int func_plug(struct vfio_set *set, struct vfio_opening *o, struct err *e)
{
	struct vfio_func *f;
	int r;

	opening_wait(o);
	if (o->r < 0) {
		*e = o->e;
		return err_wrap(e, "port %s", o->spec->port);
	}
	r = vfio_func_create(set, o->spec, &o->device, &f, e);
	if (r < 0)
		return r;
	r = pci_host_plug_behind_port(set->env.pci, &f->pci, e);
	if (r < 0) {
		vfio_func_free(f);
		return r;
	}
	f->next = set->funcs;
	set->funcs = f;
	return 0;
}

int vfio_set_plug(struct vfio_set *set, const struct vfio_env *env, struct err *e)
{
	int r;

	if (set == NULL)
		return 0;
	set->env = *env;
	set->retired_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (set->retired_fd < 0)
		return err_set(e, errno, "eventfd: %s", strerror(errno));
	r = loop_add(env->loop, set->retired_fd, EPOLLIN, retired_ready, set);
	if (r < 0)
		return err_set(e, r, "VFIO events: %s", strerror(-r));
	for (unsigned int i = 0; r == 0 && i < set->spec->device_count; i++)
		r = func_plug(set, &set->openings[i], e);
	return r;
}

static json_t *func_status(const struct vfio_func *f)
{
	char address[PCI_ADDR_TEXT];

	return json_pack("{s:s, s:s, s:I, s:b, s:I, s:I, s:o}", "port", f->port, "address",
			 pci_addr_text(&f->device.address, address), "group", (json_int_t)f->group,
			 "driver_active", f->bus_master, "vectors_enabled",
			 (json_int_t)vfio_vectors_live(&f->vectors), "flr_count",
			 (json_int_t)f->flr_count, "traps", vfio_traps_status(&f->bars));
}

/* What the guest trapped into: a device that is up and left alone has none of it. */
static json_t *func_stats(const struct vfio_func *f)
{
	struct bus_count bars;
	char address[PCI_ADDR_TEXT];

	if (!bus_counters_find(&f->bars.mmio->counters, f->name, &bars))
		bars = (struct bus_count){ 0 }; /* never decoded */
	return json_pack("{s:s, s:s, s:{s:I, s:I}, s:{s:I, s:I}}", "port", f->port, "address",
			 pci_addr_text(&f->device.address, address), "bar", "reads",
			 (json_int_t)bars.reads, "writes", (json_int_t)bars.writes, "config",
			 "reads", (json_int_t)f->pci.cfg_reads, "writes",
			 (json_int_t)f->pci.cfg_writes);
}

static json_t *funcs_list(const struct vfio_set *set, json_t *(*one)(const struct vfio_func *f))
{
	json_t *list = json_array();

	/* The list is built newest first; the spec's order is what people expect. */
	for (const struct vfio_func *f = set != NULL ? set->funcs : NULL; f != NULL; f = f->next)
		if (!f->retired && json_array_insert_new(list, 0, one(f)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *vfio_set_status(const struct vfio_set *set)
{
	return funcs_list(set, func_status);
}

json_t *vfio_set_stats(const struct vfio_set *set)
{
	return funcs_list(set, func_stats);
}

void vfio_set_destroy(struct vfio_set *set)
{
	if (set == NULL)
		return;
	for (unsigned int i = 0; i < VMM_MAX_DEVICES; i++) {
		opening_wait(&set->openings[i]);
		vfio_device_close(&set->openings[i].device);
	}
	/* The root complex silenced and retired every function before. */
	while (set->funcs != NULL) {
		struct vfio_func *f = set->funcs;

		set->funcs = f->next;
		vfio_func_free(f);
	}
	if (set->retired_fd >= 0)
		loop_del(set->env.loop, set->retired_fd);
	fd_close(&set->retired_fd);
	for (unsigned int i = 0; i < set->group_count; i++)
		if (set->groups[i].known)
			(void)kvm_vfio_del(set->kvm_fd, set->groups[i].fd);
	/* No device is open any more: now nothing can fault on what is unmapped. */
	dma_space_destroy(set->dma);
	for (unsigned int i = 0; i < set->group_count; i++)
		fd_close(&set->groups[i].fd);
	fd_close(&set->kvm_fd);
	fd_close(&set->container_fd);
	free(set);
}
