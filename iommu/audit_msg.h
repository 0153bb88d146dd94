/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaductd and viaduct-audit say to each other: one JSON object each way, over pipes.
 *
 * viaduct-audit reads the request from its standard input to its end:
 *   {"v":1,"pid":N (the VMM),"ram":[{"gpa":N,"size":N}],
 *    "functions":[{"address":"0000:01:10.0","registers":N (base address of the unit in charge),
 *                   "aliases":BOOL (a bridge above it may put another requester id on what it does)}]}
 * and writes the reply to its standard output:
 *   {"v":1,"ok":true,"verdict":"proven|violated|not-provable","duration_ms":N,"functions":[RESULT]}
 *   {"v":1,"ok":false,"error":{"code","errno","text","hint"}}        nothing could be audited, and why
 * RESULT = {"address","verdict","code"|null,"text"|null,
 *           "iova":"0x..."|null (the first that differs),"entry":N|null (index of the interrupt remapping entry),
 *           "mode":"legacy|scalable","stage":"second|first|pass-through|blocked|nested","levels":N,"domain":N,
 *           "bytes":N,"tables":N,"pages":{"4K":N,"2M":N,"1G":N} (walked),
 *           "interrupts":N (lines at the host),"entries":{"remapped":N,"posted":N,"spare":N (of no line)}}
 */
#ifndef VIADUCT_IOMMU_AUDIT_MSG_H
#define VIADUCT_IOMMU_AUDIT_MSG_H

#include "iommu/audit_host.h"

#include <jansson.h>

#define AUDIT_MSG_VERSION 1
#define AUDIT_MSG_MAX	  (256U << 10)
#define AUDIT_LIMIT_S	  60 /* no audit takes longer: the process ends itself */

/* -EINVAL: not of the form. */
int audit_wish_parse(const json_t *request, struct audit_wish *out, struct err *e);
json_t *audit_wish_build(const struct audit_wish *wish);

json_t *audit_result_build(const struct pci_addr *fn, const struct audit_result *r);
json_t *audit_error_build(const struct err *e);

/* The worse of two. */
enum audit_verdict audit_verdict_worse(enum audit_verdict a, enum audit_verdict b);

#endif
