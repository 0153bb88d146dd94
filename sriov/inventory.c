// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/inventory.h"

#include "sriov/fnread.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct snapshot {
	struct pci_fn *fns; /* sorted by address */
	struct pci_addr *pf_addrs; /* of fns[i], if that is a VF */
	bool *is_claimed; /* fns[i] is a VF, and its PF has a link with an index for it */
	size_t count;
};

struct inventory {
	struct sysfs sys;
	struct snapshot now;
};

static void snapshot_fini(struct snapshot *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->fns[i].vfs);
	free(s->fns);
	free(s->pf_addrs);
	free(s->is_claimed);
	*s = (struct snapshot){ 0 };
}

static int addr_order(const void *a, const void *b)
{
	return pci_addr_cmp(a, b);
}

static int fn_order(const void *key, const void *item)
{
	return pci_addr_cmp(key, &((const struct pci_fn *)item)->addr);
}

static struct pci_fn *snapshot_find(const struct snapshot *s, const struct pci_addr *addr)
{
	if (s->count == 0)
		return NULL;
	return bsearch(addr, s->fns, s->count, sizeof(*s->fns), fn_order);
}

static int snapshot_read(struct snapshot *s, const struct sysfs *sys, struct err *e)
{
	auto_free struct pci_addr *addrs = NULL;
	size_t n;
	int r = fn_list(sys, &addrs, &n, e);

	if (r < 0)
		return r;
	if (n == 0)
		return 0;
	qsort(addrs, n, sizeof(*addrs), addr_order);
	s->fns = calloc(n, sizeof(*s->fns));
	s->pf_addrs = calloc(n, sizeof(*s->pf_addrs));
	s->is_claimed = calloc(n, sizeof(*s->is_claimed));
	if (s->fns == NULL || s->pf_addrs == NULL || s->is_claimed == NULL)
		return err_set(e, ENOMEM, "no memory for %zu PCI functions", n);
	for (size_t i = 0; i < n; i++) {
		char name[PCI_ADDR_TEXT];

		r = fn_read(sys, &addrs[i], &s->fns[s->count], &s->pf_addrs[s->count]);
		if (r == 0)
			s->count++;
		else if (r != -ENOENT) /* else it went away since it was listed */
			return err_set(e, r, "read PCI function %s: %s",
				       pci_addr_text(&addrs[i], name), strerror(-r));
	}
	return 0;
}

/* The PF's links give its VFs their index. */
static void claim_vfs(struct snapshot *s, const struct sysfs *sys, const struct pci_fn *pf)
{
	for (unsigned i = 0; i < pf->num_vfs; i++) {
		char attr[24], text[32];
		struct pci_addr addr;
		struct pci_fn *vf;

		snprintf(attr, sizeof(attr), "virtfn%u", i);
		if (sysfs_fn_link(sys, &pf->addr, attr, text, sizeof(text)) < 0 ||
		    parse_pci_addr(text, &addr) < 0)
			continue;
		vf = snapshot_find(s, &addr);
		if (vf == NULL || !vf->is_vf ||
		    pci_addr_cmp(&s->pf_addrs[vf - s->fns], &pf->addr) != 0)
			continue;
		s->is_claimed[vf - s->fns] = true;
		vf->vf_index = (uint16_t)i;
	}
}

/* A VF that no PF has a link to came or went while we looked. It must not pass for an ordinary
 * function, so it is left out; the next scan sees it or not. */
static void drop_unclaimed(struct snapshot *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (s->fns[i].is_vf && !s->is_claimed[i])
			continue;
		s->fns[kept] = s->fns[i];
		s->pf_addrs[kept++] = s->pf_addrs[i];
	}
	s->count = kept;
}

/* From here on no function moves any more. */
static int link_vfs(struct snapshot *s, struct err *e)
{
	for (size_t i = 0; i < s->count; i++) {
		struct pci_fn *pf = &s->fns[i];

		if (!pf->is_pf || pf->num_vfs == 0)
			continue;
		pf->vfs = calloc(pf->num_vfs, sizeof(struct pci_fn *));
		if (pf->vfs == NULL)
			return err_set(e, ENOMEM, "no memory for the VFs of %s", pf->name);
	}
	for (size_t i = 0; i < s->count; i++) {
		struct pci_fn *vf = &s->fns[i];

		if (!vf->is_vf)
			continue;
		/* Claimed by that PF, below its num_vfs: both are in the snapshot. */
		vf->pf = snapshot_find(s, &s->pf_addrs[i]);
		vf->pf->vfs[vf->vf_index] = vf;
	}
	return 0;
}

int inventory_look(const struct inventory *inv, struct snapshot **out, struct err *e)
{
	struct snapshot *next = calloc(1, sizeof(*next));
	int r;

	if (next == NULL)
		return err_set(e, ENOMEM, "no memory for the inventory");
	r = snapshot_read(next, &inv->sys, e);
	if (r < 0)
		goto fail;
	for (size_t i = 0; i < next->count; i++)
		if (next->fns[i].is_pf)
			claim_vfs(next, &inv->sys, &next->fns[i]);
	drop_unclaimed(next);
	r = link_vfs(next, e);
	if (r < 0)
		goto fail;
	*out = next;
	return 0;
fail:
	snapshot_fini(next);
	free(next);
	return r;
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
	const char *pf = vf->pf->dev_name[0] != '\0' ? vf->pf->dev_name : vf->pf->name;

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
