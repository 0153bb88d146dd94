/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every prerequisite of the host, each with what was found and what to do about it. Only reads.
 */
#ifndef VIADUCT_VF_MANAGER_HOSTCHECK_H
#define VIADUCT_VF_MANAGER_HOSTCHECK_H

#include "vf-manager/daemon.h"

#include "iommu/host.h"

#include <jansson.h>

enum check_status { CHECK_PASS, CHECK_WARN, CHECK_FAIL };

struct check_result {
	enum check_status status;
	char detail[256];
	char remedy[384]; /* "" with CHECK_PASS */
};

struct posture_host;

struct check_input {
	struct daemon *d; /* inventory scanned, state locked */
	struct iommu_host iommu;
	bool has_iommu; /* iommu could be read */
	bool kvm_is_usable, kvm_is_known;
	char kvm_detail[256];
	const struct posture_host *posture; /* NULL: no memory */
};

struct check_row {
	const char *id, *title;
	void (*run)(const struct check_input *in, struct check_result *out);
};

/* Of the polled engine (hostbackend.c). */
void check_backend_program(const struct check_input *in, struct check_result *out);
void check_backend_cores(const struct check_input *in, struct check_result *out);
void check_backend_memory(const struct check_input *in, struct check_result *out);

extern const struct check_row host_checks[];
extern const size_t host_check_count;

/* The reply of GET /v1/host/check; a new reference. */
json_t *host_check(struct daemon *d);

/* What stands for "/" in the tree that the daemon looks at: the caller's, or -1 for the real one. */
int host_root_open(const struct daemon *d);

/* The host's remapping facts, from the tree that the daemon looks at. */
int host_iommu_read(const struct daemon *d, struct iommu_host *out, struct err *e);

/* Asks `viaduct-vmm --check-kvm`, which makes a VM with a vCPU. False: it could not be asked. */
bool host_kvm_check(const struct daemon *d, bool *is_usable, char detail[256]);

/* The whole host's hugepages of one size, in pages. */
struct host_hugepages {
	uint64_t unreserved; /* free, and promised to nobody */
	uint64_t surplus; /* beyond the pool, taken from ordinary memory */
	uint64_t overcommit; /* as many of those there may be */
};

/* -ENOENT: the kernel has none of this size. */
int host_hugepages_read(const struct daemon *d, uint64_t page_bytes, struct host_hugepages *out);

#endif
