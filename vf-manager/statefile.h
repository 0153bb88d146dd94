/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ledger as one file, for `viaduct state`: with the rights of whoever runs it, beside a daemon that may be
 * running (backup) or must not (restore).
 */
#ifndef VIADUCT_VF_MANAGER_STATEFILE_H
#define VIADUCT_VF_MANAGER_STATEFILE_H

#include "base/err.h"

struct state_file {
	uint64_t bytes;
	int schema;
};

/* A whole copy of dir's ledger as of one moment, on the disk when this returns. -EEXIST: `file` is never
 * overwritten. On failure nothing is left behind. */
int state_backup(const char *dir, const char *file, struct state_file *out, struct err *e);

/* Puts a backup in the place of dir's ledger, which is kept as state.db.before-restore, also if it is damaged. The file
 * is checked first: -EBADMSG code "state-damaged", -EPROTO code "schema-newer". -EADDRINUSE code "state-in-use": a
 * daemon runs. On failure the ledger is as it was. */
int state_restore(const char *dir, const char *file, struct state_file *out, struct err *e);

#endif
