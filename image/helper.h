/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that is not ours and reads bytes that nobody vouches for, run so that it can do nothing else: user,
 * mount, process, network, IPC and UTS namespaces of its own; a root that holds the system's programs, read-only,
 * and nothing more; one file to read and one to write, already open; no capability, no new privileges, a list of
 * system calls (what is not on it does not exist; threads, no further process), landlock where the kernel has it, limits of memory, time and file
 * size. It ends with whoever started it.
 *
 * Works for any user, where the kernel gives users namespaces of their own.
 */
#ifndef VIADUCT_IMAGE_HELPER_H
#define VIADUCT_IMAGE_HELPER_H

#include "base/err.h"

#include <sys/types.h>

#define HELPER_IN	3 /* the file to read, as the program sees it */
#define HELPER_OUT	4 /* the file to write */
#define HELPER_IN_PATH	"/proc/self/fd/3"
#define HELPER_OUT_PATH "/proc/self/fd/4"
#define HELPER_ARGS	24

#define HELPER_SAYS  (256U << 10) /* bytes of its standard output that are kept */
#define HELPER_WORDS 1024 /* and of its standard error: the last */

struct helper_wish {
	const char *program; /* absolute, in a folder of helper_jail.c's table */
	const char *argv[HELPER_ARGS]; /* NULL ends it */
	int in; /* opened for reading */
	int out; /* opened for reading and writing; -1: none */
	uid_t uid; /* who it is; of root's callers anybody, else the caller */
	gid_t gid;
	uint64_t memory_bytes; /* of address space */
	uint64_t file_bytes; /* that it may make a file large */
	unsigned int cpu_s;
	unsigned int
		quiet_s; /* that it may show no sign of life: output, blocks of `out`, CPU time; 0: any */
	unsigned int wall_s; /* and in all; 0: any */
	/* Each piece of its standard output as it comes, instead of keeping it; or NULL. */
	void (*heard)(void *arg, const char *text, size_t len);
	bool (*is_cancelled)(void *arg); /* then it is killed; or NULL */
	void *arg;
};

struct helper_end {
	int status; /* of wait(2) */
	char *says; /* standard output, with a NUL; freed by helper_end_free() */
	size_t says_len;
	char words[HELPER_WORDS]; /* standard error, one line, without control characters */
};

/* 0 when it ran to an end of its own, whichever. -ECANCELED; -EPERM code "image-sandbox" where the kernel does not give the
 * namespaces; -ENOENT: there is no such program; -ETIMEDOUT code "image-stuck": quiet_s, wall_s. */
int helper_run(const struct helper_wish *wish, struct helper_end *end, struct err *e);
void helper_end_free(struct helper_end *end);

/* The child's side (helper_jail.c), once its uid is mapped: closes the jail and becomes the program. Returns only what
 * failed: *what (static) and -errno. `fds` are to be its standard output and standard error. */
int helper_jail(const struct helper_wish *wish, const int fds[2], const char **what);

#endif
