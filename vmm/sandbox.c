// SPDX-License-Identifier: BSD-3-Clause
/*
 * seccomp(2) through libseccomp, landlock(7), capabilities through libcap-ng.
 */
#include "vmm/sandbox.h"

#include "vmm/sandbox_table.h"

#include "iommu/vfio_device.h"

#include <cap-ng.h>
#include <seccomp.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct landlock_ruleset_attr, here so that older kernel headers do: the kernel takes as much of it
 * as its version knows. */
struct landlock_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

#define LANDLOCK_VERSION_FLAG 1U

/* What each landlock version can deny, as bit counts. */
static const struct landlock_row {
	unsigned int fs_bits, net_bits, scope_bits;
	size_t attr_size;
} landlock_rows[] = {
	{ 13, 0, 0, 8 }, /* 1: read, write, execute, make, remove */
	{ 14, 0, 0, 8 }, /* 2: refer */
	{ 15, 0, 0, 8 }, /* 3: truncate */
	{ 15, 2, 0, 16 }, /* 4: TCP bind and connect */
	{ 16, 2, 0, 16 }, /* 5: ioctl of devices opened later */
	{ 16, 2, 2, 24 }, /* 6: abstract Unix sockets, signals to others */
};

static int landlock_enter(struct err *e)
{
	const struct landlock_row *row;
	struct landlock_attr attr;
	int fd, r = 0;
	long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_VERSION_FLAG);

	if (version < 1)
		return 0; /* no landlock: the system call filter lets nothing be opened anyway */
	row = &landlock_rows[u64_min((uint64_t)version, ARRAY_SIZE(landlock_rows)) - 1];
	attr.handled_access_fs = BIT_ULL(row->fs_bits) - 1;
	attr.handled_access_net = BIT_ULL(row->net_bits) - 1;
	attr.scoped = BIT_ULL(row->scope_bits) - 1;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, row->attr_size, 0U);
	if (fd < 0)
		return err_set(e, errno, "landlock rules: %s", strerror(errno));
	if (syscall(SYS_landlock_restrict_self, fd, 0U) < 0)
		r = err_set(e, errno, "landlock: %s", strerror(errno));
	close(fd);
	return r;
}

static int capabilities_drop(struct err *e)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return err_set(e, EPERM, "capabilities cannot be dropped");
	if (capng_get_caps_process() < 0 || capng_have_capabilities(CAPNG_SELECT_CAPS) > CAPNG_NONE)
		return err_set(e, EPERM, "capabilities are still there after they were dropped");
	return 0;
}

static int fds_close(unsigned int keep, struct err *e)
{
	if ((keep > 3 && close_range(3, keep - 1, 0) < 0) || close_range(keep + 1, ~0U, 0) < 0)
		return err_set(e, errno, "close_range: %s", strerror(errno));
	return 0;
}

int sandbox_process(int keep_fd, struct err *e)
{
	const struct rlimit no_core = { 0, 0 };
	int r;

	/* The ninth thread that takes memory would have the C library count the CPUs, in /sys. */
	(void)mallopt(M_ARENA_MAX, 1);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, errno, "no_new_privs: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
		return err_set(e, errno, "core dumps cannot be switched off: %s", strerror(errno));
	r = fds_close((unsigned int)keep_fd, e);
	if (r == 0)
		r = capabilities_drop(e);
	return r < 0 ? r : landlock_enter(e);
}

int sandbox_files(uint64_t max_bytes, struct err *e)
{
	const struct rlimit max = { max_bytes, max_bytes };

	if (setrlimit(RLIMIT_FSIZE, &max) < 0)
		return err_set(e, errno, "limit of file sizes: %s", strerror(errno));
	return 0;
}

static int call_allow(scmp_filter_ctx ctx, const struct sandbox_call *c)
{
	uint64_t value = c->value == SANDBOX_OWN_PID ? (uint64_t)getpid() : c->value;

	if (c->mask == 0)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, c->nr, 0);
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, c->nr, 1,
				SCMP_CMP(c->arg, SCMP_CMP_MASKED_EQ, c->mask, value));
}

static int ioctl_allow(scmp_filter_ctx ctx, uint64_t mask, uint64_t value)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				SCMP_CMP(1, SCMP_CMP_MASKED_EQ, mask, value));
}

/* VFIO's and iommufd's requests are iommu/'s to know. */
static int vfio_allow(scmp_filter_ctx ctx, unsigned int phases)
{
	int r = 0;

	for (size_t i = 0; r == 0 && phases == SANDBOX_SETUP && i < vfio_setup_ioctl_count; i++)
		r = ioctl_allow(ctx, UINT32_MAX, vfio_setup_ioctls[i]);
	for (size_t i = 0; r == 0 && i < vfio_runtime_ioctl_count; i++)
		r = ioctl_allow(ctx, UINT32_MAX, vfio_runtime_ioctls[i]);
	return r;
}

static int rules_add(scmp_filter_ctx ctx, unsigned int phases)
{
	/* Without clone3, whose flags a filter cannot see, glibc takes clone. */
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	for (size_t i = 0; r == 0 && i < sandbox_call_count; i++)
		if ((sandbox_calls[i].phases & phases) != 0)
			r = call_allow(ctx, &sandbox_calls[i]);
	for (size_t i = 0; r == 0 && i < sandbox_ioctl_count; i++)
		if ((sandbox_ioctls[i].phases & phases) != 0)
			r = ioctl_allow(ctx, UINT32_MAX, sandbox_ioctls[i].request);
	return r < 0 ? r : vfio_allow(ctx, phases);
}

int sandbox_filter(unsigned int phases, struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx == NULL ? -ENOMEM : 0;

	/* Threads that exist already get the filter too. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	/* sandbox_process() has set no_new_privs, and the first filter does not let it be set again. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	/* A balanced tree instead of a list of comparisons for every call. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = rules_add(ctx, phases);
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx != NULL)
		seccomp_release(ctx);
	return r < 0 ? err_set(e, r, "system call filter: %s", strerror(-r)) : 0;
}
