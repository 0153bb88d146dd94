/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * YAML text to a struct, strictly, by libcyaml: an unknown key, a second document, an alias or deep
 * nesting is an error that names line and key. The text comes from operators and is not trusted.
 */
#ifndef VIADUCT_VF_MANAGER_YAMLLOAD_H
#define VIADUCT_VF_MANAGER_YAMLLOAD_H

#include "base/err.h"

#include <cyaml/cyaml.h>

#define YAML_MAX_BYTES (256U << 10)
#define YAML_MAX_DEPTH 8
#define YAML_MAX_NODES 10000

/* Keys that the documentation promises and this version does not have, or that people look for and no version will. */
struct yaml_later {
	const char *key; /* NULL ends the table */
	const char *what;
	const char *never; /* why not, and not later either; NULL: later */
};

struct yaml_kind {
	const cyaml_schema_value_t *schema; /* a mapping with CYAML_FLAG_POINTER */
	const struct yaml_later *later;
	const char *manual; /* where the keys are listed, for the hint */
};

/* *out goes back with yaml_free(). -EINVAL names line and key; code "yaml", "unknown-key",
 * "not-yet" or "by-design". */
int yaml_load(const struct yaml_kind *kind, const char *text, size_t len, void **out,
	      struct err *e);
void yaml_free(const struct yaml_kind *kind, void *data);

/* "true", "yes", "on" and their opposites; NULL leaves *out alone. -EINVAL names the key. */
int yaml_bool(const char *text, const char *key, bool *out, struct err *e);

#endif
