// SPDX-License-Identifier: BSD-3-Clause
/*
 * seccomp(2) through libseccomp, landlock(7), capabilities through libcap-ng.
 */
#include "pmd-backends/sandbox.h"

#include "pmd-backends/pmd_msg.h"

#include <cap-ng.h>
#include <seccomp.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What DPDK's driver of a kind asks the kernel for. */
static const struct cap_row {
	enum pmd_uplink_kind kind;
	unsigned int cap;
} cap_rows[] = {
	{ PMD_UPLINK_AF_XDP, CAP_NET_ADMIN }, /* the program on the device */
	{ PMD_UPLINK_AF_XDP, CAP_NET_RAW },	 { PMD_UPLINK_AF_XDP, CAP_BPF },
	{ PMD_UPLINK_AF_XDP, CAP_IPC_LOCK },	 { PMD_UPLINK_AF_PACKET, CAP_NET_RAW },
	{ PMD_UPLINK_AF_PACKET, CAP_NET_ADMIN }, /* promiscuous mode */
	{ PMD_UPLINK_TAP, CAP_NET_ADMIN }, /* the device itself, its MTU */
};

#define READ_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define CHANGE	  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* All that may ever be opened. Paths that a host does not have are left out. */
static const struct file_row {
	const char *path;
	uint64_t access;
} file_rows[] = {
	{ "/lib/firmware", READ_FILE }, /* of NICs whose drivers load it */
	{ "/usr/lib/bpf", READ_FILE }, /* libxdp's programs */
	{ "/usr/lib/x86_64-linux-gnu/bpf", READ_FILE }, /* Debian's place for them */
	{ "/usr/share/zoneinfo", READ_FILE },
	{ "/etc/localtime", LANDLOCK_ACCESS_FS_READ_FILE },
	{ "/sys", READ_FILE }, /* devices, NUMA nodes, hugepages */
	{ "/sys/bus/pci/devices", CHANGE | LANDLOCK_ACCESS_FS_READ_DIR },
	{ "/proc", READ_FILE },
	{ "/proc/self/task", CHANGE | LANDLOCK_ACCESS_FS_READ_DIR }, /* names of threads */
	{ "/dev/vfio", CHANGE | LANDLOCK_ACCESS_FS_READ_DIR },
	{ "/dev/net/tun", CHANGE },
	{ "/dev/hugepages", CHANGE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				    LANDLOCK_ACCESS_FS_REMOVE_FILE },
	{ "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE },
	{ "/dev/null", CHANGE },
};

/* Never needed, whatever DPDK does: other programs, other processes, the kernel's own state. */
static const int denied_calls[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(fanotify_init),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setregid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
	SCMP_SYS(chown),
	SCMP_SYS(fchown),
	SCMP_SYS(lchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(syslog),
	SCMP_SYS(vhangup),
	SCMP_SYS(personality),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(symlink),
	SCMP_SYS(symlinkat),
};

/* Tried by drivers of DPDK's that run without. */
static const int refused_calls[] = { SCMP_SYS(iopl), SCMP_SYS(ioperm) };

int sandbox_process(int keep_fd, struct err *e)
{
	const struct rlimit no_core = { 0, 0 };
	unsigned int keep = (unsigned int)keep_fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, errno, "no_new_privs: %s", strerror(errno));
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return err_set(e, errno, "core dumps cannot be switched off: %s", strerror(errno));
	if ((keep > 3 && close_range(3, keep - 1, 0) < 0) || close_range(keep + 1, ~0U, 0) < 0)
		return err_set(e, errno, "close_range: %s", strerror(errno));
	return 0;
}

static int file_allow(int rules, const struct file_row *row, struct err *e)
{
	struct landlock_path_beneath_attr attr = { .allowed_access = row->access };
	int r = 0;

	attr.parent_fd = open(row->path, O_PATH | O_CLOEXEC);
	if (attr.parent_fd < 0)
		return 0;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &attr, 0U) < 0)
		r = err_set(e, errno, "landlock: %s: %s", row->path, strerror(errno));
	close(attr.parent_fd);
	return r;
}

static int landlock_enter(struct err *e)
{
	/* What version 1 can deny, which all kernels with landlock know. */
	struct landlock_ruleset_attr attr = { .handled_access_fs =
						      (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	int rules, r = 0;

	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs),
			     0U);
	if (rules < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP
			       ? 0
			       : err_set(e, errno, "landlock: %s", strerror(errno));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(file_rows); i++)
		r = file_allow(rules, &file_rows[i], e);
	if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0U) < 0)
		r = err_set(e, errno, "landlock: %s", strerror(errno));
	close(rules);
	return r;
}

static int capabilities_drop(uint32_t uplink_kinds, struct err *e)
{
	bool had[CAP_LAST_CAP + 1] = { false };

	for (size_t i = 0; i < ARRAY_SIZE(cap_rows); i++)
		had[cap_rows[i].cap] = capng_have_capability(CAPNG_PERMITTED, cap_rows[i].cap) != 0;
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(cap_rows); i++)
		if ((uplink_kinds & BIT(cap_rows[i].kind)) != 0 && had[cap_rows[i].cap])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, cap_rows[i].cap);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return err_set(e, EPERM, "capabilities cannot be dropped");
	return 0;
}

static int calls_deny(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx == NULL ? -ENOMEM : 0;

	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(denied_calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, denied_calls[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused_calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0);
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx != NULL)
		seccomp_release(ctx);
	return r < 0 ? err_set(e, r, "system call filter: %s", strerror(-r)) : 0;
}

int sandbox_enter(uint32_t uplink_kinds, struct err *e)
{
	int r = capabilities_drop(uplink_kinds, e);

	if (r == 0)
		r = landlock_enter(e);
	return r < 0 ? r : calls_deny(e);
}

int sandbox_hide(struct err *e)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, errno, "dumpable: %s", strerror(errno));
	return 0;
}
