/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File descriptors and memory with an owner. A local that owns something is declared auto_fd or
 * auto_free and starts at -1 or NULL; ownership moves with fd_take() or ptr_take().
 */
#ifndef VIADUCT_BASE_FD_H
#define VIADUCT_BASE_FD_H

#include "base/err.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Closes *fd if it is >= 0 and sets it to -1; errno is kept. */
void fd_close(int *fd);

/* Returns *fd and sets it to -1: the caller of fd_take owns it now. */
static inline int fd_take(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

static inline void ptr_free(void *p)
{
	free(*(void **)p);
}

static inline void *ptr_take(void *p)
{
	void *v = *(void **)p;

	*(void **)p = NULL;
	return v;
}

#define auto_fd	  __attribute__((cleanup(fd_close)))
#define auto_free __attribute__((cleanup(ptr_free)))

/* Reads up to cap-1 bytes of a small file (sysfs, proc), adds a NUL, trims trailing white space.
 * Relative paths are below dirfd. Returns the length or -errno; -EFBIG if it does not fit. */
ssize_t file_read_at(int dirfd, const char *path, char *buf, size_t cap);

/* Writes the whole text in one write(2), as sysfs attributes demand. 0 or -errno. */
int file_write_at(int dirfd, const char *path, const char *text);

/* Last component of the link's target into buf; -EINVAL if it is no link, -ENAMETOOLONG. */
int link_base_at(int dirfd, const char *path, char *buf, size_t cap);

/* Writes all of buf, restarting on EINTR. 0 or -errno. */
int fd_write_all(int fd, const void *buf, size_t len);

/* All of buf from or to this place of a file, restarting on EINTR. 0 or -errno; -ENODATA: the file ends before. */
int fd_pread_all(int fd, void *buf, size_t len, uint64_t off);
int fd_pwrite_all(int fd, const void *buf, size_t len, uint64_t off);

/* Empties an eventfd and never waits, though another process that has it, too, may have made it a blocking one. */
void fd_event_drain(int fd);

/* fstat(2) by the system call of that name, where libc's own may be newfstatat with an empty path: a
 * filter of system calls cannot tell that from one with a path. 0 or -errno. */
int fd_stat(int fd, struct stat *st);

#endif
