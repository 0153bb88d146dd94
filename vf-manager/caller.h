/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who asks, by the kernel's word (SO_PEERCRED), and files opened with no more rights than the
 * asker has: the daemon is nobody's deputy.
 */
#ifndef VIADUCT_VF_MANAGER_CALLER_H
#define VIADUCT_VF_MANAGER_CALLER_H

#include "vf-manager/config.h"

#define CALLER_GROUPS 256

struct caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	gid_t groups[CALLER_GROUPS];
	unsigned int group_count;
};

/* The peer of a connected Unix socket. */
int caller_from_socket(int sock, struct caller *out, struct err *e);

/* This process itself. */
int caller_self(struct caller *out);

/* Root, the daemon's own uid, and members of the group `gid` ((gid_t)-1: no such group). */
bool caller_may_manage(const struct caller *who, gid_t gid);

/* The user's name; "": there is no such user. An error of the user database (a directory that does not answer) says neither:
 * code "user-lookup". A name longer than `cap` is cut. */
int caller_user(uid_t uid, char *buf, size_t cap, struct err *e);

/* Who goes first where there is not enough for all; the last is the first. */
enum caller_class { CALLER_OTHER, CALLER_MANAGER, CALLER_ROOT };
enum caller_class caller_class(const struct caller *who, gid_t gid);

/* fn with the caller's uid and groups for access to files, in this thread alone. What it returns; -EPERM, -errno: they could
 * not be taken. */
int caller_run(const struct caller *who, int (*fn)(void *), void *arg);

/* Inside the configured folders, by its name. */
bool caller_path_is_inside(const struct config *config, const char *path);

/*
 * A regular file for reading, with the caller's uid and groups, without following any symbolic
 * link, inside the configured folders. `what` is its role ("kernel"). -EACCES, -ELOOP code
 * "symlink", -EINVAL if it is no regular file.
 */
struct file_wish {
	const char *what;
	const char *path; /* absolute */
};
int caller_open(const struct caller *who, const struct config *config, const struct file_wish *wish,
		int *fd_out, struct err *e);

#endif
