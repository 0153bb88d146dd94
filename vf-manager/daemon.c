// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/daemon.h"

#include "vf-manager/backend.h"
#include "vf-manager/disks.h"
#include "vf-manager/faultwatch.h"
#include "vf-manager/monitor.h"
#include "vf-manager/runpaths.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/watch.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int dir_make(const char *path, mode_t mode, struct err *e)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_set(e, errno, "make the folder %s: %s", path, strerror(errno));
	return 0;
}

int daemon_run_dirs_make(const struct daemon *d, struct err *e)
{
	char vm_dir[PATH_MAX];
	int r = dir_make(d->opt->run_dir, 0755, e);

	snprintf(vm_dir, sizeof(vm_dir), "%s/vm", d->opt->run_dir);
	if (r == 0)
		r = dir_make(vm_dir, 0755, e);
	return r;
}

static int group_find(struct daemon *d, struct err *e)
{
	struct group entry, *found = NULL;
	char buf[16384];
	int r = getgrnam_r(d->config.group, &entry, buf, sizeof(buf), &found);

	d->gid = found != NULL ? found->gr_gid : (gid_t)-1;
	/* A name that is not there is no error: then only root may change things. */
	if (r != 0 && r != ENOENT && r != ESRCH)
		return err_set(e, r, "look up the group %s: %s", d->config.group, strerror(r));
	return 0;
}

static int locks_create(struct daemon *d)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&d->op, NULL);
	pthread_mutex_init(&d->scan, NULL);
	pthread_mutex_init(&d->pages, NULL);
	pthread_mutex_init(&d->state, NULL);
	pthread_mutex_init(&d->allocs.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

int daemon_create(const struct options *opt, struct daemon **out, struct err *e)
{
	struct daemon *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return err_set(e, ENOMEM, "no memory");
	d->opt = opt;
	d->is_root = geteuid() == 0;
	d->is_oneshot = opt->is_oneshot;
	d->started_ns = now_ns();
	locks_create(d);
	if (file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", d->boot_id,
			 sizeof(d->boot_id)) < 0)
		d->boot_id[0] = '\0';
	r = config_load(opt->config, opt->config_is_named && !d->is_oneshot, &d->config, e);
	if (r == 0)
		r = group_find(d, e);
	if (r == 0)
		r = inventory_create(&d->inv, opt->sysfs_root, e);
	if (r == 0)
		r = rtnl_create(&d->nl, e);
	if (r == 0 && !d->is_oneshot)
		r = daemon_run_dirs_make(d, e);
	if (r == 0 && !d->is_oneshot)
		r = dir_make(opt->state_dir, 0700, e);
	if (r == 0 && !d->is_oneshot)
		r = run_paths_create(&d->run_paths, e);
	if (r == 0 && !d->is_oneshot)
		r = ledger_open(&d->ledger, opt->state_dir, d->boot_id, e);
	if (r == 0 && !d->is_oneshot)
		r = watcher_create(d, &d->watcher, e);
	if (r == 0 && !d->is_oneshot)
		r = backend_create(d, e);
	if (r == 0 && !d->is_oneshot)
		r = disks_create(d, e);
	if (r < 0) {
		daemon_destroy(d);
		return r;
	}
	*out = d;
	return 0;
}

void daemon_destroy(struct daemon *d)
{
	if (d == NULL)
		return;
	/* It wakes the monitor; watcher and monitor ask the backend. */
	backend_stop(d);
	disks_stop(d);
	fault_watch_destroy(d);
	monitor_destroy(d->monitor);
	watcher_destroy(d->watcher);
	backend_destroy(d);
	disks_destroy(d);
	for (size_t i = 0; i < d->vm_count; i++)
		vm_destroy(d->vms[i]);
	for (size_t i = 0; i < d->def_count; i++)
		def_destroy(d->defs[i]);
	run_paths_destroy(d->run_paths);
	ledger_close(d->ledger);
	rtnl_destroy(d->nl);
	inventory_destroy(d->inv);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->allocs.lock);
	pthread_mutex_destroy(&d->state);
	pthread_mutex_destroy(&d->pages);
	pthread_mutex_destroy(&d->scan);
	pthread_mutex_destroy(&d->op);
	free(d);
}

/* `next` NULL: deep. */
static int look(struct daemon *d, struct snapshot *next, struct err *e)
{
	int r;

	state_unlock(d);
	pthread_mutex_lock(&d->scan);
	r = inventory_look(d->inv, &next, e);
	state_lock(d);
	if (r == 0)
		inventory_take(d->inv, next);
	pthread_mutex_unlock(&d->scan);
	return r;
}

int daemon_scan(struct daemon *d, struct err *e)
{
	struct snapshot *next = NULL;
	int r = inventory_copy(d->inv, &next, e);

	return r < 0 ? r : look(d, next, e);
}

int daemon_scan_deep(struct daemon *d, struct err *e)
{
	return look(d, NULL, e);
}

static int glance(struct daemon *d, const struct pci_addr *vf, bool with_pf, struct err *e)
{
	struct fn_glance g;
	int r = inventory_glance_begin(d->inv, vf, &g);

	if (r == 0) {
		g.with_pf = with_pf;
		state_unlock(d);
		r = inventory_glance(d->inv, &g);
		state_lock(d);
	}
	if (r == 0)
		r = inventory_glance_end(d->inv, &g);
	return r < 0 ? daemon_scan(d, e) : 0;
}

int daemon_scan_vf(struct daemon *d, const struct pci_addr *vf, struct err *e)
{
	return glance(d, vf, false, e);
}

int daemon_scan_vf_pf(struct daemon *d, const struct pci_addr *vf, struct err *e)
{
	return glance(d, vf, true, e);
}

bool daemon_is_ending(struct daemon *d)
{
	bool is_ending;

	state_lock(d);
	is_ending = d->is_ending;
	state_unlock(d);
	return is_ending;
}

void daemon_end(struct daemon *d)
{
	state_lock(d);
	d->is_ending = true;
	pthread_cond_broadcast(&d->changed);
	state_unlock(d);
}
