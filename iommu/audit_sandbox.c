// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit_sandbox.h"

#include "iommu/audit_msg.h"

#include <cap-ng.h>
#include <seccomp.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* For a process that is not root's this is as good as it gets: it has none of them. */
static int capabilities_keep(bool is_last, struct err *e)
{
	static const unsigned int needed[] = { CAP_SYS_RAWIO, CAP_SYS_ADMIN, CAP_SYS_PTRACE };

	if (capng_get_caps_process() < 0)
		return err_set(e, EPERM, "capabilities cannot be read");
	for (unsigned int cap = 0; cap <= (unsigned int)CAP_LAST_CAP; cap++) {
		bool is_kept = false;

		for (size_t i = 0; !is_last && i < ARRAY_SIZE(needed); i++)
			is_kept |= cap == needed[i];
		if (!is_kept)
			capng_update(CAPNG_DROP,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, cap);
	}
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return err_set(e, EPERM, "capabilities cannot be dropped");
	return 0;
}

int audit_sandbox_begin(struct err *e)
{
	const struct rlimit no_core = { 0, 0 }, cpu = { AUDIT_LIMIT_S, AUDIT_LIMIT_S };

	alarm(AUDIT_LIMIT_S);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_CPU, &cpu) < 0)
		return err_set(e, errno, "limits: %s", strerror(errno));
	return capabilities_keep(false, e);
}

int audit_sandbox_close(struct err *e)
{
	static const int calls[] = {
		SCMP_SYS(read),		 SCMP_SYS(pread64),
		SCMP_SYS(write),	 SCMP_SYS(close),
		SCMP_SYS(munmap),	 SCMP_SYS(mremap),
		SCMP_SYS(madvise),	 SCMP_SYS(brk),
		SCMP_SYS(futex),	 SCMP_SYS(exit),
		SCMP_SYS(clock_gettime), SCMP_SYS(exit_group),
		SCMP_SYS(getrandom),	 SCMP_SYS(restart_syscall),
	};
	scmp_filter_ctx ctx;
	int r = capabilities_keep(true, e);

	if (r < 0)
		return r;
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	r = ctx == NULL ? -ENOMEM : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_CMP(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx != NULL)
		seccomp_release(ctx);
	return r < 0 ? err_set(e, r, "system call filter: %s", strerror(-r)) : 0;
}
