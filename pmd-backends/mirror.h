/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies of a port's frames in a pcapng file (draft-ietf-opsawg-pcapng), both ways. The lcore copies the start of each
 * frame into a ring in memory and never waits; a thread of its own writes it to the file. What there is no room for in
 * the ring, or no time for (a limit of bytes per second), is counted as lost. At the file's limit the mirror goes quiet.
 */
#ifndef VIADUCT_PMD_BACKENDS_MIRROR_H
#define VIADUCT_PMD_BACKENDS_MIRROR_H

#include "base/err.h"

#include <rte_mbuf.h>

#define MIRROR_MIN_LIMIT 4096 /* bytes of a file */
#define MIRROR_SNAP	 65535 /* bytes of a frame */
#define MIRROR_RATE	 (64U << 20) /* bytes per second that are copied */

enum mirror_way { MIRROR_FROM_GUEST, MIRROR_TO_GUEST };

struct mirror;

struct mirror_facts {
	uint64_t frames; /* in the file, or on the way to it */
	uint64_t bytes; /* of the file */
	uint64_t lost;
	int error; /* of writing the file; 0: none. After one nothing more is written */
};

struct mirror_config {
	const char *name; /* of the port: the interface's name in the file */
	uint64_t limit_bytes;
	uint64_t hz; /* units of `now` per second */
};

/* The file is written from where it stands. fd becomes the mirror's, also on failure. -EINVAL: the limit is too small. */
int mirror_create(int fd, const struct mirror_config *cfg, struct mirror **out, struct err *e);

/* Writes what is still in the ring. The lcore must not know the mirror any more (switch_port_mirror()). NULL: nothing. */
void mirror_destroy(struct mirror *mirror);

/* On the lcore. */
void mirror_frame(struct mirror *mirror, const struct rte_mbuf *m, enum mirror_way way,
		  uint64_t now);

/* Any thread. */
void mirror_facts(const struct mirror *mirror, struct mirror_facts *out);

#endif
