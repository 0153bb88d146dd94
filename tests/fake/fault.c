// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	_Atomic unsigned int left; /* calls until the one that fails; 0: disarmed */
	_Atomic bool fired;
	_Atomic bool lazy;
	_Atomic int paused;
	_Atomic(const char *) call;
	_Atomic long mapped; /* bytes, of the tree's own mappings */
} fault;

void fault_arm(unsigned int nth)
{
	atomic_store(&fault.fired, false);
	atomic_store(&fault.left, nth);
}

bool fault_disarm(void)
{
	atomic_store(&fault.left, 0);
	return atomic_load(&fault.fired);
}

void fault_lazy_memory(bool lazy)
{
	atomic_store(&fault.lazy, lazy);
}

void fault_pause(void)
{
	atomic_fetch_add(&fault.paused, 1);
}

void fault_resume(void)
{
	atomic_fetch_sub(&fault.paused, 1);
}

const char *fault_call(void)
{
	const char *call = atomic_load(&fault.call);

	return call != NULL ? call : "no call";
}

long fault_mapped(void)
{
	return atomic_load(&fault.mapped);
}

bool fault_hits(const char *call, int errnum)
{
	unsigned int left = atomic_load(&fault.left);

	do {
		if (left == 0 || atomic_load(&fault.paused) != 0)
			return false;
	} while (!atomic_compare_exchange_weak(&fault.left, &left, left - 1));
	if (left != 1)
		return false;
	atomic_store(&fault.call, call);
	atomic_store(&fault.fired, true);
	errno = errnum;
	return true;
}

/* Calls that return -1 and errno. Weak: a fake with more to say about a call wraps it itself. */
#define WRAP(ret, call, errnum, params, ...)                                             \
	ret __real_##call params;                                                        \
	ret __wrap_##call params;                                                        \
	__attribute__((weak)) ret __wrap_##call params                                   \
	{                                                                                \
		return fault_hits(#call, errnum) ? (ret)-1 : __real_##call(__VA_ARGS__); \
	}

WRAP(int, eventfd, EMFILE, (unsigned int count, int flags), count, flags)
WRAP(int, timerfd_create, EMFILE, (int clock, int flags), clock, flags)
WRAP(int, memfd_create, EMFILE, (const char *name, unsigned int flags), name, flags)
WRAP(int, epoll_create1, EMFILE, (int flags), flags)
WRAP(int, epoll_ctl, ENOSPC, (int ep, int op, int fd, struct epoll_event *ev), ep, op, fd, ev)
WRAP(int, ftruncate64, EFBIG, (int fd, off_t len), fd, len)
WRAP(int, accept4, EMFILE, (int fd, struct sockaddr *a, socklen_t *len, int flags), fd, a, len,
     flags)
WRAP(int, getsockopt, ENOPROTOOPT, (int fd, int level, int name, void *v, socklen_t *len), fd,
     level, name, v, len)
WRAP(int, sched_getaffinity, EPERM, (pid_t pid, size_t size, cpu_set_t *set), pid, size, set)
WRAP(int, sigaction, EINVAL, (int sig, const struct sigaction *sa, struct sigaction *old), sig, sa,
     old)
WRAP(int, fdatasync, EIO, (int fd), fd)
WRAP(ssize_t, pread64, EIO, (int fd, void *buf, size_t len, off_t off), fd, buf, len, off)
WRAP(ssize_t, pwrite64, ENOSPC, (int fd, const void *buf, size_t len, off_t off), fd, buf, len, off)

int __real_madvise(void *at, size_t len, int advice);
int __wrap_madvise(void *at, size_t len, int advice);

int __wrap_madvise(void *at, size_t len, int advice)
{
	if (fault_hits("madvise", EINVAL))
		return -1;
	return advice == MADV_POPULATE_WRITE && atomic_load(&fault.lazy)
		       ? 0
		       : __real_madvise(at, len, advice);
}

/* The heap. */
#define WRAP_HEAP(call, params, ...)                                                  \
	void *__real_##call params;                                                   \
	void *__wrap_##call params;                                                   \
	void *__wrap_##call params                                                    \
	{                                                                             \
		return fault_hits(#call, ENOMEM) ? NULL : __real_##call(__VA_ARGS__); \
	}

WRAP_HEAP(malloc, (size_t len), len)
WRAP_HEAP(calloc, (size_t count, size_t len), count, len)
WRAP_HEAP(realloc, (void *p, size_t len), p, len)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

__attribute__((weak)) int __wrap_open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return fault_hits("open", EMFILE) ? -1 : __real_open64(path, flags, mode);
}

int __real_fcntl64(int fd, int op, ...);
int __wrap_fcntl64(int fd, int op, ...);

int __wrap_fcntl64(int fd, int op, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, op);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fault_hits("fcntl", EINVAL) ? -1 : __real_fcntl64(fd, op, arg);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);

/* Returns its error. */
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
	return fault_hits("pthread_create", EAGAIN) ? EAGAIN : __real_pthread_create(t, a, fn, arg);
}

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);

/* A mapping at a fixed place takes over a part of one that was counted. */
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = fault_hits("mmap", ENOMEM) ? MAP_FAILED
					     : __real_mmap64(at, len, prot, flags, fd, off);

	if (p != MAP_FAILED && (flags & MAP_FIXED) == 0)
		atomic_fetch_add(&fault.mapped, (long)((len + 4095) & ~4095UL));
	return p;
}

/* Never fails: nobody could do anything about it. */
int __wrap_munmap(void *at, size_t len)
{
	int r = __real_munmap(at, len);

	if (r == 0)
		atomic_fetch_sub(&fault.mapped, (long)((len + 4095) & ~4095UL));
	return r;
}
