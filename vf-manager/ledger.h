/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaduct must still know after a crash: which VFs are whose, which PFs' VFs it created, which
 * whole functions it took from which driver, and which VMs run. SQLite in WAL mode in the state folder; a copy in memory answers all reads.
 * Every change is in the database before its effect is in the world. Not thread-safe: the daemon's
 * `state` lock guards it.
 *
 * Life of a VF's row: made at the first lease, kept for ever; its generation grows with every lease.
 */
#ifndef VIADUCT_VF_MANAGER_LEDGER_H
#define VIADUCT_VF_MANAGER_LEDGER_H

#include "vf-manager/vfstate.h"

#include "base/parse.h"
#include "sriov/bind.h"
#include "sriov/pfident.h"
#include "sriov/vfattr.h"

#include <jansson.h>

#include <pthread.h>
#include <sys/types.h>

#define LEDGER_SCHEMA 13
#define LEASE_TEXT    64
#define OWNER_TEXT    130 /* "VM/PORT" */
#define BOOT_ID_TEXT  40
#define LEDGER_NOTE   256
#define HOST_KEY      16 /* bytes */

struct vf_row {
	struct pci_addr pf; /* key, with index */
	uint16_t index;
	struct pci_addr addr;
	enum vf_state state;
	char lease[LEASE_TEXT]; /* of `vf alloc`; "": none */
	char owner[OWNER_TEXT]; /* "": none */
	uint64_t generation;
	char boot_id[BOOT_ID_TEXT];
	char note[LEDGER_NOTE]; /* why it is quarantined */
	uint64_t birth; /* of the VF that is meant (sysfs_fn_birth()); 0: not known */
	struct vf_attrs attrs; /* of the lease, by `vf set`: it has them again after each VM */
	struct vf_attrs in_force; /* of a VF that a VM has: as set and read back; mask 0: not known */
};

struct pf_row {
	struct pci_addr pf;
	uint16_t vfs; /* as many were created by viaduct */
	char boot_id[BOOT_ID_TEXT];
	uint64_t birth; /* of the first of them; 0: not known */
	char identity[PF_IDENT_TEXT]; /* pf_ident_text(); "": not known */
};

/* A lease of `vf alloc` that has no VF now. */
struct parked_row {
	char lease[LEASE_TEXT]; /* key */
	char identity[PF_IDENT_TEXT]; /* of the PF that it was made on */
	struct pci_addr pf; /* that one's address then */
	uint16_t index;
	uint64_t generation;
	struct vf_attrs attrs;
	char why[LEDGER_NOTE];
};

/* A change of the machine that takes several steps: written before the first of them, gone with the last. */
enum intent_kind {
	INTENT_PF_VFS, /* is finished after a crash */
	INTENT_VF_ATTRS, /* is undone */
	INTENT_KINDS
};

struct intent_row {
	enum intent_kind kind;
	struct pci_addr pf; /* key, with index */
	uint16_t index; /* of the VF; 0 for a PF's */
	uint16_t vfs; /* PF_VFS: how many it shall have */
	uint64_t generation; /* VF_ATTRS: of the lease that is meant */
	struct vf_attrs before; /* VF_ATTRS: what the VF had */
	uid_t uid; /* who asked */
	char boot_id[BOOT_ID_TEXT];
};

/* The count of a PF goes back to `former` unless that is not wanted any more by the deadline. */
struct confirm_row {
	struct pci_addr pf; /* key */
	uint16_t former, vfs;
	uid_t uid; /* who asked */
	char boot_id[BOOT_ID_TEXT];
	uint64_t deadline_ns; /* CLOCK_BOOTTIME */
	int64_t deadline_at; /* the same, as first set, in seconds since the epoch: for people */
	char note[LEDGER_NOTE]; /* why the way back failed; "": it did not */
};

/* A whole function that was taken from the host. Its row is written before it is touched and goes when
 * the host has it again. */
enum fn_state {
	FN_HOST, /* no row */
	FN_TAKEN, /* on its way to a VM: with its old driver, none, or vfio-pci */
	FN_ASSIGNED,
	FN_RETURNING,
	FN_QUARANTINED, /* could not be given back; `note` says why */
	FN_STATES
};

struct fn_row {
	struct pci_addr addr; /* key */
	enum fn_state state;
	char owner[OWNER_TEXT]; /* "VM/NAME" */
	struct fn_binding was; /* as it was found */
	char dev_name[32]; /* of its network device or controller then; "": none */
	unsigned int namespaces; /* of an NVMe controller then */
	char boot_id[BOOT_ID_TEXT];
	char note[LEDGER_NOTE];
};

/* Of a VM only the daemon's own view is kept; `facts` is its JSON. */
struct vm_row {
	char name[64];
	char state[16];
	uid_t uid;
	pid_t pid; /* 0: none */
	uint64_t start_ticks; /* of the process, as /proc/PID/stat has it */
	char boot_id[BOOT_ID_TEXT];
	char *yaml; /* owned by whoever holds the row */
	json_t *facts; /* likewise */
};

struct ledger;

/* Opens or creates dir/state.db (":memory:" if dir is NULL). -EPROTO code "schema-newer": written
 * by a newer viaduct. -EADDRINUSE code "state-in-use": by another process. */
int ledger_open(struct ledger **out, const char *dir, const char *boot_id, struct err *e);
void ledger_close(struct ledger *l);

/* Whether another program keeps us from writing now. Then writes fail with code "state-locked", all but the first at once. */
bool ledger_is_locked(struct ledger *l);

/* Its path; "": in memory. */
const char *ledger_file(const struct ledger *l);

/* Nobody else may open dir's ledger while *fd_out is open; -EADDRINUSE as above. */
int ledger_claim(const char *dir, int *fd_out, struct err *e);
/* Made at random with the ledger, and never again. */
const uint8_t *ledger_host_key(const struct ledger *l);

/* NULL if there is none. Valid until the next write. */
const struct vf_row *ledger_vf_find(const struct ledger *l, const struct pci_addr *pf,
				    uint16_t index);
const struct vf_row *ledger_vf_by_lease(const struct ledger *l, const char *lease);
size_t ledger_vf_count(const struct ledger *l);
const struct vf_row *ledger_vf_at(const struct ledger *l, size_t i);

/* Where the row is, or would be: rows are in the order of PF and index. */
size_t ledger_vf_place(const struct ledger *l, const struct pci_addr *pf, uint16_t index);

/* Writes the row; the arc from the present state (a missing row is free) must be legal unless the
 * state stays. -EBUSY, -EIO. */
int ledger_vf_put(struct ledger *l, const struct vf_row *row, struct err *e);

/* Without looking at the arc: for recovery only. */
int ledger_vf_force(struct ledger *l, const struct vf_row *row, struct err *e);

/* The same, but durable only with the batch whose number is stored: when another write comes, when
 * ledger_sync() is called, or LEDGER_BATCH_MS after somebody began to wait. What was not written is as it
 * was before, in memory too; nobody may be told of the row before ledger_batch_wait() says 0. */
#define LEDGER_BATCH_MS 5
int ledger_vf_join(struct ledger *l, const struct vf_row *row, uint64_t *batch, struct err *e);
int ledger_sync(struct ledger *l, struct err *e);

/* `lock` is the one that guards the ledger, held; it is given up while waiting. */
int ledger_batch_wait(struct ledger *l, uint64_t batch, pthread_mutex_t *lock, struct err *e);

const struct pf_row *ledger_pf_find(const struct ledger *l, const struct pci_addr *pf);
int ledger_pf_put(struct ledger *l, const struct pf_row *row, struct err *e);

/* One at a time for each PF and each VF: a second one takes the first one's place. */
int ledger_intent_put(struct ledger *l, const struct intent_row *row, struct err *e);
int ledger_intent_del(struct ledger *l, const struct intent_row *row, struct err *e);

/* The intent and the row that it leads to, both or none. */
int ledger_intent_confirm(struct ledger *l, const struct intent_row *intent,
			  const struct vf_row *row, struct err *e);

/* NULL if there is none. Valid until the next write. */
const struct intent_row *ledger_intent_find(const struct ledger *l, enum intent_kind kind,
					    const struct pci_addr *pf, uint16_t index);
size_t ledger_intent_count(const struct ledger *l);
const struct intent_row *ledger_intent_at(const struct ledger *l, size_t i);

/* NULL: no such lease waits. Valid until the next write. */
const struct parked_row *ledger_parked_find(const struct ledger *l, const char *lease);
size_t ledger_parked_count(const struct ledger *l);
const struct parked_row *ledger_parked_at(const struct ledger *l, size_t i); /* by name */
int ledger_parked_put(struct ledger *l, const struct parked_row *row, struct err *e);
int ledger_parked_del(struct ledger *l, const char *lease, struct err *e);

/* The lease waits and the VF's row is `vf`; or the lease does not wait any more and it is: both or none. The arc
 * is not looked at. */
int ledger_park(struct ledger *l, const struct parked_row *parked, const struct vf_row *vf,
		struct err *e);
int ledger_unpark(struct ledger *l, const struct parked_row *parked, const struct vf_row *vf,
		  struct err *e);

/* NULL: nothing is on trial. Valid until the next write. */
const struct confirm_row *ledger_confirm_find(const struct ledger *l, const struct pci_addr *pf);
size_t ledger_confirm_count(const struct ledger *l);
const struct confirm_row *ledger_confirm_at(const struct ledger *l, size_t i);
int ledger_confirm_put(struct ledger *l, const struct confirm_row *row, struct err *e);
int ledger_confirm_del(struct ledger *l, const struct pci_addr *pf, struct err *e);

/* How a VF was wiped the last time. Not kept in memory. */
struct ledger_scrub {
	struct pci_addr pf; /* key, with index */
	uint16_t index;
	uint64_t birth; /* of the VF that was wiped; 0: not known */
	int64_t at; /* seconds since the epoch; put sets it */
	bool is_clean;
	json_t *steps; /* owned by whoever holds it */
};
int ledger_scrub_put(struct ledger *l, struct ledger_scrub *scrub, struct err *e);
/* -ENOENT: it never was. */
int ledger_scrub_get(struct ledger *l, const struct pci_addr *pf, uint16_t index,
		     struct ledger_scrub *out, struct err *e);

/* Up to which record of this boot's kernel log faults were told of; 0: none. Not kept in memory. */
int ledger_kmsg_put(struct ledger *l, uint64_t seq, struct err *e);
int ledger_kmsg_get(struct ledger *l, uint64_t *seq, struct err *e);

const char *fn_state_text(enum fn_state state);

/* NULL: the host has it. Valid until the next write. */
const struct fn_row *ledger_fn_find(const struct ledger *l, const struct pci_addr *addr);
size_t ledger_fn_count(const struct ledger *l);
const struct fn_row *ledger_fn_at(const struct ledger *l, size_t i);

/* Writes the row; the arc from the present state must be legal unless the state stays. */
int ledger_fn_put(struct ledger *l, const struct fn_row *row, struct err *e);
int ledger_fn_del(struct ledger *l, const struct pci_addr *addr, struct err *e);

/* A process viaduct-pmd. */
struct backend_row {
	uid_t uid;
	pid_t pid; /* 0: none */
	uint64_t start_ticks; /* of the process, as /proc/PID/stat has it */
	char boot_id[BOOT_ID_TEXT];
	json_t *wish; /* with what it was started; owned by whoever holds the row */
};
int ledger_backend_put(struct ledger *l, const char *name, const struct backend_row *row,
		       struct err *e);
/* -ENOENT: there was never one. */
int ledger_backend_get(struct ledger *l, const char *name, struct backend_row *out, struct err *e);
/* *out: an array of the names of all; a new reference. */
int ledger_backend_names(struct ledger *l, json_t **out, struct err *e);
/* One that is not there is no error. */
int ledger_backend_del(struct ledger *l, const char *name, struct err *e);

/* An address that viaduct has put into the filter of a network device: written before it is there, gone after it is. */
struct filter_row {
	unsigned int ifindex; /* key, with mac */
	uint8_t mac[6];
	char dev[32]; /* its name then */
};
int ledger_filter_put(struct ledger *l, const struct filter_row *row, struct err *e);
int ledger_filter_del(struct ledger *l, const struct filter_row *row, struct err *e);
/* Those of this boot; the others are forgotten. fn below 0 ends it. */
typedef int ledger_filter_fn(void *arg, const struct filter_row *row);
int ledger_filter_each(struct ledger *l, ledger_filter_fn *fn, void *arg, struct err *e);

int ledger_vm_put(struct ledger *l, const struct vm_row *row, struct err *e);
int ledger_vm_del(struct ledger *l, const char *name, struct err *e);

/* Calls fn for every VM; fn may take row->yaml and row->facts by setting them to NULL. */
typedef void ledger_vm_fn(void *arg, struct vm_row *row);
int ledger_vm_each(struct ledger *l, ledger_vm_fn *fn, void *arg, struct err *e);

/* A VM that viaduct keeps, whether it runs or not; what `facts` holds is vmdef.c's. */
struct def_row {
	char name[64]; /* key */
	bool is_wanted; /* it shall run */
	char *yaml; /* owned by whoever holds the row */
	json_t *facts; /* likewise */
};
int ledger_def_put(struct ledger *l, const struct def_row *row, struct err *e);
int ledger_def_del(struct ledger *l, const char *name, struct err *e);

/* fn may take row->yaml and row->facts by setting them to NULL. */
typedef void ledger_def_fn(void *arg, struct def_row *row);
int ledger_def_each(struct ledger *l, ledger_def_fn *fn, void *arg, struct err *e);

/* Of a VM's starts and ends the newest HISTORY_KEPT are kept. Not kept in memory. */
#define HISTORY_KEPT 64
struct history_row {
	const char *vm;
	int64_t at; /* seconds since the epoch */
	const char *what; /* "started", "start-failed", "ended" */
	const char *cause; /* "vm start", "autostart"; of an end its reason */
	const char *text;
	const char *who; /* "": nobody asked */
};
int ledger_history_add(struct ledger *l, const struct history_row *row, struct err *e);
int ledger_history_del(struct ledger *l, const char *vm, struct err *e);

/* Newest first, at most `limit`. */
typedef void ledger_history_fn(void *arg, const struct history_row *row);
struct history_walk {
	const char *vm;
	unsigned int limit;
	ledger_history_fn *fn;
	void *arg;
};
int ledger_history_each(struct ledger *l, const struct history_walk *walk, struct err *e);

/* For which boot of the host VMs were started by themselves, and whether none is now: `vm stop --all`. */
int ledger_keeper_put(struct ledger *l, const char *boot_id, bool is_held, struct err *e);
int ledger_keeper_get(struct ledger *l, char boot_id[BOOT_ID_TEXT], bool *is_held, struct err *e);

/* What is written between the two is written together or not at all: ledger_commit() undoes it when it fails, or when
 * r, the outcome so far, is below 0. Returns r, or the failure. */
int ledger_begin(struct ledger *l, struct err *e);
int ledger_commit(struct ledger *l, int r, struct err *e);

#endif
