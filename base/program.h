/* SPDX-License-Identifier: BSD-3-Clause */
/* The other programs of this installation or build tree, found from where the running one lies. */
#ifndef VIADUCT_BASE_PROGRAM_H
#define VIADUCT_BASE_PROGRAM_H

#include <limits.h>

/* The running program's path; returns the length of its folder with the slash, or -errno. */
int program_self(char out[PATH_MAX]);

/* The first of `places` (up to NULL) that can be executed; each is absolute, or from the running program's folder. -ENOENT:
 * none; *out is then unchanged. */
int program_find(const char *const *places, char out[PATH_MAX]);

#endif
