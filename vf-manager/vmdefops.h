/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be done to a VM that is defined. No lock held by the caller. Each may be asked for again: what is so already
 * is no error.
 */
#ifndef VIADUCT_VF_MANAGER_VMDEFOPS_H
#define VIADUCT_VF_MANAGER_VMDEFOPS_H

#include "vf-manager/vmdef.h"
#include "vf-manager/vmops.h"

/* spec is what yaml says, and its files could be opened. -EEXIST codes "vm-defined" (another file has the name, and not
 * `replace`), "vm-exists" (a transient VM that runs has it); else as def_check(). Takes effect at the next start. */
struct def_create_wish {
	const struct caller *who;
	const struct vm_spec *spec;
	const char *yaml, *base_dir, *unsafe;
	struct vm_owner owner;
	bool replace;
};
int def_create(struct daemon *d, const struct def_create_wish *wish, struct err *e);

/* Runs it with its creator's rights. -EPERM code "creator-gone". cause: for its history. */
struct def_start_wish {
	struct operation *op;
	const char *name, *cause;
	uid_t uid; /* who asks, if is_manual; else nobody does, and a failure is an alarm */
	bool is_manual;
};
int def_start(struct daemon *d, const struct def_start_wish *wish, struct err *e);

/* Stopped as vm_stop() does, then started, with the same VFs if they can be had. */
int def_restart(struct daemon *d, const char *name, const struct vm_stop_wish *wish, struct err *e);

/* As vm_stop() and vm_kill(), of transient VMs too. A defined one shall not run any more, and that it does not is no error. */
int def_stop(struct daemon *d, const char *name, const struct vm_stop_wish *wish, struct err *e);
int def_kill(struct daemon *d, const char *name, uid_t uid, struct err *e);

/* Definition, history, logs. Of a transient VM that has ended, what is left of it. -EBUSY codes "vm-state": it runs;
 * "vm-needed": others wait for it at their start. With force it is killed, and nobody is asked. */
struct def_delete_wish {
	uid_t uid;
	bool force;
};
int def_delete(struct daemon *d, const char *name, const struct def_delete_wish *wish,
	       struct err *e);

#endif
