// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_vfio.h"
#include "vmm/vfio.h"
#include "vmm/vfio_func.h"

#include "base/fd.h"
#include "base/log.h"
#include "iommu/dma.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An IOMMU group, or with iommufd the device file of one function. */
struct vfio_member {
	char name[48]; /* for people */
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
	enum dma_api api;
	int member_fd;
	struct vfio_device device;
	int r;
	struct err e;
};

struct vfio_set {
	struct vfio_env env;
	struct vmm_spec *spec; /* borrowed */
	enum dma_api api;
	int dma_fd; /* owned: the container, or the iommufd */
	struct vfio_member members[VMM_MAX_DEVICES]; /* by the spec's */
	unsigned int member_count;
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

/* The group or function joins the VM: it shares the VM's DMA space, and KVM knows of it before this process asks anything of the
 * device. (A device file was bound, and with it opened, by the daemon: a driver that must know KVM at that moment, as those
 * of mediated devices do, would not; vfio-pci need not.) */
static int member_attach(struct vfio_set *set, struct vfio_member *m, struct err *e)
{
	int r = dma_space_attach(set->dma, m->fd, m->name, e);

	if (r < 0)
		return r;
	m->attached = true;
	r = kvm_vfio_add(set->kvm_fd, m->fd);
	if (r < 0)
		return err_set(e, r, "%s: KVM's VFIO device: %s", m->name, strerror(-r));
	m->known = true;
	return 0;
}

static void *opening_run(void *arg)
{
	struct vfio_opening *o = arg;

	o->r = o->api == DMA_IOMMUFD
		       ? vfio_device_open_cdev(&o->device, o->member_fd, &o->spec->address, &o->e)
		       : vfio_device_open(&o->device, o->member_fd, &o->spec->address, &o->e);
	return NULL;
}

static void openings_start(struct vfio_set *set)
{
	for (unsigned int i = 0; i < set->spec->device_count; i++) {
		struct vfio_opening *o = &set->openings[i];

		o->spec = &set->spec->devices[i];
		o->api = set->api;
		o->member_fd = set->members[o->spec->member].fd;
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
	int r = dma_space_create(set->api, set->dma_fd, &set->dma, e);

	if (r == 0)
		r = kvm_vfio_create(vm_fd, &set->kvm_fd, e);
	for (unsigned int i = 0; r == 0 && i < set->member_count; i++)
		r = member_attach(set, &set->members[i], e);
	if (r == 0)
		openings_start(set);
	return r;
}

static void member_take(struct vfio_member *m, struct vmm_member_spec *spec)
{
	const char *which = strchr(spec->name, ':') + 1; /* vmm_spec_parse() wrote it */

	snprintf(m->name, sizeof(m->name), "%s %s",
		 strncmp(spec->name, "group:", 6) == 0 ? "IOMMU group" : "function", which);
	m->fd = fd_take(&spec->fd);
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
	set->api = spec->iommufd_fd >= 0 ? DMA_IOMMUFD : DMA_TYPE1;
	set->dma_fd = fd_take(set->api == DMA_IOMMUFD ? &spec->iommufd_fd : &spec->container_fd);
	for (unsigned int i = 0; i < spec->member_count; i++)
		member_take(&set->members[set->member_count++], &spec->members[i]);
	r = set_build(set, vm_fd, e);
	if (r < 0) {
		vfio_set_destroy(set);
		return r;
	}
	*out = set;
	return 0;
}

/* Its last device is closed: KVM and the DMA space forget it, and who waits for it gets it. */
static void member_give_back(struct vfio_set *set, struct vfio_member *m)
{
	int r;

	if (m->known)
		(void)kvm_vfio_del(set->kvm_fd, m->fd);
	m->known = false;
	if (m->attached && set->dma != NULL) {
		r = dma_space_detach(set->dma, m->fd);
		if (r < 0)
			log_warn("%s: leaves the DMA space: %s", m->name, strerror(-r));
	}
	m->attached = false;
	fd_close(&m->fd);
}

static bool member_is_used(const struct vfio_set *set, unsigned int member)
{
	for (const struct vfio_func *f = set->funcs; f != NULL; f = f->next)
		if (f->member == member)
			return true;
	return false;
}

/* Main thread: frees what was unplugged, and gives back what it came with. */
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
	for (unsigned int i = 0; i < set->member_count; i++)
		if (set->members[i].fd >= 0 && !member_is_used(set, i))
			member_give_back(set, &set->members[i]);
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

	return json_pack("{s:s, s:s, s:I, s:b, s:b, s:I, s:I, s:o}", "port", f->port, "address",
			 pci_addr_text(&f->device.address, address), "group", (json_int_t)f->group,
			 "driver_active", f->bus_master, "quarantined", f->quarantined,
			 "vectors_enabled", (json_int_t)vfio_vectors_live(&f->vectors), "flr_count",
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

int vfio_set_quarantine(struct vfio_set *set, const char *port, bool on, struct err *e)
{
	for (struct vfio_func *f = set != NULL ? set->funcs : NULL; f != NULL; f = f->next) {
		int r;

		if (f->retired || strcmp(f->port, port) != 0)
			continue;
		r = vfio_func_quarantine(f, on);
		if (r < 0)
			return err_set(e, r, "port %s: its bus mastering: %s", f->name,
				       strerror(-r));
		log_warn("port %s: %s", f->name,
			 on ? "quarantined: no DMA whatever its guest writes"
			    : "no longer quarantined");
		return 0;
	}
	return err_set(e, ENOENT, "there is no port %s", port);
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
	for (unsigned int i = 0; i < set->member_count; i++)
		if (set->members[i].known)
			(void)kvm_vfio_del(set->kvm_fd, set->members[i].fd);
	/* Every device has been reset: now nothing can fault on what is unmapped. */
	dma_space_destroy(set->dma);
	for (unsigned int i = 0; i < set->member_count; i++)
		fd_close(&set->members[i].fd);
	fd_close(&set->kvm_fd);
	fd_close(&set->dma_fd);
	free(set);
}
