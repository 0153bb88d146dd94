// SPDX-License-Identifier: BSD-3-Clause
/* Alarms of disks: nobody serves one, its storage fails, its file system is full; and firmware variables that are not stored. */
#include "vf-manager/alarms_found.h"
#include "vf-manager/disks_core.h"
#include "vf-manager/varswatch.h"
#include "vf-manager/vm.h"

#include <stdio.h>

/* Look locked. Whoever knows more. */
static const char *down_text(const struct vm_disks *b, const struct wish_disk *w)
{
	const struct pmd_disk *have = b->p.has_status ? pmd_disk_find(&b->status, w->name) : NULL;

	if (have != NULL && have->error[0] != '\0')
		return have->error;
	if (w->why.errnum != 0)
		return w->why.text;
	if (b->p.state == BACKEND_DOWN)
		return "its viaduct-pmd is not up";
	if (have != NULL && have->state == PMD_DISK_LOCKED)
		return "its image is locked elsewhere";
	return have != NULL ? "viaduct-pmd waits for its VMM" : "viaduct-pmd does not have it yet";
}

static void backend_find_down(struct vm_disks *b, void *arg)
{
	const bool is_off = b->p.state == BACKEND_DOWN && b->count > 0;
	struct alarm *one = is_off ? alarm_found(arg, b->p.name) : NULL;

	if (one == NULL)
		return;
	alarm_text_set(one->text, "the viaduct-pmd of the disks of %s is not up: %.160s",
		       disks_backend_vm(b->p.name), b->p.why.text);
	alarm_text_set(one->hint, "it is started again; %s/pmd/%s/pmd.log", b->d->opt->run_dir,
		       b->p.name);
}

void alarms_disks_backend(struct alarms *a, struct daemon *d)
{
	vm_disks_each(d, backend_find_down, a);
}

/* Look locked. */
static void unlisted_find(struct vm_disks *b, void *arg)
{
	const char *vm = disks_backend_vm(b->p.name);
	const bool is_so = b->is_left && b->p.peer.pid != 0 && !alarm_is_found(arg, vm);
	const pid_t pid = is_so ? disks_vmm_find(b) : 0;
	struct alarm *one = pid != 0 ? alarm_found(arg, vm) : NULL;

	if (one == NULL)
		return;
	alarm_text_set(
		one->text,
		"the ledger, which was restored, does not know that this VM runs (process %d)%s; "
		"its viaduct-pmd (process %d) is left to it",
		pid > 0 ? (int)pid : 0, pid > 0 ? "" : ": its folder is gone", (int)b->p.peer.pid);
	if (pid > 0)
		alarm_text_set(one->hint, "kill %d   ends both", (int)pid);
	else
		alarm_text_set(one->hint,
			       "ps -C viaduct-vmm   shows whether it runs; kill %d   if not",
			       (int)b->p.peer.pid);
}

void alarms_vm_unlisted(struct alarms *a, struct daemon *d)
{
	vm_disks_each(d, unlisted_find, a);
}

/* An alarm that disks may have. Look locked. */
struct disk_alarm {
	struct alarms *a;
	bool (*is_so)(const struct wish_disk *w);
	void (*say)(const struct vm_disks *b, const struct wish_disk *w, struct alarm *one);
};

static void disks_find(struct vm_disks *b, void *arg)
{
	const struct disk_alarm *kind = arg;

	for (unsigned int i = 0; i < b->count; i++) {
		const struct wish_disk *w = &b->disks[i];
		struct alarm *one = kind->is_so(w) ? alarm_found(kind->a, w->name) : NULL;

		if (one != NULL)
			kind->say(b, w, one);
	}
}

static bool is_down(const struct wish_disk *w)
{
	return w->is_down;
}

static void down_say(const struct vm_disks *b, const struct wish_disk *w, struct alarm *one)
{
	alarm_text_set(one->text, "nobody serves the disk, its guest waits: %.200s",
		       down_text(b, w));
	alarm_text_set(one->hint, "viaduct disk show %s", w->name);
}

void alarms_disk_down(struct alarms *a, struct daemon *d)
{
	vm_disks_each(d, disks_find, &(struct disk_alarm){ a, is_down, down_say });
}

static bool has_errors(const struct wish_disk *w)
{
	return w->errors_at != 0 || w->flush_failed;
}

static void errors_say(const struct vm_disks *b, const struct wish_disk *w, struct alarm *one)
{
	alarm_text_set(one->text, "requests of the guest have failed: %.160s%s",
		       w->io_error[0] != '\0' ? w->io_error : "an I/O error",
		       w->flush_failed ? "; the page cache has lost what it wrote, and each flush "
					 "fails until the VM is started again"
				       : "");
	alarm_text_set(one->hint,
		       "dmesg   shows what the storage below %.200s has; viaduct disk show %.100s",
		       w->path, w->name);
}

void alarms_disk_errors(struct alarms *a, struct daemon *d)
{
	vm_disks_each(d, disks_find, &(struct disk_alarm){ a, has_errors, errors_say });
}

static bool is_full(const struct wish_disk *w)
{
	return w->no_space_at != 0;
}

static void full_say(const struct vm_disks *b, const struct wish_disk *w, struct alarm *one)
{
	alarm_text_set(one->text, "writes of the guest fail: the file system of its image is full");
	alarm_text_set(one->hint, "df -h %.300s; make room there", w->path);
}

void alarms_disk_full(struct alarms *a, struct daemon *d)
{
	vm_disks_each(d, disks_find, &(struct disk_alarm){ a, is_full, full_say });
}

void alarms_firmware_vars(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		const bool is_failed = vm->pid != 0 && vm->vars.error[0] != '\0';
		struct alarm *one = is_failed ? alarm_found(a, vm->name) : NULL;

		if (one == NULL)
			continue;
		alarm_text_set(one->text,
			       "what its firmware stores is in memory alone and is lost at the "
			       "VM's end: %s",
			       vm->vars.error);
		alarm_text_set(one->hint, "df -h %s   and make room: it is tried every 5 s",
			       d->opt->state_dir);
	}
}
