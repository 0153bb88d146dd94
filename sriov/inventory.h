/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What PCI functions the host has, which of them are PFs, and which VFs belong to which PF. One
 * inventory per process, used by one thread (libpciaccess keeps global state). It is a snapshot: a
 * scan replaces it all and every struct pci_fn pointer of the one before dies with it.
 */
#ifndef VIADUCT_SRIOV_INVENTORY_H
#define VIADUCT_SRIOV_INVENTORY_H

#include "sriov/pcicaps.h"
#include "sriov/sysfs.h"

enum fn_kind { FN_OTHER, FN_NETWORK, FN_NVME }; /* by class code, not by driver */

/* Of a network device; has_x says whether the kernel would tell. */
struct net_facts {
	bool admin_up;
	bool has_carrier, carrier; /* a device that is down has no carrier to tell */
	bool has_speed;
	uint32_t speed_mbps;
	uint32_t mtu;
	uint8_t mac[6];
};

#define FN_DRIVER_TEXT 64

struct pci_fn {
	struct pci_addr addr;
	uint64_t birth; /* sysfs_fn_birth(); 0: not known */
	char name[PCI_ADDR_TEXT];
	uint16_t vendor, device, subvendor, subdevice; /* the kernel's: a VF's own space reads ffff
							*/
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
	enum fn_kind kind;
	char driver[FN_DRIVER_TEXT]; /* "": none */
	int numa_node; /* -1: none */
	int iommu_group; /* -1: none */
	char dev_name[32]; /* network device or NVMe controller; "": none (or in another namespace)
			    */
	unsigned ifindex; /* 0: no network device */
	struct net_facts net; /* valid if ifindex != 0 */
	struct pci_caps caps;

	bool is_pf;
	uint16_t total_vfs, num_vfs; /* the kernel's word, readable by all; PF only */
	bool autoprobe; /* sriov_drivers_autoprobe; PF only */
	struct pci_fn **vfs; /* num_vfs pointers by index, NULL where the function is missing */

	bool is_vf;
	struct pci_fn *pf; /* VF only; never NULL for one */
	uint16_t vf_index;
};

/* "enp1s0", or its address where the host has no device of it: as operators call it. */
static inline const char *pci_fn_label(const struct pci_fn *fn)
{
	return fn->dev_name[0] != '\0' ? fn->dev_name : fn->name;
}

struct inventory;

/* `root` as in sysfs_open(). Scans once. -ENOENT: no PCI at all. */
int inventory_create(struct inventory **out, const char *root, struct err *e);
void inventory_destroy(struct inventory *inv);

/* Looks at everything again. On failure the former snapshot stays. */
int inventory_scan(struct inventory *inv, struct err *e);

/* The parts of that, for who must not hold a lock while the kernel takes its time: attributes of a
 * function that is just being unbound are read only after that. Copying and taking need the lock that
 * guards the inventory. Looking replaces *s: NULL reads everything; a copy is believed in what it says of
 * VFs that no host driver has, as long as they are the same VFs. On failure *s is NULL, what it was is
 * gone. Taking owns the snapshot. */
struct snapshot;
int inventory_copy(const struct inventory *inv, struct snapshot **out, struct err *e);
int inventory_look(const struct inventory *inv, struct snapshot **s, struct err *e);
void inventory_take(struct inventory *inv, struct snapshot *next);

/* The same for one VF: begin and end with the lock, and between them the look, at its PF's facts too if
 * `with_pf`. -EAGAIN of any: they are not as the snapshot has them (the VF is another one, a driver of the
 * host has it, the count changed), look at all. It keeps every pointer. */
struct fn_glance {
	struct pci_fn vf, pf; /* their pointers are not to be followed */
	bool with_pf;
};
int inventory_glance_begin(const struct inventory *inv, const struct pci_addr *vf,
			   struct fn_glance *g);
int inventory_glance(const struct inventory *inv, struct fn_glance *g);
int inventory_glance_end(struct inventory *inv, const struct fn_glance *g);

const struct sysfs *inventory_sysfs(const struct inventory *inv);

/* All functions by address: index 0 to count-1, then NULL. */
size_t inventory_count(const struct inventory *inv);
const struct pci_fn *inventory_at(const struct inventory *inv, size_t index);

/* NULL if there is no such function. */
const struct pci_fn *inventory_find(const struct inventory *inv, const struct pci_addr *addr);

/* By PCI address ("0000:3b:00.0", "3b:00.0") or by the name of its network device or NVMe
 * controller. -ENOENT names what was looked for; -EEXIST never: names are unique. */
int inventory_find_name(const struct inventory *inv, const char *text, const struct pci_fn **out,
			struct err *e);

/* A PF by the same names; -EINVAL (code "no-sriov") if the function has no SR-IOV. */
int inventory_find_pf(const struct inventory *inv, const char *text, const struct pci_fn **out,
		      struct err *e);

/* A VF by address or "PF#index"; -ERANGE (code "vf-index") if the PF has fewer. */
int inventory_find_vf(const struct inventory *inv, const char *text, const struct pci_fn **out,
		      struct err *e);

/* "enp1s0#0", or "0000:01:00.0#0" for a PF without a device name: the VF's id. Returns buf. */
#define VF_ID_TEXT 48
char *vf_id_text(const struct pci_fn *vf, char buf[VF_ID_TEXT]);

const char *fn_kind_text(enum fn_kind kind); /* "network", "nvme", "other" */

#endif
