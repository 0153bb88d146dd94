// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/sandbox_table.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/mempolicy.h>
#include <linux/vhost.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define S    SANDBOX_SETUP
#define R    SANDBOX_RUN
#define BOTH (S | R)
#define V    (S | SANDBOX_VSOCK) /* filters add up: what the first forbids no later one allows */

#define ANY		   0, 0, 0
#define ARG_IS(arg, value) arg, UINT32_MAX, value
#define NO_EXEC		   2, PROT_EXEC, 0 /* mmap's and mprotect's prot */

const struct sandbox_call sandbox_calls[] = {
	/* messages, console, log, eventfds, timers */
	{ SYS_read, BOTH, ANY },
	{ SYS_write, BOTH, ANY },
	{ SYS_readv, BOTH, ANY },
	{ SYS_writev, BOTH, ANY },
	{ SYS_preadv2, BOTH, ARG_IS(5, RWF_NOWAIT) }, /* an eventfd that a back end has, too */
	{ SYS_recvmsg, BOTH, ANY },
	{ SYS_sendmsg, BOTH, ANY },
	{ SYS_recvfrom, BOTH, ANY }, /* recv(3) */
	{ SYS_sendto, BOTH, ANY }, /* send(3) */
	{ SYS_accept4, BOTH, ANY },
	{ SYS_socketpair, BOTH,
	  ARG_IS(0, AF_UNIX) }, /* a disk's back end says that its size has changed */
	{ SYS_shutdown, BOTH, ANY },
	{ SYS_getsockopt, BOTH, ANY }, /* SO_PEERCRED, types of sockets */
	{ SYS_poll, BOTH, ANY },
	{ SYS_ppoll, BOTH, ANY },
	{ SYS_epoll_wait, BOTH, ANY },
	{ SYS_epoll_pwait, BOTH, ANY },
	{ SYS_epoll_ctl, BOTH, ANY },
	{ SYS_close, BOTH, ANY },
	{ SYS_eventfd2, BOTH, ANY }, /* a vector that the guest enables later */
	{ SYS_timerfd_settime, BOTH, ANY },
	{ SYS_timerfd_gettime, BOTH, ANY },
	{ SYS_timerfd_create, S, ANY },
	{ SYS_epoll_create1, S, ANY },
	{ SYS_signalfd4, S, ANY },

	/* files that came as fds: kernel, initrd, VFIO regions, exit record */
	{ SYS_pread64, BOTH, ANY },
	{ SYS_pwrite64, BOTH, ANY },
	{ SYS_fstat, BOTH, ANY }, /* fd_stat(); newfstatat would take a path as well */
	{ SYS_ftruncate, BOTH, ANY },
	{ SYS_fdatasync, BOTH, ANY },
	{ SYS_fcntl, BOTH, ARG_IS(1, F_GETFL) },
	{ SYS_fcntl, BOTH, ARG_IS(1, F_SETFL) },
	{ SYS_fcntl, BOTH, ARG_IS(1, F_OFD_GETLK) }, /* whether a dead backend's I/O has ended */
	{ SYS_fcntl, S, ARG_IS(1, F_ADD_SEALS) },
	{ SYS_memfd_create, S, ANY }, /* guest RAM */

	/* memory; nothing becomes executable */
	{ SYS_mmap, BOTH, NO_EXEC },
	{ SYS_mprotect, BOTH, NO_EXEC },
	{ SYS_munmap, BOTH, ANY },
	{ SYS_mremap, BOTH, ANY }, /* realloc */
	{ SYS_madvise, BOTH, ANY },
	{ SYS_brk, BOTH, ANY },
	{ SYS_mbind, S, ARG_IS(2, MPOL_BIND) }, /* guest RAM's NUMA node */
	{ SYS_mbind, S, ARG_IS(2, MPOL_PREFERRED) },
	{ SYS_move_pages, S, 3, UINT64_MAX, 0 }, /* no target: where pages are, moves none */
	{ SYS_prlimit64, S, ARG_IS(1, RLIMIT_FSIZE) }, /* once RAM has its size */
	{ SYS_prlimit64, BOTH, 2, UINT64_MAX, 0 }, /* getrlimit: what a DMA map was refused for */

	/* threads; new ones only while the VM is set up */
	{ SYS_clone, S, 0, CLONE_THREAD, CLONE_THREAD },
	{ SYS_set_robust_list, S, ANY },
	{ SYS_rseq, S, ANY },
	{ SYS_sched_setaffinity, S, ANY },
	{ SYS_sched_getaffinity, BOTH, ANY },
	{ SYS_prctl, S, ARG_IS(0, PR_SET_NAME) },
	{ SYS_futex, BOTH, ANY },
	{ SYS_sched_yield, BOTH, ANY },
	{ SYS_exit, BOTH, ANY },
	{ SYS_exit_group, BOTH, ANY },
	{ SYS_getpid, BOTH, ANY },
	{ SYS_getuid, S, ANY }, /* whose backends may connect */
	{ SYS_gettid, BOTH, ANY },
	{ SYS_tgkill, BOTH, ARG_IS(0, SANDBOX_OWN_PID) }, /* a vCPU's kick; raise() after a crash */
	{ SYS_rt_sigaction, BOTH, ANY },
	{ SYS_rt_sigprocmask, BOTH, ANY },
	{ SYS_rt_sigreturn, BOTH, ANY },
	{ SYS_sigaltstack, BOTH, ANY }, /* crash_stack.c */
	{ SYS_restart_syscall, BOTH, ANY },
	{ SYS_seccomp, S, ANY }, /* the next phase's filter */
	{ SYS_prctl, S, ARG_IS(0, PR_SET_SECCOMP) },

	/* clocks where the vDSO has none, and random numbers of libraries */
	{ SYS_clock_gettime, BOTH, ANY },
	{ SYS_clock_nanosleep, BOTH, ANY },
	{ SYS_gettimeofday, BOTH, ANY },
	{ SYS_time, BOTH, ANY },
	{ SYS_getrandom, BOTH, ANY },
};
const size_t sandbox_call_count = ARRAY_SIZE(sandbox_calls);

const struct sandbox_ioctl sandbox_ioctls[] = {
	{ KVM_RUN, BOTH },
	{ KVM_KVMCLOCK_CTRL, BOTH }, /* pause */
	/* interrupts */
	{ KVM_IRQ_LINE, BOTH },
	{ KVM_IRQFD, BOTH },
	{ KVM_IOEVENTFD, BOTH }, /* a queue that the guest enables, a BAR that moves */
	{ KVM_SIGNAL_MSI, BOTH },
	{ KVM_SET_GSI_ROUTING, BOTH },
	/* BARs that move */
	{ KVM_SET_USER_MEMORY_REGION, BOTH },
	/* guest reset, and registers for the log */
	{ KVM_GET_REGS, BOTH },
	{ KVM_SET_REGS, BOTH },
	{ KVM_GET_SREGS, BOTH },
	{ KVM_SET_SREGS, BOTH },
	{ KVM_TRANSLATE, BOTH }, /* where the instruction is that a vCPU stopped at */
	{ KVM_GET_MSRS, BOTH },
	{ KVM_SET_MSRS, BOTH },
	{ KVM_SET_LAPIC, BOTH },
	{ KVM_SET_MP_STATE, BOTH },
	{ KVM_SET_VCPU_EVENTS, BOTH },
	{ KVM_SET_XSAVE, BOTH },
	{ KVM_SET_XCRS, BOTH },
	{ KVM_SET_DEBUGREGS, BOTH },
	{ KVM_SET_IRQCHIP, BOTH },
	{ KVM_SET_PIT2, BOTH },
	/* a group that joins or leaves the VM */
	{ KVM_SET_DEVICE_ATTR, BOTH },
	/* a vsock whose driver comes and goes */
	{ VHOST_SET_OWNER, V },
	{ VHOST_SET_FEATURES, V },
	{ VHOST_SET_MEM_TABLE, V },
	{ VHOST_SET_VRING_NUM, V },
	{ VHOST_SET_VRING_BASE, V },
	{ VHOST_GET_VRING_BASE, V },
	{ VHOST_SET_VRING_ADDR, V },
	{ VHOST_SET_VRING_KICK, V },
	{ VHOST_SET_VRING_CALL, V },
	{ VHOST_VSOCK_SET_RUNNING, V },
	{ VHOST_GET_FEATURES, S },
	/* making the VM */
	{ KVM_GET_API_VERSION, S },
	{ KVM_CHECK_EXTENSION, S },
	{ KVM_CREATE_VM, S },
	{ KVM_GET_VCPU_MMAP_SIZE, S },
	{ KVM_GET_SUPPORTED_CPUID, S },
	{ KVM_GET_MSR_INDEX_LIST, S },
	{ KVM_SET_TSS_ADDR, S },
	{ KVM_SET_IDENTITY_MAP_ADDR, S },
	{ KVM_CREATE_IRQCHIP, S },
	{ KVM_CREATE_PIT2, S },
	{ KVM_ENABLE_CAP, S },
	{ KVM_GET_IRQCHIP, S },
	{ KVM_GET_PIT2, S },
	{ KVM_CREATE_DEVICE, S },
	{ KVM_CREATE_VCPU, S },
	{ KVM_SET_CPUID2, S },
	{ KVM_GET_TSC_KHZ, S },
	{ KVM_SET_TSC_KHZ, S },
	{ KVM_GET_LAPIC, S },
	{ KVM_GET_VCPU_EVENTS, S },
	{ KVM_GET_MP_STATE, S },
	{ KVM_GET_XSAVE, S },
	{ KVM_GET_XCRS, S },
	{ KVM_GET_DEBUGREGS, S },
	{ KVM_GET_STATS_FD, S }, /* read by pread from then on */
};
const size_t sandbox_ioctl_count = ARRAY_SIZE(sandbox_ioctls);
