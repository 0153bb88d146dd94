/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cloud_init of a VM file: whose files a NoCloud seed is made of, and the seed (image/seed.h), made afresh at each start. It
 * lies in memory that nobody can write to any more, and goes with the VM: what user-data holds is often secret, so it is
 * neither on a disk nor in a log, a reply or the ledger.
 */
#ifndef VIADUCT_VF_MANAGER_CLOUDINIT_H
#define VIADUCT_VF_MANAGER_CLOUDINIT_H

#include "vf-manager/caller.h"
#include "vf-manager/vmfile.h"

#include <jansson.h>

#include <limits.h>

#define CLOUD_DISK     "cidata" /* its name among the VM's disks */
#define CLOUD_PATH     "memfd:cidata" /* in the place of a path */
#define CLOUD_HOSTNAME 254

enum cloud_file { CLOUD_USER_DATA, CLOUD_META_DATA, CLOUD_NETWORK_CONFIG, CLOUD_FILES };

struct cloud_init {
	bool is_set;
	char files[CLOUD_FILES][PATH_MAX]; /* "": none */
	char hostname[CLOUD_HOSTNAME]; /* "": not said */
};

/* in NULL: none. Pure. -EINVAL names the key. */
int cloud_init_parse(const struct vmfile_cloud_init *in, const char *base_dir,
		     struct cloud_init *out, struct err *e);

/* Paths and host name, for `vm check`; NULL: none. */
json_t *cloud_init_json(const struct cloud_init *c);

/* As the caller. Each is a file of SEED_FILE_MAX at most, meta_data a YAML mapping: codes "cloud-init-file", "cloud-init-meta".
 * -1 for those that are not named. */
int cloud_init_open(const struct caller *who, const struct config *config,
		    const struct cloud_init *c, int fds[CLOUD_FILES], struct err *e);

void cloud_init_close(int fds[CLOUD_FILES]);

struct cloud_who {
	const char *name, *uuid; /* of the VM */
};
/* The seed, sealed; the fd is open for reading alone. Errors as of cloud_init_open(): the files may have changed since. */
int cloud_init_seed(const struct cloud_init *c, const int fds[CLOUD_FILES],
		    const struct cloud_who *vm, int *fd_out, struct err *e);

/* A text that is wiped when it is freed. */
struct cloud_text {
	char *data; /* NULL: none */
	size_t len;
};
void cloud_text_free(struct cloud_text *t);

/* meta-data of a file's text (data NULL: no file) with what it lacks: instance-id from the uuid, local-hostname from the VM's
 * name or `hostname`. Kept byte by byte if it lacks nothing. Code "cloud-init-meta": no mapping; both name the host. */
int cloud_meta_make(const struct cloud_text *file, const char *hostname, const struct cloud_who *vm,
		    struct cloud_text *out, struct err *e);

#endif
