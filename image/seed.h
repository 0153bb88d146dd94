/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A seed of cloud-init's NoCloud: a file system of label "cidata" with the files that a guest looks for at its first
 * start (cloud-init's documentation, "NoCloud", "Source 2: drive with labeled filesystem"). Their content is the guest's
 * own affair, is never looked at here, and may be secret.
 */
#ifndef VIADUCT_IMAGE_SEED_H
#define VIADUCT_IMAGE_SEED_H

#include "base/err.h"

#define SEED_LABEL    "cidata"
#define SEED_FILE_MAX (1U << 20) /* bytes of each file */

struct seed_text {
	const char *data; /* NULL: none */
	size_t len;
};

struct seed {
	struct seed_text user_data; /* none: an empty configuration, without which there is no seed */
	struct seed_text meta_data; /* not none */
	struct seed_text network_config;
};

/* Into an empty file. -EFBIG. */
int seed_write(int fd, const struct seed *seed, struct err *e);

#endif
