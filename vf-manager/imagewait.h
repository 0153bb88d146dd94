/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a file system may be asked while a lock of the daemon's is held: on a thread of its own, and not waited for longer than
 * storage that works takes. No two at a time for one image, so that storage that hangs costs one thread a disk.
 */
#ifndef VIADUCT_VF_MANAGER_IMAGEWAIT_H
#define VIADUCT_VF_MANAGER_IMAGEWAIT_H

#include "vf-manager/vmimage.h"

#define IMAGE_WAIT_MS 3000

struct image_task {
	int (*run)(void *arg); /* 0, or a negative errno that is not -ETIMEDOUT */
	void (*drop)(void *arg); /* once it has ended after all, by that thread */
	void *arg;
};

/* The result of run(). -ETIMEDOUT: it did not end in time, or one of before has not yet; in the first case `*taken` is true, and
 * arg is drop()'s. */
int image_task_run(const struct image_id *id, const struct image_task *task, bool *taken);

#endif
