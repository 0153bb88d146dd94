/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon as one object, and its locks.
 *
 * `op` serialises changes of the world (PFs, VFs, starts and ends of VMs) and may be held for
 * seconds. `state` guards the members below it and is held for as long as a look takes; reading
 * requests take it alone, so a long change never blocks `list`. Order: op, then scan or pages, then state.
 */
#ifndef VIADUCT_VF_MANAGER_DAEMON_H
#define VIADUCT_VF_MANAGER_DAEMON_H

#include "vf-manager/config.h"
#include "vf-manager/ledger.h"
#include "vf-manager/options.h"

#include "sriov/inventory.h"
#include "sriov/rtnl.h"

#include <pthread.h>
#include <stdatomic.h>

#define DAEMON_VMS	      1024
#define DAEMON_STATUS_CLASSES 6
#define DAEMON_FOLLOWERS      32

struct alloc;
struct backend;
struct disks;
struct fault_watch;
struct monitor;
struct keeper;
struct operations;
struct run_paths;
struct vm;
struct vm_def;
struct watcher;

/* Requests of `vf alloc` that wait to be served (pool_alloc.c). */
struct alloc_queue {
	pthread_mutex_t lock; /* innermost */
	struct alloc *first, **end;
	bool is_served; /* one of them serves; who comes now is served with the next turn */
};

struct daemon {
	const struct options *opt;
	struct config config;
	gid_t gid; /* whose members may change things; (gid_t)-1: there is no such group */
	bool is_root; /* else a test or --oneshot: no uids, no cgroups, no namespaces for VMs */
	bool is_oneshot;
	uint64_t started_ns;
	char boot_id[BOOT_ID_TEXT];
	_Atomic bool kvm_is_usable; /* once seen, without lock */

	pthread_mutex_t op;
	_Atomic uint64_t op_until_ns; /* who holds it should be done by then; 0: nobody holds it */
	pthread_mutex_t scan; /* one look at PCI at a time */
	pthread_mutex_t pages; /* the record of hugepages, with the numbers that it is about */
	/* What a viaduct-pmd that starts is about to take; 0 bytes: nothing. With `pages`. */
	uint64_t pmd_page, pmd_page_bytes;
	pthread_mutex_t state;
	pthread_cond_t changed; /* with state: a VM entered another state, an event, or is_ending */
	bool is_ending; /* whoever waits for a VM gives up */
	struct inventory *inv;
	struct rtnl *nl;
	struct ledger *ledger; /* NULL in --oneshot */
	struct run_paths *run_paths; /* NULL in --oneshot */
	bool has_own_socket; /* of the API, on disk; the acceptor's while it runs */
	struct vm *vms[DAEMON_VMS];
	size_t vm_count;
	struct vm_def *defs[DAEMON_VMS]; /* those of the VMs that are defined, by name */
	size_t def_count;
	bool vms_are_held; /* none is started by itself: `vm stop --all`, until `vm start --all` */
	unsigned int host_stops; /* `vm stop --all` under way: none is started at all */
	struct keeper *keeper; /* NULL in --oneshot, and until the daemon has found what it knew */
	struct watcher *watcher; /* NULL in --oneshot */
	struct monitor *monitor; /* NULL in --oneshot, and until the daemon has found what it knew */
	uid_t followers[DAEMON_FOLLOWERS]; /* of the events */
	unsigned int follower_count;
	struct backend *backend; /* NULL in --oneshot */
	struct disks *disks; /* NULL in --oneshot */
	struct operations *operations; /* NULL in --oneshot */
	struct fault_watch *faults; /* NULL in --oneshot, and until the monitor runs */
	struct alloc_queue allocs;
	_Atomic uint64_t requests[DAEMON_STATUS_CLASSES]; /* answered, by status / 100 */
};

/* What stands for /sys: the real one, or a test's. */
static inline const char *daemon_sysfs(const struct daemon *d)
{
	return d->opt->sysfs_root != NULL ? d->opt->sysfs_root : "/sys";
}

/* Reads configuration and ledger and looks at the machine; changes nothing of it. */
int daemon_create(const struct options *opt, struct daemon **out, struct err *e);
void daemon_destroy(struct daemon *d); /* running VMs go on */

/* No guest is waited for with it. A change that takes longer is stuck, and the watchdog is no longer told otherwise. */
#define DAEMON_OP_S 600

static inline void op_lock(struct daemon *d)
{
	pthread_mutex_lock(&d->op);
	atomic_store_explicit(&d->op_until_ns, now_ns() + DAEMON_OP_S * 1000000000ULL,
			      memory_order_relaxed);
}

/* 0, or EBUSY. */
static inline int op_trylock(struct daemon *d)
{
	int r = pthread_mutex_trylock(&d->op);

	if (r == 0)
		atomic_store_explicit(&d->op_until_ns, now_ns() + DAEMON_OP_S * 1000000000ULL,
				      memory_order_relaxed);
	return r;
}

static inline void op_unlock(struct daemon *d)
{
	atomic_store_explicit(&d->op_until_ns, 0, memory_order_relaxed);
	pthread_mutex_unlock(&d->op);
}

static inline void state_lock(struct daemon *d)
{
	pthread_mutex_lock(&d->state);
}

static inline void state_unlock(struct daemon *d)
{
	pthread_mutex_unlock(&d->state);
}

/* RUN_DIR and what lies in it from the start. Right while they are there, too. */
int daemon_run_dirs_make(const struct daemon *d, struct err *e);

/* Requests that wait for a VM end with an error, so that the process can. */
void daemon_end(struct daemon *d);

/* State not locked. */
bool daemon_is_ending(struct daemon *d);

/* Looks at PCI again; state locked, but not during the look, which lasts as long as the kernel
 * wants: it answers for a VF that is being taken away only when its user has let go. So this comes
 * first after state_lock(); what was read before it is stale, and pointers to functions are dead. */
int daemon_scan(struct daemon *d, struct err *e);

/* The same, believing nothing of the last look: what the kernel lets nobody change (identity, capabilities,
 * group) is read again too. */
int daemon_scan_deep(struct daemon *d, struct err *e);

/* The same for one VF, or for it and its PF, if that is all that may have changed; else looks at all.
 * Pointers to functions stay good only in the first case: look the VF up again. */
int daemon_scan_vf(struct daemon *d, const struct pci_addr *vf, struct err *e);
int daemon_scan_vf_pf(struct daemon *d, const struct pci_addr *vf, struct err *e);

#endif
