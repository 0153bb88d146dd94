/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KEY=VALUE of `vf set` as a member of the API's request. The words are those of a port in a VM
 * file; the API's own names are understood too.
 */
#ifndef VIADUCT_CLI_VF_ATTRIBUTE_H
#define VIADUCT_CLI_VF_ATTRIBUTE_H

#include "base/err.h"

#include <jansson.h>

/* Adds it to body. -EINVAL, code "usage". */
int vf_attribute_add(json_t *body, const char *text, struct err *e);

/* The n-th KEY, in the words of a VM file, and the form of its value; NULL after the last. */
const char *vf_attribute_key(size_t n, const char **form);

/* Mb/s from "500", "500M" or "5G" (powers of 1000, as for links). 0, -EINVAL, -ERANGE. */
int vf_rate_parse(const char *text, uint64_t *mbps);

#endif
