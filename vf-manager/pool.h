/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who has which VF. A VF goes free -> leased -> bound -> assigned -> scrubbing -> free, each step
 * written to the ledger before it is done. VFs that viaduct did not create, and those that a host
 * driver uses, are foreign and never touched.
 */
#ifndef VIADUCT_VF_MANAGER_POOL_H
#define VIADUCT_VF_MANAGER_POOL_H

#include "vf-manager/daemon.h"
#include "vf-manager/vmspec.h"

/* A VF that somebody is getting or has: copies, so that it outlives a scan. */
struct vf_hold {
	struct pci_addr pf, addr;
	uint16_t index;
	uint64_t generation, birth;
	int group; /* -1: none */
	int numa_node;
	enum fn_kind kind;
	char id[VF_ID_TEXT];
	char pf_name[PCI_ADDR_TEXT]; /* address */
	char pf_dev[32]; /* "": none */
	char pf_driver[FN_DRIVER_TEXT]; /* "": none */
	unsigned int pf_mtu; /* 0: not known */
	struct vf_attrs lease_attrs; /* that it has by `vf set`; a port's own go over them */
	struct vf_attrs attrs; /* as read back */
	bool is_bound;
};

/* The VM that a port belongs to, and what other ports of it were given: leased, or chosen only. */
struct vf_kin {
	const struct vm_spec *spec;
	unsigned int port; /* which of its ports the VF is for */
	struct {
		struct pci_addr pf, addr;
		bool is_given;
		bool is_out; /* gets none, or not before others have theirs */
	} given[VMM_MAX_DEVICES];
	struct {
		struct pci_addr addr;
		bool is_known;
	} former[VMM_MAX_DEVICES]; /* which VF each port had when the VM ran last: again, if it can be had */
	int numa_node; /* near the VM's CPUs and memory; -1: anywhere */
};

/* Ports that must have a VF choose first, then those that may fall back: one call before each of the two turns. */
static inline void vf_kin_turn(struct vf_kin *kin, enum port_engine engine)
{
	for (unsigned int i = 0; i < kin->spec->port_count; i++)
		kin->given[i].is_out = kin->spec->ports[i].engine != engine;
}

struct vf_want {
	enum port_source source;
	const char *target; /* NULL: any PF's */
	int numa_node; /* -1: any */
	const char *lease; /* of `vf alloc`; NULL: none */
	const char *owner; /* "VM/PORT"; NULL: none */
	const struct vf_kin *kin; /* of a VM's port; NULL: it is none */
	bool is_looked; /* the whole machine was looked at just now */
	json_t *explain; /* an array that gets every candidate and where it stands; NULL: nobody asks */
};

/* Before an uplink's name in the owner of the VF that is reserved for it; no VM's owner has a blank. */
#define POOL_UPLINK "uplink "
static inline bool pool_owner_is_uplink(const char *owner)
{
	return strncmp(owner, POOL_UPLINK, strlen(POOL_UPLINK)) == 0;
}

/* State locked. The row of the ledger, or what the machine shows; *why may be NULL. */
enum vf_state pool_vf_state(const struct daemon *d, const struct pci_fn *vf, char why[128]);

/* State locked. Viaduct made its VFs, and they are still those. */
bool pool_pf_is_ours(const struct daemon *d, const struct pci_fn *pf);
uint64_t pool_pf_birth(const struct pci_fn *pf); /* of its first VF; 0: not known */

/* State locked. False for the owner ("VM/PORT") of what failed steps have left behind: its VM is not there. */
bool pool_owner_lives(struct daemon *d, const char *owner);

/* State locked. By address, PF#index or lease name. -ENOENT code "no-such-vf". */
int pool_vf_find(const struct daemon *d, const char *text, const struct pci_fn **out,
		 struct err *e);

/* State locked. By address or device name. -ENOENT code "no-such-pf". */
int pool_pf_find(const struct daemon *d, const char *text, const struct pci_fn **out,
		 struct err *e);

/* State locked. How many VFs of the PF are free. */
unsigned int pool_pf_free(const struct daemon *d, const struct pci_fn *pf);

/* State locked. The VF that a request would get; nothing changes. -EBUSY codes "vf-in-use",
 * "vf-foreign", "no-free-vf", "anti-affinity". */
int pool_pick(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
	      struct err *e);

/* Op locked, state not. Picks and leases. */
int pool_lease(struct daemon *d, const struct vf_want *want, struct vf_hold *out, struct err *e);

/* Neither locked. The same, for `vf alloc`: those that come at the same time share the locks and one sync of the
 * disk. Stores the VF as view_vf_full() shows it: a new reference. */
int pool_alloc(struct daemon *d, const struct vf_want *want, json_t **view, struct err *e);

/* Op locked, state not. To vfio-pci, with these attributes; then given to a VM. */
int pool_bind(struct daemon *d, struct vf_hold *hold, const struct vf_attrs *attrs, struct err *e);
int pool_assign(struct daemon *d, const struct vf_hold *hold, struct err *e);

/* Op locked, state not. Sets these, reads back, and keeps them for the lease if it has a name. */
int pool_set(struct daemon *d, const struct vf_hold *hold, struct vf_attrs *attrs, uid_t uid,
	     struct err *e);

/* The same until its VM ends: the lease knows nothing of it. */
int pool_set_for_now(struct daemon *d, const struct vf_hold *hold, struct vf_attrs *attrs,
		     struct err *e);

/* State locked. A leased VF as its present holder has it. */
void pool_hold(const struct daemon *d, const struct pci_fn *vf, struct vf_hold *out);

struct vf_ref {
	struct pci_addr pf;
	uint16_t index;
	uint64_t generation; /* that is given back; 0: whichever it is */
};

/* Op locked, state not. Wipes the VF; it is free afterwards, or leased if it has a lease and
 * `keep_lease` (with the lease's attributes), or quarantined with the reason, which is then also the
 * error. -ESTALE: somebody else has it by now, and keeps it. */
int pool_release(struct daemon *d, const struct vf_ref *vf, bool keep_lease, struct err *e);

/* Op locked, state not. Every VF whose owner is a port of this VM; failures are logged. */
void pool_release_vm(struct daemon *d, const char *vm);

/* Op locked, state not. Drops the leases on VFs that are not there any more, or are others now. */
void pool_forget_gone(struct daemon *d);

#endif
