/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One disk of one VM: a virtio-blk device (virtio 1.2, 5.2) behind vhost-user, its rings and its image. A worker serves all
 * its rings; the thread of all VMMs speaks for it; the control thread makes it, changes it and lets it go.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_DISK_H
#define VIADUCT_PMD_BACKENDS_BLOCK_DISK_H

#include "pmd-backends/block_io.h"
#include "pmd-backends/request.h"

struct block_disk;
struct vhost_thread;

struct block_disk_config {
	const char *name; /* "VM/DISK"; copied, as is the rest */
	const char *socket; /* the VMM listens there */
	const struct pmd_disk_wish *wish;
	struct block_worker *worker; /* outlives the disk, as do `thread` and `launch` */
	struct vhost_thread *thread;
	const struct pmd_launch *launch;
};

struct block_disk_facts {
	const char *state; /* word of PMD_DISK_STATE_WORDS */
	struct block_file file; /* a copy; no size before it is known */
	int pid; /* of the peer; 0: none */
	unsigned int rings; /* that run */
	uint32_t in_flight;
	uint64_t features, kicks;
	struct block_counters counters;
	int last_error;
	bool flush_failed; /* block_io.h */
	char error[256];
};

/* Takes *fd, the image, which a thread of the disk's begins to look at. It serves when block_disk_start() has returned and
 * that thread is content. */
int block_disk_create(const struct block_disk_config *cfg, int *fd, struct block_disk **out,
		      struct err *e);
int block_disk_start(struct block_disk *d, struct err *e);

/* Waits for the image to answer, at most for so long. -EINVAL and so on: it is refused. 0: it is not, or has not answered. */
int block_disk_await(struct block_disk *d, unsigned int timeout_ms, struct err *e);

/* Takes no more requests, for ever, and goes as far as it can without waiting. True: nothing of it is in use any more, and
 * its image is closed. Asked again until then. */
bool block_disk_leave(struct block_disk *d);
bool block_disk_is_leaving(const struct block_disk *d);

/* block_disk_leave() was true. */
void block_disk_destroy(struct block_disk *d);

const char *block_disk_name(const struct block_disk *d);
void block_disk_file(struct block_disk *d, struct block_file *out); /* as of the facts */
void block_disk_facts(struct block_disk *d, struct block_disk_facts *out);

/* Limits from now on: operations and bytes a second, 0: none. */
void block_disk_limit(struct block_disk *d, uint64_t iops, uint64_t bandwidth);

/* The image has another size now, which its guest is told. -EINVAL: smaller than it was. -EBUSY, code "disk-busy": it does
 * not say how large it is within 200 ms. */
int block_disk_resize(struct block_disk *d, uint64_t *size, struct err *e);

#endif
