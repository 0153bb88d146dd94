/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `viaduct bench` may be told by name, for the tab key; each list ends with NULL. The programs
 * of libexec/viaduct/bench decide what there is: a test holds both together.
 */
#ifndef VIADUCT_CLI_BENCH_H
#define VIADUCT_CLI_BENCH_H

extern const char *const bench_scenarios[];
extern const char *const bench_profiles[];
extern const char *const bench_monitors[];

#endif
