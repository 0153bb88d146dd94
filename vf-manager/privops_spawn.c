// SPDX-License-Identifier: BSD-3-Clause
/*
 * A VMM process: its own uid, session, cgroup and namespaces, its limits, three fds, and then exec.
 * The daemon has threads, so between fork and exec there are system calls only.
 */
#include "vf-manager/backend.h"
#include "vf-manager/coresched.h"
#include "vf-manager/disks.h"
#include "vf-manager/privops.h"

#include "base/fd.h"
#include "pmd-backends/pmd_msg.h"
#include "vmm/vmm_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_END_NS 2000000000ULL
#define VMM_NOFILE   4096 /* a guest can make the VMM hold one for each of 1000 interrupt vectors */
/* A port's socket, in-flight region, memory and log, and two for each of its rings; the same again holds any disks. */
#define PMD_NOFILE   (PMD_MAX_PORTS * (4 * PMD_MAX_PAIRS + 5) + 1024)
#define LISTEN_QUEUE 16
#define REPORT_FD    (VMM_LAUNCH_FD + 1)
#define EXE_FD	     (VMM_LAUNCH_FD + 2)

enum spawn_step {
	STEP_SESSION,
	STEP_LIMITS,
	STEP_NAMESPACES,
	STEP_UID,
	STEP_CAPS,
	STEP_FDS,
	STEP_EXEC
};

static const char *const step_names[] = {
	[STEP_SESSION] = "new session",	      [STEP_LIMITS] = "resource limits (RLIMIT_MEMLOCK)",
	[STEP_NAMESPACES] = "new namespaces", [STEP_UID] = "change of uid",
	[STEP_CAPS] = "capabilities",	      [STEP_FDS] = "file descriptors",
	[STEP_EXEC] = "run the program",
};

struct child_plan {
	const char *path, *name; /* name: argv[0] */
	bool is_root, keeps_network, has_cookie;
	uint64_t caps; /* that stay */
	uid_t uid;
	gid_t group; /* 0: none but the uid's */
	int sock, log, listener, null, exe, cgroup; /* listener, cgroup -1: none */
	struct rlimit files, memlock;
	pid_t parent; /* that it shall not outlive; 0: it may */
};

static int child_limits(const struct child_plan *p)
{
	const struct rlimit no_core = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_NOFILE, &p->files) < 0)
		return -1;
	return p->memlock.rlim_cur != 0 ? setrlimit(RLIMIT_MEMLOCK, &p->memlock) : 0;
}

/* What no exec shall give back; while it still has CAP_SETPCAP. */
static int child_bounds(const struct child_plan *p)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if ((p->caps >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EINVAL)
			return -1;
	return prctl(PR_SET_KEEPCAPS, 1);
}

/* Ambient: they stay over the exec of an ordinary program by an ordinary user. */
static int child_caps(const struct child_plan *p)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (unsigned int i = 0; i < 2; i++) {
		const uint32_t bits = (uint32_t)(p->caps >> (32 * i));

		data[i] = (struct __user_cap_data_struct){ bits, bits, bits };
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return -1;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if ((p->caps >> cap & 1) != 0 &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -1;
	return 0;
}

static int child_uid(const struct child_plan *p)
{
	/* By the bare system calls: libc's wrappers would look for the parent's threads. */
	if (syscall(SYS_setgroups, (size_t)(p->group != 0), &p->group) < 0 ||
	    syscall(SYS_setresgid, p->uid, p->uid, p->uid) < 0 ||
	    syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0)
		return -1;
	return 0;
}

static int child_fds(const struct child_plan *p, int report)
{
	/* 3 is the launch socket; 4, the report, and 5, the program, close by exec. The present
	 * numbers are all above 9. */
	if (dup2(p->null, 0) < 0 || dup2(p->log, 1) < 0 || dup2(p->log, 2) < 0 ||
	    dup2(p->sock, VMM_LAUNCH_FD) < 0 || dup3(report, REPORT_FD, O_CLOEXEC) < 0 ||
	    dup3(p->exe, EXE_FD, O_CLOEXEC) < 0)
		return -1;
	return (int)syscall(SYS_close_range, EXE_FD + 1, ~0U, 0);
}

static enum spawn_step child_steps(const struct child_plan *p, int report)
{
	static char *const env[] = { NULL };
	char *const argv[] = { (char *)p->name, "--fd", "3", NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	umask(077);
	if (setsid() < 0 || chdir("/") < 0)
		return STEP_SESSION;
	if (p->cgroup >= 0 && write(p->cgroup, "0", 1) < 0) {
		/* Not worth a start: the VM then shares the daemon's cgroup. */
	}
	if (p->has_cookie && core_cookie_make() < 0) {
		/* What came of it is read back by whoever asked. */
	}
	if (child_limits(p) < 0)
		return STEP_LIMITS;
	if (p->is_root &&
	    unshare((p->keeps_network ? 0 : CLONE_NEWNET) | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return STEP_NAMESPACES;
	if (p->is_root && p->caps != 0 && child_bounds(p) < 0)
		return STEP_CAPS;
	if (p->is_root && child_uid(p) < 0)
		return STEP_UID;
	if (p->is_root && p->caps != 0 && child_caps(p) < 0)
		return STEP_CAPS;
	/* Behind the change of uid, which would undo it; who is gone already is not waited for. */
	if (p->parent != 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != p->parent))
		return STEP_SESSION;
	/* The credentials that a peer of this socket sees are those of the last listen(). */
	if ((p->listener >= 0 && listen(p->listener, LISTEN_QUEUE) < 0) || child_fds(p, report) < 0)
		return STEP_FDS;
	execve(p->path, argv, env);
	/* A folder on the path may be closed to the VM's uid (a build tree below /root). */
	if (errno == EACCES)
		syscall(SYS_execveat, EXE_FD, "", argv, env, AT_EMPTY_PATH);
	return STEP_EXEC;
}

struct child_report {
	enum spawn_step step;
	int errnum;
};

static void child_run(const struct child_plan *p, int report)
{
	struct child_report said = { .step = child_steps(p, report) };
	int fd;

	said.errnum = errno;
	fd = said.step == STEP_EXEC ? REPORT_FD : report;
	if (write(fd, &said, sizeof(said)) < 0)
		_exit(126);
	_exit(127);
}

/* Nothing comes if exec worked: then the pipe is closed by it. */
static int report_read(int fd, const char *path, struct err *e)
{
	struct child_report said;
	ssize_t n;

	do {
		n = read(fd, &said, sizeof(said));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n != sizeof(said) || (size_t)said.step >= ARRAY_SIZE(step_names))
		return err_set(e, EIO, "start %s: the new process died at once", path);
	return err_set(e, said.errnum, "start %s: %s: %s", path, step_names[said.step],
		       strerror(said.errnum));
}

static int plan_check(const struct daemon *d, const struct spawn_wish *wish, struct err *e)
{
	if (wish->name != NULL &&
	    (wish->is_pmd ? backend_name_parse(wish->name) : parse_name(wish->name)) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", wish->name);
	if (wish->is_pmd)
		return wish->uid == backend_uid(&d->config) ||
				       (wish->uid != 0 && (wish->uid == disks_uid(&d->config) ||
							   wish->uid == wish->kept_uid)) ||
				       !d->is_root
			       ? 0
			       : err_set(e, EPERM, "uid %u is not viaduct-pmd's", wish->uid);
	if (d->is_root && (wish->uid < d->config.uid_first ||
			   wish->uid - d->config.uid_first >= d->config.uid_count))
		return err_set(e, EPERM, "uid %u is not in the range of the VMs", wish->uid);
	return 0;
}

/* Not above what the daemon itself may have: it need not have the right to go there. */
static struct rlimit files_bound(bool is_pmd)
{
	const rlim_t wanted = is_pmd ? PMD_NOFILE : VMM_NOFILE;
	struct rlimit own = { wanted, wanted };

	getrlimit(RLIMIT_NOFILE, &own);
	return own.rlim_max < wanted ? (struct rlimit){ own.rlim_max, own.rlim_max }
				     : (struct rlimit){ wanted, wanted };
}

/* Above the numbers that child_fds() gives out. */
static int fd_move_up(int fd, int *out)
{
	*out = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	return *out < 0 ? -errno : 0;
}

static int fork_child(const struct child_plan *plan, pid_t *pid_out, int *pidfd_out, struct err *e)
{
	auto_fd int in = -1, out = -1, high = -1;
	int pipe_fds[2], status, r;
	long pidfd;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe: %s", strerror(errno));
	in = pipe_fds[0];
	out = pipe_fds[1];
	r = fd_move_up(out, &high);
	if (r < 0)
		return err_set(e, r, "file descriptors: %s", strerror(-r));
	pid = fork();
	if (pid < 0)
		return err_set(e, errno, "fork: %s", strerror(errno));
	if (pid == 0)
		child_run(plan, high);
	fd_close(&out);
	fd_close(&high);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	r = pidfd < 0 ? err_set(e, errno, "pidfd_open: %s", strerror(errno))
		      : report_read(in, plan->path, e);
	if (r < 0) {
		if (pidfd >= 0)
			close((int)pidfd);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return r;
	}
	*pid_out = pid;
	*pidfd_out = (int)pidfd;
	return 0;
}

static void *reap(void *arg)
{
	while (waitpid((pid_t)(intptr_t)arg, NULL, 0) < 0 && errno == EINTR)
		;
	return NULL;
}

int priv_child_end(pid_t pid, const char *what)
{
	const struct timespec moment = { .tv_nsec = 2000000 };
	uint64_t deadline = now_ns() + CHILD_END_NS;
	pthread_t thread;
	int status = 0;
	pid_t r;

	while ((r = waitpid(pid, &status, WNOHANG)) == 0 && now_ns() < deadline)
		nanosleep(&moment, NULL);
	if (r != 0)
		return r == pid ? status : 0;
	kill(pid, SIGKILL);
	log_warn("%s (process %d) does not end; it is not waited for", what, (int)pid);
	if (pthread_create(&thread, NULL, reap, (void *)(intptr_t)pid) == 0)
		pthread_detach(thread);
	return 0;
}

int priv_vm_spawn(struct daemon *d, const struct spawn_wish *wish, pid_t *pid_out, int *pidfd_out,
		  struct err *e)
{
	auto_fd int sock = -1, log = -1, listener = -1, null = -1, exe = -1, cgroup = -1;
	const char *path = wish->is_pmd ? d->opt->pmd_path : d->opt->vmm_path;
	auto_fd int program = open(path, O_PATH | O_CLOEXEC);
	struct child_plan plan = { .path = path,
				   .name = wish->is_pmd ? "viaduct-pmd" : "viaduct-vmm",
				   .is_root = d->is_root,
				   .keeps_network = wish->caps != 0,
				   .has_cookie = wish->has_cookie,
				   .caps = wish->caps };
	auto_fd int dev_null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int r = plan_check(d, wish, e);

	if (r < 0)
		return r;
	if (dev_null < 0)
		return err_set(e, errno, "open /dev/null: %s", strerror(errno));
	if (program < 0)
		return err_set(e, errno, "open %s: %s", path, strerror(errno));
	r = fd_move_up(wish->sock, &sock);
	if (r == 0)
		r = fd_move_up(wish->log, &log);
	if (r == 0 && wish->listener >= 0)
		r = fd_move_up(wish->listener, &listener);
	if (r == 0)
		r = fd_move_up(dev_null, &null);
	if (r == 0)
		r = fd_move_up(program, &exe);
	if (r < 0)
		return err_set(e, r, "file descriptors: %s", strerror(-r));
	cgroup = wish->name != NULL ? priv_cgroup_open(d, wish) : -1;
	plan.uid = wish->uid;
	plan.group = wish->group;
	plan.sock = sock;
	plan.log = log;
	plan.listener = listener;
	plan.null = null;
	plan.exe = exe;
	plan.cgroup = cgroup;
	plan.files = files_bound(wish->is_pmd);
	plan.parent = wish->ends_with_thread ? getpid() : 0;
	if (d->is_root)
		plan.memlock = (struct rlimit){ wish->memlock_bytes, wish->memlock_bytes };
	r = fork_child(&plan, pid_out, pidfd_out, e);
	if (r < 0 && wish->name != NULL && wish->is_pmd)
		priv_backend_cgroup_remove(d, wish->name);
	else if (r < 0 && wish->name != NULL)
		priv_vm_cgroup_remove(d, wish->name);
	return r;
}
