// SPDX-License-Identifier: BSD-3-Clause
/*
 * A process that serves disks opens nothing once it runs: images, sockets and memory come as fds. So all is denied but what
 * is listed here, and no file can be named.
 */
#include "pmd-backends/sandbox.h"

#include <cap-ng.h>
#include <seccomp.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int allowed_calls[] = {
	/* requests, messages of VMMs, sockets that they listen at */
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(accept4),
	SCMP_SYS(shutdown),
	SCMP_SYS(connect),
	SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(preadv2), /* an eventfd of a VMM's, without waiting */
	SCMP_SYS(write),
	SCMP_SYS(writev), /* the log */
	SCMP_SYS(close),
	SCMP_SYS(readlink), /* is it an eventfd? */
	SCMP_SYS(getuid),
	/* images */
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(pwritev2), /* of files in memory */
	SCMP_SYS(pread64), /* what O_DIRECT takes */
	SCMP_SYS(fallocate), /* whether it can discard */
	SCMP_SYS(fstat),
	SCMP_SYS(
		newfstatat), /* fstat() of newer C libraries: without a name (landlock sees to it) */
	SCMP_SYS(fstatfs),
	SCMP_SYS(lseek),
	/* memory of guests and our own */
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(sysinfo), /* qsort() of much: what buffer this host can spare */
	SCMP_SYS(memfd_create), /* an in-flight region */
	SCMP_SYS(ftruncate),
	/* threads (the last of which may still be starting), time, signals */
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(timerfd_settime), /* disks that leave */
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getrandom),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* Calls that are allowed where an argument is this one, in its lower half. */
struct allowed_argument {
	int call;
	unsigned int index;
	uint32_t value;
};

static const struct allowed_argument allowed_arguments[] = {
	/* a block device that is an image */
	{ SCMP_SYS(ioctl), 1, (uint32_t)BLKGETSIZE64 },
	{ SCMP_SYS(ioctl), 1, (uint32_t)BLKSSZGET },
	{ SCMP_SYS(ioctl), 1, SIOCOUTQ }, /* has a VMM read its answers? */
	/* None that says who gets a signal: processes of other VMs' disks have the same uid. */
	{ SCMP_SYS(fcntl), 1, F_GETFL },
	{ SCMP_SYS(fcntl), 1, F_SETFL },
	{ SCMP_SYS(fcntl), 1, F_OFD_SETLK },
	{ SCMP_SYS(fcntl), 1, F_ADD_SEALS },
	{ SCMP_SYS(fcntl), 1, F_GET_SEALS },
	{ SCMP_SYS(socket), 0, AF_UNIX }, /* to VMMs, and to nothing else: no network */
	{ SCMP_SYS(prctl), 0, PR_SET_NAME }, /* names of threads */
};

static int argument_allow(scmp_filter_ctx ctx, const struct allowed_argument *a)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, a->call, 1,
				SCMP_CMP(a->index, SCMP_CMP_MASKED_EQ, UINT32_MAX, a->value));
}

static int nothing_named(struct err *e)
{
	/* What version 1 can deny, which all kernels with landlock know. */
	struct landlock_ruleset_attr attr = { .handled_access_fs =
						      (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs),
				 0U),
	    r = 0;

	if (rules < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP
			       ? 0
			       : err_set(e, errno, "landlock: %s", strerror(errno));
	if (syscall(SYS_landlock_restrict_self, rules, 0U) < 0)
		r = err_set(e, errno, "landlock: %s", strerror(errno));
	close(rules);
	return r;
}

int sandbox_block_enter(struct err *e)
{
	/* A second arena of malloc's would begin with a look into /sys. */
	(void)mallopt(M_ARENA_MAX, 1);
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return err_set(e, EPERM, "capabilities cannot be dropped");
	return nothing_named(e);
}

/* A thread of this process (that of an image), no process. clone3()'s flags cannot be seen: the C library does without it. */
static int threads_allow(scmp_filter_ctx ctx)
{
	const uint64_t is = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
	const uint64_t not = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
			     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_PTRACE;
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				 SCMP_A0(SCMP_CMP_MASKED_EQ, is | not, is));

	return r < 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

int sandbox_block_filter(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx == NULL ? -ENOMEM : 0;

	/* The workers, which run already, get it too. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	/* A balanced tree instead of a list of comparisons for every call. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_arguments); i++)
		r = argument_allow(ctx, &allowed_arguments[i]);
	if (r == 0) /* signals to its own threads */
		r = argument_allow(ctx, &(struct allowed_argument){ SCMP_SYS(tgkill), 0,
								    (uint32_t)getpid() });
	if (r == 0)
		r = threads_allow(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx != NULL)
		seccomp_release(ctx);
	return r < 0 ? err_set(e, r, "system call filter: %s", strerror(-r)) : 0;
}
