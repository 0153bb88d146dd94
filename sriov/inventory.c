// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/inventory.h"

#include "sriov/fnread.h"
#include "sriov/snapshot.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct inventory {
	struct sysfs sys;
	struct snapshot now;
};

int inventory_copy(const struct inventory *inv, struct snapshot **out, struct err *e)
{
	struct snapshot *copy = calloc(1, sizeof(*copy));

	if (copy == NULL || snapshot_copy(copy, &inv->now) < 0) {
		free(copy);
		return err_set(e, ENOMEM, "no memory for the inventory");
	}
	*out = copy;
	return 0;
}

int inventory_look(const struct inventory *inv, struct snapshot **s, struct err *e)
{
	struct snapshot next;
	int r = snapshot_read(&next, &inv->sys, *s, e);

	if (*s == NULL)
		*s = calloc(1, sizeof(**s));
	else
		snapshot_fini(*s);
	if (r == 0 && *s == NULL) {
		snapshot_fini(&next);
		r = err_set(e, ENOMEM, "no memory for the inventory");
	}
	if (r < 0) {
		free(*s);
		*s = NULL;
		return r;
	}
	**s = next;
	return 0;
}

void inventory_take(struct inventory *inv, struct snapshot *next)
{
	snapshot_fini(&inv->now);
	inv->now = *next;
	free(next);
}

int inventory_scan(struct inventory *inv, struct err *e)
{
	struct snapshot *next = NULL;
	int r = inventory_look(inv, &next, e);

	if (r == 0)
		inventory_take(inv, next);
	return r;
}

/* The VF of which a glance is under way, if it is still the one that it was about. */
static struct pci_fn *glance_vf(const struct inventory *inv, const struct fn_glance *g)
{
	struct pci_fn *vf = snapshot_find(&inv->now, &g->vf.addr);

	return vf != NULL && vf->is_vf && vf->birth != 0 && vf->birth == g->vf.birth &&
			       vf->pf->birth == g->pf.birth &&
			       pci_addr_cmp(&vf->pf->addr, &g->pf.addr) == 0 &&
			       vf->pf->num_vfs == g->pf.num_vfs && vf->vf_index == g->vf.vf_index
		       ? vf
		       : NULL;
}

int inventory_glance_begin(const struct inventory *inv, const struct pci_addr *addr,
			   struct fn_glance *g)
{
	const struct pci_fn *vf = inventory_find(inv, addr);

	if (vf == NULL || !vf->is_vf)
		return -EAGAIN;
	g->vf = *vf;
	g->pf = *vf->pf;
	g->with_pf = false;
	return glance_vf(inv, g) != NULL ? 0 : -EAGAIN;
}

/* Its place is still the same: the PF has as many VFs, and this one at this index. */
static bool is_in_place(const struct sysfs *sys, const struct fn_glance *g)
{
	const struct pci_addr *pf = &g->pf.addr;
	char attr[24], text[32];
	struct pci_addr at;
	uint64_t v;

	snprintf(attr, sizeof(attr), "virtfn%u", g->vf.vf_index);
	return sysfs_fn_birth(sys, pf, &v) == 0 && v == g->pf.birth &&
	       sysfs_fn_read_u64(sys, pf, "sriov_numvfs", UINT16_MAX, &v) == 0 &&
	       v == g->pf.num_vfs && sysfs_fn_link(sys, pf, attr, text, sizeof(text)) == 0 &&
	       parse_pci_addr(text, &at) == 0 && pci_addr_cmp(&at, &g->vf.addr) == 0;
}

int inventory_glance(const struct inventory *inv, struct fn_glance *g)
{
	char driver[FN_DRIVER_TEXT];
	struct pci_addr none, addr;

	if (vf_look_again(&inv->sys, &g->vf, driver) < 0 || !is_in_place(&inv->sys, g))
		return -EAGAIN;
	memcpy(g->vf.driver, driver, sizeof(driver));
	if (!g->with_pf)
		return 0;
	addr = g->pf.addr;
	return fn_read(&inv->sys, &addr, &g->pf, &none) == 0 && g->pf.is_pf ? 0 : -EAGAIN;
}

int inventory_glance_end(struct inventory *inv, const struct fn_glance *g)
{
	struct pci_fn *vf = glance_vf(inv, g);
	struct pci_fn **vfs;

	if (vf == NULL)
		return -EAGAIN;
	memcpy(vf->driver, g->vf.driver, sizeof(vf->driver));
	if (!g->with_pf)
		return 0;
	vfs = vf->pf->vfs;
	*vf->pf = g->pf;
	vf->pf->vfs = vfs;
	return 0;
}

int inventory_create(struct inventory **out, const char *root, struct err *e)
{
	struct inventory *inv = calloc(1, sizeof(*inv));
	int r;

	if (inv == NULL)
		return err_set(e, ENOMEM, "no memory for the inventory");
	inv->sys.root_fd = -1;
	r = sysfs_open(&inv->sys, root, e);
	if (r == 0)
		r = inventory_scan(inv, e);
	if (r < 0) {
		inventory_destroy(inv);
		return r;
	}
	*out = inv;
	return 0;
}

void inventory_destroy(struct inventory *inv)
{
	if (inv == NULL)
		return;
	snapshot_fini(&inv->now);
	sysfs_close(&inv->sys);
	free(inv);
}

const struct sysfs *inventory_sysfs(const struct inventory *inv)
{
	return &inv->sys;
}

size_t inventory_count(const struct inventory *inv)
{
	return inv->now.count;
}

const struct pci_fn *inventory_at(const struct inventory *inv, size_t index)
{
	return index < inv->now.count ? &inv->now.fns[index] : NULL;
}

const struct pci_fn *inventory_find(const struct inventory *inv, const struct pci_addr *addr)
{
	return snapshot_find(&inv->now, addr);
}

int inventory_find_name(const struct inventory *inv, const char *text, const struct pci_fn **out,
			struct err *e)
{
	const struct pci_fn *fn = NULL;
	struct pci_addr addr;
	int r;

	if (parse_pci_addr(text, &addr) == 0)
		fn = inventory_find(inv, &addr);
	for (size_t i = 0; fn == NULL && *text != '\0' && i < inv->now.count; i++)
		if (strcmp(inv->now.fns[i].dev_name, text) == 0)
			fn = &inv->now.fns[i];
	if (fn == NULL) {
		r = err_set(e, ENOENT, "no PCI function with address or device name \"%.64s\"",
			    text);
		err_code(e, "no-such-function");
		err_hint(e,
			 "viaduct pf list   shows the physical functions, viaduct vf list the VFs");
		return r;
	}
	*out = fn;
	return 0;
}

int inventory_find_pf(const struct inventory *inv, const char *text, const struct pci_fn **out,
		      struct err *e)
{
	const struct pci_fn *fn;
	int r = inventory_find_name(inv, text, &fn, e);

	if (r < 0) {
		err_code(e, "no-such-pf");
		return r;
	}
	if (!fn->is_pf) {
		r = err_set(e, EINVAL, "%s is %s", fn->name,
			    fn->is_vf ? "a VF, not a PF" : "a function without SR-IOV");
		err_code(e, "no-sriov");
		err_hint(e, "viaduct pf list   shows the functions that have SR-IOV");
		return r;
	}
	*out = fn;
	return 0;
}

static int find_by_index(const struct inventory *inv, const char *text, const char *hash,
			 const struct pci_fn **out, struct err *e)
{
	const struct pci_fn *pf;
	char name[64];
	uint64_t index;
	int r;

	if ((size_t)(hash - text) >= sizeof(name) || parse_u64(hash + 1, UINT16_MAX, &index) < 0) {
		r = err_set(e, EINVAL, "\"%.64s\" is not of the form PF#INDEX", text);
		err_code(e, "bad-vf-name");
		return r;
	}
	memcpy(name, text, (size_t)(hash - text));
	name[hash - text] = '\0';
	r = inventory_find_pf(inv, name, &pf, e);
	if (r < 0)
		return r;
	if (index >= pf->num_vfs || pf->vfs[index] == NULL) {
		r = err_set(e, ERANGE, "PF %s has no VF %u: it has %u", name, (unsigned)index,
			    pf->num_vfs);
		err_code(e, "vf-index");
		err_hint(e, "viaduct pf apply %s --vfs %u   makes them (at most %u)", name,
			 (unsigned)index + 1, pf->total_vfs);
		return r;
	}
	*out = pf->vfs[index];
	return 0;
}

int inventory_find_vf(const struct inventory *inv, const char *text, const struct pci_fn **out,
		      struct err *e)
{
	const char *hash = strchr(text, '#');
	const struct pci_fn *fn;
	int r;

	if (hash != NULL)
		return find_by_index(inv, text, hash, out, e);
	r = inventory_find_name(inv, text, &fn, e);
	if (r < 0) {
		err_code(e, "no-such-vf");
		return r;
	}
	if (!fn->is_vf) {
		r = err_set(e, EINVAL, "%s is not a VF", fn->name);
		err_code(e, "not-a-vf");
		err_hint(e, "viaduct vf list   shows the VFs");
		return r;
	}
	*out = fn;
	return 0;
}

char *vf_id_text(const struct pci_fn *vf, char buf[VF_ID_TEXT])
{
	const char *pf = pci_fn_label(vf->pf);

	snprintf(buf, VF_ID_TEXT, "%s#%u", pf, vf->vf_index);
	return buf;
}

const char *fn_kind_text(enum fn_kind kind)
{
	switch (kind) {
	case FN_NETWORK:
		return "network";
	case FN_NVME:
		return "nvme";
	case FN_OTHER:
		return "other";
	}
	return "other";
}
