// SPDX-License-Identifier: BSD-3-Clause
/*
 * The child's side of a helper: from a copy of its parent in new namespaces to a program that can do nothing but read
 * one file and write another. namespaces(7), user_namespaces(7), pivot_root(2), landlock(7), seccomp(2).
 */
#include "image/helper.h"

#include "base/fd.h"

#include <seccomp.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BASE	  "/tmp" /* becomes the root; what is there is hidden in our namespace alone */
#define BASE_SIZE "size=256k,nr_inodes=64,mode=755"
#define FDS_FROM  10 /* out of the way of those that the program gets */
#define FILES_MAX 64
#define TASKS_MAX 128 /* threads of that uid in there */

/* A right of landlock's third version, which headers of older kernels do not name. */
#define FS_TRUNCATE	 (1ULL << 14)
#define FS_TRUNCATE_FROM 3

/* All that the program sees of the host, read-only. What a host does not have is left out. */
static const char *const shown[] = { "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null" };

/* What qemu-img and the libraries under it ask for; the rest does not exist for it (ENOSYS), which libc and liburing take
 * for an older kernel. No socket, no process, no namespace, no mount. */
static const int calls[] = {
	SCMP_SYS(access),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(brk),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(execve),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(fallocate),
	SCMP_SYS(fcntl),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fstat),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fsync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(futex),
	SCMP_SYS(getcwd),
	SCMP_SYS(getdents64),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(get_mempolicy),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getrandom),
	SCMP_SYS(getresgid),
	SCMP_SYS(getresuid),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage),
	SCMP_SYS(gettid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getuid),
	SCMP_SYS(lseek),
	SCMP_SYS(lstat),
	SCMP_SYS(madvise),
	SCMP_SYS(membarrier),
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(nanosleep),
	SCMP_SYS(newfstatat),
	SCMP_SYS(pipe2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(prctl),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(prlimit64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pwritev),
	SCMP_SYS(read),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(readv),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_mempolicy),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(signalfd4),
	SCMP_SYS(stat),
	SCMP_SYS(statx),
	SCMP_SYS(sysinfo),
	SCMP_SYS(tgkill),
	SCMP_SYS(uname),
	SCMP_SYS(write),
	SCMP_SYS(writev),
};

/* Flags of clone(2) that make namespaces; threads have none of them. clone3(2), whose flags no filter can read, fork(2) and
 * vfork(2) are not on the list. */
#define NEW_NAMESPACES                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)

static int identity_take(const struct helper_wish *wish)
{
	/* Not allowed where the caller is no root: then the groups are the caller's own. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return -errno;
	/* Capabilities of this namespace stay: its uid 0 is nobody's. */
	if (setresgid(wish->gid, wish->gid, wish->gid) < 0 ||
	    setresuid(wish->uid, wish->uid, wish->uid) < 0)
		return -errno;
	/* Only now: a change of uid takes it away. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

static int read_only(const char *path, uint64_t flags, unsigned int at_flags)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | flags };

	return mount_setattr(AT_FDCWD, path, at_flags, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static int show(const char *path)
{
	char at[PATH_MAX], target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st) < 0)
		return 0;
	snprintf(at, sizeof(at), "%s%s", BASE, path);
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		return symlink(target, at) < 0 ? -errno : 0;
	}
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(at, 0755) < 0)
			return -errno;
	} else {
		auto_fd int fd = open(at, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

		if (fd < 0)
			return -errno;
	}
	if (mount(path, at, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	return read_only(at, S_ISCHR(st.st_mode) ? 0 : MOUNT_ATTR_NODEV, AT_RECURSIVE);
}

static int root_make(void)
{
	int r = 0;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", BASE, "tmpfs", MS_NOSUID | MS_NODEV, BASE_SIZE) < 0 ||
	    mkdir(BASE "/etc", 0755) < 0 || mkdir(BASE "/dev", 0755) < 0 ||
	    mkdir(BASE "/proc", 0755) < 0)
		return -errno;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(shown); i++)
		r = show(shown[i]);
	if (r < 0)
		return r;
	/* Its own processes alone, which is itself; the paths of its files are there. */
	if (mount("proc", BASE "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -errno;
	/* pivot_root(2): the former root lies on top of the new one, and goes. */
	if (chdir(BASE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return read_only("/", MOUNT_ATTR_NODEV, 0);
}

/* Moves what the program gets to where it looks for it; all else is closed. */
static int files_place(const struct helper_wish *wish, const int fds[2])
{
	const int from[] = { open("/dev/null", O_RDONLY | O_CLOEXEC), fds[0], fds[1], wish->in,
			     wish->out };
	int copy[ARRAY_SIZE(from)];

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		copy[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD_CLOEXEC, FDS_FROM);
		if (from[i] >= 0 && copy[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		if (copy[i] < 0)
			close((int)i);
		else if (dup2(copy[i], (int)i) < 0)
			return -errno;
	}
	/* At exec: where it fails, that is still to be told. */
	return close_range(ARRAY_SIZE(from), ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

static int limits_set(const struct helper_wish *wish)
{
	const struct {
		__rlimit_resource_t what;
		rlim_t value;
	} rows[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, FILES_MAX },
		{ RLIMIT_FSIZE, wish->file_bytes },
		{ RLIMIT_CPU, wish->cpu_s },
		{ RLIMIT_AS, wish->memory_bytes },
		{ RLIMIT_NPROC, TASKS_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct rlimit limit = { rows[i].value, rows[i].value };

		if (setrlimit(rows[i].what, &limit) < 0)
			return -errno;
	}
	return 0;
}

static int rule_add(int rules, int fd, uint64_t access)
{
	const struct landlock_path_beneath_attr attr = { .allowed_access = access,
							 .parent_fd = fd };

	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &attr, 0U) < 0
		       ? -errno
		       : 0;
}

#define READ  (LANDLOCK_ACCESS_FS_READ_FILE)
#define WRITE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define LOOK  (READ | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)

static long landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
		       LANDLOCK_CREATE_RULESET_VERSION);
}

/* The input may be the caller's own file: it is opened anew by its path in /proc, and here is why not for writing. What
 * empties it is refused by calls_filter(), too: before its third version landlock knows no such right. */
static int landlock_close(const struct helper_wish *wish)
{
	const uint64_t truncate = landlock_version() >= FS_TRUNCATE_FROM ? FS_TRUNCATE : 0;
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) | truncate
	};
	auto_fd int rules = -1, root = open("/", O_PATH | O_CLOEXEC);
	auto_fd int null = open("/dev/null", O_PATH | O_CLOEXEC);
	int r;

	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs),
			     0U);
	if (rules < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	r = root < 0 ? -errno : rule_add(rules, root, LOOK);
	if (r == 0)
		r = rule_add(rules, HELPER_IN, READ);
	if (r == 0 && null >= 0)
		r = rule_add(rules, null, WRITE);
	if (r == 0 && wish->out >= 0)
		r = rule_add(rules, HELPER_OUT, WRITE | truncate);
	if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0U) < 0)
		r = -errno;
	return r;
}

static int capabilities_drop(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Else exec would give them back to uid 0 of a namespace that has one. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

/* open(2) with O_TRUNC empties a file also where it is to be read alone, and nothing here needs it: the output is empty. Where
 * there is no output, nothing is opened for writing. */
static int opens_allow(scmp_filter_ctx ctx, const struct helper_wish *wish)
{
	const uint64_t refused = O_TRUNC | (wish->out < 0 ? O_ACCMODE : 0);
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
				 SCMP_A1(SCMP_CMP_MASKED_EQ, refused, 0));

	return r < 0 ? r
		     : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
					SCMP_A2(SCMP_CMP_MASKED_EQ, refused, 0));
}

static int calls_filter(const struct helper_wish *wish)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r = ctx == NULL ? -ENOMEM : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0)
		r = opens_allow(ctx, wish);
	/* Threads, no processes: a fork would outlive a limit of time, and each begins a count of its own. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES | CLONE_THREAD,
					     CLONE_THREAD));
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx != NULL)
		seccomp_release(ctx);
	return r;
}

static int step_privileges(const struct helper_wish *wish)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : landlock_close(wish);
}

int helper_jail(const struct helper_wish *wish, const int fds[2], const char **what)
{
	static char *const env[] = { "LC_ALL=C", NULL };
	int r;

	*what = "identity";
	r = identity_take(wish);
	*what = r < 0 ? *what : "root folder";
	r = r < 0 ? r : root_make();
	*what = r < 0 ? *what : "files";
	r = r < 0 ? r : files_place(wish, fds);
	*what = r < 0 ? *what : "landlock";
	r = r < 0 ? r : step_privileges(wish);
	*what = r < 0 ? *what : "capabilities";
	r = r < 0 ? r : capabilities_drop();
	*what = r < 0 ? *what : "system call filter";
	r = r < 0 ? r : calls_filter(wish);
	*what = r < 0 ? *what : "limits";
	r = r < 0 ? r : limits_set(wish);
	if (r < 0)
		return r;
	*what = "exec";
	execve(wish->program, (char *const *)wish->argv, env);
	return -errno;
}
