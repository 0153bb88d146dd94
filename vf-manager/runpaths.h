/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sockets and files in RUN_DIR that are reached though somebody has removed their names: a handle (O_PATH) is kept on each, from which
 * a process that has them open is met as before. A daemon that is started later has no handle on what is gone.
 */
#ifndef VIADUCT_VF_MANAGER_RUNPATHS_H
#define VIADUCT_VF_MANAGER_RUNPATHS_H

#include "base/err.h"

#include <stdbool.h>

struct run_paths; /* any thread */

int run_paths_create(struct run_paths **out, struct err *e);
void run_paths_destroy(struct run_paths *rp); /* NULL-safe */

/* NULL is no error in all that follow: then names are all there is. */

/* What is at `path` now, in the place of what was kept under that name; nothing there: nothing is changed. */
void run_path_keep(struct run_paths *rp, const char *path);
void run_path_drop(struct run_paths *rp, const char *path);

/* By its name, else by what was kept. open(2) with `flags` and O_CLOEXEC; -ENOENT: neither. */
int run_path_open(struct run_paths *rp, const char *path, int flags, int *fd_out);
/* The same as unix_connect(). */
int run_path_connect(struct run_paths *rp, const char *path, int type, int *fd_out, struct err *e);

/* The name is gone: whoever comes later does not find it. */
bool run_path_is_gone(const char *path);

#endif
