/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of the operator (VM files, the daemon's configuration), read with the caller's rights and sent to
 * the daemon as text.
 */
#ifndef VIADUCT_CLI_YAML_FILE_H
#define VIADUCT_CLI_YAML_FILE_H

#include "base/err.h"

/* The whole file as a NUL-terminated text, the caller's to free; "-" is standard input. Mistakes have code
 * "usage": no such file, too long, empty, not text. */
int yaml_file_read(const char *path, char **out, struct err *e);

/* "PATH: why" with code "usage"; returns -cause. */
int yaml_file_error(struct err *e, const char *path, int cause);

#endif
